"""Which item goes onto which bins: an exact search that says so when its time ran out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assistants.servers.planning.bins import (
    Assignment,
    Bin,
    Items,
    Option,
    Packing,
    State,
    choices,
    hardness,
    put,
    quick,
    ways_of,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A packing, or none; ``proven`` says whether the search looked everywhere it had to."""

    packing: Packing | None
    proven: bool


QUICK = 0.25
"""Seconds for quick packings, before a search."""


class SearchTimeoutError(Exception):
    """The search ran out of time before it knew."""


def pack(
    items: Items,
    bins: Sequence[Bin],
    *,
    skips: int = 0,
    most_bins: int | None = None,
    until: float | None = None,
    tries: int = 12,
) -> Answer:
    """Place all items but at most ``skips`` of them, using at most ``most_bins`` bins.

    Parameters
    ----------
    items
        The ways of each; an item without any can only be left out.
    bins
        What there is.
    skips, most_bins
        How many items may be left out, and how many bins may be used.
    until
        The moment (``time.monotonic``) after which the search gives up.
    tries
        Quick packings that are looked at before the search begins, for ``QUICK`` seconds at most.
    """
    most_bins = len(bins) if most_bins is None else most_bins
    search = _Search(items, bins, until)
    if not search.may_fit(0, skips, most_bins):
        return Answer(None, proven=True)
    soon = time.monotonic() + QUICK
    soon = soon if until is None else min(soon, until)
    guess = quick(items, bins, skips if most_bins >= len(bins) else -1, tries, soon)
    used = {index for place in guess if place for index in place.bins}
    if sum(place is None for place in guess) <= skips and len(used) <= most_bins:
        return Answer(guess, proven=True)
    try:
        found = search.run(skips, most_bins)
    except SearchTimeoutError:
        return Answer(None, proven=False)
    return Answer(found, proven=True)


def fewest_skips(
    items: Items, bins: Sequence[Bin], until: float | None = None
) -> tuple[int, Answer]:
    """The least number of items that have to be left out, and a packing of the others.

    ``proven`` is false where a smaller number could not be ruled out in time.
    """
    best = quick(items, bins)
    skips = sum(place is None for place in best)
    while skips:
        answer = pack(items, bins, skips=skips - 1, until=until)
        if answer.packing is None:
            return skips, Answer(best, answer.proven)
        best = answer.packing
        skips = sum(place is None for place in best)
    return skips, Answer(best, proven=True)


def least_bins(items: Items, bins: Sequence[Bin], skips: int) -> int:
    """How many bins are needed at least, as is plain without any search."""
    search = _Search(items, bins, None)
    return next((n for n in range(len(bins)) if search.may_fit(0, skips, n)), len(bins))


def least_skips(items: Items, bins: Sequence[Bin]) -> int:
    """How many items have to be left out at least, as is plain without any search."""
    search = _Search(items, bins, None)
    return next(n for n in range(len(items) + 1) if search.may_fit(0, n, len(bins)))


def highest(
    fits: Callable[[int], Answer], low: int, high: int
) -> tuple[int, Packing | None, int | None]:
    """The highest level that fits, its packing, and the lowest level shown not to fit.

    ``fits`` is asked by bisection: what fits at one level fits at every lower one. The third value
    is ``None`` if ``high`` fits; where it is ``level + 1``, the level is proven best.
    """
    top = fits(high)
    if top.packing is not None:
        return high, top.packing, None
    refuted = high if top.proven else high + 1
    best: Packing | None = None
    level, ceiling = low - 1, high
    while ceiling - level > 1:
        middle = (level + ceiling) // 2
        answer = fits(middle)
        if answer.packing is not None:
            level, best = middle, answer.packing
            continue
        ceiling = middle
        if answer.proven:
            refuted = middle
    return level, best, refuted


_MOST_FAILED = 200_000
"""States remembered: some tens of megabytes."""


