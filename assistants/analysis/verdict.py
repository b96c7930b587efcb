"""What an effect comes to, in plain words, and what one has to know beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from assistants.utils.text import pluralize

MORE = "more"
LESS = "less"
NO_DIFFERENCE = "no difference larger than"
TOO_LITTLE = "too little data to tell"
"""Each verdict begins with one of these; the last two are followed by an amount or a reason."""

FEWEST_CASES = 10
"""Below this, an interval leans on differences being normal, and rules nothing out."""

NARROW = 0.5
"""Standard deviations of the difference: an interval that stays within is narrow enough to speak
of no difference where nobody said what would be smallest_effect. Cohen's "medium" size."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class VerdictInput:
    """One persona against the baseline, as far as a verdict needs it; NaN is unknown.

    ``effect``, ``low``, ``high``, ``sd`` and ``noise_floor`` are in the score's units.
    ``n_cases`` counts pairs; ``least_p`` is the smallest adjusted p that so many cases can give;
    ``lost`` and ``baseline_lost`` are missing trials out of ``planned`` each; ``uneven`` says that
    they are missing more often on one side than chance explains, ``skewed`` that the interval is
    probably too narrow.
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


def verdict(found: VerdictInput, *, unit: str = "", smallest_effect: float | None = None) -> str:
    """``more``, ``less``, ``no difference larger than X`` or ``too little data to tell``.

    More or less: the adjusted p is at most 0.05 and the interval excludes 0. No difference: the
    interval lies within ``smallest_effect`` of 0; or, where that is not given, it includes 0 and lies
    within ``NARROW`` standard deviations of it. Neither is said of fewer than ``FEWEST_CASES``
    cases. Everything else is too little data.

    Parameters
    ----------
    found
        Of one persona.
    unit
        Of the score, in the plural (``words``); may be empty.
    smallest_effect
        Smallest difference that would matter, in the score's units.
    """
    if found.n_cases < 2:
        return f"{TOO_LITTLE}: {_cases(found.n_cases)}"
    low, high = found.low, found.high
    real = found.p_adjusted <= ALPHA
    if math.isnan(low):  # all differences are equal; only the permutation can speak
        if real and found.effect != 0:
            return MORE if found.effect > 0 else LESS
        return f"{TOO_LITTLE}: every case differs by exactly {_amount(found.effect, unit)}"
    if real and not low <= 0 <= high:
        return MORE if low > 0 else LESS
    largest = max(abs(low), abs(high))
    if found.n_cases >= FEWEST_CASES:
        if smallest_effect is not None and largest <= smallest_effect:
            return f"{NO_DIFFERENCE} {_amount(smallest_effect, unit)}"
        # Half the interval is about two standard errors. The spread is taken from it and not from
        # ``sd``, which is 0 or too small where few binary scores differ.
        spread = (high - low) / 4 * math.sqrt(found.n_cases)
        if smallest_effect is None and low <= 0 <= high and largest <= NARROW * spread:
            return f"{NO_DIFFERENCE} {_amount(_rounded_up(largest), unit)}"
    if found.sd == 0:
        return f"{TOO_LITTLE}: every case differs by exactly {_amount(found.effect, unit)}"
    return TOO_LITTLE


def note(found: VerdictInput, *, unit: str = "", smallest_effect: float | None = None) -> str:
    """What else a reader has to know before believing the verdict; often empty."""
    return " ".join(
        [
            *_missing(found),
            *_few(found),
            *_equal(found, unit),
            *_small(found, unit, smallest_effect),
        ]
    )


def _missing(found: VerdictInput) -> list[str]:
    said = []
    if found.lost or found.baseline_lost:
        said.append(
            f"{found.lost:,} of {pluralize(found.planned, 'trial')} missing, "
            f"{found.baseline_lost:,} of the baseline's."
        )
    if found.n_cases < found.n_all_cases:
        said.append(f"Paired over {found.n_cases:,} of {pluralize(found.n_all_cases, 'case')}.")
    if found.uneven:
        side = "persona" if found.lost > found.baseline_lost else "baseline"
        said.append(
            f"Warning: more is missing of the {side}; if that is because of what it says, the "
            "effect is of the cases that remained, not of the persona."
        )
    return said


def _few(found: VerdictInput) -> list[str]:
    said = []
    if found.n_cases < 2:
        said.append(f"{_cases(found.n_cases).capitalize()}: nothing is known of their spread.")
    elif found.least_p > ALPHA:
        said.append(
            f"With {pluralize(found.n_cases, 'case')} the adjusted p cannot fall below "
            f"{found.least_p:.2g}, whatever the scores."
        )
    if found.skewed:
        said.append("A few cases differ far more than the rest: the interval may be too narrow.")
    if found.n_cases > 0 and math.isnan(found.noise_floor):
        said.append("One draw a case: the noise floor is unknown.")
    return said


def _equal(found: VerdictInput, unit: str) -> list[str]:
    said = []
    if found.sd == 0 and found.effect == 0:
        unseen = -math.expm1(math.log(0.05) / found.n_cases)
        said.append(
            "All paired scores are equal, which is no certainty: a difference in up to "
            f"{unseen:.1%} of cases would go unseen one time in twenty."
        )
    elif found.sd == 0:
        said.append(
            f"Every case differs by the same {_amount(found.effect, unit)}: a spread of 0 is no "
            "certainty, and an interval cannot be given from it."
            if math.isnan(found.low)
            else f"Every case differs by the same {_amount(found.effect, unit)}."
        )
    if found.noise_floor == 0:
        said.append("Repeats scored the same each time: a noise floor of 0 is what was seen.")
    return said


def _small(found: VerdictInput, unit: str, smallest_effect: float | None) -> list[str]:
    if found.p_adjusted > ALPHA or math.isnan(found.low) or found.low <= 0 <= found.high:
        return []
    if smallest_effect is not None and max(abs(found.low), abs(found.high)) < smallest_effect:
        return [f"Real, but smaller than the {_amount(smallest_effect, unit)} that would matter."]
    return []


def _cases(number: int) -> str:
    return "no case has both scores" if number == 0 else "only one case has both scores"


def _amount(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".rstrip()


def _rounded_up(value: float) -> float:
    """To two digits and never down, so that "no larger than" stays true."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(round(value / step, 9)) * step
