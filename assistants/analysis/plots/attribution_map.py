"""The map over a persona's sentences: what each contributed, case by case and in all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistants.analysis.plots.figure import Figure
from assistants.analysis.plots.layout import (
    MOST_MODELS,
    cell_panel,
    chart_of,
    color_key,
    not_shown,
    row_axis,
    spread_out,
    stack_panels,
)
from assistants.analysis.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    altair,
    number,
    short_name,
    signed,
)
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

MOST_SENTENCES, MOST_CASES = 60, 24
"""Limits of one figure; of more, it shows some, spread evenly over their order."""

_WIDTH, _ROW_HEIGHT, _NAME_PIXELS = 300, 22, 300
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
    """Draw sentences as rows in their order and cases as columns; beside them totals.

    Blue makes the answers likelier, orange less likely, darker is more. Where ``trials`` is empty
    (an ablation compares sets of answers, not single cases) there is one column, of all cases.

    Parameters
    ----------
    totals
        With ``attribution_effects.ATTRIBUTION_TOTALS``.
    trials
        With ``attribution_effects.ATTRIBUTION_TRIALS``, or no row.
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
    package = altair()
    rows: list[dict[str, Any]] = totals.to_dict("records")
    models = list(dict.fromkeys(row["model"] for row in rows))
    drawn = models[:MOST_MODELS]
    room = max(8, MOST_SENTENCES // len(drawn))
    shown = {m: spread_out([row for row in rows if row["model"] == m], room) for m in drawn}
    all_cases = list(dict.fromkeys(map(str, trials["case"]))) or [_ALL]
    cases = spread_out(all_cases, MOST_CASES)
    cells = _cells(trials, shown, cases)
    values = [cell["value"] for of_model in cells.values() for cell in of_model]
    most = max((abs(value) for value in values if math.isfinite(value)), default=0.0) or 1.0
    for of_model in cells.values():
        for cell in of_model:
            cell["text"], cell["is_dark"] = _short(cell["value"]), abs(cell["value"]) > 0.6 * most
    color = package.Color(
        "value:Q",
        legend=color_key(unit),
        scale=package.Scale(
            domain=[-most, 0, most], range=[ORANGE, "#f7f9fb", BLUE], interpolate="rgb"
        ),
    )
    panels = [(model, _panel(shown[model], cells[model], cases, color)) for model in drawn]
    title = f"{persona}: which sentence matters"
    subtitle = (
        f"{_explained(unit)} Right: mean over cases and 95% interval."
        + (f" {note}" if note else "")
        + not_shown(len(rows) - sum(map(len, shown.values())), "sentence")
        + not_shown(len(all_cases) - len(cases), "case")
    )
    alt = _gist(rows, persona, unit, by)
    return Figure(title, stack_panels(panels, title=title, subtitle=subtitle, alt=alt), totals, alt)


def _panel(
    rows: Sequence[Mapping[str, Any]], cells: list[dict[str, Any]], cases: list[str], color: Any
) -> Any:
    package = altair()
    names = [_name(row) for row in rows]
    width = min(float(_WIDTH), 96.0 * len(cases))
    totals = [{"row": _name(row), "text": _total(row)} for row in rows]
    beside = chart_of(totals).mark_text(align="left", color=GREY)
    return package.layer(
        cell_panel(
            cells, rows=names, columns=cases, color=color, width=_WIDTH,
            row_height=_ROW_HEIGHT, name_pixels=_NAME_PIXELS,
        ),
        beside.encode(y=row_axis(names, labelLimit=_NAME_PIXELS),
                      x=package.value(width + 12), text="text:N"),
    )  # fmt: skip


def _cells(
    trials: pd.DataFrame, shown: Mapping[str, Sequence[Mapping[str, Any]]], cases: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Return the mean over repeats for each model, sentence and case; NaN where there is none."""
    means: Mapping[Any, float] = {}
    if len(trials):
        keys = [trials["model"], trials["sentence"], trials["case"].astype(str)]
        means = trials["effect"].groupby(keys).mean().to_dict()
    return {
        model: [
            {
                "row": _name(row),
                "column": case,
                "value": float(means.get((model, row["sentence"], case), math.nan))
                if len(trials)
                else float(row["effect"]),
            }
            for row in rows
            for case in cases
        ]
        for model, rows in shown.items()
    }


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


def _name(row: Mapping[str, Any]) -> str:
    return " ".join(f"{row['sentence']}. {row['text']}".split())


def _total(row: Mapping[str, Any]) -> str:
    if math.isnan(row["effect"]):
        return "not known"
    if math.isnan(row["low"]):
        return f"{_short(row['effect'])}, no interval"
    return f"{_short(row['effect'])} [{_short(row['low'])}, {_short(row['high'])}]"


def _short(value: float) -> str:
    """Return two digits: more would be too many for a fraction of a nat."""
    return "" if math.isnan(value) else signed(float(f"{value:.2g}"))


def _gist(rows: Sequence[Mapping[str, Any]], persona: str, unit: str, by: str) -> str:
    sentences = pluralize(len({row["sentence"] for row in rows}), "sentence")
    gist = f"Heat map of what {sentences} of {persona} contributed, by {by}."
    known = [row for row in rows if not math.isnan(row["effect"])]
    if not known:
        return gist
    top = max(known, key=lambda row: row["effect"])
    return (
        f"{gist} Most: sentence {top['sentence']}, {short_name(top['text'])!r}, "
        f"{number(top['effect'])} {unit}."
    )
