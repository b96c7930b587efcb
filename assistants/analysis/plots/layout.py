"""Rows and panels: how many a figure has room for, and one panel per model under one title."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.plots.style import GREY, INK, MISSING, altair
from assistants.analysis.score_matrix import Grid, grids
from assistants.errors import UnknownNameError, UsageError
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

MOST_MODELS = 6
"""Panels of one figure; of more models, it shows the first."""

Rows = Sequence[Mapping[str, Any]]


def chart_of(rows: Rows) -> Any:
    """Return a chart of plain rows.

    Keys are ours and names are values, so that no name that a person chose is ever read as a
    field, a format or an expression.
    """
    package = altair()
    clean = [{key: _json_value(value) for key, value in row.items()} for row in rows]
    return package.Chart(package.Data(values=clean))


def _json_value(value: Any) -> Any:
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    value = float(value)
    return value if math.isfinite(value) else None


def stack_panels(
    panels: Sequence[tuple[str, Any]], *, title: str, subtitle: str, alt: str, width: int = 112
) -> Any:
    """Return one chart: panels below each other, each headed by its model if there are several.

    Parameters
    ----------
    panels
        Model and chart, at least one.
    title, subtitle
        What the figure shows, and how to read it, in lines of ``width`` characters.
    alt
        The gist, for a screen reader.
    """
    package = altair()
    heading = package.TitleParams(
        truncate_line(title, 78),
        subtitle=textwrap.wrap(truncate_line(subtitle, 600), width),
        fontSize=15,
        frame="bounds",
        offset=16,
    )
    if len(panels) == 1:
        chart = panels[0][1].properties(title=heading)
    else:
        charts = [
            chart.properties(title=package.TitleParams(truncate_line(model, 90), frame="bounds"))
            for model, chart in panels
        ]
        chart = package.vconcat(*charts).properties(title=heading)
    return chart.properties(description=truncate_line(alt, 600))


def row_axis(names: Sequence[str], **axis: Any) -> Any:
    """Return the channel for rows that bear names, in this order."""
    return _bands("Y", "row", names, **axis)


def column_axis(names: Sequence[str], **axis: Any) -> Any:
    """Return the channel for columns that bear names: above the plot, and leaning."""
    leaning = {
        "orient": "top",
        "labelAngle": -45,
        "labelAlign": "left",
        "labelBaseline": "middle",
        "labelLimit": 130,
    }
    return _bands("X", "column", names, **{**leaning, **axis})


def _bands(channel: str, field: str, names: Sequence[str], **axis: Any) -> Any:
    package = altair()
    return getattr(package, channel)(
        f"{field}:N",
        title=None,
        scale=package.Scale(domain=list(names), paddingInner=0, paddingOuter=0),
        axis=package.Axis(labelOverlap=False, **axis),
    )


def cell_panel(
    cells: Rows,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    color: Any,
    width: float,
    row_height: float,
    name_pixels: float,
) -> Any:
    """Return a heat map: ``row``, ``column``, ``value``, ``text`` and ``is_dark`` of each cell.

    Cells without a value are grey with a cross. Texts stand in the cells where columns are wide
    enough for the longest of them.
    """
    package = altair()
    step = min(96.0, width / len(columns))
    x, y = column_axis(columns), row_axis(rows, labelLimit=name_pixels)
    known = [cell for cell in cells if math.isfinite(cell["value"])]
    unknown = [cell for cell in cells if not math.isfinite(cell["value"])]
    grid = {"stroke": "white", "strokeWidth": 1}
    layers = [
        chart_of(known).mark_rect(**grid).encode(x=x, y=y, color=color),
        chart_of(unknown).mark_rect(color=MISSING, **grid).encode(x=x, y=y),
        chart_of(unknown).mark_text(text="\u00d7", color=GREY).encode(x=x, y=y),
    ]
    longest = max((len(cell["text"]) for cell in known), default=0)
    if step >= 6.6 * longest + 4:
        ink = package.condition("datum.is_dark", package.value("white"), package.value(INK))
        layers.append(chart_of(known).mark_text().encode(x=x, y=y, text="text:N", color=ink))
    return package.layer(*layers).properties(
        width=package.Step(step), height=package.Step(row_height)
    )


def color_key(title: str) -> Any:
    """Return the legend of a scale of colours, as squares.

    Not as a gradient: Vega numbers gradients, so that a page with two figures would have one id
    twice, and a figure would not be the same each time.
    """
    return altair().Legend(
        title=title, orient="bottom", type="symbol", symbolType="square", symbolSize=180,
        symbolStrokeWidth=0, direction="horizontal", titleOrient="left", tickCount=5,
    )  # fmt: skip


def spread_out(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most ``most`` items, evenly over the whole order, the first and last among them."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def with_air(values: Collection[float], share: float) -> tuple[float, float]:
    """Return the lowest and the highest of the values, each moved out by a share of the range."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(min(values)), float(max(values))
    air = share * (high - low) or max(1.0, abs(high) * 0.05)
    return low - air, high + air


def not_shown(count: int, what: str) -> str:
    """Return a sentence for a subtitle, or nothing."""
    return f" There is no room for {pluralize(count, what)}: see the table." if count > 0 else ""


def score_grids(
    scores: pd.DataFrame, score: str, statuses: Collection[str]
) -> tuple[list[Grid], list[list[str]]]:
    """Return the scores that count as one array per model, and the cases of each model.

    Both in the order in which cases first occur, as in the experiment.

    Raises
    ------
    UnknownNameError
        If the table holds scores of other scorers only.
    UsageError
        If there is no row, a column is missing, or as ``grids`` does.
    """
    if "scorer" in scores.columns and len(scores):
        names = scores["scorer"].unique()
        if score not in names:
            raise UnknownNameError("score", score, [str(name) for name in names])
        scores = scores[scores["scorer"] == score] if len(names) > 1 else scores
    if "status" in scores.columns and "value" in scores.columns:
        counts = scores["status"].isin(list(statuses))
        scores = scores.assign(value=scores["value"].where(counts))
    models = grids(scores, score)
    if not models:
        raise UsageError(f"The table of {score!r} has no row.", fix="Score a run that has trials.")
    cases = [list(scores.loc[scores["model"] == g.model, "case"].unique()) for g in models]
    ordered = [
        replace(grid, values=grid.values[:, np.argsort(np.argsort(np.array(names, dtype=object)))])
        for grid, names in zip(models, cases, strict=True)
    ]
    return ordered, [[str(case) for case in of_model] for of_model in cases]


def refuse_other_than_binary(models: Sequence[Grid], score: str) -> None:
    """Check that all scores are 0 or 1.

    Raises
    ------
    UsageError
        If one is neither.
    """
    if any((~np.isin(grid.values, (0, 1)) & ~np.isnan(grid.values)).any() for grid in models):
        raise UsageError(
            f"{score!r} has values other than 0 and 1.", fix="Leave out `binary` for this score."
        )
