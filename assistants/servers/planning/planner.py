"""The placement of models on GPUs: first fit decreasing, and what is left goes to the caches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from assistants.errors import UsageError, nearest
from assistants.servers.gpus import CARDS, GIB, Gpu, gib, gpu_names
from assistants.servers.planning.memory import (
    GPU_BLOCK,
    HEADROOM,
    MAX_SEQUENCES,
    MemoryRequirement,
    tensor_parallel_error,
)
from assistants.servers.planning.placement import (
    AIMS,
    MADE_WHILE_LOADING,
    Aim,
    ModelRequest,
    PlacedServer,
    Unplaced,
    gpu_utilization,
)
from assistants.servers.planning.plan import Plan
from assistants.utils import pluralize, truncate_line

FREE = 4 * GIB
"""Bytes of each GPU that weights have to leave for inference."""

MAX_MODELS = 200

ORDERS = 12
"""Orders in which models are placed: largest first, smallest first, and then about so."""

Level = tuple[Aim, int]
"""An aim, and how far it is met: blocks of context, or conversations; 0 is what was asked for."""


def make_plan(
    models: Sequence[ModelRequest], gpus: Sequence[Gpu], aim: Aim = "fit all", *, free: int = FREE
) -> Plan:
    """Place models on GPUs.

    The largest goes first, each onto the GPUs where it fits most tightly, split over as few as it
    can be (first fit decreasing). Some other orders are tried as well, and the plan with the most
    models, and of those with the fewest GPUs, is taken. That is quick and nearly always the best,
    and no proof: where GPUs are nearly full, a plan with one model more may exist.

    Parameters
    ----------
    models
        What is to be served; each name once.
    gpus
        Where: ``find_gpus()`` asks the driver, ``parse_gpus("24GiB,24GiB")`` plans without one.
    aim
        See ``Aim``.
    free
        Bytes of each GPU that weights have to leave for inference.

    Raises
    ------
    UsageError
        If a model, a GPU or the aim cannot be meant: a context longer than the model allows, a
        name twice, no GPU at all.
    """
    _check(models, gpus, aim, free)
    rooms = _Rooms(gpus, free)
    placed = _place(models, rooms, (aim, 0))
    most = len(placed)
    level = _last(lambda n: len(_place(models, rooms, (aim, n))) >= most, _top(models, aim))
    if level:
        placed = _place(models, rooms, (aim, level))
    servers = _share_out(placed, models, rooms, (aim, level))
    for model in models:  # from here on, rooms are what is left with caches as small as asked
        if where := placed.get(model.name):
            rooms.take(where, model.requirements()[len(where)])
    unplaced = tuple(_unplaced(model, rooms) for model in models if model.name not in placed)
    notes = tuple(
        f"{model.name}: {note}"
        for model in models
        for note in (model.architecture.notes if model.architecture else ())
    )
    verdict = _verdict(models, servers, gpus, aim)
    return Plan(aim, tuple(gpus), servers, unplaced, verdict, notes)


class _Rooms:
    """The bytes that are left of each GPU: in all, and for what is fixed there."""

    def __init__(self, gpus: Sequence[Gpu], free: int) -> None:
        self.gpus, self.free = gpus, free
        self.left = {gpu.index: max(0, gpu.free - round(HEADROOM * gpu.total)) for gpu in gpus}
        self.fixed = {index: size - free for index, size in self.left.items()}
        self.used: set[int] = set()

    def fits(self, index: int, need: MemoryRequirement) -> bool:
        return need.total <= self.left[index] and need.fixed <= self.fixed[index]

    def find(self, needs: dict[int, MemoryRequirement], sign: int = 1) -> tuple[int, ...] | None:
        """Return the GPUs where a model fits most tightly, used ones first and as few as can be.

        Only GPUs of one size and name form a group. With ``sign`` -1 the roomiest are taken.
        """
        for count, need in needs.items():
            kinds: dict[tuple[int, str], list[int]] = {}
            for gpu in self.gpus:
                if self.fits(gpu.index, need):
                    kinds.setdefault((gpu.total, gpu.name), []).append(gpu.index)
            groups = [
                sorted(group, key=lambda index: (index not in self.used, sign * self.left[index]))[
                    :count
                ]
                for group in kinds.values()
                if len(group) >= count
            ]
            if groups:
                best = min(groups, key=lambda group: (
                    sum(index not in self.used for index in group),
                    sign * sum(self.left[index] for index in group),
                ))  # fmt: skip
                return tuple(sorted(best))
        return None

    def take(self, where: Sequence[int], need: MemoryRequirement) -> None:
        for index in where:
            self.left[index] -= need.total
            self.fixed[index] -= need.fixed
            self.used.add(index)


def _check(models: Sequence[ModelRequest], gpus: Sequence[Gpu], aim: str, free: int) -> None:
    if aim not in AIMS:
        raise UsageError(f"There is no aim {aim!r}.", fix=nearest(aim, AIMS))
    if not gpus:
        raise UsageError("There is no GPU to plan for.", fix="Name some: `--gpus 24GiB,24GiB`.")
    if not 1 <= len(models) <= MAX_MODELS:
        raise UsageError(f"{len(models)} models; a plan is for 1 to {MAX_MODELS}.")
    largest = max(gpu.total for gpu in gpus)
    if not 0 <= free < largest:
        raise UsageError(
            f"Weights are to leave {gib(free)} for inference; the largest GPU has {gib(largest)}.",
            fix="Ask for less: `--free 4GiB`.",
        )
    if len({gpu.index for gpu in gpus}) != len(gpus):
        raise UsageError("Two GPUs have the same index.")
    names: set[str] = set()
    for model in models:
        if model.name in names:
            raise UsageError(f"{model.name!r} is there twice.", fix="Give each its own name.")
        names.add(model.name)
        if not 1 <= model.context <= model.longest_context:
            fix = f"Ask for 1 to {model.longest_context:,}, which is what the model allows."
            raise UsageError(f"{model.name}: a context of {model.context:,} tokens.", fix=fix)
        if not 1 <= model.conversations <= MAX_SEQUENCES:
            fix = f"Ask for 1 to {MAX_SEQUENCES}: a server answers no more at the same time."
            raise UsageError(f"{model.name}: {model.conversations:,} conversations.", fix=fix)
        if not model.tensor_parallel or min(model.tensor_parallel) < 1:
            raise UsageError(f"{model.name}: it has to be on 1 GPU at least.")


def _asked(model: ModelRequest, level: Level) -> tuple[int, int]:
    """Return context and conversations at a level; never less than what was asked for."""
    aim, steps = level
    context, conversations = model.context, model.conversations
    if aim == "longest context":
        context = max(context, min(steps * GPU_BLOCK, model.longest_context))
    if aim == "most conversations":
        conversations = max(conversations, min(steps, MAX_SEQUENCES))
    return context, conversations


def _place(
    models: Sequence[ModelRequest], rooms: _Rooms, level: Level
) -> dict[str, tuple[int, ...]]:
    """Return the GPUs of each model that has a place, as many as can be found."""
    needs = {model.name: model.requirements(*_asked(model, level)) for model in models}
    sizes = {
        name: min((count * need.total for count, need in options.items()), default=0)
        for name, options in needs.items()
    }
    shuffler = random.Random(0)  # noqa: S311 - the same plan every time, not a secret
    best: dict[str, tuple[int, ...]] = {}
    fewest = 0
    for attempt in range(ORDERS):
        least = 1 if attempt < 2 else 0.3
        about = {name: size * shuffler.uniform(least, 1) for name, size in sizes.items()}
        trial = _Rooms(rooms.gpus, rooms.free)
        placed: dict[str, tuple[int, ...]] = {}
        for name in sorted(needs, key=about.__getitem__, reverse=attempt % 2 == 0):
            if where := trial.find(needs[name], 1 if attempt % 4 < 2 else -1):
                trial.take(where, needs[name][len(where)])
                placed[name] = where
        if (-len(placed), len(trial.used)) < (-len(best), fewest):
            best, fewest = placed, len(trial.used)
    return best


def _top(models: Sequence[ModelRequest], aim: Aim) -> int:
    """Return the level that no model goes beyond."""
    longest = max(-(-model.longest_context // GPU_BLOCK) for model in models)
    return {"longest context": longest, "most conversations": MAX_SEQUENCES}.get(aim, 0)


def _last(fits: Callable[[int], bool], high: int) -> int:
    """Return the last number of 1 to ``high`` that fits, by bisection; 0 if none does."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _share_out(
    placed: dict[str, tuple[int, ...]], models: Sequence[ModelRequest], rooms: _Rooms, level: Level
) -> tuple[PlacedServer, ...]:
    """Return the servers, the largest first, with all that is left given to their caches.

    vLLM looks at what is free when it starts and may take a little more than planned, so the one
    that needs most goes first.
    """
    servers = []
    for model in models:
        if where := placed.get(model.name):
            context, conversations = _asked(model, level)
            need = model.requirements(context, conversations)[len(where)]
            servers.append(PlacedServer(model, where, context, need, 0.0))
    left = dict(rooms.left)
    for server in servers:
        for index in server.gpus:
            left[index] -= server.memory.total
    if level[0] == "longest context":
        servers = _share_equally(servers, left, _bytes_of_longest_context)
        servers = [_with_longest_context(server) for server in servers]
    servers = _share_equally(
        servers, left, lambda server: _cache_bytes(server, server.context, MAX_SEQUENCES)
    )
    totals = {gpu.index: gpu.total for gpu in rooms.gpus}
    ready = [
        replace(server, utilization=gpu_utilization(server.memory.budget, totals[server.gpus[0]]))
        for server in servers
    ]
    return tuple(sorted(ready, key=lambda server: (-server.memory.total, server.name)))


