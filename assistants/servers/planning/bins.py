"""Items, the bins they go into, and a good packing in no time.

An item takes the same from each of one or several bins of one kind, and has several ways to do so.
Of every bin two things are limited: all that is put into it, and a part of that.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One way to place an item: on so many bins, ``size`` of each, ``fixed`` of that fixed."""

    bins: int
    size: int
    fixed: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Room for ``size`` in all, and for ``fixed`` of what is fixed; only one kind goes together."""

    kind: int
    size: int
    fixed: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where an item went: which of its ways, and which bins."""

    way: int
    bins: tuple[int, ...]


Packing = tuple[Assignment | None, ...]
"""One entry an item; ``None`` for one that was left out."""

Items = Sequence[Sequence[Option]]


State = tuple[int, int, int, int]
"""Of one bin: its kind, what is left of its two sizes, and whether it is used."""


def quick(
    items: Items,
    bins: Sequence[Bin],
    enough: int = -1,
    tries: int = 12,
    until: float | None = None,
) -> Packing:
    """A good packing in no time: each item where it fits tightest, in a dozen orders or more.

    Orders are hardest first and easiest first in turn, from the third on only about so. It stops
    at the first that leaves out ``enough`` items or fewer, and at the moment ``until``
    (``time.monotonic``) with the best so far.
    """
    sizes = [hardness(ways)[0] for ways in items]
    shuffler = random.Random(0)  # noqa: S311 - the same plan every time, not a secret
    best: tuple[Assignment | None, ...] = (None,) * len(items)
    key = (len(items) + 1, 0)
    for attempt in range(tries):
        if attempt and until is not None and time.monotonic() > until:
            break
        least = 1 if attempt < 2 else 0.3
        about = [size * shuffler.uniform(least, 1) for size in sizes]
        order = sorted(range(len(items)), key=about.__getitem__, reverse=attempt % 2 == 0)
        states = [(b.kind, b.size, b.fixed, 0) for b in bins]
        places: list[Assignment | None] = [None] * len(items)
        for index in order:
            for way_index, way in ways_of(items[index]):
                if found := next(choices(states, way, len(bins)), None):
                    put(states, found, way)
                    places[index] = Assignment(way_index, found)
                    break
        now = (sum(place is None for place in places), sum(state[3] for state in states))
        if now < key:
            best, key = tuple(places), now
        if now[0] <= enough:
            break
    return best


def hardness(ways: Sequence[Option]) -> tuple[int, int]:
    """How much an item takes in all, and of that fixed."""
    if not ways:
        return (0, 0)
    return min(way.bins * way.size for way in ways), min(way.bins * way.fixed for way in ways)


def put(states: list[State], bins: Sequence[int], way: Option) -> None:
    """Take what an item needs from bins."""
    for each in bins:
        kind, size, fixed, _ = states[each]
        states[each] = (kind, size - way.size, fixed - way.fixed, 1)


def choices(states: Sequence[State], way: Option, bins_left: int) -> Iterator[tuple[int, ...]]:
    """Sets of bins that can take this, one for each set of states; the tightest come first."""
    alike: dict[State, list[int]] = {}
    for index, state in enumerate(states):
        if state[1] >= way.size and state[2] >= way.fixed:
            alike.setdefault(state, []).append(index)
    for kind in sorted({state[0] for state in alike}):
        groups = [(state, members) for state, members in alike.items() if state[0] == kind]
        # Used bins first: an empty one is worth more to what comes.
        groups.sort(key=lambda pair: (not pair[0][3], pair[0][1]))
        yield from _combine(groups, 0, way.bins, bins_left)


def _combine(
    groups: list[tuple[State, list[int]]], at: int, wanted: int, bins_left: int
) -> Iterator[tuple[int, ...]]:
    if wanted == 0:
        yield ()
        return
    if at == len(groups) or sum(len(members) for _, members in groups[at:]) < wanted:
        return
    state, members = groups[at]
    fresh = 0 if state[3] else 1
    for count in range(min(wanted, len(members)), -1, -1):
        if fresh * count > bins_left:
            continue
        for others in _combine(groups, at + 1, wanted - count, bins_left - fresh * count):
            yield (*members[:count], *others)


def ways_of(ways: Sequence[Option]) -> list[tuple[int, Option]]:
    """The ways of an item, those that take least in all first."""
    return sorted(enumerate(ways), key=lambda pair: pair[1].bins * pair[1].size)
