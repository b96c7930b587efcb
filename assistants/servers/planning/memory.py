"""How many bytes one server needs on each of its GPUs, and how many conversations that holds.

The arithmetic is vLLM's own (``kv_cache_interface.py`` and ``kv_cache_utils.py``); what only a run
can tell, the room for activations, graphs and libraries, is estimated by the constants below and
corrected by what earlier starts measured (``measured.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from assistants.errors import UsageError
from assistants.servers.gpus import GIB
from assistants.servers.planning.architecture import Architecture, Layers

MIB = 1 << 20

BLOCK = 16
"""Tokens in a block of vLLM's cache on a GPU."""

CPU_BLOCK = 128
"""... and on a CPU."""

PROCESS = GIB // 2
"""What a process holds before it asks for anything: CUDA's context and its kernels.

vLLM looks at the memory after its context exists, so this lies outside of its budget.
"""

COMMUNICATION = GIB // 2
"""Buffers of NCCL on each GPU of a group; vllm#13061 shows a quarter of this for two."""

GRAPHS = 16 * MIB
"""A layer's share of the CUDA graphs: half a GiB for 32 layers, as vLLM's log tells."""

BATCHED = 8192
"""Tokens that go through the model in one step at most; the server is started with this."""

STEPS = 2
"""Steps that are under way at the same time: vLLM plans one while the one before still runs.

What a window has passed is given back only when a step has ended (``max_in_flight_tokens`` in
vLLM's ``config/vllm.py``). On a CPU it is one step.
"""

SEQUENCES = 256
"""Answers that grow at the same time at most; the server is started with this."""

FLOW = 6
"""Copies of what flows between layers that live at the same time: residual, norms, q, k, v, o."""

FEED = 3
"""Copies of the widest part of a layer: gate, up, and their product."""

LOGIT = 10
"""Bytes of one score of the vocabulary: in 16 bit, in 32, and a working copy for sampling."""

HEADROOM = 0.03
"""Part of each GPU that is promised to nobody: fragments, and what libraries take later."""


