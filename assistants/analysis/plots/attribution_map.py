"""The heat map over a persona's sentences: what each contributed, case by case and in all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assistants.analysis.plots.figure import Figure, altair
from assistants.analysis.plots.layout import (  # fmt: skip
    MOST_MODELS,
    cell_numbers,
    column_names,
    left_out,
    row_labels,
    rows_by_model,
    spread_out,
)
from assistants.analysis.plots.style import (  # fmt: skip
    BLUE,
    GREY,
    INK,
    ORANGE,
    card,
    label,
    number,
    plot_width,
    positions,
    rectangles,
    signed,
    texts,
)
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_SENTENCES, MOST_CASES = 60, 24
"""In one figure; of more, it shows some, spread evenly over their order."""

_LEFT, _RIGHT, _ROW = 320, 160, 22
_MISSING = "#eceeef"
_ALL = "all cases"


def attribution_map(
    totals: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    persona: str,
    unit: str,
    by: str,
    note: str = "",
) -> Figure:
    """Sentences as rows in their order, cases as columns; beside them totals with intervals.

    Blue makes the answers likelier, orange less likely, darker is more. Where ``trials`` is empty
    (answers made anew, which no single case tells of) there is one column, of all cases.

    Parameters
    ----------
    totals
        With ``contributions.TOTALS``.
    trials
        With ``contributions.TRIALS``, or no row.
    persona
        Whose sentences they are, for titles.
    unit
        Of the effects.
    by
        How they were measured, for titles.
    note
        What has to be known beside the numbers.

    Raises
    ------
    MissingDependencyError
        If altair is not installed.
    """
    rows: list[dict[str, Any]] = totals.to_dict("records")
    models = list(dict.fromkeys(row["model"] for row in rows))[:MOST_MODELS]
    room = max(8, MOST_SENTENCES // len(models))
    shown = [r for m in models for r in spread_out([r for r in rows if r["model"] == m], room)]
    every_case = list(dict.fromkeys(trials["case"])) or [_ALL]
    cases = spread_out(every_case, MOST_CASES)
    cells = _cells(trials, shown)
    layout = rows_by_model([(m, [_name(r) for r in shown if r["model"] == m]) for m in models])
    title = f"{persona}: which sentence matters"
    subtitle = (
        f"{_explained(unit)} Right: mean over cases and 95% interval."
        + (f" {note}" if note else "")
        + left_out(len(rows) - len(shown), "sentence")
        + left_out(len(every_case) - len(cases), "case")
    )
    alt = _gist(rows, persona, unit, by)
    column = plot_width(_LEFT, _RIGHT) / len(cases)
    values = [
        cells.get((r["model"], r["sentence"], case), math.nan) for r in shown for case in cases
    ]
    most = float(np.nanmax(np.abs([0.0, *values])))
    boxes, numbers = [], []
    for at, value in enumerate(values):
        row, x = shown[at // len(cases)], at % len(cases)
        y = layout.y[row["model"], _name(row)]
        box = {"x": x, "x2": x + 1, "y": y - 0.5, "y2": y + 0.5}
        boxes.append({**box, "c": _shade(value, most)})
        if not math.isnan(value):
            ink = "white" if abs(value) > 0.6 * most else INK
            numbers.append({"x": x + 0.5, "y": y, "t": _short(value), "c": ink})
    layers = [rectangles(boxes, stroke="white", strokeWidth=1)]
    layers += cell_numbers(numbers, column)
    names, tall = column_names(cases)
    layers.append(names)
    said = [
        {"y": layout.y[r["model"], _name(r)], "t": label(_total(r), _RIGHT - 12)} for r in shown
    ]
    layers.append(texts(said, at=plot_width(_LEFT, _RIGHT) + 10, limit=_RIGHT - 10, color=GREY))
    chart = card(
        layers + row_labels(layout, _LEFT),
        x=altair().X("x", type="quantitative", axis=None, scale=positions([0, len(cases)])),
        y=altair().Y("y", type="quantitative", axis=None,
                     scale=positions([0, layout.height], reverse=True)),
        height=layout.height * _ROW,
        left=_LEFT,
        right=_RIGHT,
        top=tall,
        bottom=12,
        title=title,
        subtitle=subtitle,
        alt=alt,
    )  # fmt: skip
    return Figure(title, chart, totals, alt)


def _cells(
    trials: pd.DataFrame, shown: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, int, str], float]:
    """The mean over the repeats of each model, sentence and case."""
    if not len(trials):
        return {(row["model"], row["sentence"], _ALL): row["effect"] for row in shown}
    means = trials.groupby(["model", "sentence", "case"], sort=False)["effect"].mean()
    return {place: float(value) for place, value in means.items()}


def _explained(unit: str) -> str:
    if unit == "nats":
        return (
            "How much likelier a sentence makes the answers that were given, in nats: the "
            "log-probability under the whole persona, less that without the sentence. Blue: "
            "likelier. Orange: less likely."
        )
    return (
        f"How far the wording moves when answers are made anew without a sentence, beyond what "
        f"repeats of the whole persona differ ({unit}). By regeneration: of other answers than "
        "those in the run."
    )


def _shade(value: float, most: float) -> str:
    """From white to blue or orange."""
    if math.isnan(value):
        return _MISSING
    share = min(1.0, abs(value) / most) if most > 0 else 0.0
    full = BLUE if value > 0 else ORANGE
    ends = zip((247, 249, 251), (int(full[i : i + 2], 16) for i in (1, 3, 5)), strict=True)
    red, green, blue = (round(low + share * (high - low)) for low, high in ends)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['sentence']}. {row['text']}"


def _total(row: Mapping[str, Any]) -> str:
    if math.isnan(row["effect"]):
        return "not known"
    if math.isnan(row["low"]):
        return f"{_short(row['effect'])}, no interval"
    return f"{_short(row['effect'])} [{_short(row['low'])}, {_short(row['high'])}]"


def _short(value: float) -> str:
    """Two digits: more would be said of a fraction of a nat."""
    return signed(float(f"{value:.2g}"))


def _gist(rows: Sequence[Mapping[str, Any]], persona: str, unit: str, by: str) -> str:
    count = len({row["sentence"] for row in rows})
    said = f"Heat map of what {pluralize(count, 'sentence')} of {persona} contributed, by {by}."
    known = [row for row in rows if not math.isnan(row["effect"])]
    if not known:
        return said
    top = max(known, key=lambda row: row["effect"])
    return (
        f"{said} Most: sentence {top['sentence']}, {label(top['text'], 300)!r}, "
        f"{number(top['effect'])} {unit}."
    )
