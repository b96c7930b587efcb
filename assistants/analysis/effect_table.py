"""The rows of effect tables: comparisons of any kind, tested together, each with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.paired import moments
from assistants.analysis.permutation import EXACT, FLIPS, Floats, holm, sign_flip
from assistants.analysis.power import cases_needed, special
from assistants.analysis.verdict import FEWEST_CASES, VerdictInput, note, verdict

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple(
    "persona model n_cases n_trials n_missing mean baseline_mean effect low high p p_adjusted "
    "size noise_floor cases_needed mcnemar_p verdict note".split()
)
"""Columns of an effect table, in order."""

PERCENTAGE_POINTS = "percentage points"

BOTH_ENDS_POWER = 0.9
"""Chance that one end of an interval lies within a margin, so that both do 8 times in 10."""

_SCALED = ("mean", "baseline_mean", "effect", "low", "high", "noise_floor", "sd")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of one score, case by case, and what is known beside them; one row per arm.

    Attributes
    ----------
    rows
        Persona and model of each row.
    d
        The differences, shape ``(n_rows, n_cases)``, in the score's units; NaN where not paired.
    numbers
        Columns of the table, and ``sd``, ``uneven`` and ``skewed``; each of shape ``(n_rows,)``.
    arm
        What is compared, for notes: ``persona`` or ``model``.
    baseline_lost, planned
        Trials without a score on the baseline's side, and trials of one side in all.
    unit
        Of the score, in the plural.
    binary
        Scores are 0 or 1, and the table is in percentage points.
    smallest_effect
        Smallest difference that would matter, in the units of the table.
    """

    rows: tuple[tuple[str, str], ...]
    d: Floats
    numbers: dict[str, NDArray[Any]]
    arm: str
    baseline_lost: int
    planned: int
    unit: str
    binary: bool
    smallest_effect: float | None


