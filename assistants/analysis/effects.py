"""Effect tables: what each persona, or another model, changed, with uncertainty and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from assistants.analysis.effect_table import (
    COLUMNS,
    Comparison,
    effect_numbers,
    effect_tables,
)
from assistants.analysis.paired import (
    binary_interval,
    by_case,
    differences,
    double_differences,
    mcnemar,
    noise_floor,
    skewed,
    t_interval,
)
from assistants.analysis.permutation import Floats
from assistants.analysis.score_matrix import Grid, grids
from assistants.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import pandas as pd

Arm: TypeAlias = Literal["persona", "model"]
"""Column whose values are compared with one another, within each value of the other column."""

_MANY_CUT = 0.5
"""Share of one side's answers cut at a token limit from which the table says so."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """One score of a run: its name, one row per trial, and how to speak of it.

    Attributes
    ----------
    frame
        ``persona``, ``model``, ``case``, ``repeat`` and ``value``, which is NaN where a trial
        failed, is missing or does not count. The order of rows does not matter.
    unit
        In the plural (``words``), for verdicts.
    binary
        Scores are 0 or 1. Means, effects and the like are then given in percentage points, the
        interval allows for few cases that differ, and McNemar's test is added.
    smallest_effect
        Smallest difference that would matter, in the units of the table (percentage points where
        ``binary``). Without it, "no difference" is said of narrow intervals (``verdict``).
    """

    name: str
    frame: pd.DataFrame
    unit: str = ""
    binary: bool = False
    smallest_effect: float | None = None


def effects(
    frame: pd.DataFrame,
    score: str,
    *,
    baseline: str,
    by: Arm = "persona",
    unit: str = "",
    binary: bool = False,
    smallest_effect: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each persona, or each model, with the baseline: one row per persona and model.

    Parameters
    ----------
    frame, unit, binary, smallest_effect
        As in ``ScoreTable``.
    score
        What the values are, for messages.
    baseline
        The persona that the others are compared with, on the same cases and model; or, ``by``
        model, the model that the others are compared with, on the same cases and persona.
    by
        What is compared: ``persona`` or ``model``.
    seed
        Of the random permutations: the same seed gives the same table.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``; the baseline has no row. ``n_cases`` counts cases scored on both sides,
        and everything but ``n_trials`` and ``n_missing`` is over those. ``n_trials`` counts the
        row's trials with a score, ``n_missing`` those without (or without a row).
        ``low`` and ``high`` are of the 95% interval, clustered by case and not widened for the
        number of rows; ``p_adjusted`` is ``p`` after Holm over all rows of the table.
        ``size`` is Cohen's d_z: the effect over the standard deviation of the case differences.
        ``noise_floor`` is how far the row would lie from itself, asked again.
        ``cases_needed`` is for 80% power at the observed effect, all rows of the table counted,
        or for an interval within ``smallest_effect`` if fewer do for that; about: the effect
        itself is uncertain. NaN or NA is "not known", never 0.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, a value is infinite, ``binary`` scores are
        other than 0 and 1, or ``smallest_effect`` is not above 0.
    UnknownNameError
        If no row is of ``baseline``, or ``by`` is another word.
    MissingDependencyError
        If scipy is not installed.
    """
    table = ScoreTable(score, frame, unit, binary, smallest_effect)
    parts = effect_tables(_comparisons(table, baseline, by), seed=seed)
    return _joined(parts)


def effects_of_scores(
    scores: Sequence[ScoreTable], *, baseline: str, by: Arm, seed: int = 0
) -> pd.DataFrame:
    """Return the effect tables of several scores as one family: p is adjusted over all rows.

    Parameters and errors are those of ``effects``.

    Returns
    -------
    pandas.DataFrame
        The column ``scorer``, then ``effect_table.COLUMNS``.
    """
    comparisons = [(table.name, _comparisons(table, baseline, by)) for table in scores]
    names = [name for name, of_score in comparisons for _ in of_score]
    parts = effect_tables([c for _, of_score in comparisons for c in of_score], seed=seed)
    for name, part in zip(names, parts, strict=True):
        part.insert(0, "scorer", name)
    return _joined(parts, ("scorer", *COLUMNS))