def _cache_bytes(server: PlacedServer, context: int, conversations: int) -> int:
    """Return the bytes of so many conversations; what it has where nobody can count them."""
    cache = server.request.kv_cache(len(server.gpus))
    return cache.bytes_for(context, conversations) if cache else server.memory.cache


def _bytes_of_longest_context(server: PlacedServer) -> int:
    return _cache_bytes(server, server.request.longest_context, server.request.conversations)


def _with_longest_context(server: PlacedServer) -> PlacedServer:
    """Return the server with the longest context, in whole blocks, that its cache holds."""
    longest, count = server.request.longest_context, server.request.conversations
    blocks = _last(
        lambda n: _cache_bytes(server, min(n * GPU_BLOCK, longest), count) <= server.memory.cache,
        -(-longest // GPU_BLOCK),
    )
    return replace(server, context=max(server.context, min(blocks * GPU_BLOCK, longest)))


def _share_equally(
    servers: Sequence[PlacedServer], left: dict[int, int], wish: Callable[[PlacedServer], int]
) -> list[PlacedServer]:
    """Give what is left of each GPU to the caches there, in equal shares, as far as they wish.

    A server takes the same of each of its GPUs. ``left`` is what remains afterwards.
    """
    servers = list(servers)
    for _ in range(8):  # what one cannot use, the others get in the next round
        wishes = [max(0, wish(server) - server.memory.cache) for server in servers]
        hungry = [index for server, more in zip(servers, wishes, strict=True) if more
                  for index in server.gpus]  # fmt: skip
        shares = {index: left[index] // max(1, hungry.count(index)) for index in left}
        for at, server in enumerate(servers):
            more = min(wishes[at], *(shares[index] for index in server.gpus))
            memory = replace(server.memory, cache=server.memory.cache + more)
            servers[at] = replace(server, memory=memory)
            for index in server.gpus:
                left[index] -= more
    return servers


def _verdict(
    models: Sequence[ModelRequest], servers: Sequence[PlacedServer], gpus: Sequence[Gpu], aim: Aim
) -> str:
    used = len({index for server in servers for index in server.gpus})
    verdict = f"{len(servers)} of {len(models)} models fit, on {used} of {len(gpus)} GPUs"
    if aim == "longest context" and servers:
        short = [
            server.context for server in servers if server.context < server.request.longest_context
        ]
        if not short:
            return f"{verdict}; each has all the context that its model allows."
        least = pluralize(min(short), "token")
        return f"{verdict}; each has a context of at least {least}, or all that its model allows."
    counts = [server.conversations for server in servers if server.conversations is not None]
    if aim == "most conversations" and counts:
        return f"{verdict}; each holds at least {pluralize(min(counts), 'conversation')} at once."
    return f"{verdict}."


def _unplaced(model: ModelRequest, rooms: _Rooms) -> Unplaced:
    """Return why a model has no place, and what would give it one beside those that have one."""
    fixes = (*_other_requests(model, rooms), *_more_gpus(model, rooms))
    return Unplaced(model.name, _reason(model, rooms), fixes or ("Plan fewer models.",))


def _reason(model: ModelRequest, rooms: _Rooms) -> str:
    needs = model.requirements()
    if not needs:
        assert model.planned is not None
        errors = [tensor_parallel_error(model.planned, n) for n in sorted(model.tensor_parallel)]
        return "; ".join(dict.fromkeys(errors))
    count, need = min(needs.items(), key=lambda pair: (pair[0] > len(rooms.gpus), pair[1].total))
    where = "one GPU" if count == 1 else f"each of {count} GPUs"
    reason = f"it takes {gib(need.total)} of {where}"
    if model.memory is None:
        talks = f"{model.conversations:,} x {model.context:,} tokens"
        reason += (
            f": {gib(need.weights)} weights, {gib(need.overhead + need.process)} overhead and "
            f"{gib(need.cache)} cache for {talks}"
        )
    kinds: dict[tuple[int, str], list[int]] = {}
    for gpu in sorted(rooms.gpus, key=lambda gpu: -rooms.left[gpu.index]):
        kinds.setdefault((gpu.total, gpu.name), []).append(gpu.index)
    groups = [group[:count] for group in kinds.values() if len(group) >= count]
    if not groups:
        return f"{reason}; there are not {count} GPUs of one kind"
    best = max(groups, key=lambda group: rooms.left[group[-1]])
    if rooms.left[best[-1]] >= need.total:
        return f"{reason}; that would leave less than {gib(rooms.free)} for inference there"
    return (
        f"{reason}; with caches as small as asked, the most that is left is "
        f"{gib(rooms.left[best[-1]])} on {gpu_names(sorted(best))}"
    )


def _other_requests(model: ModelRequest, rooms: _Rooms) -> Iterable[str]:
    """Yield changes of the request with which it would fit, each of them alone."""
    if model.architecture is None or model.planned is None:
        return

    def fits(**change: object) -> bool:
        return rooms.find(replace(model, **change).requirements()) is not None  # type: ignore[arg-type]

    for method in ("fp8", "awq"):  # the gentlest first
        lighter = model.architecture.quantized(method).weights.total
        if lighter < 0.9 * model.planned.weights.total and fits(quantization=method):
            files = "" if method in MADE_WHILE_LOADING else ", of another repository,"
            yield f"With weights in {method}{files} it would."
            break
    blocks = _last(lambda n: fits(context=n * GPU_BLOCK), (model.context - 1) // GPU_BLOCK)
    if blocks:
        yield f"With a context of {blocks * GPU_BLOCK:,} tokens it would."
    if count := _last(lambda n: fits(conversations=n), model.conversations - 1):
        yield f"With {pluralize(count, 'conversation')} at once it would."
    if not model.requirements():
        splits = [n for n in range(1, 9) if not tensor_parallel_error(model.planned, n)]
        yield f"Allow it other numbers of GPUs: `tensor_parallel = {splits}`."


def _more_gpus(model: ModelRequest, rooms: _Rooms) -> Iterable[str]:
    """Yield the fewest further GPUs of a kind that is there, and a card of which fewer would do."""
    needs = model.requirements()

    def holds(size: int, need: MemoryRequirement) -> bool:
        usable = size - round(HEADROOM * size)
        return need.total <= usable and need.fixed <= usable - rooms.free

    kinds = {(gpu.total, gpu.name) for gpu in rooms.gpus}
    same = [
        (count - sum(rooms.fits(gpu.index, need) for gpu in rooms.gpus
                     if (gpu.total, gpu.name) == (size, name)), size, name)
        for count, need in needs.items()
        for size, name in kinds
        if holds(size, need)
    ]  # fmt: skip
    fewest = min(same, default=None)
    if fewest:
        count, size, name = fewest
        kind = f"of {name}" if name == gib(size) else f"{truncate_line(name, 40)} ({gib(size)})"
        yield f"With {_number(count)} more {kind} it would."
    cards = [
        (count, card, name)
        for count, need in needs.items()
        for name, card in CARDS.items()
        if holds(round(card * GIB), need) and (fewest is None or count < fewest[0])
    ]
    if cards:
        count, card, name = min(cards)
        yield f"With {_number(count)} {name.upper()} ({gib(card * GIB)}) added it would."


def _number(count: int) -> str:
    return "one" if count == 1 else f"{count:,}"
