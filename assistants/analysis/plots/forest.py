"""Figures of an experiment: what changed, where, how it spreads, and what it cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistants.analysis.plots.figure import Figure, altair
from assistants.analysis.plots.layout import MOST_MODELS, left_out, row_labels, rows_by_model
from assistants.analysis.plots.style import (  # fmt: skip
    BAND,
    BLUE,
    GREY,
    INK,
    ORANGE,
    card,
    label,
    number,
    plot_width,
    points,
    positions,
    rectangles,
    rules,
    signed,
    texts,
)
from assistants.analysis.verdict import LESS, MORE, NO_DIFFERENCE, TOO_LITTLE
from assistants.errors import UsageError
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd


MOST_ROWS = 60
"""Of a forest plot; of more, it shows those at both ends."""

_LEFT, _RIGHT, _ROW = 160, 208, 26


def forest(
    effects: pd.DataFrame, *, score: str, unit: str = "", baseline: str = "the baseline"
) -> Figure:
    """One row a persona: its effect, the 95% interval, the noise floor, and the verdict in words.

    Rows are sorted by effect. Where nothing is known of the interval, the reason stands in the
    plot as text: never a point without an interval, never a 0.

    Parameters
    ----------
    effects
        As ``run.effects`` gives it; columns as in ``effects.COLUMNS``.
    score
        What was measured, for titles.
    unit
        Of ``effect`` (``words``; ``percentage points`` for scores of 0 and 1).
    baseline
        The persona that the others are compared with, for titles.

    Raises
    ------
    UsageError
        If the table has no row, or lacks a column.
    MissingDependencyError
        If altair is not installed.
    """
    rows = _rows_of(effects, score)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=_by_effect):
        groups.setdefault(row["model"], []).append(row)
    groups = {model: groups[model] for model in dict.fromkeys(r["model"] for r in rows)}
    shown_models = list(groups)[:MOST_MODELS]
    room = max(6, MOST_ROWS // len(shown_models))
    shown = {model: _ends(groups[model], room) for model in shown_models}
    drawn = [row for of_model in shown.values() for row in of_model]
    layout = rows_by_model([(m, [r["persona"] for r in of]) for m, of in shown.items()])
    at = {id(row): layout.y[row["model"], row["persona"]] for row in drawn}
    title = f"{score}: what each persona changed"
    subtitle = (
        f"Difference from {baseline}, paired by case. Dot and line: effect and 95% interval, not "
        "widened for the number of personas. Grey band: noise floor, how far a persona lies from "
        "itself asked again. Hollow: too little data to tell. Diamond: no difference of note."
        + left_out(len(rows) - len(drawn), "persona")
    )
    alt = _gist(rows, score, unit, baseline)
    known = [row for row in drawn if _has_interval(row)]
    chart = card(
        _forest_layers(drawn, known, at, layout.height, unit) + row_labels(layout, _LEFT),
        x=altair().X("x", type="quantitative", scale=positions(_domain(known)),
                     axis=altair().Axis(title=_axis_title(unit), tickCount=6)),
        y=altair().Y("y", type="quantitative", axis=None,
                     scale=positions([0, layout.height], reverse=True)),
        height=layout.height * _ROW,
        left=_LEFT,
        right=_RIGHT,
        bottom=40,
        title=title,
        subtitle=subtitle,
        alt=alt,
    )  # fmt: skip
    order = [i for of in groups.values() for i in (row["at"] for row in of)]
    return Figure(title, chart, effects.iloc[order].reset_index(drop=True), alt)


def _forest_layers(
    drawn: Sequence[Mapping[str, Any]],
    known: Sequence[Mapping[str, Any]],
    at: Mapping[int, float],
    height: float,
    unit: str,
) -> list[Any]:
    low, high = _domain(known)
    bands, lines = [], []
    marks: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("dot", "diamond", "hollow")}
    for row in known:
        y, floor = at[id(row)], row["noise_floor"]
        colour = _colour(row["verdict"])
        if not math.isnan(floor) and floor > 0:
            bands.append({"x": max(low, -floor), "x2": min(high, floor),
                          "y": y - 0.34, "y2": y + 0.34, "c": BAND})  # fmt: skip
        lines.append({"x": row["low"], "x2": row["high"], "y": y, "y2": y, "c": colour})
        marks[_mark(row["verdict"])].append({"x": row["effect"], "y": y, "c": colour})
    zero = [{"x": 0, "x2": 0, "y": 0, "y2": height, "c": INK}]
    hollow = {"filled": False, "fill": "white", "strokeWidth": 1.8}
    said = [{"y": at[id(r)], "t": label(_verdict(r, unit), _RIGHT - 12)} for r in drawn]
    unknown = [{"y": at[id(r)], "t": label(_reason(r, unit), 300)}
               for r in drawn if not _has_interval(r)]  # fmt: skip
    return [
        rectangles(bands),
        rules(zero, strokeWidth=1),
        rules(lines, strokeWidth=2),
        points(marks["dot"], size=62, shape="circle"),
        points(marks["diamond"], size=62, shape="diamond"),
        points(marks["hollow"], size=56, shape="circle", **hollow),
        texts(unknown, at=8, limit=304, fontStyle="italic", color=GREY),
        texts(said, at=plot_width(_LEFT, _RIGHT) + 12, limit=_RIGHT - 12),
    ]


def _rows_of(effects: pd.DataFrame, score: str) -> list[dict[str, Any]]:
    wanted = ["persona", "model", "effect", "low", "high", "noise_floor", "verdict"]
    absent = [name for name in wanted if name not in effects.columns]
    if absent:
        raise UsageError(
            f"The effect table of {score!r} has no column {' and no '.join(map(repr, absent))}.",
            fix="Give the table of `run.effects`.",
        )
    if not len(effects):
        raise UsageError(f"The effect table of {score!r} has no row.", fix="Add a second persona.")
    rows: list[dict[str, Any]] = effects[wanted].to_dict("records")
    for at, row in enumerate(rows):
        row["at"] = at
        for name in ("effect", "low", "high", "noise_floor"):
            value = row[name]
            row[name] = float("nan") if value != value or value is None else float(value)
    return rows


def _has_interval(row: Mapping[str, Any]) -> bool:
    return all(math.isfinite(row[name]) for name in ("effect", "low", "high"))


def _by_effect(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    effect = row["effect"]
    return (math.isnan(effect), 0.0 if math.isnan(effect) else -effect, row["at"])


def _ends(rows: list[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    if len(rows) <= most:
        return rows
    return rows[: most - most // 2] + rows[len(rows) - most // 2 :]


def _domain(known: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """From the lowest interval to the highest, 0 among them, with a little air."""
    low = min([0.0, *(row["low"] for row in known)])
    high = max([0.0, *(row["high"] for row in known)])
    air = 0.06 * (high - low) or 1.0
    return low - air, high + air


def _mark(verdict: str) -> str:
    if verdict.startswith(TOO_LITTLE):
        return "hollow"
    return "diamond" if verdict.startswith(NO_DIFFERENCE) else "dot"


def _colour(verdict: str) -> str:
    return {MORE: BLUE, LESS: ORANGE}.get(verdict, GREY)


def _verdict(row: Mapping[str, Any], unit: str) -> str:
    """In the words of the table; the unit is on the axis, and a reason stands in the plot."""
    said = str(row["verdict"]).partition(":")[0].removesuffix(f" {unit}" if unit else "")
    if said in (MORE, LESS) and not math.isnan(row["effect"]):
        return f"{said} ({signed(row['effect'])})"
    return said


def _reason(row: Mapping[str, Any], unit: str) -> str:
    _, _, why = str(row["verdict"]).partition(": ")
    if why or math.isnan(row["effect"]):
        return why or "no effect is known"
    return f"no interval: every case differs by {number(row['effect'])} {unit}".rstrip()


def _axis_title(unit: str) -> str:
    return label(f"effect, in {unit}" if unit else "effect", 340)


def _gist(rows: Sequence[Mapping[str, Any]], score: str, unit: str, baseline: str) -> str:
    kinds = (MORE, LESS, NO_DIFFERENCE, TOO_LITTLE)
    counts = Counter(next((k for k in kinds if r["verdict"].startswith(k)), "?") for r in rows)
    said = ", ".join(f"{counts[kind]} {_short(kind)}" for kind in kinds if counts[kind])
    known = [row for row in rows if _has_interval(row)]
    if not known:
        return (
            f"Effects on {score} of {pluralize(len(rows), 'persona')} against {baseline}: {said}."
        )
    top = max(known, key=lambda row: abs(row["effect"]))
    low, high = signed(top["low"]), signed(top["high"])
    return (
        f"Effects on {score} of {pluralize(len(rows), 'persona')} against {baseline}: {said}. "
        f"Farthest from 0: {label(top['persona'], 300)}, {signed(top['effect'])} {unit}".rstrip()
        + f" (95% interval {low} to {high})."
    )


def _short(kind: str) -> str:
    return "no difference of note" if kind == NO_DIFFERENCE else kind
