"""Models that are to be served, and servers with a place: the values that a plan is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from assistants.errors import UsageError
from assistants.servers.gpus import GIB
from assistants.servers.planning.architecture import Architecture
from assistants.servers.planning.memory import (
    MAX_BATCHED_TOKENS,
    MAX_SEQUENCES,
    PROCESS_BYTES,
    KVCache,
    MemoryRequirement,
    kv_cache,
    memory_requirement,
    tensor_parallel_error,
)

Aim = Literal["fit all", "longest context", "most conversations"]
"""``fit all``: as many models as possible, on few GPUs. ``longest context``: the shortest context
is as long as possible, then each as long as its own GPUs allow. ``most conversations``: the same
for how many each holds at once."""

AIMS: tuple[Aim, ...] = ("fit all", "longest context", "most conversations")

MADE_WHILE_LOADING = ("fp8", "bitsandbytes")
"""Quantizations that vLLM makes while it loads; for the others the files have to be so already."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model to serve: at least so many conversations of ``context`` tokens at once.

    ``tensor_parallel`` are the numbers of GPUs it may be split over, ``cache`` is ``auto`` or
    ``fp8``, and ``quantization`` plans its weights as if they were kept so. ``memory`` is given in
    place of ``architecture`` for a model that cannot be counted: the bytes that its server may take
    of each GPU, on as many GPUs as the least of ``tensor_parallel``.
    """

    name: str
    architecture: Architecture | None
    context: int = 4096
    conversations: int = 1
    tensor_parallel: tuple[int, ...] = (1, 2, 4, 8)
    quantization: str | None = None
    cache: str = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        if (self.architecture is None) == (self.memory is None):
            raise UsageError(f"{self.name}: give its architecture, or the memory that it takes.")
        if self.memory is not None and self.memory < 2 * PROCESS_BYTES:
            raise UsageError(f"{self.name}: no server runs in less than 1 GiB of a GPU.")

    @property
    def planned(self) -> Architecture | None:
        """Its architecture with the quantization that was asked for."""
        if self.quantization and self.architecture:
            return self.architecture.quantized(self.quantization)
        return self.architecture

    @property
    def longest_context(self) -> int:
        """The longest context that it allows; what was asked for where nobody knows."""
        return self.architecture.context if self.architecture else self.context

    @property
    def weights_kind(self) -> str:
        """The format of its weights: ``16 bit``, ``fp8``, ...; empty where nobody knows."""
        return self.planned.weights.kind if self.planned else ""

    def kv_cache(self, gpus: int) -> KVCache | None:
        """Return the layout of its cache on each of ``gpus``, if that can be counted."""
        return kv_cache(self.planned, gpus, self.cache) if self.planned else None

    def requirements(
        self, context: int | None = None, conversations: int | None = None
    ) -> dict[int, MemoryRequirement]:
        """Return what it takes of each GPU, by the number of GPUs it can be split over."""
        if self.memory is not None:
            budget = self.memory - PROCESS_BYTES
            given = MemoryRequirement(0, 0, 0, 0, PROCESS_BYTES, budget)
            return {min(self.tensor_parallel): given}
        model = self.planned
        assert model is not None
        size = (context or self.context, conversations or self.conversations)
        return {
            gpus: memory_requirement(model, *size, gpus, self.cache)
            for gpus in sorted(set(self.tensor_parallel))
            if not tensor_parallel_error(model, gpus)
        }


@dataclass(frozen=True, slots=True)
class PlacedServer:
    """One server of a plan; bytes are on each of its GPUs, tokens of the whole server."""

    request: ModelRequest
    gpus: tuple[int, ...]
    context: int
    memory: MemoryRequirement
    utilization: float

    @property
    def name(self) -> str:
        """The model's name."""
        return self.request.name

    @property
    def cache_tokens(self) -> int | None:
        """Predicted tokens of cache that it reports; ``None`` where its memory was given."""
        cache = self.request.kv_cache(len(self.gpus))
        return cache.capacity(self.memory.cache, self.context) if cache else None

    @property
    def conversations(self) -> int | None:
        """Predicted conversations of its full context at once, of at most 256 that it answers."""
        cache = self.request.kv_cache(len(self.gpus))
        if cache is None:
            return None
        return min(MAX_SEQUENCES, cache.conversations(self.memory.cache, self.context))

    @property
    def options(self) -> tuple[str, ...]:
        """Options of vLLM besides GPUs, context and memory that make the plan hold."""
        options = {
            "--max-num-batched-tokens": str(MAX_BATCHED_TOKENS),
            "--max-num-seqs": str(MAX_SEQUENCES),
        }
        if self.request.quantization in MADE_WHILE_LOADING:
            options["--quantization"] = self.request.quantization
        if self.request.cache != "auto":
            options["--kv-cache-dtype"] = self.request.cache
        return tuple(part for pair in options.items() for part in pair)

    def row(self) -> dict[str, Any]:
        """Return its figures for a table."""
        memory, is_counted = self.memory, self.request.memory is None
        overhead = memory.overhead + memory.process
        return {
            "model": self.name,
            "gpus": ",".join(str(index) for index in self.gpus),
            "weights": self.request.weights_kind or None,
            "weights_gib": round(memory.weights / GIB, 2) if is_counted else None,
            "overhead_gib": round(overhead / GIB, 2) if is_counted else None,
            "cache_gib": round(memory.cache / GIB, 2) if is_counted else None,
            "total_gib": round(memory.total / GIB, 2),
            "utilization": self.utilization,
            "context": self.context,
            "cache_tokens": self.cache_tokens,
            "conversations": self.conversations,
            "asked_conversations": self.request.conversations,
        }


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A model without a place: the reason, and what would give it one."""

    name: str
    reason: str
    fixes: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} does not fit: {self.reason}. " + " ".join(self.fixes)


@dataclass(frozen=True, slots=True)
class StartMeasurement:
    """The measurements of one start: bytes on each GPU, tokens of the whole server.

    ``budget`` is the bytes it was allowed, ``memory`` what the driver says it took, and
    ``cache_tokens`` what it reported when started for ``context`` tokens a conversation.
    """

    model: str
    gpu: str
    tensor_parallel: int
    weights: str
    cache: str
    context: int
    budget: int
    cache_tokens: int
    memory: int

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """The values that a later start of the same kind has too."""
        return (self.model, self.gpu, self.tensor_parallel, self.weights, self.cache)


def gpu_utilization(budget: int, total: int) -> float:
    """Return the flag that lets a server use ``budget`` bytes of a GPU.

    vLLM asks for this part of all the memory a GPU has, for itself alone, and refuses to start
    unless so much is free at that moment (``vllm/v1/worker/utils.py``, ``request_memory``). Rounded
    up, so that the cache is no smaller than planned.
    """
    return math.ceil(10_000 * budget / total) / 10_000