def interactions(
    table: ScoreTable, *, baseline: str, baseline_model: str, seed: int = 0
) -> pd.DataFrame:
    """Compare each persona's effect between models: one row per persona and model.

    A persona's effect is its difference from the baseline persona, case by case. What is given
    here is how much larger that is on a model than on the baseline model, on the same cases: a
    difference of differences.

    Parameters
    ----------
    table
        The score.
    baseline
        The persona that the others are compared with.
    baseline_model
        The model whose effects those on the other models are compared with.
    seed
        Of the random permutations.

    Returns
    -------
    pandas.DataFrame
        Columns as ``effects`` has them; the baseline persona and the baseline model have no row.
        ``n_cases`` counts cases with all four scores (persona and baseline, on both models).
        ``mean`` is the persona's effect on the row's model, ``baseline_mean`` that on the
        baseline model, ``effect`` the first less the second. ``n_trials`` and ``n_missing`` are
        of the persona and the baseline on the row's model. ``noise_floor`` is how far from 0 the
        difference would be if all four were one persona on one model. ``mcnemar_p`` is not known.

    Raises
    ------
    UsageError, UnknownNameError, MissingDependencyError
        As ``effects`` does.
    """
    models = _checked(table)
    for kind, name, known in (
        ("persona", baseline, {p for grid in models for p in grid.personas}),
        ("model", baseline_model, {grid.model for grid in models}),
    ):
        if name not in known:
            raise UnknownNameError(kind, name, known)
    rows = [
        (persona, grid.model)
        for grid in models
        for persona in grid.personas
        if persona != baseline and grid.model != baseline_model
    ]
    if not rows:
        return _joined([])
    cells = _Cells(table.frame, table.name)
    values = [
        np.stack([cells.of(*cell) for cell in side])
        for side in (
            rows,
            [(baseline, model) for _, model in rows],
            [(persona, baseline_model) for persona, _ in rows],
            [(baseline, baseline_model)] * len(rows),
        )
    ]
    here, base, there, base_there = sides = [by_case(of_side) for of_side in values]
    d = double_differences(here, base, there, base_there)
    lost = np.isnan(np.stack(values)).reshape(4, len(rows), -1)
    both = np.concatenate([lost[0], lost[1]], axis=1)
    both_there = np.concatenate([lost[2], lost[3]], axis=1)
    numbers = effect_numbers(
        d,
        (here.mean - base.mean, there.mean - base_there.mean),
        binary_interval(d, bound=2.0) if table.binary else t_interval(d),
        (both, both_there),
    )
    numbers |= {
        "noise_floor": noise_floor(*sides),
        "mcnemar_p": np.full(len(rows), np.nan),
        "skewed": np.zeros(len(rows), bool) if table.binary else skewed(d),
    }
    # One comparison per row, because each has missing trials of its own on the other side.
    comparisons = [
        Comparison(
            (row,), d[[i]], {name: column[[i]] for name, column in numbers.items()}, "model",
            int(both_there[i].sum()), both.shape[1], table.unit, table.binary,
            table.smallest_effect,
        )
        for i, row in enumerate(rows)
    ]  # fmt: skip
    return _joined(effect_tables(comparisons, seed=seed))


def note_truncation(
    table: pd.DataFrame, frame: pd.DataFrame, baseline: str, by: Arm = "persona"
) -> pd.DataFrame:
    """Add a note to the effect table where many answers of a side were cut.

    Parameters
    ----------
    table
        As ``effects`` makes it.
    frame
        What it was made of, with the ``status`` of each trial.
    baseline
        The persona, or the model, that the others are compared with.
    by
        What is compared.
    """
    counted = frame[frame["value"].notna()]
    cut = (counted["status"] == "length").groupby([counted["persona"], counted["model"]])
    cut_counts = cut.agg(["sum", "count"])

    def cut_note(persona: str, model: str) -> str:
        other = (baseline, model) if by == "persona" else (persona, baseline)
        cells = ((persona, model), other)
        sides = [cut_counts.loc[cell] for cell in cells if cell in cut_counts.index]
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


