"""Comparison of personas with the baseline, paired by case: effect, interval, size, noise floor.

Every function takes many personas at once: the last axis is the cases, the axes before it are
whatever the caller compares (personas, or simulated experiments of personas).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.permutation import Floats
from assistants.analysis.power import special

FEW_DIFFER = 8
"""Cases that differ, below which a binary score's interval is Bonett and Price's. Of 5, 8, 10, 12
and 15 it is the one that kept simulated coverage above 93% everywhere, and below 97% most often."""

_Z = 1.959963984540054
"""Below it lie 97.5% of the normal distribution."""

_STEP = 1e-13
"""Share of the largest score to which differences are rounded: a hundred times their own error."""

_ROUNDING = 1e-12
"""Share of the scores below which a difference is only the order of addition."""


@dataclass(frozen=True, slots=True)
class CaseMeans:
    """Draws of one or several personas, summed up by case; each of shape ``(..., n_cases)``.

    ``mean`` is in the score's units and NaN where no draw has a score; ``draws`` says how many
    have; ``squares`` is the sum of their squared deviations from ``mean``.
    """

    mean: Floats
    draws: NDArray[np.int64]
    squares: Floats


def by_case(values: Floats) -> CaseMeans:
    """Average the repeats of each case, and keep how far they spread.

    Parameters
    ----------
    values
        Shape ``(..., n_cases, n_repeats)``, in the score's units; NaN where there is no score.
    """
    present = ~np.isnan(values)
    draws = present.sum(axis=-1)
    total = np.where(present, values, 0.0).sum(axis=-1)
    mean = np.divide(total, draws, out=np.full(draws.shape, np.nan), where=draws > 0)
    squares = np.where(present, (values - mean[..., None]) ** 2, 0.0).sum(axis=-1)
    # Equal scores whose mean is rounded (three times 0.1) do not spread.
    equal = squares <= draws * (_ROUNDING * np.abs(np.nan_to_num(mean))) ** 2
    return CaseMeans(mean, draws, np.where(equal, 0.0, squares))


def differences(persona: CaseMeans, baseline: CaseMeans) -> Floats:
    """Return persona less baseline, case by case; NaN where either has no score.

    What lies below the rounding of the scores is taken off: a mean of three times 0.1 is 0.1, and
    a persona that adds 0.1 everywhere differs by the same everywhere.

    Returns
    -------
    Floats
        Shape ``(..., n_cases)``, in the score's units.
    """
    return _without_rounding(np.asarray(persona.mean - baseline.mean), persona, baseline)


def double_differences(
    persona: CaseMeans, baseline: CaseMeans, persona_there: CaseMeans, baseline_there: CaseMeans
) -> Floats:
    """Return how much larger a persona's difference is here than there, case by case.

    Rounding is taken off as in ``differences``, once and from the scores: of two differences that
    were rounded each for itself, what is left may be as large as what was taken off.

    Returns
    -------
    Floats
        Shape ``(..., n_cases)``, in the score's units; NaN where one of the four has no score.
    """
    here, there = persona.mean - baseline.mean, persona_there.mean - baseline_there.mean
    sides = (persona, baseline, persona_there, baseline_there)
    return _without_rounding(np.asarray(here - there), *sides)


def _without_rounding(d: Floats, *sides: CaseMeans) -> Floats:
    size = np.max(np.broadcast_arrays(*(np.abs(side.mean) for side in sides)), axis=0)
    largest = np.where(np.isnan(d), 0.0, size).max(axis=-1, initial=0.0)
    # A power of two, so that rounding to its multiples adds no error of its own.
    step = np.exp2(np.floor(np.log2(np.maximum(largest, 1e-290) * _STEP)))[..., None]
    return np.asarray(np.round(d / step) * step)


def moments(d: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return pairs, mean and standard deviation of the differences, over the last axis.

    Returns
    -------
    tuple
        ``n`` (pairs), ``effect`` (NaN without a pair) and ``sd`` (NaN below two pairs, and exactly
        0 where all differences are equal), each of shape ``d.shape[:-1]``.
    """
    paired = ~np.isnan(d)
    n = paired.sum(axis=-1)
    filled = np.where(paired, d, 0.0)
    effect = np.divide(filled.sum(axis=-1), n, out=np.full(n.shape, np.nan), where=n > 0)
    deviations = np.where(paired, d - effect[..., None], 0.0)
    total = (deviations**2).sum(axis=-1)
    variance = np.divide(total, n - 1, out=np.full(n.shape, np.nan), where=n > 1)
    sd = np.sqrt(variance)
    equal = sd <= _ROUNDING * np.abs(filled).max(axis=-1, initial=0.0)
    return n, effect, np.where(equal, 0.0, sd)


