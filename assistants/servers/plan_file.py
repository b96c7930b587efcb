"""Servers that are to stand together, as a person writes them down.

::

    gpus = "2x24GiB"            # to plan for others than those of this machine
    aim = "most conversations"  # or "fit all", "longest context"
    free = "4GiB"               # of each GPU, what weights leave for inference

    [servers.qwen3-8b]
    model = "Qwen/Qwen3-8B"     # a folder with weights, or a name on the Hugging Face hub
    context = 8192
    conversations = 8
    memory = "18GiB"            # of each GPU, where its architecture cannot be counted
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, ValidationInfo, field_validator

from assistants.clients import folder_of
from assistants.errors import AssistantsError, FileError, UsageError
from assistants.servers.gpus import Gpu, MessageCallback, find_gpus, parse_gpus, parse_size
from assistants.servers.launch_options import LOOPBACK, LaunchOptions
from assistants.servers.planning import (
    MADE_WHILE_LOADING,
    Aim,
    ModelRequest,
    PlacedServer,
    Plan,
    make_plan,
    quantization_method,
    read_config,
    read_model,
)
from assistants.utils.config_files import StrictModel, display_path, parse_toml, read_text, validate

DEFAULT_UTILIZATION = 0.92
"""The part of each GPU that vLLM takes unless it is told otherwise (``gpu_memory_utilization``)."""


class _Server(StrictModel):
    model: str
    config: str | None = None
    context: int = Field(default=4096, ge=1)
    conversations: int = Field(default=1, ge=1)
    memory: str | None = None
    tensor_parallel: list[int] = Field(default=[1, 2, 4, 8], min_length=1)
    quantization: str | None = None
    cache: Literal["auto", "fp8"] = "auto"
    dtype: str | None = None
    chat_template: str | None = None
    host: str = LOOPBACK
    port: int | None = Field(default=None, ge=1, le=65535)
    options: list[str] = Field(default_factory=list)

    @field_validator("memory")
    @classmethod
    def _is_size(cls, text: str | None) -> str | None:
        return _checked(text, parse_size)


class _File(StrictModel):
    gpus: str | None = None
    aim: Aim = "fit all"
    free: str = "4GiB"
    servers: dict[str, _Server] = Field(min_length=1)

    @field_validator("gpus", "free")
    @classmethod
    def _are_sizes(cls, text: str | None, info: ValidationInfo) -> str | None:
        return _checked(text, parse_size if info.field_name == "free" else parse_gpus)


@dataclass(frozen=True, slots=True)
class Planned:
    """Content of a file: each server's start, and the plan that says where it goes.

    Without a GPU there is no plan: the servers are started as they stand, on the CPU.
    """

    launches: tuple[LaunchOptions, ...]
    plan: Plan | None

    @property
    def starts(self) -> tuple[LaunchOptions, ...]:
        """Servers to start, in order; models without a place are left out."""
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
    report: MessageCallback = lambda _: None,
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
        For a mistake in the file, a model whose config is not on this machine or cannot be counted,
        or a quantization that its weights do not have and vLLM does not make.
    UsageError
        If the plan cannot be meant.
    """
    document = parse_toml(read_text(path), display_path(path))
    content = validate(_File, document)
    launches = tuple(_launch(name, server, path.parent) for name, server in content.servers.items())
    _refuse_collisions(launches, document.source)
    sizes = on or (None if here else content.gpus)
    if here and content.gpus:
        report(f"{document.source} plans for {content.gpus}; what starts goes onto the GPUs here.")
    gpus = parse_gpus(sizes) if sizes else find_gpus(report)
    if not gpus:
        return Planned(launches, None)
    models = [
        _request(name, server, path.parent, f"{document.source}: server {name}")
        for name, server in content.servers.items()
    ]
    chosen = cast("Aim", aim or content.aim)  # the plan refuses an unknown one
    plan = make_plan(models, gpus, chosen, free=parse_size(free or content.free))
    return Planned(launches, plan)


def plan_of_launch(launch: LaunchOptions, gpus: Sequence[Gpu]) -> Plan | None:
    """Return one server that nobody planned as the plan that its options come to.

    So that what it should report can be held against what it does.

    Parameters
    ----------
    launch
        What is started. Without ``gpus`` it is on the first one.
    gpus
        Those of this machine.

    Returns
    -------
    Plan or None
        ``None`` where nothing can be predicted: no such GPU, or a config that is not here or
        that cannot be counted.
    """
    by_index = {gpu.index: gpu for gpu in gpus}
    chosen = launch.gpus or tuple(sorted(by_index))[:1]
    folder = folder_of(launch.source)
    if folder is None or not chosen or not set(chosen) <= set(by_index):
        return None
    try:
        model = read_model(folder, quantization=launch.quantization, dtype=launch.dtype)
        context = min(launch.max_model_len or model.context, model.context)
        split = (len(chosen),)
        request = ModelRequest(launch.served, model, context=context, tensor_parallel=split)
        needs = request.requirements()
    except AssistantsError:
        return None
    if not needs:
        return None
    least, part = needs[len(chosen)], launch.utilization or DEFAULT_UTILIZATION
    total = min(by_index[index].total for index in chosen)
    cache = max(0, round(part * total) - least.weights - least.overhead)
    server = PlacedServer(request, chosen, context, replace(least, cache=cache), part)
    return Plan("fit all", tuple(by_index[i] for i in chosen), (server,), (), "Not planned.")


def matches_plan(launch: LaunchOptions, server: PlacedServer) -> bool:
    """Return whether a start had the options of a plan, so that it says something about plans.

    Others take memory of another size (``--kv-cache-dtype``, ``--max-num-seqs``), and no record
    says which they were.
    """
    return launch.options == server.options


def _checked(text: str | None, parse: object) -> str | None:
    try:
        if text is not None and callable(parse):
            parse(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


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
    """Refuse two that cannot run side by side, before the first has loaded for minutes."""
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


def _request(name: str, server: _Server, beside: Path, where: str) -> ModelRequest:
    architecture, quantization, memory = None, server.quantization, None
    if server.memory is not None:
        memory = parse_size(server.memory)
    else:
        source = server.config or server.model
        folder = folder_of(source, beside)
        if folder is None:
            raise FileError(
                where,
                f"the config of {source} is not on this machine.",
                fix="Fetch it (`hf download NAME config.json`), or name a file with `config = `.",
            )
        architecture = read_model(folder, dtype=server.dtype)
        quantization = _quantization_to_make(server.quantization, folder, where)
    return ModelRequest(
        name=name,
        architecture=architecture,
        context=server.context,
        conversations=server.conversations,
        tensor_parallel=tuple(server.tensor_parallel),
        quantization=quantization,
        cache=server.cache,
        memory=memory,
    )


def _quantization_to_make(asked: str | None, folder: Path, where: str) -> str | None:
    """Return the quantization that vLLM makes while it loads; ``None`` if the files have it."""
    if asked is None:
        return None
    config = read_config(folder / "config.json" if folder.is_dir() else folder)
    own = quantization_method(config)
    if own.removesuffix("_marlin") == asked.removesuffix("_marlin"):
        return None
    if own or asked not in MADE_WHILE_LOADING:
        raise FileError(
            where,
            f"its files would have to be {asked}, and they are {own or 'not quantized'}.",
            fix=f"Name another repository, whose files are. While it loads, vLLM makes "
            f"{' and '.join(MADE_WHILE_LOADING)}, of weights in 16 bit.",
        )
    return asked
