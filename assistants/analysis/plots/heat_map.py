"""The heat map: cases by personas, and what is missing said as missing."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.paired import by_case
from assistants.analysis.permutation import Floats
from assistants.analysis.plots.figure import Figure, altair
from assistants.analysis.plots.layout import (  # fmt: skip
    COUNTED,
    MOST_MODELS,
    Layout,
    cell_numbers,
    column_names,
    counted_grids,
    left_out,
    row_labels,
    rows_by_model,
    spread_out,
)
from assistants.analysis.plots.style import (  # fmt: skip
    GREY,
    INK,
    card,
    label,
    number,
    plot_width,
    positions,
    rectangles,
    rules,
    texts,
)
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_CASES, MOST_PERSONAS = 60, 30
"""In one heat map; of more, it shows some, spread evenly over their order."""

_LEFT, _RIGHT = 130, 70
_RAMP = np.array([[240, 245, 250], [158, 202, 225], [49, 130, 189], [8, 48, 107]])
_MISSING = "#eceeef"


def heat_map(
    scores: pd.DataFrame, *, score: str, unit: str = "", counted: Collection[str] = COUNTED
) -> Figure:
    """Cases as rows, personas as columns; a cell is the mean over repeats, darker is higher.

    Cells without any score are hatched. Numbers stand in the cells where there is room.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    score
        Which scorer, if the table has several; and for titles.
    unit
        Of the score.
    counted
        The statuses of trials that count.

    Raises
    ------
    UsageError
        If the table has no row, or lacks a column.
    UnknownNameError
        If it has other scores only.
    MissingDependencyError
        If altair is not installed.
    """
    import pandas as pd

    grids, cases = counted_grids(scores, score, counted)
    every_persona = list(dict.fromkeys(name for grid in grids for name in grid.personas))
    personas = spread_out(every_persona, MOST_PERSONAS)
    shown = grids[:MOST_MODELS]
    room = max(8, MOST_CASES // len(shown))
    groups = [
        (grid.model, spread_out(names, room)) for grid, names in zip(shown, cases, strict=False)
    ]
    layout = rows_by_model(groups)
    means = [_means(grid.personas, every_persona, grid.values) for grid in grids]
    cells: dict[tuple[str, str], Floats] = {}
    for (model, names), all_names, mean in zip(groups, cases, means, strict=False):
        rows = {name: i for i, name in enumerate(all_names)}
        columns = [every_persona.index(name) for name in personas]
        cells |= {(model, name): mean[columns, rows[name]] for name in names}
    table = pd.DataFrame(
        np.concatenate([mean.T for mean in means]),
        index=pd.MultiIndex.from_tuples(
            [(g.model, name) for g, names in zip(grids, cases, strict=True) for name in names],
            names=["model", "case"],
        ),
        columns=pd.Index(every_persona, name="persona", dtype=object),
    )
    lacking = int(np.isnan(table.to_numpy()).sum())
    title = f"{score}: cases by personas"
    subtitle = (
        f"Mean over repeats{f', in {unit}' if unit else ''}; darker is higher. Hatched: missing, "
        "no trial of this persona and case has a score that counts."
        + left_out(len(table) - len(cells), "case")
        + left_out(len(every_persona) - len(personas), "persona")
    )
    alt = _gist(table, score, unit, lacking)
    chart = _draw(cells, personas, layout, title, subtitle, alt)
    return Figure(title, chart, table if len(grids) > 1 else table.droplevel("model"), alt)


def _means(names: tuple[str, ...], every: list[str], values: Floats) -> Floats:
    """Shape ``(n_personas, n_cases)`` of all personas; NaN for those this model never was."""
    found = np.full((len(every), values.shape[1]), np.nan)
    found[[every.index(name) for name in names]] = by_case(values).mean
    return found


def _draw(
    cells: dict[tuple[str, str], Floats],
    personas: list[str],
    layout: Layout,
    title: str,
    subtitle: str,
    alt: str,
) -> Any:
    width = plot_width(_LEFT, _RIGHT)
    column = width / len(personas)
    height_of_row = 19 if len(cells) <= 24 else 16
    low, high = _range(cells)
    boxes, hatches, numbers = [], [], []
    for place, values in cells.items():
        y = layout.y[place]
        for at, value in enumerate(values):
            box = {"x": at, "x2": at + 1, "y": y - 0.5, "y2": y + 0.5}
            if math.isnan(value):
                boxes.append({**box, "c": _MISSING})
                hatches += _hatched(at, y, column / height_of_row)
                continue
            share = (value - low) / (high - low) if high > low else 0.5
            boxes.append({**box, "c": _shade(share)})
            ink = "white" if share > 0.55 else INK
            numbers.append({"x": at + 0.5, "y": y, "t": number(value), "c": ink})
    layers = [rectangles(boxes, stroke="white", strokeWidth=1), rules(hatches, strokeWidth=1)]
    layers += cell_numbers(numbers, column)
    names, tall = column_names(personas)
    layers.append(names)
    pixels = layout.height * height_of_row
    layers += row_labels(layout, _LEFT)
    layers += _key(low, high, pixels, width, height_of_row, len(personas))
    return card(
        layers,
        x=altair().X("x", type="quantitative", axis=None, scale=positions([0, len(personas)])),
        y=altair().Y("y", type="quantitative", axis=None,
                     scale=positions([0, layout.height], reverse=True)),
        height=pixels,
        left=_LEFT,
        right=_RIGHT,
        top=tall,
        bottom=44,
        title=title,
        subtitle=subtitle,
        alt=alt,
    )  # fmt: skip


def _range(cells: dict[tuple[str, str], Floats]) -> tuple[float, float]:
    values = np.concatenate(list(cells.values()))
    if np.isnan(values).all():
        return 0.0, 0.0
    return float(np.nanmin(values)), float(np.nanmax(values))


def _shade(share: float) -> str:
    """From light to dark, so that it reads in grey too."""
    steps = np.linspace(0, 1, len(_RAMP))
    red, green, blue = (round(float(np.interp(share, steps, _RAMP[:, i]))) for i in range(3))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _hatched(at: float, y: float, slope: float) -> list[dict[str, Any]]:
    """Lines of 45 degrees over a cell that is ``slope`` times as wide as it is high."""
    lines = []
    steps = max(1, round(slope * 2))
    for i in range(-1, steps):
        # A line from the lower edge, half a row's height further right each time.
        start = (i + 1) * 0.5 / slope if i >= 0 else 0.0
        end = start + 1 / slope if i >= 0 else 0.5 / slope
        if i < 0:
            lines.append((0.0, 0.0, min(end, 1.0), -0.5))
            continue
        rise = 1.0 if end <= 1 else (1 - start) * slope
        if start < 1:
            lines.append((start, 0.5, min(end, 1.0), 0.5 - rise))
    lines.append((0.0, 0.5, min(1 / slope, 1.0), 0.5 - min(1.0, slope)))
    return [
        {"x": at + a, "y": y + b, "x2": at + c, "y2": y + d, "c": "#b3bac1"} for a, b, c, d in lines
    ]


def _key(
    low: float, high: float, pixels: float, width: float, row: float, columns: int
) -> list[Any]:
    """The colours and what they stand for, below the cells."""
    column, steps, size = width / columns, 24, 7
    y = (pixels + 22) / row
    strip = [
        {"x": i * size / column, "x2": (i + 1) * size / column, "y": y, "y2": y + 10 / row,
         "c": _shade(i / (steps - 1))}
        for i in range(steps)
    ]  # fmt: skip
    middle = y + 5 / row
    end = steps * size
    missing_at = end + 110
    box = {"x": missing_at / column, "x2": (missing_at + 20) / column, "y": y, "y2": y + 10 / row}
    hatch = [
        {"x": (missing_at + a) / column, "x2": (missing_at + a + 10) / column, "y": y + 10 / row,
         "y2": y, "c": "#8b949e"}
        for a in (0, 5, 10)
    ]  # fmt: skip
    if high <= low:
        strip = []
    return [
        rectangles([*strip, {**box, "c": _MISSING}]),
        rules(hatch, strokeWidth=1),
        texts([{"y": middle, "t": number(low)}] if strip else [], at=-6, limit=90,
              align="right", color=GREY),
        texts([{"y": middle, "t": number(high)}] if strip else [], at=end + 6, limit=90,
              color=GREY),
        texts([{"y": middle, "t": "missing"}], at=missing_at + 26, limit=90, color=GREY),
    ]  # fmt: skip


def _gist(table: pd.DataFrame, score: str, unit: str, lacking: int) -> str:
    means = table.mean()
    said = (
        f"Heat map of {score} for {pluralize(len(table), 'case')} and "
        f"{pluralize(len(table.columns), 'persona')}; {pluralize(lacking, 'cell')} missing."
    )
    if means.isna().all():
        return said
    top, last = means.idxmax(), means.idxmin()
    return (
        f"{said} Highest on average: {label(str(top), 300)} ({number(means[top])} {unit}".rstrip()
        + f"), lowest: {label(str(last), 300)} ({number(means[last])} {unit}".rstrip()
        + ")."
    )
