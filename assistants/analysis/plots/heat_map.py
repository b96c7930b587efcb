"""The heat map: cases by personas, with missing cells shown as missing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.paired import by_case
from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.layout import (
    MOST_MODELS,
    cell_panel,
    color_key,
    not_shown,
    score_grids,
    spread_out,
    stack_panels,
)
from assistants.analysis.plots.style import altair, number, short_name
from assistants.messages import AVERAGED
from assistants.utils import pluralize

if TYPE_CHECKING:
    import pandas as pd

    from assistants.analysis.score_matrix import Grid

MOST_CASES, MOST_PERSONAS = 60, 30
"""Limits of one heat map; of more, it shows some, spread evenly over their order."""

_WIDTH, _NAME_PIXELS = 540, 220
_LIGHT_TO_DARK = ["#f0f5fa", "#9ecae1", "#3182bd", "#08306b"]


def heat_map(
    scores: pd.DataFrame, *, score: str, unit: str = "", statuses: Collection[str] = AVERAGED
) -> Figure:
    """Draw cases as rows and personas as columns; a cell is the mean over repeats.

    Darker is higher. Cells without any score are grey with a cross. Numbers stand in the cells
    where there is room.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    score
        Name of a scorer, if the table has several; and for titles.
    unit
        Of the score.
    statuses
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
    grids, cases = score_grids(scores, score, statuses)
    table = _means(grids, cases)
    personas = spread_out(list(table.columns), MOST_PERSONAS)
    drawn = grids[:MOST_MODELS]
    room = max(8, MOST_CASES // len(drawn))
    shown = {grid.model: spread_out(names, room) for grid, names in zip(drawn, cases, strict=False)}
    cells = {
        model: [
            {"row": case, "column": persona, "value": float(value)}
            for case, values in zip(
                names, table.loc[model].loc[names, personas].to_numpy(), strict=True
            )
            for persona, value in zip(personas, values, strict=True)
        ]
        for model, names in shown.items()
    }
    color = _colour([cell for of_model in cells.values() for cell in of_model], unit or score)
    panels = [
        (
            model,
            cell_panel(
                cells[model], rows=names, columns=personas, color=color, width=_WIDTH,
                row_height=19 if sum(map(len, shown.values())) <= 24 else 16,
                name_pixels=_NAME_PIXELS,
            ),
        )
        for model, names in shown.items()
    ]  # fmt: skip
    missing = int(np.isnan(table.to_numpy()).sum())
    title = f"{score}: cases by personas"
    subtitle = (
        f"Mean over repeats{f', in {unit}' if unit else ''}; darker is higher. Grey with a cross: "
        "missing, no trial of this persona and case has a score that counts."
        + not_shown(len(table) - sum(map(len, shown.values())), "case")
        + not_shown(len(table.columns) - len(personas), "persona")
    )
    alt = _gist(table, score, unit, missing)
    chart = stack_panels(panels, title=title, subtitle=subtitle, alt=alt, width=96)
    return Figure(title, chart, table if len(grids) > 1 else table.droplevel("model"), alt)


def _means(grids: Sequence[Grid], cases: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return the table: one row per model and case, one column per persona."""
    import pandas as pd

    personas = list(dict.fromkeys(name for grid in grids for name in grid.personas))
    parts = []
    for grid, names in zip(grids, cases, strict=True):
        index = pd.MultiIndex.from_product([[grid.model], names], names=["model", "case"])
        columns = pd.Index(grid.personas, dtype=object)
        parts.append(pd.DataFrame(by_case(grid.values).mean.T, index=index, columns=columns))
    table = pd.concat(parts).reindex(columns=pd.Index(personas, dtype=object))
    return table.rename_axis(columns="persona")


def _colour(cells: Sequence[dict[str, Any]], title: str) -> Any:
    """Return the channel for colours, and give each cell its text and whether it is dark."""
    package = altair()
    known = [cell["value"] for cell in cells if math.isfinite(cell["value"])]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    for cell in cells:
        cell["text"] = number(cell["value"])
        cell["is_dark"] = high > low and (cell["value"] - low) / (high - low) > 0.55
    legend = color_key(title)
    return package.Color(
        "value:Q",
        legend=legend if high > low else None,
        scale=package.Scale(
            domain=[low, high] if high > low else [low - 1, low + 2],
            range=_LIGHT_TO_DARK,
            interpolate="rgb",
        ),
    )


def _gist(table: pd.DataFrame, score: str, unit: str, missing: int) -> str:
    means = table.mean()
    gist = (
        f"Heat map of {score} for {pluralize(len(table), 'case')} and "
        f"{pluralize(len(table.columns), 'persona')}; {pluralize(missing, 'cell')} missing."
    )
    if means.isna().all():
        return gist
    ends: Mapping[str, Any] = {"Highest on average": means.idxmax(), "lowest": means.idxmin()}
    named = [
        f"{end}: {short_name(str(name))} ({f'{number(means[name])} {unit}'.rstrip()})"
        for end, name in ends.items()
    ]
    return f"{gist} {', '.join(named)}."
