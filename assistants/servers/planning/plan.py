"""Which model goes onto which GPUs, with how much memory, and what that holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assistants.errors import UsageError
from assistants.servers.gpus import GIB, Gpu
from assistants.servers.planning.architecture import Architecture, quantized
from assistants.servers.planning.memory import BATCHED, SEQUENCES, KVCache, MemoryRequirement

if TYPE_CHECKING:
    from assistants.servers.planning.calibration import StartMeasurement

Aim = Literal["fit all", "longest context", "most conversations"]
"""``fit all``: as many models as possible, on as few GPUs as possible. ``longest context``: the
shortest context is as long as possible, then each as long as its own GPUs allow. ``most
conversations``: the same for how many each holds at once."""

AIMS: tuple[Aim, ...] = ("fit all", "longest context", "most conversations")

LOADING = ("fp8", "bitsandbytes")
"""Quantizations that vLLM makes while it loads; for the others the files have to be so already."""

FREE = 4 * GIB
"""Of each GPU, what weights have to leave for inference."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model that is to be served: at least so many conversations of ``context`` tokens at once.

    ``tensor_parallel`` are the numbers of GPUs it may be split over, ``cache`` is ``auto`` or
    ``fp8``, and ``quantization`` plans its weights as if they were kept so. A GGUF file has them
    as they are, so there it is a ``UsageError``.
    """

    name: str
    facts: Architecture
    context: int = 4096
    conversations: int = 1
    tensor_parallel: tuple[int, ...] = (1, 2, 4, 8)
    quantization: str | None = None
    cache: str = "auto"

    def __post_init__(self) -> None:
        in_gguf = not self.facts.parameters.embedding  # its header does not tell parts apart
        if self.quantization and in_gguf:
            raise UsageError(
                f"{self.name}: {self.facts.source} has its weights as {self.facts.weights.kind}.",
                fix="Name another file, or leave the quantization out.",
            )

    @property
    def planned(self) -> Architecture:
        """Its facts with the quantization that was asked for."""
        return quantized(self.facts, self.quantization) if self.quantization else self.facts


@dataclass(frozen=True, slots=True)
class PlacedServer:
    """One server of a plan; bytes are on each of its GPUs, tokens of the whole server."""

    wanted: ModelRequest
    gpus: tuple[int, ...]
    context: int
    need: MemoryRequirement
    kept: KVCache
    utilization: float

    @property
    def name(self) -> str:
        """The model's name."""
        return self.wanted.name

    @property
    def cache_tokens(self) -> int:
        """Predicted: the tokens of cache that it will report."""
        return self.kept.capacity(self.need.cache, self.context)

    @property
    def conversations(self) -> int:
        """Predicted: conversations of its full context that it holds at once."""
        return self.holds(self.context)

    def holds(self, length: int) -> int:
        """Predicted: conversations of ``length`` tokens at once, of at most 256 that it answers."""
        return min(SEQUENCES, self.kept.conversations(self.need.cache, length))

    @property
    def options(self) -> tuple[str, ...]:
        """What vLLM has to be told besides GPUs, context and memory, so that the plan holds."""
        asked = {"--max-num-batched-tokens": str(BATCHED), "--max-num-seqs": str(SEQUENCES)}
        if self.wanted.quantization in LOADING:
            asked["--quantization"] = self.wanted.quantization
        if self.wanted.cache != "auto":
            asked["--kv-cache-dtype"] = self.wanted.cache
        return tuple(part for pair in asked.items() for part in pair)


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A model without a place: why, and what would give it one."""

    name: str
    why: str
    fixes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} does not fit: {self.why}. " + " ".join(self.fixes)


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Servers in the order in which they are to be started, one after the other.

    ``proven`` says whether nothing better exists under the aim; ``verdict`` says it in words.
    """

    aim: Aim
    gpus: tuple[Gpu, ...]
    servers: tuple[PlacedServer, ...]
    left_out: tuple[Unplaced, ...]
    proven: bool
    verdict: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        from assistants.servers.planning.draw import text

        return text(self)

    def _repr_html_(self) -> str:
        return self.svg()

    def svg(self) -> str:
        """A figure that can stand in any page: one column a GPU, one block a model."""
        from assistants.servers.planning.draw import svg

        return svg(self)

    def on(self, gpu: Gpu) -> list[PlacedServer]:
        """The servers that use a GPU."""
        return [server for server in self.servers if gpu.index in server.gpus]

    def spare(self, gpu: Gpu) -> int:
        """Bytes of a GPU that nobody was given."""
        return gpu.free - sum(server.need.total for server in self.on(gpu))

    def rows(self) -> list[dict[str, Any]]:
        """One row a server, in start order: ``pandas.DataFrame(plan.rows())``."""
        return [_row(order, server) for order, server in enumerate(self.servers, 1)]

    def beside(self, measured: Iterable[StartMeasurement]) -> list[dict[str, Any]]:
        """The rows with what was measured of the same model beside what was predicted."""
        found = {each.model: each for each in measured}
        rows = self.rows()
        for row in rows:
            seen = found.get(row["model"])
            row["measured_cache_tokens"] = seen.cache_tokens if seen else None
            row["measured_memory_gib"] = round(seen.memory / GIB, 2) if seen else None
            row["cache_off_percent"] = None
            if seen and row["cache_tokens"]:
                off = seen.cache_tokens / row["cache_tokens"] - 1
                row["cache_off_percent"] = round(100 * off, 1)
        return rows


