"""The effect table: what each persona changed, with its uncertainty and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.paired import (
    CaseMeans,
    binary_interval,
    by_case,
    differences,
    mcnemar,
    moments,
    noise_floor,
    skewed,
    t_interval,
)
from assistants.analysis.permutation import EXACT, FLIPS, Floats, holm, sign_flip
from assistants.analysis.power import cases_needed, special
from assistants.analysis.score_matrix import Grid, grids
from assistants.analysis.verdict import VerdictInput, note, verdict
from assistants.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple(
    "persona model n_cases n_trials n_missing mean baseline_mean effect low high p p_adjusted "
    "size noise_floor cases_needed mcnemar_p verdict note".split()
)
"""Columns of the effect table, in order."""

PERCENTAGE_POINTS = "percentage points"

_MANY_CUT = 0.5
"""Share of one side's answers cut at a token limit from which the table says so."""


def effects(
    frame: pd.DataFrame,
    score: str,
    *,
    baseline: str,
    unit: str = "",
    binary: bool = False,
    smallest_effect: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each persona with the baseline: one row per persona and model.

    Parameters
    ----------
    frame
        One row a trial: ``persona``, ``model``, ``case``, ``repeat`` and ``value``, which is NaN
        where a trial failed, is missing or does not count. The order of rows does not matter.
    score
        What the values are, for messages.
    baseline
        The persona that the others are compared with, on the same cases and model.
    unit
        Of the score, in the plural (``words``), for verdicts.
    binary
        Scores are 0 or 1. Means, effects and the like are then given in percentage points, the
        interval allows for few cases that differ, and McNemar's test is added.
    smallest_effect
        Smallest difference that would matter, in the units of the table (percentage points where
        ``binary``). Without it, "no difference" is said of narrow intervals (``verdict``).
    seed
        Of the random permutations: the same seed gives the same table.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``; the baseline has no row. ``n_cases`` counts cases scored on both sides,
        and everything but ``n_trials`` and ``n_missing`` is over those. ``n_trials`` counts the
        persona's trials with a score, ``n_missing`` those without (or without a row).
        ``low`` and ``high`` are of the 95% interval, clustered by case and not widened for the
        number of personas; ``p_adjusted`` is ``p`` after Holm over all rows of the table.
        ``size`` is Cohen's d_z: the effect over the standard deviation of the case differences.
        ``noise_floor`` is how far the persona would lie from itself, asked again.
        ``cases_needed`` is for 80% power at the observed effect, all rows of the table counted,
        about: the effect itself is uncertain. NaN or NA is "not known", never 0.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, a value is infinite, ``binary`` scores are
        other than 0 and 1, or ``smallest_effect`` is not above 0.
    UnknownNameError
        If no row is of ``baseline``.
    MissingDependencyError
        If scipy is not installed.
    """
    import pandas as pd

    if smallest_effect is not None and not smallest_effect > 0:
        raise UsageError(
            f"smallest_effect is {smallest_effect}; a difference that matters is above 0."
        )
    models = grids(frame, score)
    names = {name for grid in models for name in grid.personas}
    if baseline not in names:
        raise UnknownNameError("persona", baseline, names)
    if binary and any(_not_binary(grid) for grid in models):
        raise UsageError(
            f"{score!r} has values other than 0 and 1.", fix="Leave out `binary` for this score."
        )
    compared = [c for c in (_compare(grid, baseline, binary) for grid in models) if c.personas]
    if not compared:
        return pd.DataFrame({name: [] for name in COLUMNS})
    rows = sum(len(c.personas) for c in compared)
    flips = max(FLIPS, 200 * rows - 1)
    p = np.concatenate([sign_flip(c.d, seed=seed, flips=flips) for c in compared])
    adjusted = holm(p)
    unit = PERCENTAGE_POINTS if binary else unit
    least = _least_p(np.concatenate([moments(c.d)[0] for c in compared]))
    parts, start = [], 0
    for one in compared:
        stop = start + len(one.personas)
        parts.append(
            _table(one, p[start:stop], adjusted[start:stop], least, rows, unit, smallest_effect)
        )
        start = stop
    return pd.concat(parts, ignore_index=True)


def note_truncation(table: pd.DataFrame, frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Add a note to the effect table where many answers of a side were cut.

    Parameters
    ----------
    table
        As ``effects`` makes it.
    frame
        What it was made of, with the ``status`` of each trial.
    baseline
        The persona that the others are compared with.
    """
    counted = frame[frame["value"].notna()]
    cut = (counted["status"] == "length").groupby([counted["persona"], counted["model"]])
    cut_counts = cut.agg(["sum", "count"])

    def cut_note(persona: str, model: str) -> str:
        sides = [
            cut_counts.loc[(p, model)]
            for p in (persona, baseline)
            if (p, model) in cut_counts.index
        ]
        if len(sides) < 2 or all(side["sum"] < _MANY_CUT * side["count"] for side in sides):
            return ""
        here, there = (f"{side['sum']:,} of {side['count']:,}" for side in sides)
        return (
            f"Cut at the token limit: {here} answers, {there} of the baseline's. "
            "What they would have gone on to say does not count."
        )

    notes = [
        " ".join(filter(None, (row.note, cut_note(row.persona, row.model))))
        for row in table.itertuples()
    ]
    return table.assign(note=notes).astype({"note": "str"})


@dataclass(frozen=True, slots=True)
class _Compared:
    """The personas of one model beside its baseline; numbers of shape ``(n_personas,)``."""

    model: str
    personas: tuple[str, ...]
    d: Floats  # (n_personas, n_cases)
    numbers: dict[str, NDArray[Any]]
    scale: float  # 100 for percentage points
    baseline_lost: int
    planned: int


def _compare(grid: Grid, baseline: str, binary: bool) -> _Compared:
    others = [i for i, name in enumerate(grid.personas) if name != baseline]
    ours = grid.values[others]
    # A model that never met the baseline is compared with nothing, and says so.
    theirs = (
        grid.of(baseline) if baseline in grid.personas else np.full_like(grid.values[0], np.nan)
    )
    persona, base = by_case(ours), by_case(theirs)
    d = differences(persona, base)
    n, effect, sd = moments(d)
    low, high = binary_interval(d) if binary else t_interval(d)
    unknown = np.full(len(others), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(sd > 0, effect / sd, np.nan)
    lost, lost_there = np.isnan(ours), np.isnan(theirs)
    numbers: dict[str, NDArray[Any]] = {
        "n_cases": n,
        "n_trials": (~lost).sum(axis=(1, 2)),
        "n_missing": lost.sum(axis=(1, 2)),
        "mean": _over_pairs(persona, d),
        "baseline_mean": _over_pairs(base, d),
        # One case is no effect: a difference without an interval is not shown.
        "effect": np.where(n > 1, effect, np.nan),
        "sd": sd,
        "low": low,
        "high": high,
        "size": size,
        "noise_floor": noise_floor(persona, base),
        "mcnemar_p": mcnemar(persona, base) if binary else unknown,
        "uneven": _uneven(lost, lost_there),
        "skewed": np.zeros(len(others), bool) if binary else skewed(d),
    }
    return _Compared(
        grid.model,
        tuple(grid.personas[i] for i in others),
        d,
        numbers,
        100.0 if binary else 1.0,
        int(lost_there.sum()),
        lost_there.size,
    )


def _table(
    one: _Compared,
    p: Floats,
    adjusted: Floats,
    least: float,
    rows: int,
    unit: str,
    smallest_effect: float | None,
) -> pd.DataFrame:
    import pandas as pd

    scaled = ("mean", "baseline_mean", "effect", "low", "high", "noise_floor", "sd")
    data = {k: v * one.scale if k in scaled else v for k, v in one.numbers.items()}
    data |= {"p": p, "p_adjusted": adjusted, "persona": np.array(one.personas, dtype=object)}
    data["model"] = np.full(len(p), one.model, dtype=object)
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
        )
        for i in range(len(p))
    ]
    table = pd.DataFrame({name: data[name] for name in COLUMNS if name in data})
    needed = [_needed(f.effect, f.sd, rows) for f in verdict_inputs]
    table["cases_needed"] = pd.array(needed, dtype="Int64")
    table["verdict"] = [
        verdict(f, unit=unit, smallest_effect=smallest_effect) for f in verdict_inputs
    ]
    table["note"] = [note(f, unit=unit, smallest_effect=smallest_effect) for f in verdict_inputs]
    types = {"persona": "str", "model": "str", "verdict": "str", "note": "str"}
    return table[list(COLUMNS)].astype(types)


def _over_pairs(side: CaseMeans, d: Floats) -> Floats:
    """Return the mean over the paired cases, so that persona less baseline is the effect."""
    return moments(np.where(np.isnan(d), np.nan, side.mean))[1]


def _needed(effect: float, sd: float, rows: int) -> int | None:
    if not sd > 0 or not abs(effect) > 0:  # NaN is neither
        return None
    try:
        return cases_needed(effect, sd, personas=rows)
    except ValueError:  # an effect that is 0 but for rounding
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
    only_here = (lost & ~lost_there).sum(axis=(1, 2))
    only_there = (lost_there & ~lost).sum(axis=(1, 2))
    either = only_here + only_there
    p = 2 * special().bdtr(np.minimum(only_here, only_there), either, 0.5)
    far = np.abs(only_here - only_there) > 0.05 * lost_there.size
    return np.asarray((p < 0.05) | far)


def _not_binary(grid: Grid) -> bool:
    v = grid.values
    return bool(((v != 0) & (v != 1) & ~np.isnan(v)).any())
