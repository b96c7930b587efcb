"""Cost against score: what an answer costs, and what one gets for it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.paired import by_case, moments, t_interval, wilson
from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.layout import (
    MOST_MODELS,
    chart_of,
    not_shown,
    refuse_other_than_binary,
    score_grids,
    stack_panels,
    with_air,
)
from assistants.analysis.plots.style import PALETTE, SHAPES, altair, number, short_name
from assistants.errors import UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 200
"""Personas and models in one figure; of more, it shows the first."""

_WIDTH, _HEIGHT = 600, 380
_CHARACTER = 6.2
"""Pixels of a character, about; names that might overlap are left out."""

_LOG = 30
"""The scale is logarithmic where the dearest costs this many times the cheapest."""


def cost(
    scores: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    score: str,
    unit: str = "",
    binary: bool = False,
    statuses: Collection[str] = AVERAGED,
) -> Figure:
    """Draw one point per persona and model: mean score with 95% interval, against the cost.

    Where the price of any of them is unknown or 0 (a model of one's own), all are shown against
    output tokens instead, and the axis says so.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    trials
        As ``run.trials`` gives it; columns as in ``tables.COLUMNS``.
    score
        Name of a scorer, if the table has several; and for titles.
    unit
        Of the score.
    binary
        Scores are 0 or 1: the mean is shown in percent, with a Wilson interval over cases.
    statuses
        The statuses of trials whose score counts; every answer that was paid for counts as cost.

    Raises
    ------
    UsageError
        If a table has no row, or lacks a column.
    UnknownNameError
        If there are other scores only.
    MissingDependencyError
        If altair is not installed.
    """
    table = _table(scores, trials, score, binary, statuses)
    is_priced = bool(len(table)) and bool((table["cost_usd"] > 0).all())
    column = "cost_usd" if is_priced else "output_tokens"
    models = list(dict.fromkeys(table["model"]))[:MOST_MODELS]
    known = table[table[["mean", column]].notna().all(axis=1) & table["model"].isin(models)]
    rows = known.rename(columns={column: "x", "mean": "y"}).head(MOST_POINTS).to_dict("records")
    paid = "dollars per answer" if is_priced else "output tokens per answer (no price is known)"
    title = f"{score}: what it costs"
    subtitle = (
        f"Mean {score} against {paid}. Vertical lines: 95% interval of the mean, repeats averaged "
        "within case." + not_shown(len(table) - len(rows), "persona")
    )
    axes = _axes(rows)
    labels = _labels(rows, axes)
    if len(labels) < len(rows):
        subtitle += f" {pluralize(len(rows) - len(labels), 'name')} would overlap: see the table."
    scored = "%" if binary else unit
    alt = _gist(rows, score, scored, paid)
    package = altair()
    x = package.X(
        "x:Q",
        scale=package.Scale(
            type="log" if axes.is_log else "linear", domain=list(axes.x), nice=False, zero=False
        ),
        axis=package.Axis(
            title=f"mean {paid}{', log scale' if axes.is_log else ''}",
            values=axes.log_ticks() if axes.is_log else package.Undefined,
            format="$~g" if is_priced else ",~f",
            labels=bool(rows),
        ),
    )
    scale = package.Scale(domain=list(axes.y), nice=False, zero=False)
    y_title = f"mean {score}, in {scored}" if scored else f"mean {score}"
    y = package.Y("y:Q", scale=scale, axis=package.Axis(title=y_title, labels=bool(rows)))
    legend = package.Legend(title=None, columns=3, symbolOpacity=1) if len(models) > 1 else None
    color = package.Color(
        "model:N", legend=legend, scale=package.Scale(domain=models, range=list(PALETTE))
    )
    shape = package.Shape(
        "model:N", legend=legend, scale=package.Scale(domain=models, range=list(SHAPES))
    )
    intervals = [{**r, "y": r["low"]} for r in rows if math.isfinite(r["low"] + r["high"])]
    layers = [
        chart_of(intervals).mark_rule(opacity=0.5, strokeWidth=1.5).encode(
            x=x, y=y, y2="high", color=color),
        chart_of(rows).mark_point().encode(x=x, y=y, color=color, shape=shape),
    ]  # fmt: skip
    for place, (align, dx, dy) in enumerate(_PLACES):
        here = [label for label in labels if label["place"] == place]
        mark = chart_of(here).mark_text(align=align, dx=dx, dy=dy)
        layers.append(mark.encode(x=x, y=y, text="text:N"))
    chart = package.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)
    return Figure(
        title, stack_panels([("", chart)], title=title, subtitle=subtitle, alt=alt), table, alt
    )


def _table(
    scores: pd.DataFrame,
    trials: pd.DataFrame,
    score: str,
    binary: bool,
    statuses: Collection[str],
) -> pd.DataFrame:
    """Return one row per persona and model: mean score, interval, and mean cost and tokens."""
    import pandas as pd

    needed = ("persona", "model", "status", "cost_usd", "output_tokens")
    absent = [name for name in needed if name not in trials.columns]
    if absent:
        raise UsageError(
            f"The trials table has no column {' and no '.join(map(repr, absent))}.",
            fix="Give the table of `run.trials`.",
        )
    grids, _ = score_grids(scores, score, statuses)
    if binary:
        refuse_other_than_binary(grids, score)
    parts = []
    for grid in grids:
        means = by_case(grid.values).mean
        n, mean, _ = moments(means)
        low, high = wilson(mean, n.astype(float)) if binary else t_interval(means)
        scale = 100.0 if binary else 1.0
        parts.append(
            pd.DataFrame(
                {"persona": list(grid.personas), "model": grid.model, "n_cases": n,
                 "mean": mean * scale, "low": low * scale, "high": high * scale}
            )
        )  # fmt: skip
    paid = trials[trials["status"].isin(list(FINISHED))]
    spent = paid.groupby(["persona", "model"], sort=False)[["cost_usd", "output_tokens"]]
    # A mean over the answers whose price happens to be known would be a mean of others.
    means = spent.mean().astype("float64").where(spent.count().eq(spent.size(), axis=0))
    return pd.concat(parts, ignore_index=True).merge(
        means.reset_index(), on=["persona", "model"], how="left"
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    """The domains of both axes, and so where a value lies in pixels."""

    x: tuple[float, float]
    y: tuple[float, float]
    is_log: bool

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        ends, x = (np.log(self.x), math.log(x)) if self.is_log else (self.x, x)
        return float(np.interp(x, ends, (0, _WIDTH))), float(np.interp(y, self.y, (_HEIGHT, 0)))

    def log_ticks(self) -> list[float]:
        """Return 1, 2 and 5 of each power of ten: all of them would be a thicket of lines."""
        low, high = self.x
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [t for p in powers for step in (1, 2, 5) if low <= (t := step * 10.0**p) <= high]


def _axes(rows: Sequence[Mapping[str, Any]]) -> _Axes:
    ends = [row[name] for row in rows for name in ("low", "y", "high") if math.isfinite(row[name])]
    y = with_air(ends, 0.06)
    spent = [row["x"] for row in rows]
    least, most = min(spent, default=0.0), max(spent, default=0.0)
    if most <= 0:
        return _Axes((0.0, 1.0), y, False)
    if least > 0 and most > _LOG * least:
        return _Axes((least / 1.4, most * 1.8), y, True)
    # From 0, unless everything would then stand in one corner.
    spread = most - least
    start = least - 0.1 * spread if 0 < spread <= 0.3 * most else 0.0
    return _Axes((start, most + 0.16 * (most - start)), y, False)


_PLACES = (
    ("left", 9, 0), ("right", -9, 0), ("left", 8, -11), ("left", 8, 11), ("right", -8, -11),
    ("right", -8, 11),
)  # fmt: skip
"""Places for a name beside its point: alignment, and pixels from it."""


def _labels(rows: Sequence[Mapping[str, Any]], axes: _Axes) -> list[dict[str, Any]]:
    """Return the names that meet no point and no other name, each with its place."""
    spots = [axes.pixels(row["x"], row["y"]) for row in rows]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    intervals = [
        (x - 1, axes.pixels(row["x"], row["high"])[1], x + 1, axes.pixels(row["x"], row["low"])[1])
        for row, (x, _) in zip(rows, spots, strict=True)
        if math.isfinite(row["low"] + row["high"])
    ]
    labels: list[dict[str, Any]] = []
    for row, (x, y) in zip(rows, spots, strict=True):
        text = truncate_line(row["persona"], 22)
        width = len(text) * _CHARACTER
        # Beside all intervals if there is room, else over one.
        for obstacles, place in product(([*taken, *intervals], taken), range(len(_PLACES))):
            align, dx, dy = _PLACES[place]
            left = x + dx - (width if align == "right" else 0)
            box = (left, y + dy - 7, left + width, y + dy + 7)
            fits = box[0] >= 0 and box[1] >= 0 and box[2] <= _WIDTH + 60 and box[3] <= _HEIGHT
            if fits and not any(_overlap(box, other) for other in obstacles):
                taken.append(box)
                labels.append({"x": row["x"], "y": row["y"], "text": text, "place": place})
                break
    return labels


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _gist(rows: Sequence[Mapping[str, Any]], score: str, unit: str, paid: str) -> str:
    gist = f"Mean {score} against {paid}, {pluralize(len(rows), 'point')}"
    if not rows:
        return f"{gist}: nothing is known of either."
    best, cheapest = max(rows, key=lambda r: r["y"]), min(rows, key=lambda r: r["x"])
    named = [
        f"{short_name(row['persona'])}, "
        + f"{number(row['y'])} {unit}".rstrip()
        + f" at {number(row['x'])}"
        for row in (best, cheapest)
    ]
    return f"{gist}. Highest score: {named[0]}. Cheapest: {named[1]}."
