"""Distributions of a score: trials as dots with quartiles, or shares for scores of 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.paired import by_case, wilson
from assistants.analysis.permutation import Floats
from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.layout import (
    MOST_MODELS,
    chart_of,
    not_shown,
    refuse_other_than_binary,
    row_axis,
    score_grids,
    spread_out,
    stack_panels,
    with_air,
)
from assistants.analysis.plots.style import BLUE, GREY, INK, SKY, altair, number, short_name
from assistants.messages import AVERAGED
from assistants.utils import pluralize

if TYPE_CHECKING:
    import pandas as pd

    from assistants.analysis.score_matrix import Grid

MOST_ROWS, MOST_DOTS = 40, 2_000
"""Limits of a figure: more personas and dots are left out at even steps of their order."""

_WIDTH = 400
_GOLDEN = 0.6180339887498949


def distributions(
    scores: pd.DataFrame,
    *,
    score: str,
    unit: str = "",
    binary: bool = False,
    statuses: Collection[str] = AVERAGED,
) -> Figure:
    """Draw one row per persona: trials as dots, the middle half as a bar, the median as a line.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    score
        Name of a scorer, if the table has several; and for titles.
    unit
        Of the score.
    binary
        Scores are 0 or 1: a row is the share of 1 with its Wilson interval, over cases. Repeats of
        a case are no further cases, so they make the interval no narrower.
    statuses
        The statuses of trials that count.

    Raises
    ------
    UsageError
        If the table has no row, lacks a column, or ``binary`` scores are other than 0 and 1.
    UnknownNameError
        If it has other scores only.
    MissingDependencyError
        If altair is not installed.
    """
    grids, _ = score_grids(scores, score, statuses)
    if binary:
        refuse_other_than_binary(grids, score)
    drawn = grids[:MOST_MODELS]
    room = max(4, MOST_ROWS // len(drawn))
    table = _shares(grids) if binary else _quartiles(grids)
    records: list[dict[str, Any]] = table.rename(columns={"persona": "row"}).to_dict("records")
    shown = {
        grid.model: spread_out([r for r in records if r["model"] == grid.model], room)
        for grid in drawn
    }
    count = sum(map(len, shown.values()))
    most = MOST_DOTS // count
    values = [_known(grid.of(row["row"])) for grid in drawn for row in shown[grid.model]]
    dots_left_out = sum(max(0, len(known) - most) for known in values)
    if binary:
        title = f"{score}: share of answers"
        subtitle = (
            "Dot and line: share of 1, averaged over cases, and its 95% Wilson interval with cases "
            "as the sample: repeats of a case do not make it narrower."
        )
        axis_title = f"share, in %{f' ({unit})' if unit else ''}"
        domain = (0.0, 100.0)
    else:
        title = f"{score}: distribution by persona"
        subtitle = (
            "Each dot is one trial, moved up or down only to be seen. Bar: the middle half. Line: "
            "the median."
        )
        if dots_left_out:
            subtitle += f" {pluralize(dots_left_out, 'dot')} left out at even steps."
        axis_title = unit or score
        domain = with_air(np.concatenate(values), 0.03)
    subtitle += not_shown(len(table) - count, "row")
    package = altair()
    has_axis = any(map(len, values))
    height = package.Step(30 if count <= 16 else 22)
    panels = []
    for grid in drawn:
        rows, is_last = shown[grid.model], grid is drawn[-1]
        x = package.X(
            "x:Q",
            scale=package.Scale(domain=list(domain), nice=False, zero=False),
            axis=package.Axis(title=axis_title if is_last else None, labels=is_last and has_axis),
        )
        y = row_axis([row["row"] for row in rows])
        marks = _share_marks(rows, x, y) if binary else _dot_marks(grid, rows, most, x, y)
        chart = package.layer(*marks, *_words(rows, y, binary)).properties(
            width=_WIDTH, height=height
        )
        panels.append((grid.model, chart))
    alt = _gist(table, score, unit, binary)
    return Figure(title, stack_panels(panels, title=title, subtitle=subtitle, alt=alt), table, alt)


def _known(values: Floats) -> Floats:
    return np.sort(values[~np.isnan(values)])


def _quartiles(grids: Sequence[Grid]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for grid in grids:
        for name in grid.personas:
            values = grid.of(name)
            known = _known(values)
            quarters = np.percentile(known, [0, 25, 50, 75, 100]) if len(known) else [math.nan] * 5
            mean = float(known.mean()) if len(known) else math.nan
            rows.append((name, grid.model, len(known), values.size - len(known), mean, *quarters))
    columns = "persona model n_trials n_missing mean lowest lower_quartile median upper_quartile"
    return pd.DataFrame(rows, columns=[*columns.split(), "highest"])


def _shares(grids: Sequence[Grid]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for grid in grids:
        means = by_case(grid.values).mean
        n = (~np.isnan(means)).sum(axis=1)
        with np.errstate(invalid="ignore"):
            share = np.where(n > 0, np.nansum(means, axis=1) / n, np.nan)
        low, high = wilson(share, n.astype(float))
        trials = (~np.isnan(grid.values)).sum(axis=(1, 2))
        parts.append(
            pd.DataFrame(
                {"persona": list(grid.personas), "model": grid.model, "n_cases": n,
                 "n_trials": trials, "n_missing": grid.values[0].size - trials,
                 "share": share * 100, "low": low * 100, "high": high * 100}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _share_marks(rows: Sequence[Mapping[str, Any]], x: Any, y: Any) -> list[Any]:
    known = [{**row, "x": row["low"]} for row in rows if not math.isnan(row["share"])]
    dots = [{**row, "x": row["share"]} for row in known]
    return [
        chart_of(known).mark_rule(color=BLUE).encode(x=x, x2="high", y=y),
        chart_of(dots).mark_circle(color=BLUE).encode(x=x, y=y),
    ]


def _dot_marks(
    grid: Grid, rows: Sequence[Mapping[str, Any]], most: int, x: Any, y: Any
) -> list[Any]:
    package = altair()
    # Steps of the golden ratio: neighbours in value never lie beside each other.
    dots = [
        {"row": row["row"], "x": float(value), "offset": 0.19 + i * _GOLDEN % 1 * 0.62}
        for row in rows
        for i, value in enumerate(spread_out(list(_known(grid.of(row["row"]))), most))
    ]
    known = [{**row, "x": row["lower_quartile"]} for row in rows if row["n_trials"]]
    medians = [{**row, "x": row["median"]} for row in known]
    offset = package.YOffset("offset:Q", scale=package.Scale(domain=[0, 1], nice=False))
    return [
        chart_of(dots).mark_circle(color=SKY, size=14, opacity=0.55).encode(
            x=x, y=y, yOffset=offset),
        chart_of(known).mark_rule(color=INK, opacity=0.35, strokeWidth=7).encode(
            x=x, x2="upper_quartile", y=y),
        chart_of(medians).mark_tick(color=INK, thickness=2.5, height={"band": 0.7}).encode(
            x=x, y=y),
    ]  # fmt: skip


def _words(rows: Sequence[Mapping[str, Any]], y: Any, binary: bool) -> list[Any]:
    """Return the text beside each row, and the reason inside rows that have no score."""
    package = altair()
    beside, inside = [], []
    for row in rows:
        missing = f", {row['n_missing']:,} missing" if row["n_missing"] else ""
        if not row["n_trials"]:
            inside.append({"row": row["row"], "text": "no trial has a score"})
        elif binary:
            text = f"{row['share']:.0f}% of {pluralize(row['n_cases'], 'case')}{missing}"
            beside.append({"row": row["row"], "text": text})
        else:
            text = f"{number(row['median'])} (n = {row['n_trials']:,}{missing})"
            beside.append({"row": row["row"], "text": text})
    return [
        chart_of(beside).mark_text(align="left").encode(
            x=package.value(_WIDTH + 14), y=y, text="text:N"),
        chart_of(inside).mark_text(align="left", fontStyle="italic", color=GREY).encode(
            x=package.value(8), y=y, text="text:N"),
    ]  # fmt: skip


def _gist(table: pd.DataFrame, score: str, unit: str, binary: bool) -> str:
    column, what, unit = ("share", "Share", "%") if binary else ("median", "Median", unit)
    known = table.dropna(subset=[column])
    gist = f"Distribution of {score} over {pluralize(len(table), 'row')} of personas and models"
    if not len(known):
        return f"{gist}: no trial has a score."
    low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
    return (
        f"{gist}. {what} from {number(low[column])} ({short_name(low['persona'])}) to "
        + f"{number(high[column])} {unit}".rstrip()
        + f" ({short_name(high['persona'])})."
    )
