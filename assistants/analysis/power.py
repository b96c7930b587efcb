"""Power of a comparison: the cases that an effect needs, before anything is spent."""

from __future__ import annotations

import math
from typing import Any

from assistants.errors import MissingDependencyError

_LARGE = 1_000_000
"""Cases from which the t distribution is the normal one, to all digits that matter here."""


def power_of(
    effect: float, sd: float, cases: int, *, alpha: float = 0.05, personas: int = 1
) -> float:
    """Return the chance that a two-sided paired test finds an effect of this size.

    Parameters
    ----------
    effect
        True mean difference from the baseline, in the score's units.
    sd
        Standard deviation of the difference over cases (``sd_of_difference``), same units, above 0.
    cases
        At least 2; each asked of the persona and of the baseline.
    alpha
        Chance of a false alarm over all personas together.
    personas
        Compared with the baseline. The chance is that at the strictest step of Holm's correction,
        ``alpha / personas``: no persona's is lower.

    Returns
    -------
    float
        Between 0 and 1; 0 where so few cases allow no p that is small enough, whatever the scores.

    Raises
    ------
    ValueError
        For fewer than two cases, an ``sd`` that is not above 0, or an ``alpha`` outside (0, 1).
    MissingDependencyError
        If scipy is not installed.

    Notes
    -----
    The noncentral t distribution with ``cases - 1`` degrees of freedom: Cohen (1988),
    "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, chapter 2. It is exact
    where differences are normal, and close for the sign-flip test of ``permutation.sign_flip``,
    whose p is at least ``2 ** (1 - cases)``.
    Right-or-wrong scores need more cases than it says while few of them differ, because then
    few p are possible: ``bench/simulate.py`` shows by how much.
    """
    _check(sd, alpha, personas)
    if cases < 2:
        raise ValueError(f"cases is {cases}: one case has no spread to compare with.")
    if 2.0 ** (1 - cases) > alpha / personas:
        return 0.0
    functions = special()
    tail = alpha / personas / 2
    shift = abs(effect) / sd * math.sqrt(cases)
    if cases >= _LARGE:
        edge = -float(functions.ndtri(tail))
        return float(functions.ndtr(shift - edge) + functions.ndtr(-shift - edge))
    edge = -float(functions.stdtrit(cases - 1, tail))
    missed = float(functions.nctdtr(cases - 1, shift, edge))
    other_side = float(functions.nctdtr(cases - 1, shift, -edge))
    # Far from 0 a tail underflows, and the library says NaN where it means 0.
    missed, other_side = (0.0 if math.isnan(tail) else tail for tail in (missed, other_side))
    return min(1.0, max(0.0, 1.0 - missed + other_side))


def cases_needed(
    effect: float, sd: float, *, power: float = 0.8, alpha: float = 0.05, personas: int = 1
) -> int:
    """Return the fewest cases with which an effect of this size is found with chance ``power``.

    Parameters
    ----------
    effect
        True mean difference from the baseline, in the score's units; not 0.
    sd
        Standard deviation of the difference over cases (``sd_of_difference``), same units, above 0.
    power
        Wanted chance of finding it, between ``alpha`` and 1.
    alpha, personas
        As in ``power_of``.

    Returns
    -------
    int
        At least 6 for one persona at 5%. ``power_of`` reaches ``power`` here, and does not with one
        case fewer.

    Raises
    ------
    ValueError
        For an effect of 0, which no number of cases finds; an ``sd`` that is not above 0; a
        ``power`` or ``alpha`` out of range; or an effect too small for any number to be named.
    MissingDependencyError
        If scipy is not installed.
    """
    _check(sd, alpha, personas)
    if effect == 0 or not math.isfinite(effect):
        raise ValueError(f"effect is {effect}: no number of cases shows it.")
    if not alpha < power < 1:
        raise ValueError(f"power is {power}; it lies between alpha ({alpha}) and 1.")

    def enough(cases: int) -> bool:
        return power_of(effect, sd, cases, alpha=alpha, personas=personas) >= power

    few, many = 1, 2
    while not enough(many):
        few, many = many, many * 2
        if many > 2**60:
            raise ValueError(f"an effect of {effect} with sd {sd} is too small to be found.")
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def sd_of_difference(sd: float, sd_within_case: float, repeats: int) -> float:
    """Return the standard deviation, over cases, of a persona's difference from the baseline.

    Repeats only wear down the noise within a case; no number of them replaces another case.

    Parameters
    ----------
    sd
        Standard deviation over cases of the true difference, in the score's units.
    sd_within_case
        Standard deviation of one draw around its case's mean, same units.
    repeats
        Draws of each case, at least 1.

    Returns
    -------
    float
        Same units.

    Raises
    ------
    ValueError
        For fewer than one repeat.

    Notes
    -----
    Miller (2024), "Adding Error Bars to Evals", arXiv:2411.00640, section 3.2.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; a case is drawn at least once.")
    return math.sqrt(sd**2 + 2 * sd_within_case**2 / repeats)


def _check(sd: float, alpha: float, personas: int) -> None:
    if not (sd > 0 and math.isfinite(sd)):
        raise ValueError(f"sd is {sd}; it has to be above 0.")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; it lies between 0 and 1.")
    if personas < 1:
        raise ValueError(f"personas is {personas}; at least one is compared.")


def special() -> Any:
    """Return ``scipy.special``, which loads in a tenth of the time of ``scipy.stats``.

    Raises
    ------
    MissingDependencyError
        If scipy is not installed.
    """
    try:
        from scipy import special as functions
    except ImportError as e:
        raise MissingDependencyError(
            "Effects are computed with scipy, which is not installed.",
            fix="pip install 'assistants[analysis]'",
        ) from e
    return functions