def plan(
    models: Sequence[ModelRequest],
    gpus: Sequence[Gpu],
    aim: Aim = "fit all",
    *,
    free: int = FREE,
    measured: Iterable[StartMeasurement] = (),
    seconds: float = 3.0,
) -> Plan:
    """Pack models onto GPUs, as well as possible under an aim.

    Parameters
    ----------
    models
        What is to be served; each name once.
    gpus
        Where: ``gpus()`` asks the driver, ``parse_gpus("24GiB,24GiB")`` plans without one.
    aim
        See ``Aim``.
    free
        Bytes of each GPU that weights have to leave for inference.
    measured
        What earlier starts showed (``measured.load()``): it corrects the estimate of what a model
        takes besides weights and cache, on GPUs of the same name.
    seconds
        How long to look; what was not proven best by then is called so.

    Raises
    ------
    UsageError
        If a model, a GPU or the aim cannot be meant: a context longer than the model allows, a
        name twice, no GPU at all.
    """
    from assistants.servers.planning.planner import make_plan

    return make_plan(tuple(models), tuple(gpus), aim, free, tuple(measured), seconds)


def utilization(budget: int, total: int) -> float:
    """The flag that lets a server use ``budget`` bytes of a GPU.

    vLLM asks for this part of all the memory a GPU has, for itself alone, and refuses to start
    unless so much is free at that moment (``vllm/v1/worker/utils.py``, ``request_memory``). Rounded
    up, so that the cache is no smaller than planned.
    """
    return math.ceil(10_000 * budget / total) / 10_000


def _row(order: int, server: PlacedServer) -> dict[str, Any]:
    need, wanted = server.need, server.wanted
    return {
        "start": order,
        "model": server.name,
        "gpus": ",".join(str(index) for index in server.gpus),
        "weights": wanted.planned.weights.kind,
        "weights_gib": round(need.weights / GIB, 2),
        "overhead_gib": round((need.overhead + need.process) / GIB, 2),
        "cache_gib": round(need.cache / GIB, 2),
        "total_gib": round(need.total / GIB, 2),
        "utilization": server.utilization,
        "context": server.context,
        "cache_tokens": server.cache_tokens,
        "conversations": server.conversations,
        "asked_conversations": wanted.conversations,
    }