def effect_numbers(
    d: Floats,
    sides: tuple[Floats, Floats],
    intervals: tuple[Floats, Floats],
    lost: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> dict[str, NDArray[Any]]:
    """Return the columns that all kinds of comparisons compute alike.

    Parameters
    ----------
    d
        Shape ``(n_rows, n_cases)``, from ``paired.differences``.
    sides
        What is compared and what with, case by case; each broadcasts to the shape of ``d``.
    intervals
        ``low`` and ``high``, shape ``(n_rows,)``.
    lost
        Trials of either side without a score: ``(n_rows, n_trials)``, and the same for the other
        side or, where all rows have the same, ``(n_trials,)``.
    """
    n, effect, sd = moments(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(sd > 0, effect / sd, np.nan)
    here, there = lost
    return {
        "n_cases": n,
        "n_trials": (~here).sum(axis=1),
        "n_missing": here.sum(axis=1),
        "mean": _over_pairs(sides[0], d),
        "baseline_mean": _over_pairs(sides[1], d),
        # One case is no effect: a difference without an interval is not shown.
        "effect": np.where(n > 1, effect, np.nan),
        "sd": sd,
        "low": intervals[0],
        "high": intervals[1],
        "size": size,
        "uneven": _uneven(here, there),
    }


def effect_tables(comparisons: Sequence[Comparison], *, seed: int = 0) -> list[pd.DataFrame]:
    """Return one table per comparison, its p adjusted over the rows of all of them together.

    Parameters
    ----------
    comparisons
        Each with at least one row.
    seed
        Of the random permutations.
    """
    if not comparisons:
        return []
    rows = sum(len(c.rows) for c in comparisons)
    flips = max(FLIPS, 200 * rows - 1)
    p = np.concatenate([sign_flip(c.d, seed=seed, flips=flips) for c in comparisons])
    adjusted = holm(p)
    least = _least_p(np.concatenate([moments(c.d)[0] for c in comparisons]))
    tables, start = [], 0
    for one in comparisons:
        stop = start + len(one.rows)
        tables.append(_table(one, p[start:stop], adjusted[start:stop], least, rows))
        start = stop
    return tables


def _table(one: Comparison, p: Floats, adjusted: Floats, least: float, rows: int) -> pd.DataFrame:
    import pandas as pd

    scale = 100.0 if one.binary else 1.0
    unit = PERCENTAGE_POINTS if one.binary else one.unit
    data = {k: v * scale if k in _SCALED else v for k, v in one.numbers.items()}
    data |= {"p": p, "p_adjusted": adjusted}
    for name, values in zip(("persona", "model"), zip(*one.rows, strict=True), strict=True):
        data[name] = np.array(values, dtype=object)
    verdict_inputs = [
        VerdictInput(
            n_cases=int(data["n_cases"][i]),
            n_all_cases=one.d.shape[1],
            effect=float(data["effect"][i]),
            sd=float(data["sd"][i]),
            low=float(data["low"][i]),
            high=float(data["high"][i]),
            p_adjusted=float(adjusted[i]),
            noise_floor=float(data["noise_floor"][i]),
            least_p=least,
            lost=int(data["n_missing"][i]),
            baseline_lost=one.baseline_lost,
            planned=one.planned,
            uneven=bool(data["uneven"][i]),
            skewed=bool(data["skewed"][i]),
            arm=one.arm,
        )
        for i in range(len(p))
    ]
    table = pd.DataFrame({name: data[name] for name in COLUMNS if name in data})
    smallest = one.smallest_effect
    needed = [_needed(f.effect, f.sd, rows, smallest) for f in verdict_inputs]
    table["cases_needed"] = pd.array(needed, dtype="Int64")
    table["verdict"] = [verdict(f, unit=unit, smallest_effect=smallest) for f in verdict_inputs]
    table["note"] = [note(f, unit=unit, smallest_effect=smallest) for f in verdict_inputs]
    types = {"persona": "str", "model": "str", "verdict": "str", "note": "str"}
    return table[list(COLUMNS)].astype(types)


def _over_pairs(side: Floats, d: Floats) -> Floats:
    """Return the mean over the paired cases, so that one side less the other is the effect."""
    return moments(np.where(np.isnan(d), np.nan, side))[1]


def _needed(effect: float, sd: float, rows: int, smallest_effect: float | None) -> int | None:
    """Return about how many cases a verdict needs, were the effect as large as observed."""
    if not sd > 0 or np.isnan(effect):  # NaN is not above 0
        return None
    ways = [_cases(effect, sd, personas=rows)]
    if smallest_effect is not None and abs(effect) < smallest_effect:
        within = _cases(smallest_effect - abs(effect), sd, power=BOTH_ENDS_POWER)
        ways.append(None if within is None else max(within, FEWEST_CASES))
    return min((n for n in ways if n is not None), default=None)


def _cases(effect: float, sd: float, **more: Any) -> int | None:
    try:
        return cases_needed(effect, sd, **more)
    except ValueError:  # an effect that is 0, perhaps but for rounding
        return None


def _least_p(n: NDArray[np.int64]) -> float:
    """Return the smallest adjusted p that the table can have, whatever the scores."""
    tested = n[n > 1]
    if not len(tested):
        return 1.0
    fewest = 2.0 ** (1 - int(tested.max())) if tested.max() <= EXACT else 0.0
    return min(1.0, fewest * len(tested))


def _uneven(lost: NDArray[np.bool_], lost_there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell whether trials are missing on one side more than chance or 5 in 100 explains."""
    only_here = (lost & ~lost_there).sum(axis=1)
    only_there = (lost_there & ~lost).sum(axis=1)
    either = only_here + only_there
    p = 2 * special().bdtr(np.minimum(only_here, only_there), either, 0.5)
    far = np.abs(only_here - only_there) > 0.05 * lost.shape[1]
    return np.asarray((p < 0.05) | far)
