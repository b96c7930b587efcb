"""The forest plot: what each persona, or model, changed, with interval, floor and verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistants.analysis.effects import Arm
from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.layout import (
    MOST_MODELS,
    chart_of,
    not_shown,
    row_axis,
    stack_panels,
)
from assistants.analysis.plots.style import (
    BAND,
    BLUE,
    GREY,
    INK,
    ORANGE,
    altair,
    number,
    short_name,
    signed,
)
from assistants.analysis.verdict import LESS, MORE, NO_DIFFERENCE, TOO_LITTLE
from assistants.errors import UsageError
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 60
"""Limit of a figure; of more personas, it shows those at both ends."""

_WIDTH, _ROW_HEIGHT = 360, 26
_MARKS = {
    MORE: (BLUE, "circle"),
    LESS: (ORANGE, "circle"),
    NO_DIFFERENCE: (GREY, "diamond"),
    TOO_LITTLE: (GREY, "circle"),
}
"""The colour and shape of each kind of verdict."""
_EMPTY = (-1.0, 1.0)
"""The axis where nothing is known; its numbers would say nothing, and are left out."""


def forest(
    effects: pd.DataFrame,
    *,
    score: str,
    unit: str = "",
    baseline: str = "the baseline",
    by: Arm = "persona",
) -> Figure:
    """Draw one row per persona: effect, 95% interval, noise floor, and the verdict in words.

    There is a panel per model; where models are compared and only one persona is in the table,
    there is one row per model instead, in one panel. Rows are sorted by effect. Where nothing is
    known of the interval, the reason stands in the plot as text: never a point without an
    interval, never a 0.

    Parameters
    ----------
    effects
        As ``run.effects`` gives it; columns as in ``effects.COLUMNS``.
    score
        What was measured, for titles.
    unit
        Of ``effect`` (``words``; ``percentage points`` for scores of 0 and 1).
    baseline
        The persona, or the model, that the others are compared with, for titles.
    by
        What was compared, for titles.

    Raises
    ------
    UsageError
        If the table has no row, or lacks a column.
    MissingDependencyError
        If altair is not installed.
    """
    rows = _effect_rows(effects, score)
    if by == "model" and len({row["row"] for row in rows}) == 1:
        for row in rows:
            row["row"], row["model"] = row["model"], row["row"]
    models: dict[str, list[dict[str, Any]]] = {row["model"]: [] for row in rows}
    for row in sorted(rows, key=_by_effect):
        models[row["model"]].append(row)
    drawn = list(models)[:MOST_MODELS]
    room = max(6, MOST_ROWS // len(drawn))
    shown = {model: _both_ends(models[model], room) for model in drawn}
    known = [row for of_model in shown.values() for row in of_model if _has_interval(row)]
    domain = _domain(known)
    has_axis = domain != _EMPTY
    axis_title = f"effect, in {unit}" if unit else "effect"
    panels = [
        (
            model,
            _panel(of_model, domain, axis_title if has_axis and model == drawn[-1] else "", unit),
        )
        for model, of_model in shown.items()
    ]
    compared = "persona" if by == "persona" else "comparison"
    changed = "what each persona changed" if by == "persona" else "what the model changed"
    title = f"{score}: {changed}"
    subtitle = (
        f"Difference from {baseline}, paired by case. Dot and line: effect and 95% interval, not "
        "widened for the number of comparisons. Grey band: noise floor, how far a persona lies "
        "from itself asked again. Hollow: too little data to tell. Diamond: no difference of note."
        + not_shown(len(rows) - sum(map(len, shown.values())), compared)
    )
    alt = _gist(rows, compared, score, unit, baseline)
    chart = stack_panels(panels, title=title, subtitle=subtitle, alt=alt)
    order = [row["position"] for of_model in models.values() for row in of_model]
    return Figure(title, chart, effects.iloc[order].reset_index(drop=True), alt)


def _panel(
    rows: Sequence[Mapping[str, Any]], domain: tuple[float, float], axis_title: str, unit: str
) -> Any:
    package = altair()
    y = row_axis([row["row"] for row in rows])
    scale = package.Scale(domain=list(domain), nice=False)
    axis = package.Axis(title=axis_title or None, labels=bool(axis_title), grid=domain != _EMPTY)
    x = package.X("low:Q", scale=scale, axis=axis)
    known, unknown = (
        [r for r in rows if _has_interval(r) is is_known] for is_known in (True, False)
    )
    colors, shapes = zip(*_MARKS.values(), strict=True)
    kinds = {"domain": list(_MARKS)}
    color = package.Color("kind:N", legend=None, scale=package.Scale(range=colors, **kinds))
    shape = package.Shape("kind:N", legend=None, scale=package.Scale(range=shapes, **kinds))
    floors = [
        {"row": r["row"], "low": -r["noise_floor"], "high": r["noise_floor"]}
        for r in known
        if 0 < r["noise_floor"] < math.inf
    ]
    verdicts = [{"row": r["row"], "text": _verdict(r, unit)} for r in rows]
    reasons = [{"row": r["row"], "text": _reason(r, unit)} for r in unknown]
    return package.layer(
        chart_of(floors).mark_bar(color=BAND, height={"band": 0.7}).encode(y=y, x=x, x2="high"),
        # Where nothing has a place on the axis, the line at 0 would only cross out the reasons.
        chart_of([{"x": 0}] if domain != _EMPTY else []).mark_rule(color=INK, strokeWidth=1).encode(
            x=package.X("x:Q", scale=scale, axis=axis)),
        chart_of(known).mark_rule().encode(y=y, x=x, x2="high", color=color),
        chart_of(known).mark_point().encode(
            y=y, x=package.X("effect:Q", scale=scale, axis=axis), color=color, shape=shape),
        chart_of([r for r in known if r["kind"] == TOO_LITTLE]).mark_point(
            color="white", size=28, shape="circle").encode(
            y=y, x=package.X("effect:Q", scale=scale, axis=axis)),
        *(
            chart_of(reasons).mark_text(align="left", fontStyle="italic", **ink).encode(
                y=y, x=package.value(8), text="text:N")
            for ink in ({"stroke": "white", "strokeWidth": 4}, {"color": GREY})
        ),
        chart_of(verdicts).mark_text(align="left").encode(
            y=y, x=package.value(_WIDTH + 14), text="text:N"),
    ).properties(width=_WIDTH, height=package.Step(_ROW_HEIGHT))  # fmt: skip


def _effect_rows(effects: pd.DataFrame, score: str) -> list[dict[str, Any]]:
    needed = ["persona", "model", "effect", "low", "high", "noise_floor", "verdict"]
    absent = [name for name in needed if name not in effects.columns]
    if absent:
        raise UsageError(
            f"The effect table of {score!r} has no column {' and no '.join(map(repr, absent))}.",
            fix="Give the table of `run.effects`.",
        )
    if not len(effects):
        raise UsageError(f"The effect table of {score!r} has no row.", fix="Add a second persona.")
    numbers = dict.fromkeys(("effect", "low", "high", "noise_floor"), "float64")
    rows: list[dict[str, Any]] = effects[needed].astype(numbers).to_dict("records")
    for position, row in enumerate(rows):
        row["position"], row["row"] = position, row.pop("persona")
        row["kind"] = next((k for k in _MARKS if row["verdict"].startswith(k)), TOO_LITTLE)
    return rows


def _has_interval(row: Mapping[str, Any]) -> bool:
    return all(math.isfinite(row[name]) for name in ("effect", "low", "high"))


def _by_effect(row: Mapping[str, Any]) -> tuple[bool, float, int]:
    """Return a key that sorts the largest effect first, and unknown ones last."""
    effect = row["effect"]
    return (math.isnan(effect), 0.0 if math.isnan(effect) else -effect, row["position"])


def _both_ends(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(rows) <= most:
        return rows
    return rows[: most - most // 2] + rows[len(rows) - most // 2 :]


def _domain(known: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return the lowest to the highest end of an interval or floor, with a little air."""
    floors = [row["noise_floor"] for row in known if math.isfinite(row["noise_floor"])]
    low = min([0.0, *(row["low"] for row in known), *(-floor for floor in floors)])
    high = max([0.0, *(row["high"] for row in known), *floors])
    air = 0.06 * (high - low)
    return (low - air, high + air) if air else _EMPTY


