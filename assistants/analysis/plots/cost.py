"""Cost against score: what an answer costs, and what one gets for it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistants.analysis.paired import by_case, moments, t_interval, wilson
from assistants.analysis.plots.figure import Figure, altair
from assistants.analysis.plots.layout import COUNTED, MOST_MODELS, counted_grids, left_out
from assistants.analysis.plots.style import (  # fmt: skip
    BLUE,
    CHARACTER,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    card,
    label,
    number,
    plot_width,
    points,
    positions,
    rules,
    texts,
)
from assistants.errors import UsageError
from assistants.messages import FINISHED
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 200
"""Personas and models in one figure; of more, it shows the first."""

_LEFT, _RIGHT, _HEIGHT = 64, 12, 380
_WIDTH = plot_width(_LEFT, _RIGHT)
_LOG = 30
"""Times the cheapest that the dearest has to cost for a scale to be logarithmic."""
_KINDS = (
    (BLUE, "circle"), (ORANGE, "square"), (GREEN, "triangle-up"), (PURPLE, "diamond"),
    (SKY, "triangle-down"), (YELLOW, "cross"),
)  # fmt: skip


def cost(
    scores: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    score: str,
    unit: str = "",
    binary: bool = False,
    counted: Collection[str] = COUNTED,
) -> Figure:
    """One point a persona and model: mean score with its 95% interval, against what answers cost.

    Where the price of any of them is unknown or 0 (a model of one's own), all are shown against
    output tokens instead, and the axis says so.

    Parameters
    ----------
    scores
        As ``run.scores`` gives it; columns as in ``scores.COLUMNS``.
    trials
        As ``run.trials`` gives it; columns as in ``tables.COLUMNS``.
    score
        Which scorer, if the table has several; and for titles.
    unit
        Of the score.
    binary
        Scores are 0 or 1: the mean is shown in percent, with a Wilson interval over cases.
    counted
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
    table = _table(scores, trials, score, binary, counted)
    priced = bool(len(table)) and bool((table["cost_usd"] > 0).all())
    column = "cost_usd" if priced else "output_tokens"
    models = list(dict.fromkeys(table["model"]))[:MOST_MODELS]
    known = table[table[["mean", column]].notna().all(axis=1) & table["model"].isin(models)]
    rows = known.head(MOST_POINTS).to_dict("records")
    title = f"{score}: what it costs"
    paid = "dollars per answer" if priced else "output tokens per answer (no price is known)"
    subtitle = (
        f"Mean {score} against {paid}. Vertical lines: 95% interval of the mean, repeats averaged "
        "within case." + left_out(len(table) - len(rows), "persona")
    )
    space = _space(rows, column)
    named = _named(rows, column, space)
    if len(named) < len(rows):
        subtitle += f" {pluralize(len(rows) - len(named), 'name')} would overlap: see the table."
    paid_axis = f"mean {paid}{', log scale' if space.log else ''}"
    scored = "%" if binary else unit
    score_axis = f"mean {score}, in {scored}" if scored else f"mean {score}"
    alt = _gist(rows, column, score, scored, paid)
    kind = "log" if space.log else "linear"
    chart = card(
        [*_layers(rows, column, models), *_key(models, space), *_names(named)],
        x=altair().X("x", type="quantitative",
                     scale=altair().Scale(type=kind, domain=list(space.x), nice=False, zero=False),
                     axis=altair().Axis(title=paid_axis, tickCount=6,
                                        format="$~g" if priced else ",~f")),
        y=altair().Y("y", type="quantitative", scale=positions(space.y),
                     axis=altair().Axis(title=label(score_axis, 340), tickCount=6, titleX=-52)),
        height=_HEIGHT,
        left=_LEFT,
        right=_RIGHT,
        top=20 if len(models) > 1 else 0,
        bottom=40,
        title=title,
        subtitle=subtitle,
        alt=alt,
    )  # fmt: skip
    return Figure(title, chart, table, alt)


def _table(
    scores: pd.DataFrame,
    trials: pd.DataFrame,
    score: str,
    binary: bool,
    counted: Collection[str],
) -> pd.DataFrame:
    import pandas as pd

    wanted = ("persona", "model", "status", "cost_usd", "output_tokens")
    absent = [name for name in wanted if name not in trials.columns]
    if absent:
        raise UsageError(
            f"The trials table has no column {' and no '.join(map(repr, absent))}.",
            fix="Give the table of `run.trials`.",
        )
    grids, _ = counted_grids(scores, score, counted)
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
class _Space:
    """The plot: what its edges stand for, and so where a value lies in pixels, and back."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool

    def pixels(self, x: float, y: float) -> tuple[float, float]:
        low, high = self.x
        share = math.log(x / low) / math.log(high / low) if self.log else (x - low) / (high - low)
        return share * _WIDTH, (self.y[1] - y) / (self.y[1] - self.y[0]) * _HEIGHT

    def at(self, right: float, down: float) -> dict[str, float]:
        low, high = self.x
        share = right / _WIDTH
        x = low * (high / low) ** share if self.log else low + share * (high - low)
        return {"x": x, "y": self.y[1] - down / _HEIGHT * (self.y[1] - self.y[0])}


def _space(rows: Sequence[Mapping[str, Any]], column: str) -> _Space:
    spent = [float(row[column]) for row in rows]
    ends = [float(row[name]) for row in rows for name in ("low", "mean", "high")]
    ends = [value for value in ends if math.isfinite(value)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    air = 0.06 * (high - low) or max(1.0, abs(high) * 0.05)
    y = (low - air, high + air)
    if not spent or max(spent) <= 0:
        return _Space((0.0, 1.0), y, False)
    if min(spent) > 0 and max(spent) > _LOG * min(spent):
        return _Space((min(spent) / 1.4, max(spent) * 1.8), y, True)
    spread = max(spent) - min(spent)
    # From 0, unless everything would then stand in one corner.
    start = 0.0 if spread > 0.3 * max(spent) else min(spent) - (0.1 * spread or 0.1 * max(spent))
    return _Space((start, max(spent) + 0.16 * (max(spent) - start)), y, False)


def _layers(rows: Sequence[Mapping[str, Any]], column: str, models: Sequence[str]) -> Iterator[Any]:
    """Intervals and points; each model has its colour and its shape."""
    for model, (colour, shape) in zip(models, _KINDS, strict=False):
        mine = [row for row in rows if row["model"] == model]
        lines = [
            {"x": r[column], "x2": r[column], "y": r["low"], "y2": r["high"], "c": colour}
            for r in mine
            if math.isfinite(r["low"]) and math.isfinite(r["high"])
        ]
        dots = [{"x": r[column], "y": r["mean"], "c": colour} for r in mine]
        yield rules(lines, strokeWidth=1.5, opacity=0.55)
        yield points(dots, size=70, shape=shape)


def _key(models: Sequence[str], space: _Space) -> Iterator[Any]:
    """Which colour and shape is which model, in a line above the plot, if there are several."""
    if len(models) < 2:
        return
    room = _WIDTH / len(models)
    for at, (model, (colour, shape)) in enumerate(zip(models, _KINDS, strict=False)):
        yield points([{**space.at(at * room + 5, -16), "c": colour}], size=60, shape=shape)
        place = space.at(at * room + 15, -16)
        yield texts([{**place, "t": label(model, room - 24)}], limit=room - 20)


def _named(
    rows: Sequence[Mapping[str, Any]], column: str, space: _Space
) -> list[tuple[dict[str, Any], str]]:
    """Names beside their points, where they meet no point and no other name; and how they align."""
    spots = [space.pixels(row[column], row["mean"]) for row in rows]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    found: list[tuple[dict[str, Any], str]] = []
    for row, (x, y) in zip(rows, spots, strict=True):
        name = label(row["persona"], 130)
        wide = len(name) * CHARACTER
        for dx, dy in ((8, 0), (-8, 0), (7, -11), (7, 11), (-7, -11), (-7, 11)):
            left = x + dx if dx > 0 else x + dx - wide
            box = (left, y + dy - 7, left + wide, y + dy + 7)
            if _inside(box) and not any(_meet(box, other) for other in taken):
                taken.append(box)
                side = "left" if dx > 0 else "right"
                found.append(({**space.at(x + dx, y + dy), "t": name}, side))
                break
    return found


def _names(named: Sequence[tuple[dict[str, Any], str]]) -> Iterator[Any]:
    for side in ("left", "right"):
        yield texts([row for row, where in named if where == side], limit=140, align=side)


_Box = tuple[float, float, float, float]


def _inside(box: _Box) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= _WIDTH + _RIGHT and box[3] <= _HEIGHT


def _meet(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _gist(rows: Sequence[Mapping[str, Any]], column: str, score: str, unit: str, paid: str) -> str:
    said = f"Mean {score} against {paid}, {pluralize(len(rows), 'point')}"
    if not rows:
        return f"{said}: nothing is known of either."
    best, cheapest = max(rows, key=lambda r: r["mean"]), min(rows, key=lambda r: r[column])

    def told(row: Mapping[str, Any]) -> str:
        mean = f"{number(row['mean'])} {unit}".rstrip()
        return f"{label(row['persona'], 200)}, {mean} at {number(row[column])}"

    return f"{said}. Highest score: {told(best)}. Cheapest: {told(cheapest)}."