def check_arm(by: str, others: Sequence[str] = ()) -> Arm:
    """Return the word for what is compared, if it is one; ``others`` would have been words too.

    Raises
    ------
    UnknownNameError
        If it is none.
    """
    for arm in get_args(Arm):
        if by == arm:
            return arm  # type: ignore[no-any-return]
    raise UnknownNameError("comparison", by, [*get_args(Arm), *others])


def _joined(parts: Sequence[pd.DataFrame], columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    import pandas as pd

    if not parts:
        return pd.DataFrame({name: [] for name in columns})
    return pd.concat(parts, ignore_index=True)


def _checked(table: ScoreTable) -> list[Grid]:
    """Return the scores, one array per model, once they are what they are said to be."""
    smallest = table.smallest_effect
    if smallest is not None and not smallest > 0:
        raise UsageError(f"smallest_effect is {smallest}; a difference that matters is above 0.")
    models = grids(table.frame, table.name)
    if table.binary and any(_not_binary(grid) for grid in models):
        raise UsageError(
            f"{table.name!r} has values other than 0 and 1.",
            fix="Leave out `binary` for this score.",
        )
    return models


def _comparisons(table: ScoreTable, baseline: str, by: str) -> list[Comparison]:
    arm = check_arm(by)
    places = _checked(table)
    if arm == "model":
        # The same array with the other axis within: models as arms, one grid per persona.
        swapped = table.frame.rename(columns={"persona": "model", "model": "persona"})
        places = grids(swapped, table.name)
    names = {name for grid in places for name in grid.personas}
    if baseline not in names:
        raise UnknownNameError(arm, baseline, names)
    comparisons = (_compare(grid, baseline, arm, table) for grid in places)
    return [comparison for comparison in comparisons if comparison.rows]


def _compare(grid: Grid, baseline: str, arm: Arm, table: ScoreTable) -> Comparison:
    others = [i for i, name in enumerate(grid.personas) if name != baseline]
    ours = grid.values[others]
    # A model that never met the baseline is compared with nothing, and says so.
    theirs = (
        grid.of(baseline) if baseline in grid.personas else np.full_like(grid.values[0], np.nan)
    )
    persona, base = by_case(ours), by_case(theirs)
    d = differences(persona, base)
    lost, lost_there = np.isnan(ours).reshape(len(ours), theirs.size), np.isnan(theirs).ravel()
    intervals = binary_interval(d) if table.binary else t_interval(d)
    numbers = effect_numbers(d, (persona.mean, base.mean), intervals, (lost, lost_there))
    unknown = np.full(len(others), np.nan)
    numbers |= {
        "noise_floor": noise_floor(persona, base),
        "mcnemar_p": mcnemar(persona, base) if table.binary else unknown,
        "skewed": np.zeros(len(others), bool) if table.binary else skewed(d),
    }
    names = [(grid.personas[i], grid.model) for i in others]
    return Comparison(
        rows=tuple(names if arm == "persona" else [(place, name) for name, place in names]),
        d=d,
        numbers=numbers,
        arm=arm,
        baseline_lost=int(lost_there.sum()),
        planned=lost_there.size,
        unit=table.unit,
        binary=table.binary,
        smallest_effect=table.smallest_effect,
    )


class _Cells:
    """The scores of each persona on each model, over the cases and repeats of all of them."""

    def __init__(self, frame: pd.DataFrame, score: str) -> None:
        import pandas as pd

        pairs = pd.MultiIndex.from_frame(frame[["persona", "model"]])
        codes, cells = pd.factorize(pairs)
        # One grid whose rows are pairs, so that cases line up where a model lacks some.
        (grid,) = grids(frame.assign(persona=codes.astype(str), model=""), score)
        self._values = grid.values[np.argsort([int(code) for code in grid.personas])]
        self._places = {cell: place for place, cell in enumerate(cells)}

    def of(self, persona: str, model: str) -> Floats:
        """Return the scores, shape ``(n_cases, n_repeats)``, all NaN where nothing was asked."""
        place = self._places.get((persona, model))
        if place is None:
            return np.full(self._values.shape[1:], np.nan)
        return np.asarray(self._values[place])


def _not_binary(grid: Grid) -> bool:
    v = grid.values
    return bool(((v != 0) & (v != 1) & ~np.isnan(v)).any())
