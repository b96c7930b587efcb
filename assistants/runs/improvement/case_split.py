"""The split of cases into those to work on, those to choose by, and those held out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from assistants.errors import UsageError
from assistants.trial import Case
from assistants.utils import pluralize

WORK, CHOOSE, HELD_OUT = 0.25, 0.25, 0.5
"""Shares of the cases. The held-out set has half: it alone says what an edit is worth."""

FEWEST = 3
"""The fewest cases to work on, and to choose by."""

EFFECT = 0.8
"""The effect that the held-out set has to be able to show, in standard deviations of the
difference: a large one, as Cohen calls it. More cases show smaller ones."""

POWER = 0.8
"""The chance of finding it."""


@dataclass(frozen=True, slots=True)
class CaseSplit:
    """Cases of three kinds, each in the order of the experiment.

    Attributes
    ----------
    work
        Their answers are shown to the model that proposes edits.
    choose
        By their scores, one of the candidates is chosen.
    held_out
        Neither proposals nor the choice know them.
    """

    work: tuple[Case, ...]
    choose: tuple[Case, ...]
    held_out: tuple[Case, ...]

    def __str__(self) -> str:
        return (
            f"{pluralize(len(self.work), 'case')} to work on, {len(self.choose):,} to choose by, "
            f"{len(self.held_out):,} held out"
        )


def split_cases(cases: Sequence[Case]) -> CaseSplit:
    """Split cases by a digest of what they ask, so that a case never changes sides.

    More cases in the file, or another order, move none of them: what was held out once stays held
    out. Cases that ask the same stay together. The sizes are ``WORK``, ``CHOOSE`` and ``HELD_OUT``
    only on average.
    """
    sides: dict[str, list[Case]] = {"work": [], "choose": [], "held_out": []}
    for case in cases:
        place = _place(case)
        side = "work" if place < WORK else "choose" if place < WORK + CHOOSE else "held_out"
        sides[side].append(case)
    return CaseSplit(**{side: tuple(of_side) for side, of_side in sides.items()})


def check_split(split: CaseSplit) -> None:
    """Refuse a split whose held-out set could not show an effect.

    Raises
    ------
    UsageError
        With the number of cases that could.
    """
    from assistants.analysis import cases_needed, power_of

    needed = cases_needed(EFFECT, 1.0, power=POWER)
    held_out = len(split.held_out)
    in_all = f"about {math.ceil(needed / HELD_OUT):,} cases in all"
    if held_out < needed:
        power = power_of(EFFECT, 1.0, held_out) if held_out > 1 else 0.0
        raise UsageError(
            f"{split}: {pluralize(held_out, 'held-out case')} would show even a large effect "
            f"({EFFECT:g} standard deviations) in {power:.0%} of experiments only.",
            fix=f"{needed:,} held-out cases show it in {POWER:.0%}: that takes {in_all}.",
        )
    if min(len(split.work), len(split.choose)) < FEWEST:
        raise UsageError(
            f"{split}: at least {FEWEST} are needed to work on, and to choose by.",
            fix=f"Add cases; {in_all} are usually enough.",
        )


def _place(case: Case) -> float:
    """Return a number from 0 to 1 that depends on nothing but what the case asks."""
    digest = hashlib.sha256(f"improve 1 {case.digest}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
