"""Answers that ended at a token limit: what they would have gone on to say, no score sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MANY = 0.5
"""From this share of one side's answers, a reader is told."""


def note_cuts(table: pd.DataFrame, frame: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The effect table, with a note where many answers of a side were cut.

    Parameters
    ----------
    table
        As ``effects`` makes it.
    frame
        What it was made of, with the ``status`` of each trial.
    baseline
        The persona that the others are compared with.
    """
    counted = frame[frame["value"].notna()]
    cut = (counted["status"] == "length").groupby([counted["persona"], counted["model"]])
    found = cut.agg(["sum", "count"])

    def said(persona: str, model: str) -> str:
        sides = [found.loc[(p, model)] for p in (persona, baseline) if (p, model) in found.index]
        if len(sides) < 2 or all(side["sum"] < MANY * side["count"] for side in sides):
            return ""
        here, there = (f"{side['sum']:,} of {side['count']:,}" for side in sides)
        return (
            f"Cut at the token limit: {here} answers, {there} of the baseline's. "
            "What they would have gone on to say does not count."
        )

    notes = [
        " ".join(filter(None, (row.note, said(row.persona, row.model))))
        for row in table.itertuples()
    ]
    return table.assign(note=notes).astype({"note": "str"})
