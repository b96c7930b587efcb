"""Tables of effects in LaTeX, for a paper."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assistants.errors import UsageError
from assistants.utils import escape_control_chars

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {
    "scorer": "Score", "persona": "Persona", "model": "Model", "part": "Part", "n_cases": "Cases",
    "baseline_mean": "Baseline", "mean": "Mean", "effect": "Effect", "distance": "Distance",
    "noise": "Noise", "excess": "Excess", "low": r"95\% interval", "p_adjusted": "$p$",
    "verdict": "Verdict",
}  # fmt: skip
"""Columns that a reader of a paper needs, in order, and their headings."""

_TEXTS = frozenset({"scorer", "persona", "model", "part", "verdict"})
_WITH_UNIT = frozenset({"effect"})
_ABSENT = "--"

_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip
_SPECIAL = re.compile("[" + re.escape("".join(_ESCAPES)) + "]")


def latex_table(effects: pd.DataFrame, *, unit: str = "") -> str:
    r"""Return a table of effects as a LaTeX ``tabular``, with the rules of ``booktabs``.

    What belongs under the table in a paper, the notes of its rows, follows as comments.

    Parameters
    ----------
    effects
        As ``run.effects``, ``run.interactions``, ``run.control_contrasts`` or
        ``run.text_distance`` return it. A model that all rows share gets no column.
    unit
        Of the effect, for its heading.

    Returns
    -------
    str
        Needs ``\usepackage{booktabs}``. Every character of a name that LaTeX would read as a
        command is escaped; a number that is not known is a dash, never a 0.

    Raises
    ------
    UsageError
        If the table has none of the columns of an effect table.
    """
    names = [name for name in _NAMES if name in effects]
    if "low" not in names or "high" not in effects:
        raise UsageError(
            "This table has no effects with intervals.",
            fix='Give one of `run.effects("words")`, or `frame.to_latex()` of pandas for others.',
        )
    if "model" in names and effects["model"].nunique() == 1:
        names.remove("model")
    heads = [
        f"{_NAMES[name]} ({_escaped(unit)})" if unit and name in _WITH_UNIT else _NAMES[name]
        for name in names
    ]
    rows = [" & ".join(_cell(name, row) for name in names) for row in effects.to_dict("records")]
    alignment = "".join("l" if name in _TEXTS else "r" for name in names)
    lines = [
        rf"\begin{{tabular}}{{{alignment}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(row + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(effects),
    ]
    return "\n".join(lines)


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if name in _TEXTS:
        return _escaped(value)
    if name == "low":
        return f"[{_number(value)}, {_number(row['high'])}]" if value == value else _ABSENT
    if name == "p_adjusted":
        return "$<$0.001" if value < 0.001 else f"{value:.3f}" if value == value else _ABSENT
    return f"{value:d}" if name == "n_cases" else _number(value)


def _number(value: float) -> str:
    """Return three digits of a number, with the minus sign of mathematics; a dash for NaN."""
    if value != value:
        return _ABSENT
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return f"$-${text[1:]}" if text.startswith("-") else text


def _escaped(text: str) -> str:
    one_line = " ".join(escape_control_chars(str(text)).split())
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], one_line)


def _notes(effects: pd.DataFrame) -> list[str]:
    notes: dict[str, list[str]] = {}
    if "note" in effects:
        for row in effects.to_dict("records"):
            notes.setdefault(row["note"], []).append(row.get("persona", ""))
    return [
        f"% {_escaped(', '.join(dict.fromkeys(of)))}: {_escaped(note)}"
        for note, of in notes.items()
        if note
    ]
