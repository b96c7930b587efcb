"""Which rows a figure has room for, and where they stand: personas (or cases), model by model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.plots.style import EDGE, INK, label, texts
from assistants.analysis.score_matrix import Grid, grids
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_MODELS = 6
"""In one figure; of more, it shows the first."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows from the top: ``y[model, name]`` is the middle of one, in rows; ``height`` is of all.

    ``headings`` are the models and where their names stand, if there are several.
    """

    y: Mapping[tuple[str, str], float]
    headings: Sequence[tuple[str, float]]
    height: float


def rows_by_model(groups: Sequence[tuple[str, Sequence[str]]]) -> Layout:
    """Every name of every model on a row of its own."""
    y: dict[tuple[str, str], float] = {}
    headings: list[tuple[str, float]] = []
    at = 0.0
    for model, names in groups:
        if len(groups) > 1:
            headings.append((model, at + (0.5 if not headings else 0.75)))
            at += 1.0 if len(headings) == 1 else 1.25
        for name in names:
            y[model, name] = at + 0.5
            at += 1
    return Layout(y, headings, at)


def cell_numbers(numbers: Sequence[Mapping[str, Any]], column: float) -> list[Any]:
    """Layers: the texts of cells, each in its colour ``c``; none if a column is too narrow."""
    longest = max((len(str(cell["t"])) for cell in numbers), default=0)
    if column < 7 * longest + 4:
        return []
    return [
        texts([n for n in numbers if n["c"] == ink], limit=column, align="center", color=ink)
        for ink in (INK, "white")
    ]


def column_names(columns: Sequence[str]) -> tuple[Any, float]:
    """A layer with a name above each column, and how many pixels tall that is.

    Names stand upright enough not to meet each other, and lean so that they can be read.
    """
    names = [{"x": at + 0.5, "y": 0, "t": label(name, 100)} for at, name in enumerate(columns)]
    tall = max((len(str(name["t"])) for name in names), default=0) * 6.6 * 0.71 + 16
    return texts(names, limit=100, angle=315, dx=2, dy=-8), tall


def row_labels(layout: Layout, left: float) -> list[Any]:
    """Layers: the names, right-aligned against the plot, and the models as headings."""
    room = left - 10
    names = [{"y": y, "t": label(name, room)} for (_, name), y in layout.y.items()]
    models = [{"y": y, "t": label(name, 500)} for name, y in layout.headings]
    layers = [texts(names, at=-10, limit=room, align="right")]
    if models:
        layers.append(texts(models, at=-left, limit=500 + EDGE, fontWeight="bold", color=INK))
    return layers


def spread_out(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of them, evenly over the whole order: the first and the last are kept."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def left_out(number: int, what: str) -> str:
    """A sentence for a subtitle, or nothing."""
    if number <= 0:
        return ""
    return f" There is no room for {pluralize(number, what)}: see the table."


def counted_grids(
    scores: pd.DataFrame, score: str, counted: Collection[str]
) -> tuple[list[Grid], list[list[str]]]:
    """The scores that count as an array a model, and the cases of each model in its order.

    That is the order in which they first occur, as in the experiment.

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
        counts = scores["status"].isin(list(counted))
        scores = scores.assign(value=scores["value"].where(counts))
    found = grids(scores, score)
    if not found:
        raise UsageError(f"The table of {score!r} has no row.", fix="Score a run that has trials.")
    cases = [list(scores.loc[scores["model"] == g.model, "case"].unique()) for g in found]
    ordered = [
        replace(grid, values=grid.values[:, np.argsort(np.argsort(np.array(names, dtype=object)))])
        for grid, names in zip(found, cases, strict=True)
    ]
    return ordered, [[str(case) for case in of_model] for of_model in cases]


COUNTED = AVERAGED
"""The statuses of trials that count, unless somebody asks for others."""
