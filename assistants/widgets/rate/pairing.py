"""Which answers a rater sees beside each other, in which order and on which side.

However early somebody stops, what was rated is a fair sample: cases and personas take turns, and
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
from assistants.runs.tables import averaged
from assistants.utils.text import from_utf8

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
        """Of both trials, whichever side they stand on."""
        return frozenset((self.left.key, self.right.key))

    @property
    def personas(self) -> tuple[str, str]:
        """Who meets whom, whichever side they stand on."""
        first, second = sorted((self.left.persona, self.right.persona))
        return first, second

    def turned(self) -> Pair:
        """The same pair with the sides exchanged."""
        return replace(self, left=self.right, right=self.left)

    def as_in(self, vote: Vote) -> Pair:
        """As it was seen for ``vote``, which may be from another day, with the sides exchanged."""
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
    """Every pair that ``rater`` is asked about, in order; the same for the same arguments.

    Only answers that count in averages are there. Answers that are one answer (equal keys, or
    equal texts) never meet.

    Parameters
    ----------
    frame
        Of trials, as ``tables.trials`` gives it.
    rater
        With ``seed``, decides the order and the sides.
    personas, cases
        Those to rate; all if ``None``.
    baseline
        Whom the others meet, for ``choice="baseline"``.
    choice
        Who meets whom.
    repeats
        How many draws of each answer; all if ``None``.

    Raises
    ------
    UsageError
        For an unknown persona or case, a missing baseline, or where nobody can meet.
    """
    if choice not in ("baseline", "all"):
        raise UsageError(f"`pairs` is 'baseline' or 'all', not {choice!r}.")
    if choice == "baseline" and baseline is None:
        raise UsageError(
            "There is no baseline to compare with.", fix='Name one, or say pairs="all".'
        )
    wanted = _wanted("persona", frame["persona"], personas)
    if choice == "baseline":
        wanted |= _wanted("persona", frame["persona"], [str(baseline)])
    kept = frame[frame["persona"].isin(wanted)]
    kept = kept[kept["case"].isin(_wanted("case", frame["case"], cases))]
    if repeats is not None:
        kept = kept[kept["repeat"] < repeats]
    against = str(baseline) if choice == "baseline" else None
    found = _meetings(averaged(kept).to_dict("records"), against)
    if not found:
        raise UsageError(
            "There are no two different answers to compare.",
            fix="Two personas must have answered the same case, with the same model.",
        )
    chance = random.Random(f"{seed} {rater}")  # noqa: S311 - an order
    return _sided(_ordered(found, chance), chance)


def _wanted(kind: str, column: Iterable[str], named: Iterable[str] | None) -> set[str]:
    known = set(column)
    wanted = known if named is None else {str(name) for name in named}
    for name in sorted(wanted - known):
        raise UnknownNameError(kind, name, known)
    return set(wanted)


def _meetings(rows: Sequence[Mapping[str, Any]], baseline: str | None) -> list[Pair]:
    """Who meets whom, once each; with everybody if no baseline is named."""
    cells: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["case"], row["model"], row["repeat"]].append(row)
    found: dict[frozenset[str], Pair] = {}
    for (case, model, repeat), cell in cells.items():
        for one, other in itertools.combinations(cell, 2):
            meant = baseline is None or baseline in (one["persona"], other["persona"])
            same = one["key"] == other["key"] or one["answer"].strip() == other["answer"].strip()
            if meant and not same:
                left, right = (
                    Side(row["key"], row["persona"], from_utf8(row["answer"]))
                    for row in (one, other)
                )
                pair = Pair(case, model, repeat, from_utf8(one["question"]), left, right)
                found.setdefault(pair.keys, pair)
    return list(found.values())


def _ordered(found: Sequence[Pair], chance: random.Random) -> list[Pair]:
    """Round after round one pair of every case, of those personas that met least so far."""
    waiting: dict[str, dict[tuple[str, str], list[Pair]]] = defaultdict(lambda: defaultdict(list))
    for pair in chance.sample(found, len(found)):
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


def _sided(order: Sequence[Pair], chance: random.Random) -> list[Pair]:
    """The same order, with sides: nobody is ahead on one side by more than one, at any time.

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
    """For a comparison and each of its personas, the other one that it must differ from."""
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