class _Search:
    """Depth first, hardest item first, into the tightest bins first.

    Bins in the same state are the same bin, and a state of all bins that failed once is not tried
    again. A branch ends when more items have no way left than may be skipped, or when what must
    still be placed exceeds what the bins could take: of each bin only the most that some of the
    remaining items fill exactly (subset sums, in units of a two-thousandth of the largest bin,
    rounded so that the bound stays one).
    """

    def __init__(self, items: Items, bins: Sequence[Bin], until: float | None) -> None:
        self.until = until
        self.states: list[State] = [(b.kind, b.size, b.fixed, 0) for b in bins]
        self.items = items
        self.order = sorted(range(len(items)), key=lambda i: hardness(items[i]), reverse=True)
        self.places: list[Assignment | None] = [None] * len(items)
        self.failed: set[tuple[int, int, int, tuple[State, ...]]] = set()
        self.unit = max(1, max((b.size for b in bins), default=1) // 2048)
        self.sums = self._sums()
        self.weights = [self._weight(index) for index in self.order]

    def _sums(self) -> list[tuple[int, int]]:
        """What items from each one on can fill of a bin: bit ``n`` stands for ``n`` units."""
        largest = max((max(state[1], state[2], 0) for state in self.states), default=0)
        mask = (2 << (largest // self.unit)) - 1
        sizes = fixed = 1
        sums = [(sizes, fixed)]
        for index in reversed(self.order):
            before, before_fixed = sizes, fixed
            for way in self.items[index]:
                sizes |= before << (way.size // self.unit)
                fixed |= before_fixed << (way.fixed // self.unit)
            sizes, fixed = sizes & mask, fixed & mask
            sums.append((sizes, fixed))
        return sums[::-1]

    def _weight(self, index: int) -> tuple[int, int]:
        """Units that an item takes at least, in all and fixed."""
        ways = self.items[index]
        return (
            min((way.bins * (way.size // self.unit) for way in ways), default=0),
            min((way.bins * (way.fixed // self.unit) for way in ways), default=0),
        )

    def run(self, skips: int, most_bins: int) -> Packing | None:
        return tuple(self.places) if self.place(0, skips, most_bins) else None

    def place(self, at: int, skips: int, bins_left: int) -> bool:
        if at == len(self.order):
            return True
        if self.until is not None and time.monotonic() > self.until:
            raise SearchTimeoutError
        if not self.may_fit(at, skips, bins_left):
            return False
        key = (at, skips, bins_left, tuple(sorted(self.states)))
        if key in self.failed:
            return False
        index = self.order[at]
        self.places[index] = None
        if skips and self.place(at + 1, skips - 1, bins_left):  # the hardest is skipped first
            return True
        for way_index, way in ways_of(self.items[index]):
            for chosen in choices(self.states, way, bins_left):
                if self.try_one(at, skips, bins_left, Assignment(way_index, chosen), way):
                    return True
        self.places[index] = None
        if len(self.failed) < _MOST_FAILED:
            self.failed.add(key)
        return False

    def try_one(self, at: int, skips: int, bins_left: int, place: Assignment, way: Option) -> bool:
        before = [self.states[each] for each in place.bins]
        fresh = sum(not state[3] for state in before)
        put(self.states, place.bins, way)
        self.places[self.order[at]] = place
        if self.place(at + 1, skips, bins_left - fresh):
            return True
        for each, state in zip(place.bins, before, strict=True):
            self.states[each] = state
        return False

    def may_fit(self, at: int, skips: int, bins_left: int) -> bool:
        """Whether nothing shows yet that what is left cannot be placed."""
        stuck = 0
        for index in self.order[at:]:
            if not any(self._fits(way) for way in self.items[index]):
                stuck += 1
                if stuck > skips:
                    return False
        return self._room(at, skips, bins_left, 0) and self._room(at, skips, bins_left, 1)

    def _fits(self, way: Option) -> bool:
        able = [s[0] for s in self.states if s[1] >= way.size and s[2] >= way.fixed]
        if way.bins == 1 or len(able) < way.bins:
            return len(able) >= way.bins
        return max(able.count(kind) for kind in set(able)) >= way.bins

    def _room(self, at: int, skips: int, bins_left: int, side: int) -> bool:
        weights = sorted(weight[side] for weight in self.weights[at:])
        needed = sum(weights[: max(0, len(weights) - skips)])
        sums = self.sums[at][side]
        used = 0
        fresh: list[int] = []
        for state in self.states:
            room = state[1 + side] // self.unit
            filled = (sums & ((2 << room) - 1)).bit_length() - 1 if room >= 0 else 0
            if state[3]:
                used += filled
            else:
                fresh.append(filled)
        fresh.sort(reverse=True)
        return needed <= used + sum(fresh[: max(0, bins_left)])