def _verdict(row: Mapping[str, Any], unit: str) -> str:
    """Return the table's words; the unit is on the axis, and a reason stands in the plot."""
    verdict = str(row["verdict"]).partition(":")[0].removesuffix(f" {unit}" if unit else "")
    if verdict in (MORE, LESS) and not math.isnan(row["effect"]):
        return f"{verdict} ({signed(row['effect'])})"
    return truncate_line(verdict, 40)


def _reason(row: Mapping[str, Any], unit: str) -> str:
    reason = str(row["verdict"]).partition(": ")[2]
    if reason or math.isnan(row["effect"]):
        return truncate_line(reason or "no effect is known", 56)
    return truncate_line(
        f"no interval: every case differs by {number(row['effect'])} {unit}".rstrip(), 56
    )


def _gist(
    rows: Sequence[Mapping[str, Any]], compared: str, score: str, unit: str, baseline: str
) -> str:
    short = {NO_DIFFERENCE: "no difference of note"}
    counts = Counter(row["kind"] for row in rows)
    listed = ", ".join(f"{counts[kind]} {short.get(kind, kind)}" for kind in _MARKS if counts[kind])
    compared_rows = pluralize(len(rows), compared)
    gist = f"Effects on {score} of {compared_rows} against {baseline}: {listed}."
    known = [row for row in rows if _has_interval(row)]
    if not known:
        return gist
    top = max(known, key=lambda row: abs(row["effect"]))
    return (
        f"{gist} Farthest from 0: {short_name(top['row'])}, "
        + f"{signed(top['effect'])} {unit}".rstrip()
        + f" (95% interval {signed(top['low'])} to {signed(top['high'])})."
    )
