"""Answers that were cut at a token limit are said to be, beside the effect that they hide."""

from __future__ import annotations

import pandas as pd
import pytest

from assistants.analysis import effects, note_truncation


def trials(cut: dict[str, int], cases: int = 6) -> pd.DataFrame:
    """One draw of each case; the first ``cut`` answers of a persona are cut."""
    return pd.DataFrame(
        {
            "persona": persona,
            "model": "m",
            "case": str(case),
            "repeat": 0,
            "value": float(case + (persona == "art") * (case + 1)),
            "status": "length" if case < number else "ok",
        }
        for persona, number in cut.items()
        for case in range(cases)
    )


def noted(frame: pd.DataFrame) -> list[str]:
    return list(note_truncation(effects(frame, "words", baseline="none"), frame, "none")["note"])


@pytest.mark.parametrize(
    ("none", "art", "said"),
    [(6, 0, "0 of 6 answers, 6 of 6 of the"), (0, 3, "3 of 6 answers, 0 of 6 of"), (2, 2, "")],
)
def test_many_cut_answers_on_either_side_are_said(none: int, art: int, said: str) -> None:
    """From half of a side on; a few are in the table of statuses."""
    (note,) = noted(trials({"none": none, "art": art}))
    assert ("Cut at the token limit: " + said in note) if said else "Cut" not in note


def test_answers_that_do_not_count_are_not_counted() -> None:
    """Whoever leaves out what was cut has nothing to be warned of."""
    frame = trials({"none": 3, "art": 3})
    frame.loc[frame["status"] == "length", "value"] = float("nan")
    (note,) = noted(frame)
    assert "Cut" not in note


def test_each_persona_has_its_own_note_and_the_earlier_one_stays() -> None:
    """Beside what was to be said already; and a table of nothing stays one."""
    frame = trials({"none": 0, "art": 6, "plain": 0}, cases=3)
    art, plain = noted(frame)
    assert art.startswith("With 3 cases")
    assert art.endswith("does not count.")
    assert "Cut" not in plain
    alone = trials({"none": 6})
    assert note_truncation(effects(alone, "words", baseline="none"), alone, "none").empty
