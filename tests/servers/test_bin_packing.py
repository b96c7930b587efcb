"""The search is as good as trying everything, and says so when it could not."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.servers.planning.bin_packing import Answer, fewest_skips, highest, pack
from assistants.servers.planning.bins import Bin, Option, Packing, quick

ways = st.builds(Option, bins=st.integers(1, 3), size=st.integers(1, 12), fixed=st.integers(0, 6))
items = st.lists(st.lists(ways, max_size=2), max_size=5)
bins = st.lists(
    st.builds(Bin, kind=st.integers(0, 1), size=st.integers(0, 14), fixed=st.integers(0, 8)),
    min_size=1, max_size=4,
)  # fmt: skip


def every_packing(items: Sequence[Sequence[Option]], bins: Sequence[Bin]) -> list[tuple[int, int]]:
    """Try everything: how many items are left out and how many bins are used, in every way."""
    options = []
    for item in items:
        placed: list[tuple[Option, tuple[int, ...]] | None] = [None]
        for way in item:
            sets = itertools.combinations(range(len(bins)), way.bins)
            placed += [(way, s) for s in sets if len({bins[each].kind for each in s}) == 1]
        options.append(placed)
    found = []
    for choice in itertools.product(*options):
        size, fixed = [0] * len(bins), [0] * len(bins)
        for one in choice:
            for each in one[1] if one else ():
                size[each] += one[0].size  # type: ignore[index]
                fixed[each] += one[0].fixed  # type: ignore[index]
        pairs = zip(bins, size, fixed, strict=True)
        used = sum(1 for each in range(len(bins)) if any(one and each in one[1] for one in choice))
        if all(s <= b.size and (f <= b.fixed or not s) for b, s, f in pairs):
            found.append((sum(one is None for one in choice), used))
    return found


def check(packing: Packing, items: Sequence[Sequence[Option]], bins: Sequence[Bin]) -> None:
    """No bin holds more than it can, and every item is placed in one of its ways."""
    size, fixed = [0] * len(bins), [0] * len(bins)
    for place, item in zip(packing, items, strict=True):
        if place is None:
            continue
        way = item[place.way]
        assert len(set(place.bins)) == way.bins
        assert len({bins[each].kind for each in place.bins}) == 1
        for each in place.bins:
            size[each] += way.size
            fixed[each] += way.fixed
    for b, s, f in zip(bins, size, fixed, strict=True):
        assert s <= b.size
        assert f <= b.fixed or not s


@settings(max_examples=120, deadline=None)
@given(items=items, bins=bins)
def test_as_many_as_possible_are_placed(items: list[list[Option]], bins: list[Bin]) -> None:
    """Never one item fewer than trying everything finds, and always proven."""
    skips, answer = fewest_skips(items, bins)
    assert answer.proven
    assert answer.packing is not None
    check(answer.packing, items, bins)
    assert sum(place is None for place in answer.packing) == skips
    assert skips == min(left for left, _ in every_packing(items, bins))


@settings(max_examples=150, deadline=None)
@given(
    items=items, bins=bins, skips=st.integers(0, 3), most=st.integers(0, 4),
    tries=st.sampled_from([0, 12]),
)  # fmt: skip
def test_few_bins_are_enough_exactly_when_they_are(
    items: list[list[Option]], bins: list[Bin], skips: int, most: int, tries: int
) -> None:
    """With so many left out and so many bins used: found if and only if there is a way.

    The search alone (no tries) knows it too.
    """
    answer = pack(items, bins, skips=skips, most_bins=most, tries=tries)
    wanted = any(left <= skips and used <= most for left, used in every_packing(items, bins))
    assert answer.proven
    assert (answer.packing is not None) == wanted
    if answer.packing is not None:
        check(answer.packing, items, bins)
        used = {each for place in answer.packing if place for each in place.bins}
        assert len(used) <= most
        assert sum(place is None for place in answer.packing) <= skips


@given(items=items, bins=bins)
def test_the_quick_packing_is_one(items: list[list[Option]], bins: list[Bin]) -> None:
    """It may be worse than the best, but everything in it fits."""
    check(quick(items, bins), items, bins)


@given(best=st.integers(-1, 40), high=st.integers(1, 40))
def test_bisection_finds_the_last_level_that_fits(best: int, high: int) -> None:
    """And the first that does not, which proves it."""
    level, packing, refuted = highest(
        lambda at: Answer((None,) if at <= best else None, proven=True), 1, high
    )
    assert level == max(0, min(best, high))
    assert (packing is not None) == (level > 0)
    assert refuted == (None if best >= high else level + 1)


def test_what_was_not_settled_is_not_called_proven() -> None:
    """Bisection over answers that ran out of time keeps the lowest level that was refuted."""

    def fits(at: int) -> Answer:
        return Answer((None,) if at <= 10 else None, proven=at >= 30)

    assert highest(fits, 1, 64) == (10, (None,), 32)


def test_a_search_without_time_says_that_it_does_not_know() -> None:
    """Neither a packing nor a proof: the caller must not take it for a no."""
    hard = [[Option(1, size, 0)] for size in range(101, 141)]
    answer = pack(hard, [Bin(0, 487, 0)] * 10, until=time.monotonic() - 1)
    assert answer == Answer(None, proven=False)


def test_a_search_ends_when_its_time_is_over() -> None:
    """Forty items of nearly equal size: hopeless to settle, and given up in time."""
    hard = [[Option(1, 1000 + 7 * size, 0)] for size in range(41)]
    room = sum(way.size for item in hard for way in item) // 10
    start = time.monotonic()
    pack(hard, [Bin(0, room, 0)] * 10, until=start + 0.3)
    assert time.monotonic() - start < 3
