"""How a score spreads: every trial a dot, with quartiles; or shares, for scores of 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.paired import by_case, wilson
from assistants.analysis.permutation import Floats
from assistants.analysis.plots.figure import Figure, altair
from assistants.analysis.plots.layout import (  # fmt: skip
    COUNTED,
    MOST_MODELS,
    Layout,
    counted_grids,
    left_out,
    row_labels,
    rows_by_model,
    spread_out,
)
from assistants.analysis.plots.style import (  # fmt: skip
    BLUE,
    GREY,
    INK,
    SKY,
    card,
    label,
    number,
    plot_width,
    points,
    positions,
    rectangles,
    rules,
    texts,
)
from assistants.analysis.score_matrix import Grid
from assistants.errors import UsageError
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS, MOST_DOTS = 40, 2_000
"""Of a figure: more personas and dots are left out at even steps of their order."""


_LEFT, _RIGHT = 160, 150
_GOLDEN = 0.6180339887498949


def distributions(
    scores: pd.DataFrame,
    *,
    score: str,
    unit: str = "",
    binary: bool = False,
    counted: Collection[str] = COUNTED,
) -> Figure:
    """One row a persona: every trial a dot, the middle half as a bar and the median as a line.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    score
        Which scorer, if the table has several; and for titles.
    unit
        Of the score.
    binary
        Scores are 0 or 1: a row is the share of 1 with its Wilson interval, over cases. Repeats of
        a case are no further cases, so they make the interval no narrower.
    counted
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
    grids, _ = counted_grids(scores, score, counted)
    if binary and any(
        ((g.values != 0) & (g.values != 1) & ~np.isnan(g.values)).any() for g in grids
    ):
        raise UsageError(
            f"{score!r} has values other than 0 and 1.", fix="Leave out `binary` for this score."
        )
    shown = grids[:MOST_MODELS]
    room = max(4, MOST_ROWS // len(shown))
    groups = [(grid.model, spread_out(grid.personas, room)) for grid in shown]
    layout = rows_by_model(groups)
    table = _shares(grids) if binary else _quartiles(grids)
    gone = left_out(len(table) - len(layout.y), "row")
    values = {
        (grid.model, name): _known(grid.of(name))
        for grid, (_, names) in zip(shown, groups, strict=True)
        for name in names
    }
    if binary:
        title = f"{score}: share of answers"
        subtitle = (
            "Dot and line: share of 1, averaged over cases, and its 95% Wilson interval with cases "
            "as the sample: repeats of a case do not make it narrower." + gone
        )
        layers, domain = _share_layers(table, layout), (0.0, 100.0)
    else:
        title = f"{score}: distribution by persona"
        most = MOST_DOTS // max(1, len(layout.y))
        fewer = sum(max(0, len(v) - most) for v in values.values())
        subtitle = (
            "Each dot is one trial, moved up or down only to be seen. Bar: the middle "
            "half. Line: the median."
            + (f" {pluralize(fewer, 'dot')} left out at even steps." if fewer > 0 else "")
            + gone
        )
        domain = _domain(values.values())
        layers = _dot_layers(values, layout, most)
    alt = _gist(table, score, unit, binary)
    right = _right(table, layout, binary)
    row = 30 if len(layout.y) <= 16 else 22
    axis = f"share, in %{f' ({unit})' if unit else ''}" if binary else (unit or score)
    chart = card(
        layers + row_labels(layout, _LEFT) + right,
        x=altair().X("x", type="quantitative", scale=positions(domain),
                     axis=altair().Axis(title=label(axis, 380), tickCount=6)),
        y=altair().Y("y", type="quantitative", axis=None,
                     scale=positions([0, layout.height], reverse=True)),
        height=layout.height * row,
        left=_LEFT,
        right=_RIGHT,
        bottom=40,
        title=title,
        subtitle=subtitle,
        alt=alt,
    )  # fmt: skip
    return Figure(title, chart, table, alt)


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
        counted = (~np.isnan(grid.values)).sum(axis=(1, 2))
        parts.append(
            pd.DataFrame(
                {"persona": list(grid.personas), "model": grid.model, "n_cases": n,
                 "n_trials": counted, "n_missing": grid.values[0].size - counted,
                 "share": share * 100, "low": low * 100, "high": high * 100}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _share_layers(table: pd.DataFrame, layout: Layout) -> list[Any]:
    lines, dots = [], []
    for row in table.to_dict("records"):
        y = layout.y.get((row["model"], row["persona"]))
        if y is None or math.isnan(row["share"]):
            continue
        lines.append({"x": row["low"], "x2": row["high"], "y": y, "y2": y, "c": BLUE})
        dots.append({"x": row["share"], "y": y, "c": BLUE})
    return [rules(lines, strokeWidth=2), points(dots, size=62, shape="circle")]


def _dot_layers(values: dict[tuple[str, str], Floats], layout: Layout, most: int) -> list[Any]:
    dots, bars, medians = [], [], []
    for place, known in values.items():
        y = layout.y[place]
        kept = spread_out(list(known), most)
        # Steps of the golden ratio: neighbours in value never lie beside each other.
        dots += [
            {"x": float(v), "y": y + (i * _GOLDEN % 1 - 0.5) * 0.62, "c": SKY}
            for i, v in enumerate(kept)
        ]
        if len(known):
            low, middle, high = (float(q) for q in np.percentile(known, [25, 50, 75]))
            bars.append({"x": low, "x2": high, "y": y - 0.11, "y2": y + 0.11, "c": INK})
            medians.append({"x": middle, "x2": middle, "y": y - 0.36, "y2": y + 0.36, "c": INK})
    return [
        points(dots, size=13, shape="circle", opacity=0.55),
        rectangles(bars, opacity=0.35),
        rules(medians, strokeWidth=2.5),
    ]


def _right(table: pd.DataFrame, layout: Layout, binary: bool) -> list[Any]:
    said, unknown = [], []
    for row in table.to_dict("records"):
        y = layout.y.get((row["model"], row["persona"]))
        if y is None:
            continue
        missing = f", {row['n_missing']:,} missing" if row["n_missing"] else ""
        if not row["n_trials"]:
            unknown.append({"y": y, "t": "no trial has a score"})
        elif binary:
            count = pluralize(row["n_cases"], "case")
            said.append({"y": y, "t": f"{row['share']:.0f}% of {count}{missing}"})
        else:
            said.append(
                {"y": y, "t": f"{number(row['median'])} (n = {row['n_trials']:,}{missing})"}
            )
    at = plot_width(_LEFT, _RIGHT) + 12
    return [
        texts(said, at=at, limit=_RIGHT - 12),
        texts(unknown, at=8, limit=300, fontStyle="italic", color=GREY),
    ]


def _domain(values: Collection[Floats]) -> tuple[float, float]:
    known = [v for v in values if len(v)]
    if not known:
        return 0.0, 1.0
    low, high = float(min(v[0] for v in known)), float(max(v[-1] for v in known))
    air = 0.03 * (high - low) or max(1.0, abs(high) * 0.05)
    return low - air, high + air


def _gist(table: pd.DataFrame, score: str, unit: str, binary: bool) -> str:
    column, what, unit = ("share", "Share", "%") if binary else ("median", "Median", unit)
    known = table.dropna(subset=[column])
    said = f"Distribution of {score} over {pluralize(len(table), 'row')} of personas and models"
    if not len(known):
        return f"{said}: no trial has a score."
    low, high = known.loc[known[column].idxmin()], known.loc[known[column].idxmax()]
    return (
        f"{said}. {what} from {number(low[column])} ({label(low['persona'], 200)}) to "
        f"{number(high[column])} {unit}".rstrip()
        + f" ({label(high['persona'], 200)})."
    )