def skewness(d: Floats) -> Floats:
    """Return the skewness of the differences; 0 where they have no spread or no pair.

    Returns
    -------
    Floats
        Shape ``d.shape[:-1]``, without unit: the third moment over the cubed deviation.
    """
    n, effect, _ = moments(d)
    deviations = np.where(np.isnan(d), 0.0, d - effect[..., None])
    spread = np.sqrt((deviations**2).sum(axis=-1) / np.maximum(n, 1))
    third = (deviations**3).sum(axis=-1) / np.maximum(n, 1)
    return np.asarray(np.divide(third, spread**3, out=np.zeros(n.shape), where=spread > 1e-100))


def t_interval(d: Floats) -> tuple[Floats, Floats]:
    """Return the 95% interval of the mean difference, from the spread of the differences.

    One difference a case makes the standard error the one clustered by case: repeats are averaged
    before anything is squared, and what they share cannot count twice.

    Parameters
    ----------
    d
        Shape ``(..., n_cases)``, from ``differences``.

    Returns
    -------
    tuple
        ``low`` and ``high``, shape ``(...)``, in the score's units. NaN below two pairs, and where
        all differences are equal: a width of 0 would read as certainty.

    Notes
    -----
    Student's t with ``n_cases - 1`` degrees of freedom. Simulated (``bench/simulate.py``): 95% from
    five cases on where differences are symmetric; of lopsided ones it covers too seldom (lognormal:
    84% with 10 cases, 90% with 50), which the effect table says of such scores.
    """
    n, effect, sd = moments(d)
    known = (n > 1) & (sd > 0)
    degrees = np.where(known, n - 1, 1)
    half = special().stdtrit(degrees, 0.975) * sd / np.sqrt(np.maximum(n, 1))
    half = np.where(known, half, np.nan)
    return effect - half, effect + half


def binary_interval(d: Floats, *, bound: float = 1.0) -> tuple[Floats, Floats]:
    """Return the 95% interval of the mean difference of scores that are 0 or 1.

    Where few cases differ, their spread is underestimated, and is 0 where none do: an interval
    of t then covers far too seldom (simulated: 75% with 30 cases that are right 97 times in 100).
    With fewer than ``FEW_DIFFER`` such cases, two made-up ones are added before it is computed,
    one that differs by +1 and one by -1; so even equal scores leave an honest width.

    Parameters
    ----------
    d
        Shape ``(..., n_cases)``, from ``differences``, within -1 and 1.
    bound
        2 for ``double_differences``, which lie within -2 and 2.

    Returns
    -------
    tuple
        ``low`` and ``high``, shape ``(...)``, within ``-bound`` and ``bound``; NaN below two pairs.
        The observed effect always lies between them.

    Notes
    -----
    Bonett and Price (2012), "Adjusted Wald Confidence Interval for a Difference of Binomial
    Proportions Based on Paired Data", with t in place of the normal quantile. With repeats, and
    with very few cases that differ, it is wider than it need be: 97 to 100% coverage.
    """
    n, effect, _ = moments(d)
    extra = np.broadcast_to(np.array([1.0, -1.0]), (*d.shape[:-1], 2))
    many_differ = (np.isfinite(d) & (d != 0)).sum(axis=-1) >= FEW_DIFFER
    # Eight equal differences have no spread either, and so no interval of t.
    ends = [
        np.where(many_differ & ~np.isnan(plain), plain, adjusted)
        for plain, adjusted in zip(
            t_interval(d), t_interval(np.concatenate([d, extra], axis=-1)), strict=True
        )
    ]
    low = np.minimum(np.maximum(ends[0], -bound), effect)
    high = np.maximum(np.minimum(ends[1], bound), effect)
    return np.where(n > 1, low, np.nan), np.where(n > 1, high, np.nan)


