"""The headline of a report: an effect table in two or three sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from assistants.analysis.effects import Arm
from assistants.analysis.verdict import LESS, MORE, NO_DIFFERENCE
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

FEWEST_TO_TELL = 6
"""With fewer cases no verdict is possible: of 5 signs alike, chance gives 1 in 16 each way."""

MOST_NAMED = 3
"""Personas, and models, that a headline names."""


def headline(
    effects: pd.DataFrame,
    score: str,
    *,
    unit: str = "",
    baseline: str = "none",
    by: Arm = "persona",
) -> str:
    """Return what each persona, or model, changed in plain words, or that nothing can be told.

    Parameters
    ----------
    effects
        One row per persona and model, as ``analysis.effects`` gives it.
    score
        What was measured.
    unit
        Of ``effect``, in the plural; ``percentage points`` for scores of 0 and 1.
    baseline
        The persona, or model, that the others are compared with.
    by
        What is compared.

    Returns
    -------
    str
        Names stand in backticks. A sentence speaks of a difference only where the table's verdict
        does; intervals are those of the table, at 95%.
    """
    if not len(effects):
        return "There is only the baseline, so there is nothing to compare it with."
    cases = int(effects["n_cases"].max())
    measured = "the length" if score == "words" else _code(score)
    if cases < 2:
        return (
            f"{'No case has' if cases == 0 else 'Only one case has'} answers on both sides, which "
            f"says nothing about {measured} in general: read the answers, or add cases."
        )
    if cases < FEWEST_TO_TELL:
        return (
            f"Too little data to tell whether a {by} changes {measured}: {cases} cases, "
            f"and a verdict needs at least {FEWEST_TO_TELL}."
        )
    other, on = ("model", "On") if by == "persona" else ("persona", "With")
    groups = list(dict.fromkeys(effects[other]))
    said: dict[str, list[str]] = {}
    for group in groups[:MOST_NAMED]:
        rows = effects[effects[other] == group].assign(name=effects[by])
        text = " ".join(_sentences(rows, score, measured, unit, baseline, by))
        said.setdefault(text, []).append(_code(group))
    if len(groups) == 1:
        return next(iter(said))
    parts = [f"{on} {', '.join(of)}: {text}" for text, of in said.items()]
    if len(groups) > MOST_NAMED:
        parts.append(f"{pluralize(len(groups) - MOST_NAMED, f'more {other}')}: see the table.")
    return " ".join(parts)


def _sentences(
    effects: pd.DataFrame, score: str, measured: str, unit: str, baseline: str, by: Arm
) -> Iterator[str]:
    rows: list[dict[str, Any]] = effects.to_dict("records")
    real = [row for row in rows if row["verdict"] in (MORE, LESS)]
    same = [row for row in rows if row["verdict"].startswith(NO_DIFFERENCE)]
    open_ = [row for row in rows if row not in real and row not in same]
    real.sort(key=lambda row: -abs(row["effect"]))
    other = "other " if real else ""
    for row in real[:MOST_NAMED]:
        yield _difference(row, score, unit, baseline, by)
    if len(real) > MOST_NAMED:
        yield f"{pluralize(len(real) - MOST_NAMED, f'more {by}')} changed {measured} too."
    if same and not open_:
        most = max(max(abs(row["low"]), abs(row["high"])) for row in same)
        yield f"No {other}{by} changed {measured} by more than {_up(most)} {unit}".rstrip() + "."
    elif same:
        yield f"No difference of note: {_names(same)}."
    if open_:
        many = int(effects["n_cases"].max())
        known = [row["cases_needed"] for row in open_]
        needed = [int(n) for n in known if isinstance(n, Integral) and int(n) > many]
        enough = f"; about {min(needed):,} would tell the largest difference" if needed else ""
        yield f"Too little data to tell: {_names(open_)} ({pluralize(many, 'case')}{enough})."


def _difference(row: dict[str, Any], score: str, unit: str, baseline: str, by: Arm) -> str:
    than = "no prompt" if (by, baseline) == ("persona", "none") else _code(baseline)
    size = f"{_number(abs(row['effect']))} {unit}".rstrip()
    direction = "more" if row["effect"] > 0 else "less"
    ends = sorted((row["low"], row["high"]), key=abs)
    interval = ""
    if all(map(math.isfinite, ends)):
        low, high = (_number(abs(end), 1 if abs(row["effect"]) >= 10 else 10) for end in ends)
        interval = f" (95%: {low} to {high})"
    name = _code(row["name"])
    if score == "words":
        return f"{name} answers in {size} {direction} than {than}{interval}."
    side = "higher" if row["effect"] > 0 else "lower"
    return f"{name} is {size} {side} in {_code(score)} than {than}{interval}."


def _names(rows: Sequence[dict[str, Any]]) -> str:
    named = [_code(row["name"]) for row in rows[:MOST_NAMED]]
    if len(rows) > MOST_NAMED:
        named.append(f"{len(rows) - MOST_NAMED} more")
    return ", ".join(named)


def _code(name: str) -> str:
    return f"`{truncate_line(str(name), 48).replace('`', chr(39))}`"


def _number(value: float, whole_from: float = 10) -> str:
    return f"{value:,.0f}" if value >= whole_from else f"{value:.2g}"


def _up(value: float) -> str:
    """Round up to two digits, so that "not more than" stays true."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return _number(math.ceil(round(value / step, 9)) * step)
