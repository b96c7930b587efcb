"""Servers that are to stand together, as a person writes them down.

::

    gpus = "2x24GiB"            # those of this machine unless given
    aim = "most conversations"  # or "fit all", "longest context"
    free = "4GiB"               # of each GPU, kept for inference

    [servers.qwen3-8b]
    model = "Qwen/Qwen3-8B"     # a folder with weights, or a name on the Hugging Face hub
    context = 8192
    conversations = 8
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, field_validator

from assistants.clients.hub import folder_of
from assistants.errors import FileError, UsageError
from assistants.files import Strict, parse_toml, read_text, shown, validate
from assistants.servers.configs import read_model
from assistants.servers.gpus import Report as GpuReport
from assistants.servers.gpus import gpus, parse_gpus
from assistants.servers.launch import LOOPBACK, Launch
from assistants.servers.measured import load
from assistants.servers.plan import Aim, Plan, Wanted, plan


class _Server(Strict):
    model: str
    config: str | None = None
    context: int = Field(default=4096, ge=1)
    conversations: int = Field(default=1, ge=1)
    tensor_parallel: list[int] = Field(default=[1, 2, 4, 8], min_length=1)
    quantization: str | None = None
    cache: Literal["auto", "fp8"] = "auto"
    dtype: str | None = None
    chat_template: str | None = None
    host: str = LOOPBACK
    port: int | None = Field(default=None, ge=1, le=65535)
    options: list[str] = Field(default_factory=list)


class _File(Strict):
    gpus: str | None = None
    aim: Aim = "fit all"
    free: str = "4GiB"
    servers: dict[str, _Server] = Field(min_length=1)

    @field_validator("gpus", "free")
    @classmethod
    def _sizes(cls, text: str | None) -> str | None:
        try:
            if text is not None:
                parse_gpus(text)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return text


@dataclass(frozen=True, slots=True)
class Planned:
    """What a file asks for: each server's start, and the plan that says where it goes.

    Without a GPU there is no plan: the servers are started as they stand, on the CPU.
    """

    launches: tuple[Launch, ...]
    plan: Plan | None

    @property
    def starts(self) -> tuple[Launch, ...]:
        """What is started, in order; models that found no place are left out."""
        if self.plan is None:
            return self.launches
        by_name = {launch.served: launch for launch in self.launches}
        return tuple(by_name[server.name].planned(server) for server in self.plan.servers)


def read_plan(
    path: Path,
    *,
    on: str | None = None,
    aim: str | None = None,
    free: str | None = None,
    report: GpuReport = lambda _: None,
) -> Planned:
    """Read a file and plan it.

    Parameters
    ----------
    path
        A TOML file, as above.
    on, aim, free
        In place of what the file says; ``on`` as ``parse_gpus`` reads it.
    report
        Told why GPUs were not found.

    Raises
    ------
    FileError
        For a mistake in the file, or a model whose config is not on this machine.
    UsageError
        If the plan cannot be meant.
    """
    document = parse_toml(read_text(path), shown(path))
    content = validate(_File, document)
    launches = tuple(_launch(name, server, path.parent) for name, server in content.servers.items())
    wished = on or content.gpus
    found = parse_gpus(wished) if wished else gpus(report)
    if not found:
        return Planned(launches, None)
    models = [
        _wanted(name, server, path.parent, f"{document.source}: server {name}")
        for name, server in content.servers.items()
    ]
    size = parse_gpus(free or content.free)[0].total
    asked = cast("Aim", aim or content.aim)  # the plan refuses what is none
    return Planned(launches, plan(models, found, asked, free=size, measured=load()))


def _launch(name: str, server: _Server, beside: Path) -> Launch:
    template = server.chat_template
    return Launch(
        source=str(beside / server.model) if (beside / server.model).is_dir() else server.model,
        served_name=name,
        port=server.port,
        host=server.host,
        max_model_len=server.context,
        dtype=server.dtype,
        quantization=server.quantization,
        chat_template=beside / template if template else None,
        options=tuple(server.options),
    )


def _wanted(name: str, server: _Server, beside: Path, where: str) -> Wanted:
    source = server.config or server.model
    found = folder_of(source, beside)
    if found is None:
        raise FileError(
            where,
            f"the config of {source} is not on this machine.",
            fix="Fetch it (`hf download NAME config.json`), or name a file with `config = `.",
        )
    return Wanted(
        name=name,
        facts=read_model(found),
        context=server.context,
        conversations=server.conversations,
        tensor_parallel=tuple(server.tensor_parallel),
        quantization=server.quantization,
        cache=server.cache,
    )