@dataclass(frozen=True, slots=True)
class KVCache:
    """How a server on one GPU keeps conversations: in blocks of ``tokens`` and ``size`` bytes.

    ``kinds`` are pairs: how many blocks such layers take where one would do, and the tokens that
    they look back at most (``None``: all; 0: a state, whatever the length). ``roomier`` tells for
    what they look back at how many times ``tokens`` are in a block, where these are smaller.
    """

    tokens: int
    size: int
    kinds: tuple[tuple[int, int | None], ...]
    roomier: tuple[tuple[int | None, int], ...] = ()

    def blocks(self, length: int) -> int:
        """Blocks of one conversation of ``length`` tokens."""
        fitting = {window: self.tokens * times for window, times in self.roomier}
        return sum(
            times * self._one(window, length, fitting.get(window, self.tokens))
            for times, window in self.kinds
        )

    def bytes_for(self, length: int, conversations: int = 1) -> int:
        """Bytes of so many conversations of ``length`` tokens at once."""
        return conversations * self.blocks(length) * self.size

    def conversations(self, room: int, length: int) -> int:
        """How many conversations of ``length`` tokens fit into ``room`` bytes at once."""
        each = self.blocks(length)
        return max(0, room) // self.size // each if each else 0

    def capacity(self, room: int, length: int) -> int:
        """The tokens a server reports for ``room`` bytes when started for ``length`` of them."""
        each = self.blocks(length)
        return int(max(0, room) // self.size / each * length) if each else 0

    def _one(self, window: int | None, length: int, tokens: int) -> int:
        if window == 0:
            return 1
        if window is None:
            return -(-length // tokens)
        # While a long question is read, a window keeps what it looks back at and all that is read
        # in the steps under way; it may start in the middle of a block.
        return -(-min(window - 1 + STEPS * BATCHED, length) // tokens) + 1


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
        """What it takes besides weights and cache, inside of its budget."""
        return self.activations + self.graphs + self.communication

    @property
    def budget(self) -> int:
        """What ``--gpu-memory-utilization`` has to cover."""
        return self.weights + self.overhead + self.cache

    @property
    def fixed(self) -> int:
        """What is not free for inference: weights, and the process itself."""
        return self.weights + self.process

    @property
    def total(self) -> int:
        """All of it."""
        return self.budget + self.process


@dataclass(frozen=True, slots=True)
class MemoryCorrection:
    """What earlier starts showed, in bytes on each GPU, to be added to the estimate."""

    overhead: int = 0
    process: int = 0


def token_bytes(facts: Architecture, tensor_parallel: int = 1, cache: str = "auto") -> int:
    """Bytes of one token in the cache of each GPU, while a conversation is short."""
    layers = (group for group in facts.layers if group.values)
    return sum(group.count * _page(facts, group, tensor_parallel, cache, 1) for group in layers)


def kv_bytes_per_extra_token(
    facts: Architecture, tensor_parallel: int = 1, cache: str = "auto"
) -> int:
    """Bytes of one more token when the conversation is longer than every window."""
    layers = (group for group in facts.layers if group.values and group.window is None)
    return sum(group.count * _page(facts, group, tensor_parallel, cache, 1) for group in layers)


def state_bytes(facts: Architecture, tensor_parallel: int = 1) -> int:
    """Bytes of a conversation that do not depend on its length."""
    return sum(group.count * -(-group.state // tensor_parallel) for group in facts.layers)


def tensor_parallel_error(facts: Architecture, tensor_parallel: int) -> str:
    """Why the model cannot be split over so many GPUs; nothing if it can."""
    if facts.heads % tensor_parallel:
        return f"its {facts.heads} heads cannot be split over {tensor_parallel} GPUs"
    for group in facts.layers:
        if group.values and not group.shared:
            larger, smaller = max(group.heads, tensor_parallel), min(group.heads, tensor_parallel)
            if larger % smaller:
                heads = f"{group.heads} heads of keys and values"
                return f"its {heads} cannot be split over {tensor_parallel} GPUs"
    return ""


def cache_of(
    facts: Architecture, tensor_parallel: int = 1, cache: str = "auto", block: int = BLOCK
) -> KVCache:
    """How a server keeps conversations on each GPU, as vLLM lays it out.

    Layers of one kind share blocks. Where there are several kinds, they are cut into groups of
    equally many layers, padded if need be, and all blocks have one size: where a token takes half
    as much, twice as many are in one. A layer with a state takes one block a conversation, and
    blocks grow until a state fits into one. A layer may have both.

    Raises
    ------
    UsageError
        If the cache is asked for in a form other than ``auto`` and ``fp8``.
    """
    if cache not in ("auto", "fp8"):
        raise UsageError(f"A cache cannot be kept as {cache!r}.", fix="Known: 'auto', 'fp8'.")
    keeping = [group for group in facts.layers if group.values]
    counts: dict[int | None, int] = {}
    for group in facts.layers:
        if group.values:
            counts[group.window] = counts.get(group.window, 0) + group.count
        if group.state:
            counts[0] = counts.get(0, 0) + group.count
    if not counts:
        return KVCache(block, 1, ())
    if len(counts) == 1 and keeping:
        pages = (g.count * _page(facts, g, tensor_parallel, cache, block) for g in keeping)
        return KVCache(block, sum(pages), ((1, next(iter(counts))),))
    state = max(-(-group.state // tensor_parallel) for group in facts.layers)
    largest: dict[int | None, int] = {}
    for group in keeping:
        page = _page(facts, group, tensor_parallel, cache, block)
        largest[group.window] = max(page, largest.get(group.window, 0))
    page = max(largest.values(), default=state)
    roomier = tuple((kind, page // own) for kind, own in largest.items() if page % own == 0)
    if state > page:
        times = -(-state // page)
        block, page = block * times, page * times
    least, most = min(counts.values()), max(counts.values())
    together = most if most < 1.5 * least else least  # vLLM's rule against too much padding
    kinds = tuple((-(-count // together), kind) for kind, count in counts.items())
    return KVCache(block, together * page, kinds, roomier)


def need(
    facts: Architecture,
    context: int,
    conversations: int,
    tensor_parallel: int = 1,
    cache: str = "auto",
    correction: MemoryCorrection | None = None,
) -> MemoryRequirement:
    """Bytes on each GPU of a server that holds so many conversations of ``context`` tokens."""
    known = correction or MemoryCorrection()
    flow = FLOW * facts.width + FEED * -(-facts.inner // tensor_parallel)
    scores = SEQUENCES * facts.vocabulary * LOGIT  # never at the same time as the layers
    kept = cache_of(facts, tensor_parallel, cache)
    made = MemoryRequirement(
        weights=facts.weights.on_each(tensor_parallel),
        activations=max(BATCHED * flow * facts.cache_bytes, scores),
        graphs=GRAPHS * facts.depth,
        communication=COMMUNICATION if tensor_parallel > 1 else 0,
        process=max(0, PROCESS + known.process),
        cache=kept.bytes_for(context, conversations),
    )
    # A start may have shown less than estimated; what is left cannot be less than nothing.
    shifted = max(made.activations + known.overhead, -made.graphs - made.communication)
    return replace(made, activations=shifted)


def _page(facts: Architecture, group: Layers, tensor_parallel: int, cache: str, tokens: int) -> int:
    """Bytes of so many tokens in one layer on one GPU."""
    each = 1 if cache == "fp8" else facts.cache_bytes
    heads = group.heads if group.shared else -(-group.heads // tensor_parallel)
    return tokens * (heads * group.values * each + group.index)