def noise_floor(*sides: CaseMeans) -> Floats:
    """Estimate how far two sets of draws of one and the same persona would lie apart.

    Or, of four sides, how far the difference of two such differences would lie from 0.

    A persona is never equal to itself: asked again, it scores otherwise. 95% of such differences
    stay below the floor, with as many cases and repeats as here. The variance of a draw around
    its case's mean is pooled over all sides and all paired cases.

    Returns
    -------
    Floats
        Shape ``(...)``, in the score's units; NaN (unknown, not 0) where no case has two draws.
        0 where draws were made and all are equal: seen, but no guarantee.

    Notes
    -----
    With variance ``s2`` of one draw, the difference of two means over ``n`` cases has variance
    ``s2 * sum(1/r1 + 1/r2) / n**2``; the quantile is Student's, since ``s2`` is an estimate.
    """
    paired = np.all(np.broadcast_arrays(*(side.draws > 0 for side in sides)), axis=0)
    n = paired.sum(axis=-1)

    def pooled(terms: list[Floats]) -> Floats:
        total = np.sum(np.broadcast_arrays(*terms), axis=0)
        return np.asarray(np.where(paired, total, 0.0).sum(axis=-1))

    degrees = pooled([np.maximum(side.draws - 1.0, 0.0) for side in sides])
    squares = pooled([side.squares for side in sides])
    shares = pooled([1.0 / np.maximum(side.draws, 1) for side in sides])
    known = degrees > 0
    s2 = np.divide(squares, degrees, out=np.full(degrees.shape, np.nan), where=known)
    quantile = special().stdtrit(np.where(known, degrees, 1.0), 0.975)
    return np.asarray(quantile * np.sqrt(s2 * shares) / np.maximum(n, 1))


def skewed(d: Floats) -> NDArray[np.bool_]:
    """Tell whether cases are too few for ``t_interval``, given the skewness of the differences.

    Returns
    -------
    numpy.ndarray
        Shape ``d.shape[:-1]``.

    Notes
    -----
    Cochran (1977), "Sampling Techniques", section 2.15: 25 times the squared skewness.
    """
    g = np.abs(skewness(d))
    return np.asarray((g > 1) & ((~np.isnan(d)).sum(axis=-1) < 25 * g**2))


def wilson(share: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return the 95% interval of a share: it stays within 0 and 1, and is never a point.

    Parameters
    ----------
    share
        Of 1 and not of 100, any shape.
    n
        What it is a share of, the same shape; NaN comes back where it is 0.

    Notes
    -----
    Wilson (1927), "Probable inference", JASA 22, 209-212.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
        half = _Z / (1 + _Z**2 / n) * np.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def mcnemar(persona: CaseMeans, baseline: CaseMeans) -> Floats:
    """Return McNemar's exact two-sided p, for scores of 0 or 1 drawn once.

    Returns
    -------
    Floats
        Shape ``(...)``; NaN below two pairs, or where any pair has more than one draw: the test
        knows of no repeats.

    Notes
    -----
    McNemar (1947); the cases that differ are tosses of a fair coin.
    """
    d = differences(persona, baseline)
    paired = ~np.isnan(d)
    once = ((persona.draws == 1) & (baseline.draws == 1)) | ~paired
    more, less = (d > 0).sum(axis=-1), (d < 0).sum(axis=-1)
    p = np.minimum(1.0, 2 * special().bdtr(np.minimum(more, less), more + less, 0.5))
    return np.where(once.all(axis=-1) & (paired.sum(axis=-1) > 1), p, np.nan)
