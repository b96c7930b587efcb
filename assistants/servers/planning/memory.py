"""The bytes that one server needs on each of its GPUs, and the conversations that they hold.

The arithmetic is vLLM's own (``kv_cache_interface.py`` and ``kv_cache_utils.py``). What only a run
can tell, the room for activations, graphs and libraries, is estimated by the constants below.
"""

from __future__ import annotations

from dataclasses import dataclass

from assistants.errors import UsageError
from assistants.servers.gpus import GIB
from assistants.servers.planning.architecture import Architecture

MIB = 1 << 20

GPU_BLOCK = 16
"""Tokens in a block of vLLM's cache on a GPU."""

CPU_BLOCK = 128
"""Tokens in a block on a CPU."""

PROCESS_BYTES = GIB // 2
"""Memory of a process before it asks for anything: CUDA's context and its kernels.

vLLM looks at the memory after its context exists, so this lies outside of its budget.
"""

COMMUNICATION_BYTES = GIB // 2
"""Buffers of NCCL on each GPU of a group; vllm#13061 shows a quarter of this for two."""

GRAPH_BYTES = 16 * MIB
"""A layer's share of the CUDA graphs: half a GiB for 32 layers, as vLLM's log tells."""

MAX_BATCHED_TOKENS = 8192
"""Tokens that go through the model in one step at most; the server is started with this."""

CONCURRENT_STEPS = 2
"""Steps under way at the same time: vLLM plans one while the one before still runs.

What a window has passed is given back only when a step has ended (``max_in_flight_tokens`` in
vLLM's ``config/vllm.py``). On a CPU it is one step.
"""

MAX_SEQUENCES = 256
"""Answers that grow at the same time at most; the server is started with this."""

HIDDEN_COPIES = 6
"""Copies of what flows between layers that live at the same time: residual, norms, q, k, v, o."""

FEED_FORWARD_COPIES = 3
"""Copies of the widest part of a layer: gate, up, and their product."""

LOGIT_BYTES = 10
"""Bytes of one score of the vocabulary: in 16 bit, in 32, and a working copy for sampling."""

HEADROOM = 0.03
"""Part of each GPU that is promised to nobody: fragments, and what libraries take later."""


