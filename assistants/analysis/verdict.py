"""Verdict on an effect in plain words, and notes beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assistants.utils import pluralize

MORE = "more"
LESS = "less"
NO_DIFFERENCE = "no difference larger than"
TOO_LITTLE = "too little data to tell"
"""Each verdict begins with one of these; the last two are followed by an amount or a reason."""

FEWEST_CASES = 10
"""Below this, an interval leans on differences being normal, and rules nothing out."""

NARROW = 0.5
"""Standard deviations of the difference: an interval that stays within is narrow enough to speak
of no difference where nobody named a smallest effect that matters. Cohen's "medium" size."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """One persona against the baseline, as far as a verdict needs it; NaN is unknown.

    ``effect``, ``low``, ``high``, ``sd`` and ``noise_floor`` are in the score's units.
    ``n_cases`` counts pairs; ``least_p`` is the smallest adjusted p that so many cases can give;
    ``lost`` and ``baseline_lost`` are missing trials out of ``planned`` each; ``uneven`` says that
    they are missing more often on one side than chance explains, ``skewed`` that the interval is
    probably too narrow; ``arm`` is what is compared, ``persona`` or ``model``.
    """

    n_cases: int
    n_all_cases: int
    effect: float
    sd: float
    low: float
    high: float
    p_adjusted: float
    noise_floor: float
    least_p: float
    lost: int
    baseline_lost: int
    planned: int
    uneven: bool
    skewed: bool = False
    arm: str = "persona"


def verdict(facts: VerdictInput, *, unit: str = "", smallest_effect: float | None = None) -> str:
    """Return ``more``, ``less``, ``no difference larger than X`` or ``too little data to tell``.

    More or less: the adjusted p is at most 0.05 and the interval excludes 0. No difference: the
    interval lies within ``smallest_effect`` of 0; or, where that is not given, it includes 0 and
    lies within ``NARROW`` standard deviations of it. Neither is said of fewer than ``FEWEST_CASES``
    cases. Everything else is too little data.

    Parameters
    ----------
    facts
        Of one persona.
    unit
        Of the score, in the plural (``words``); may be empty.
    smallest_effect
        Smallest difference that would matter, in the score's units.
    """
    if facts.n_cases < 2:
        return f"{TOO_LITTLE}: {_cases(facts.n_cases)}"
    low, high = facts.low, facts.high
    real = facts.p_adjusted <= ALPHA
    if math.isnan(low):  # all differences are equal; only the permutation can speak
        if real and facts.effect != 0:
            return MORE if facts.effect > 0 else LESS
        return f"{TOO_LITTLE}: every case differs by exactly {_amount(facts.effect, unit)}"
    if real and not low <= 0 <= high:
        return MORE if low > 0 else LESS
    largest = max(abs(low), abs(high))
    if facts.n_cases >= FEWEST_CASES:
        if smallest_effect is not None and largest <= smallest_effect:
            return f"{NO_DIFFERENCE} {_amount(smallest_effect, unit)}"
        # Half the interval is about two standard errors. The spread is taken from it and not from
        # ``sd``, which is 0 or too small where few binary scores differ.
        spread = (high - low) / 4 * math.sqrt(facts.n_cases)
        if smallest_effect is None and low <= 0 <= high and largest <= NARROW * spread:
            return f"{NO_DIFFERENCE} {_amount(_rounded_up(largest), unit)}"
    if facts.sd == 0:
        return f"{TOO_LITTLE}: every case differs by exactly {_amount(facts.effect, unit)}"
    return TOO_LITTLE


def note(facts: VerdictInput, *, unit: str = "", smallest_effect: float | None = None) -> str:
    """Return what else a reader has to know before believing the verdict; often empty."""
    return " ".join(
        [
            *_missing(facts),
            *_few(facts),
            *_equal(facts, unit),
            *_small(facts, unit, smallest_effect),
        ]
    )


def _missing(facts: VerdictInput) -> list[str]:
    notes = []
    if facts.lost or facts.baseline_lost:
        notes.append(
            f"{facts.lost:,} of {pluralize(facts.planned, 'trial')} missing, "
            f"{facts.baseline_lost:,} of the baseline's."
        )
    if facts.n_cases < facts.n_all_cases:
        notes.append(f"Paired over {facts.n_cases:,} of {pluralize(facts.n_all_cases, 'case')}.")
    if facts.uneven:
        side = facts.arm if facts.lost > facts.baseline_lost else "baseline"
        notes.append(
            f"Warning: more is missing of the {side}; if that is because of what it says, the "
            f"effect is of the cases that remained, not of the {facts.arm}."
        )
    return notes


def _few(facts: VerdictInput) -> list[str]:
    notes = []
    if facts.n_cases < 2:
        notes.append(f"{_cases(facts.n_cases).capitalize()}: nothing is known of their spread.")
    elif facts.least_p > ALPHA:
        notes.append(
            f"With {pluralize(facts.n_cases, 'case')} the adjusted p cannot fall below "
            f"{facts.least_p:.2g}, whatever the scores."
        )
    if facts.skewed:
        notes.append("A few cases differ far more than the rest: the interval may be too narrow.")
    if facts.n_cases > 0 and math.isnan(facts.noise_floor):
        notes.append("One draw a case: the noise floor is unknown.")
    return notes


def _equal(facts: VerdictInput, unit: str) -> list[str]:
    notes = []
    if facts.sd == 0 and facts.effect == 0:
        unseen = -math.expm1(math.log(0.05) / facts.n_cases)
        notes.append(
            "All paired scores are equal, which is no certainty: a difference in up to "
            f"{unseen:.1%} of cases would go unseen one time in twenty."
        )
    elif facts.sd == 0:
        notes.append(
            f"Every case differs by the same {_amount(facts.effect, unit)}: a spread of 0 is no "
            "certainty, and an interval cannot be given from it."
            if math.isnan(facts.low)
            else f"Every case differs by the same {_amount(facts.effect, unit)}."
        )
    if facts.noise_floor == 0:
        notes.append("Repeats scored the same each time: a noise floor of 0 is what was seen.")
    return notes


def _small(facts: VerdictInput, unit: str, smallest_effect: float | None) -> list[str]:
    if facts.p_adjusted > ALPHA or math.isnan(facts.low) or facts.low <= 0 <= facts.high:
        return []
    if smallest_effect is not None and max(abs(facts.low), abs(facts.high)) < smallest_effect:
        return [f"Real, but smaller than the {_amount(smallest_effect, unit)} that would matter."]
    return []


def _cases(number: int) -> str:
    return "no case has both scores" if number == 0 else "only one case has both scores"


def _amount(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()


def _rounded_up(value: float) -> float:
    """Round to two digits and never down, so that "no larger than" stays true."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / step, 9)) * step
