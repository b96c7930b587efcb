"""Why a model has no place in a plan, and what would give it one, with numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistants.servers.gpus import CARDS, GIB, Gpu, gib, gpu_names
from assistants.servers.planning import bin_packing
from assistants.servers.planning.bin_packing import Answer
from assistants.servers.planning.memory import BLOCK, MemoryRequirement, tensor_parallel_error
from assistants.servers.planning.plan import LOADING, ModelRequest, PlacedServer, Unplaced
from assistants.servers.planning.planner import Problem
from assistants.servers.planning.weight_memory import METHODS
from assistants.utils.text import truncate_line

TRIED = ("fp8", "awq")
"""Quantizations worth naming, the gentlest first."""

MOST_MORE = 8
"""Further GPUs that are proposed at most."""

SECONDS = 0.5
"""For all that is left out, even where the search used up its time."""

Kind = tuple[int, str]
"""Bytes and name of a GPU."""

Rooms = dict[int, tuple[int, int]]
"""By the index of a GPU: what is left if every cache is as small as asked, and of that for what is
fixed."""


@dataclass(frozen=True)
class _Change:
    """What would be if something were different: further GPUs, or another wish for the last model.

    ``rooms`` is what the servers that have a place leave where they stand.
    """

    problem: Problem
    rooms: Rooms

    @property
    def model(self) -> ModelRequest:
        return self.problem.models[-1]

    def wish(self, **other: Any) -> _Change:
        models = (*self.problem.models[:-1], replace(self.model, **other))
        return replace(self, problem=replace(self.problem, models=models))

    def more(self, count: int, kind: Kind) -> _Change:
        size, name = kind
        first = 1 + max(gpu.index for gpu in self.problem.gpus)
        gpus = tuple(Gpu(first + each, name, size, size) for each in range(count))
        return replace(self, problem=replace(self.problem, gpus=(*self.problem.gpus, *gpus)))

    def stands(self) -> Answer:
        """Whether the model has a place with all others where they are: known at once."""
        bins = [
            replace(each, size=size, fixed=fixed)
            for each, gpu in zip(self.problem.bins(), self.problem.gpus, strict=True)
            for size, fixed in [self.rooms.get(gpu.index, (each.size, each.fixed))]
        ]
        return bin_packing.pack(replace(self.problem, models=(self.model,)).items(), bins)

    def answer(self, until: float) -> Answer:
        """Whether all have a place, in a part of the time that is left."""
        if (found := self.stands()).packing is not None:
            return found
        now = time.monotonic()
        if now > until:
            return Answer(None, proven=False)
        part = now + (until - now) / 8
        return bin_packing.pack(self.problem.items(), self.problem.bins(), until=part)

    def fits(self, until: float) -> bool:
        return self.answer(until).packing is not None


def left_out(
    problem: Problem, servers: Sequence[PlacedServer], missing: Sequence[ModelRequest], until: float
) -> tuple[Unplaced, ...]:
    """Say of each missing model why, and what would give it a place beside those that have one."""
    until = max(until, time.monotonic() + SECONDS)
    placed = {server.name for server in servers}
    others = tuple(each for each in problem.models if each.name in placed)
    rooms = _rooms(problem, servers)
    made: list[Unplaced] = []
    for at, model in enumerate(missing):
        asked = _Change(replace(problem, models=(*others, model)), rooms)
        fixes = _fixes(asked, _share(until, len(missing) - at))
        made.append(Unplaced(model.name, _why(problem, rooms, model), fixes))
    return tuple(made)


def _share(until: float, parts: int) -> float:
    now = time.monotonic()
    return now + (until - now) / parts


def _rooms(problem: Problem, servers: Sequence[PlacedServer]) -> Rooms:
    left = problem.room()
    fixed = {index: size - problem.free for index, size in left.items()}
    for server in servers:
        needs = problem.needs(server.wanted, server.wanted.context, server.wanted.conversations)
        for index in server.gpus:
            left[index] -= needs[len(server.gpus)].total
            fixed[index] -= needs[len(server.gpus)].fixed
    return {index: (size, fixed[index]) for index, size in left.items()}


def _why(problem: Problem, rooms: Rooms, model: ModelRequest) -> str:
    needs = problem.needs(model, model.context, model.conversations)
    if not needs:
        facts = model.planned
        reasons = [
            tensor_parallel_error(facts, gpus) or f"there are not {gpus} GPUs"
            for gpus in sorted(set(model.tensor_parallel))
        ]
        return "; ".join(dict.fromkeys(reasons))
    gpus, one = min(needs.items(), key=lambda pair: (pair[1].total, pair[0]))
    where = "one GPU" if gpus == 1 else f"each of {gpus} GPUs"
    said = f"it takes {gib(one.total)} of {where}: {_parts(model, one)}"
    return f"{said}; {_room(problem, rooms, gpus, one)}"


def _parts(model: ModelRequest, one: MemoryRequirement) -> str:
    talks = f"{model.conversations:,} x {model.context:,} tokens"
    return (
        f"{gib(one.weights)} weights, {gib(one.overhead + one.process)} overhead and "
        f"{gib(one.cache)} cache for {talks}"
    )


def _room(problem: Problem, rooms: Rooms, gpus: int, one: MemoryRequirement) -> str:
    """How much the GPUs of one kind with the most room have left."""
    kinds: dict[Kind, list[int]] = {}
    for gpu in sorted(problem.gpus, key=lambda gpu: rooms[gpu.index][0], reverse=True):
        kinds.setdefault((gpu.total, gpu.name), []).append(gpu.index)
    groups = [indices[:gpus] for indices in kinds.values() if len(indices) >= gpus]
    if not groups:
        return f"there are not {gpus} GPUs of one kind"
    best = max(groups, key=lambda group: rooms[group[-1]][0])
    tight = rooms[best[-1]][0]
    if tight >= one.total and min(rooms[index][1] for index in best) < one.fixed:
        return f"that would leave less than {gib(problem.free)} for inference there"
    names = gpu_names(sorted(best))
    return (
        f"with caches as small as asked, the most that is left is {gib(max(0, tight))} on {names}"
    )


def _fixes(asked: _Change, until: float) -> tuple[str, ...]:
    """What would help, each by itself; only what a search has shown to work is named."""
    found: list[str] = []
    asks = (_quantized, _shorter, _fewer, _more_gpus)
    for at, ask in enumerate(asks):
        if time.monotonic() > until:
            return (*found, "There was no time to look for more that would help.")
        found += ask(asked, _share(until, len(asks) - at))
    return tuple(found) or ("Nothing that was tried alone would help: plan fewer models.",)


def _quantized(asked: _Change, until: float) -> list[str]:
    """The gentlest quantization with which it would fit, if it has not been quantized yet."""
    model = asked.model
    bits = model.planned.weights.split / max(1, model.planned.parameters.total)
    for method in TRIED:
        lighter = METHODS[method] < 0.9 * bits and model.facts.parameters.embedding
        if lighter and asked.wish(quantization=method).fits(until):
            files = "" if method in LOADING else " (another repository: its files have to be so)"
            return [f"With its weights as {method}{files} it would."]
    return []


def _shorter(asked: _Change, until: float) -> list[str]:
    """The longest context, in whole blocks, with which it would fit."""

    def fits(level: int) -> Answer:
        return asked.wish(context=level * BLOCK).answer(until)

    top = (asked.model.context - 1) // BLOCK
    level = bin_packing.highest(fits, 1, top)[0] if top else 0
    return [f"With a context of {level * BLOCK:,} tokens it would."] if level > 0 else []


def _fewer(asked: _Change, until: float) -> list[str]:
    """The most conversations at once with which it would fit."""

    def fits(level: int) -> Answer:
        return asked.wish(conversations=level).answer(until)

    top = asked.model.conversations - 1
    count = bin_packing.highest(fits, 1, top)[0] if top else 0
    return [f"With {count:,} at once it would."] if count > 0 else []


def _more_gpus(asked: _Change, until: float) -> list[str]:
    """The fewest further GPUs of a kind that is there, and a card of which fewer would do."""
    splits = set(asked.model.tensor_parallel)
    most = min(MOST_MORE, max(splits))
    kinds = sorted({(gpu.total, gpu.name) for gpu in asked.problem.gpus})
    counts = [(count, kind) for count in range(1, most + 1) for kind in kinds]
    found = _first(asked, counts, _share(until, 2))
    said = [f"With {_number(found[0])} more {_known(found[1])} it would."] if found else []
    fewer = sorted(each for each in splits if each < (found[0] if found else most + 1))
    cards = [(count, card) for count in fewer for card in _cards(kinds)]
    if other := _first(asked, cards, until):
        count, (size, names) = other
        said.append(f"With {_number(count)} {names} ({gib(size)}) added it would.")
    return said


def _first(
    asked: _Change, more: Sequence[tuple[int, Kind]], until: float
) -> tuple[int, Kind] | None:
    """The first of these with which it would fit.

    One that is enough with the others where they are ends the list, so that time is spent only on
    those before it.
    """
    ends = next((at for at, each in enumerate(more) if asked.more(*each).stands().packing), None)
    tried = (each for each in more[:ends] if asked.more(*each).fits(until))
    return next(tried, more[ends] if ends is not None else None)


def _number(count: int) -> str:
    return "one" if count == 1 else f"{count:,}"


def _known(kind: Kind) -> str:
    size, name = kind
    return f"of {name}" if name == gib(size) else f"{truncate_line(name, 40)} ({gib(size)})"


def _cards(there: Sequence[Kind]) -> list[Kind]:
    """Common cards of another size than all that are there, the smallest first."""
    made = []
    for each in sorted(set(CARDS.values())):
        size = round(each * GIB)
        if all(abs(size - known) > 0.05 * size for known, _ in there):
            names = [name.upper() for name, other in CARDS.items() if other == each]
            made.append((size, " or ".join(names)))
    return made
