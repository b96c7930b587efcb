"""The pairs of answers that a rater sees, their order and their sides.

However early a rater stops, the rated pairs are a fair sample: cases and personas take turns, and
no persona stood on one side more than once oftener than on the other.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from assistants.errors import UnknownNameError, UsageError
from assistants.runs import averaged
from assistants.utils import from_utf8

if TYPE_CHECKING:
    import pandas as pd

    from assistants.scoring import Vote

Choice = Literal["baseline", "all"]
"""Each persona with the baseline, or all with one another."""


@dataclass(frozen=True, slots=True)
class Side:
    """An answer of a pair. A rater sees its text and nothing else."""

    key: str
    persona: str
    answer: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question, of the same model and repeat."""

    case: str
    model: str
    repeat: int
    question: str
    left: Side
    right: Side

    @property
    def keys(self) -> frozenset[str]:
        """Keys of both trials, whichever side they stand on."""
        return frozenset((self.left.key, self.right.key))

    @property
    def personas(self) -> tuple[str, str]:
        """Names of both personas in order, whichever side they stand on."""
        first, second = sorted((self.left.persona, self.right.persona))
        return first, second

    def turned(self) -> Pair:
        """Return the same pair with the sides exchanged."""
        return replace(self, left=self.right, right=self.left)

    def as_in(self, vote: Vote) -> Pair:
        """Return the pair as it was seen for ``vote``, perhaps with the sides exchanged."""
        return self if self.left.key == vote.left else self.turned()


def pairs(
    frame: pd.DataFrame,
    rater: str,
    *,
    personas: Iterable[str] | None = None,
    baseline: str | None = None,
    choice: Choice = "baseline",
    cases: Iterable[str] | None = None,
    repeats: int | None = None,
    seed: int = 0,
) -> list[Pair]:
    """Return every pair that ``rater`` is asked about, in order; equal for equal arguments.

    Only answers that count in averages are compared, and never two that are one answer (equal
    keys, or equal texts).

    Parameters
    ----------
    frame
        The trials table of a run.
    rater
        With ``seed``, decides the order and the sides.
    personas, cases
        Those to rate; all if ``None``.
    baseline
        The persona that the others are compared with, for ``choice="baseline"``.
    choice
        ``baseline`` for each persona with the baseline, ``all`` for all with one another.
    repeats
        How many draws of each answer; all if ``None``.

    Raises
    ------
    UsageError
        For an unknown persona or case, a missing baseline, or where there is nothing to
        compare.
    """
    if choice not in ("baseline", "all"):
        raise UsageError(f"`pairs` is 'baseline' or 'all', not {choice!r}.")
    if choice == "baseline" and baseline is None:
        raise UsageError(
            "There is no baseline to compare with.", fix='Name one, or say pairs="all".'
        )
    names = _selected_names("persona", frame["persona"], personas)
    if choice == "baseline":
        names |= _selected_names("persona", frame["persona"], [str(baseline)])
    kept = frame[frame["persona"].isin(names)]
    kept = kept[kept["case"].isin(_selected_names("case", frame["case"], cases))]
    if repeats is not None:
        kept = kept[kept["repeat"] < repeats]
    against = str(baseline) if choice == "baseline" else None
    unordered = _comparisons(averaged(kept).to_dict("records"), against)
    if not unordered:
        raise UsageError(
            "There are no two different answers to compare.",
            fix="Two personas must have answered the same case, with the same model.",
        )
    chance = random.Random(f"{seed} {rater}")  # noqa: S311 - an order
    return _with_sides(_ordered(unordered, chance), chance)


def _selected_names(kind: str, column: Iterable[str], selection: Iterable[str] | None) -> set[str]:
    known = set(column)
    names = known if selection is None else {str(name) for name in selection}
    for name in sorted(names - known):
        raise UnknownNameError(kind, name, known)
    return set(names)


def _comparisons(rows: Sequence[Mapping[str, Any]], baseline: str | None) -> list[Pair]:
    """Return the pairs to compare, once each; of all with all if no baseline is named."""
    cells: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["case"], row["model"], row["repeat"]].append(row)
    pairs_by_keys: dict[frozenset[str], Pair] = {}
    for (case, model, repeat), cell in cells.items():
        for one, other in itertools.combinations(cell, 2):
            is_selected = baseline is None or baseline in (one["persona"], other["persona"])
            is_same = one["key"] == other["key"] or one["answer"].strip() == other["answer"].strip()
            if is_selected and not is_same:
                left, right = (
                    Side(row["key"], row["persona"], from_utf8(row["answer"]))
                    for row in (one, other)
                )
                pair = Pair(case, model, repeat, from_utf8(one["question"]), left, right)
                pairs_by_keys.setdefault(pair.keys, pair)
    return list(pairs_by_keys.values())


def _ordered(unordered: Sequence[Pair], chance: random.Random) -> list[Pair]:
    """Order pairs in rounds: of every case one, of the personas compared least so far."""
    waiting: dict[str, dict[tuple[str, str], list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in chance.sample(unordered, len(unordered)):
        waiting[pair.case][pair.personas].append(pair)
    met: Counter[tuple[str, str]] = Counter()
    order: list[Pair] = []
    while waiting:
        for case in chance.sample(list(waiting), len(waiting)):
            of_case = waiting[case]
            personas = min(of_case, key=met.__getitem__)
            met[personas] += 1
            order.append(of_case[personas].pop())
            if not of_case[personas]:
                del of_case[personas]
            if not of_case:
                del waiting[case]
    return order


def _with_sides(order: Sequence[Pair], chance: random.Random) -> list[Pair]:
    """Choose sides: at any time, no persona is ahead on one side by more than one.

    The first and second comparison of a persona are on opposite sides, the third and fourth, and
    so on. Each comparison is so tied to two others at most, and comparisons that are tied make a
    trail, which can be walked either way: the persona met on arrival stands on the right of the
    pair that is left behind and on the left of the next one.
    """
    tied = _tied(order)
    sided: dict[int, Pair] = {}
    for start in range(len(order)):
        if start in sided:
            continue
        one, other = chance.sample([order[start].left.persona, order[start].right.persona], 2)
        sided[start] = _with_left(order[start], one)
        for persona, ahead in ((other, True), (one, False)):
            here = start
            while (there := tied.get((here, persona))) is not None and there not in sided:
                next_one = _opponent(order[there], persona)
                sided[there] = _with_left(order[there], persona if ahead else next_one)
                here, persona = there, next_one
    return [sided[number] for number in range(len(order))]


def _tied(order: Sequence[Pair]) -> dict[tuple[int, str], int]:
    """Return, for a comparison and each of its personas, the one that it must differ from."""
    tied: dict[tuple[int, str], int] = {}
    alone: dict[str, int] = {}
    for number, pair in enumerate(order):
        for persona in (pair.left.persona, pair.right.persona):
            if (former := alone.pop(persona, None)) is None:
                alone[persona] = number
            else:
                tied[former, persona] = number
                tied[number, persona] = former
    return tied


def _opponent(pair: Pair, persona: str) -> str:
    return pair.right.persona if pair.left.persona == persona else pair.left.persona


def _with_left(pair: Pair, persona: str) -> Pair:
    return pair if pair.left.persona == persona else pair.turned()