@dataclass(frozen=True, slots=True)
class KVCache:
    """The cache of a server on one GPU: blocks of ``block_tokens`` and ``block_bytes``.

    A conversation takes a block for every ``block_tokens`` tokens in each of ``full_groups`` groups
    of layers, and no more than ``window`` tokens and those just read in each of ``sliding_groups``.
    """

    block_tokens: int
    block_bytes: int
    full_groups: int
    sliding_groups: int = 0
    window: int = 0

    def blocks(self, length: int) -> int:
        """Return the blocks of one conversation of ``length`` tokens."""
        full = -(-length // self.block_tokens)
        if not self.sliding_groups:
            return self.full_groups * full
        # While a long question is read, a window keeps what it looks back at and all that is read
        # in the steps under way; it may start in the middle of a block.
        kept = min(self.window - 1 + CONCURRENT_STEPS * MAX_BATCHED_TOKENS, length)
        sliding = -(-kept // self.block_tokens) + 1
        return self.full_groups * full + self.sliding_groups * sliding

    def bytes_for(self, length: int, conversations: int = 1) -> int:
        """Return the bytes of so many conversations of ``length`` tokens at once."""
        return conversations * self.blocks(length) * self.block_bytes

    def conversations(self, room: int, length: int) -> int:
        """Return how many conversations of ``length`` tokens fit into ``room`` bytes at once."""
        return max(0, room) // self.block_bytes // self.blocks(length)

    def capacity(self, room: int, length: int) -> int:
        """Return the tokens a server reports for ``room`` bytes if started for ``length``."""
        return int(max(0, room) // self.block_bytes / self.blocks(length) * length)


@dataclass(frozen=True, slots=True)
class MemoryRequirement:
    """Bytes of one server on each of its GPUs."""

    weights: int
    activations: int
    graphs: int
    communication: int
    process: int
    cache: int

    @property
    def overhead(self) -> int:
        """Bytes besides weights and cache, inside of the budget."""
        return self.activations + self.graphs + self.communication

    @property
    def budget(self) -> int:
        """Bytes that ``--gpu-memory-utilization`` has to cover."""
        return self.weights + self.overhead + self.cache

    @property
    def fixed(self) -> int:
        """Bytes that are not free for inference: weights, and the process itself."""
        return self.weights + self.process

    @property
    def total(self) -> int:
        """All bytes."""
        return self.budget + self.process


def token_bytes(model: Architecture, tensor_parallel: int = 1, cache: str = "auto") -> int:
    """Return the bytes of one token in the cache of each GPU, while a conversation is short."""
    return model.num_layers * _layer_bytes(model, tensor_parallel, cache)


def kv_bytes_per_extra_token(
    model: Architecture, tensor_parallel: int = 1, cache: str = "auto"
) -> int:
    """Return the bytes of one more token in a conversation longer than every window."""
    return model.full_layers * _layer_bytes(model, tensor_parallel, cache)


def tensor_parallel_error(model: Architecture, tensor_parallel: int) -> str:
    """Return why the model cannot be split over so many GPUs; empty if it can."""
    where = f"cannot be split over {tensor_parallel} GPUs"
    if model.num_attention_heads % tensor_parallel:
        return f"its {model.num_attention_heads} heads {where}"
    larger = max(model.num_kv_heads, tensor_parallel)
    if not model.is_latent and larger % min(model.num_kv_heads, tensor_parallel):
        return f"its {model.num_kv_heads} heads of keys and values {where}"
    return ""


def kv_cache(
    model: Architecture, tensor_parallel: int = 1, cache: str = "auto", block: int = GPU_BLOCK
) -> KVCache:
    """Return how a server keeps conversations on each GPU, as vLLM lays it out.

    Layers of one kind share blocks. Where some slide and some do not, they are cut into groups of
    equally many layers, padded if need be.

    Raises
    ------
    UsageError
        If the cache is asked for in a form other than ``auto`` and ``fp8``.
    """
    if cache not in ("auto", "fp8"):
        raise UsageError(f"A cache cannot be kept as {cache!r}.", fix="Known: 'auto', 'fp8'.")
    page = block * _layer_bytes(model, tensor_parallel, cache)
    full, sliding, window = model.full_layers, model.sliding_layers, model.sliding_window
    if not sliding or not full:
        return KVCache(block, model.num_layers * page, bool(full), bool(sliding), window)
    fewer, more = sorted((full, sliding))
    group = more if more < 1.5 * fewer else fewer  # vLLM's rule against too much padding
    return KVCache(block, group * page, -(-full // group), -(-sliding // group), window)


def memory_requirement(
    model: Architecture,
    context: int,
    conversations: int,
    tensor_parallel: int = 1,
    cache: str = "auto",
) -> MemoryRequirement:
    """Return the bytes on each GPU of a server that holds such conversations at once."""
    inner = -(-model.intermediate_size // tensor_parallel)
    flow = HIDDEN_COPIES * model.hidden_size + FEED_FORWARD_COPIES * inner
    scores = MAX_SEQUENCES * model.vocab_size * LOGIT_BYTES  # never beside those of the layers
    return MemoryRequirement(
        weights=model.weights.on_each(tensor_parallel),
        activations=max(MAX_BATCHED_TOKENS * flow * model.dtype_bytes, scores),
        graphs=GRAPH_BYTES * model.num_layers,
        communication=COMMUNICATION_BYTES if tensor_parallel > 1 else 0,
        process=PROCESS_BYTES,
        cache=kv_cache(model, tensor_parallel, cache).bytes_for(context, conversations),
    )


def _layer_bytes(model: Architecture, tensor_parallel: int, cache: str) -> int:
    """Return the bytes of one token in one layer on one GPU; a latent is on each of them whole."""
    heads = model.num_kv_heads if model.is_latent else -(-model.num_kv_heads // tensor_parallel)
    return heads * model.kv_head_size * (1 if cache == "fp8" else model.dtype_bytes)
