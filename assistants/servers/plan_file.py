"""Servers that are to stand together, as a person writes them down.

::

    gpus = "2x24GiB"            # to plan for others than those of this machine
    aim = "most conversations"  # or "fit all", "longest context"
    free = "4GiB"               # of each GPU, what weights leave for inference

    [servers.qwen3-8b]
    model = "Qwen/Qwen3-8B"     # a folder with weights, or a name on the Hugging Face hub
    context = 8192
    conversations = 8
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, ValidationInfo, field_validator

from assistants.clients import folder_of
from assistants.errors import FileError, UsageError
from assistants.servers.gpus import Report as GpuReport
from assistants.servers.gpus import gpus, parse_gpus, parse_size
from assistants.servers.launch_options import LOOPBACK, LaunchOptions
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.calibration import load
from assistants.servers.planning.plan import LOADING, Aim, ModelRequest, Plan, plan
from assistants.utils.config_files import StrictModel, display_path, parse_toml, read_text, validate


class _Server(StrictModel):
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


class _File(StrictModel):
    gpus: str | None = None
    aim: Aim = "fit all"
    free: str = "4GiB"
    servers: dict[str, _Server] = Field(min_length=1)

    @field_validator("gpus", "free")
    @classmethod
    def _sizes(cls, text: str | None, info: ValidationInfo) -> str | None:
        try:
            if text is not None:
                (parse_size if info.field_name == "free" else parse_gpus)(text)
        except UsageError as error:
            raise ValueError(str(error)) from None
        return text


@dataclass(frozen=True, slots=True)
class Planned:
    """What a file asks for: each server's start, and the plan that says where it goes.

    Without a GPU there is no plan: the servers are started as they stand, on the CPU.
    """

    launches: tuple[LaunchOptions, ...]
    plan: Plan | None

    @property
    def starts(self) -> tuple[LaunchOptions, ...]:
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
    here: bool = False,
    report: GpuReport = lambda _: None,
) -> Planned:
    """Read a file and plan it.

    Parameters
    ----------
    path
        A TOML file, as above.
    on, aim, free
        In place of what the file says; ``on`` as ``parse_gpus`` reads it.
    here
        Plan for the GPUs of this machine, whatever the file says: what is to be started needs them.
    report
        Told why GPUs were not found, or that those of the file do not count.

    Raises
    ------
    FileError
        For a mistake in the file, a model whose config is not on this machine, or a quantization
        that its weights do not have and vLLM does not make.
    UsageError
        If the plan cannot be meant.
    """
    document = parse_toml(read_text(path), display_path(path))
    content = validate(_File, document)
    launches = tuple(_launch(name, server, path.parent) for name, server in content.servers.items())
    _refuse_collisions(launches, document.source)
    wished = on or (None if here else content.gpus)
    if here and content.gpus:
        report(f"{document.source} plans for {content.gpus}; what starts goes onto the GPUs here.")
    found = parse_gpus(wished) if wished else gpus(report)
    if not found:
        return Planned(launches, None)
    models = [
        _wanted(name, server, path.parent, f"{document.source}: server {name}")
        for name, server in content.servers.items()
    ]
    size = parse_size(free or content.free)
    asked = cast("Aim", aim or content.aim)  # the plan refuses what is none
    return Planned(launches, plan(models, found, asked, free=size, measured=load()))


def _launch(name: str, server: _Server, beside: Path) -> LaunchOptions:
    template, path = server.chat_template, beside / server.model
    return LaunchOptions(
        source=str(path) if path.exists() else server.model,
        served_name=name,
        port=server.port,
        host=server.host,
        max_model_len=server.context,
        dtype=server.dtype,
        quantization=server.quantization,
        chat_template=beside / template if template else None,
        options=tuple(server.options),
    )


def _refuse_collisions(launches: tuple[LaunchOptions, ...], where: str) -> None:
    """Two that cannot run side by side, told before the first has loaded for minutes."""
    names: dict[str, str] = {}
    ports: dict[int, str] = {}
    for launch in launches:
        if (other := names.setdefault(launch.name, launch.served)) != launch.served:
            raise FileError(
                where,
                f"servers {other} and {launch.served} are both called {launch.name} when they run.",
                fix="Give one of them a name that differs by more than capitals and signs.",
            )
        if launch.port is None:
            continue
        if (other := ports.setdefault(launch.port, launch.served)) != launch.served:
            raise FileError(
                where,
                f"servers {other} and {launch.served} ask for the same port, {launch.port}.",
                fix="Give one of them another `port`, or none: then a free one is taken.",
            )


def _wanted(name: str, server: _Server, beside: Path, where: str) -> ModelRequest:
    source = server.config or server.model
    found = folder_of(source, beside)
    if found is None:
        raise FileError(
            where,
            f"the config of {source} is not on this machine.",
            fix="Fetch it (`hf download NAME config.json`), or name a file with `config = `.",
        )
    return ModelRequest(
        name=name,
        facts=read_model(found, dtype=server.dtype),
        context=server.context,
        conversations=server.conversations,
        tensor_parallel=tuple(server.tensor_parallel),
        quantization=_to_make(server.quantization, found, where),
        cache=server.cache,
    )


def _to_make(asked: str | None, found: Path, where: str) -> str | None:
    """The quantization that vLLM makes while it loads; ``None`` if the files have it already."""
    if asked is None or found.suffix == ".gguf":
        return asked  # and of a GGUF file nothing is made: Wanted refuses it
    own = _own_method(found / "config.json" if found.is_dir() else found)
    if own.removesuffix("_marlin") == asked.removesuffix("_marlin"):
        return None
    if own or asked not in LOADING:
        raise FileError(
            where,
            f"its files would have to be {asked}, and they are {own or 'not quantized'}.",
            fix=f"Name another repository, whose files are. While it loads, vLLM makes "
            f"{' and '.join(LOADING)}, of weights in 16 bit.",
        )
    return asked


def _own_method(config: Path) -> str:
    """How a config says that its weights are quantized; empty if they are not."""
    data = json.loads(read_text(config))
    for part in (data, data.get("text_config")):
        said = part.get("quantization_config") if isinstance(part, dict) else None
        if isinstance(said, dict):
            return str(said.get("quant_method", "")).lower()
    return ""
