"""The headline says in words what the table of effects says, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from assistants.analysis import FEWEST_TO_TELL, effects, headline


def table(**means: float) -> pd.DataFrame:
    """Effects on words of personas whose means are given, over as many cases as ``cases``."""
    cases = int(means.pop("cases", 20))
    draw = np.random.default_rng(1)
    level = draw.normal(100, 20, cases)
    rows = [
        {"persona": persona, "model": "m", "case": str(case), "repeat": 0,
         "value": level[case] + mean + draw.normal(0, 4)}
        for persona, mean in {"none": 0.0, **means}.items()
        for case in range(cases)
    ]  # fmt: skip
    return effects(pd.DataFrame(rows), "words", baseline="none", unit="words")


def row(persona: str, verdict: str, effect: float, low: float, high: float, **more: Any) -> Any:
    return {"persona": persona, "model": "m", "n_cases": 30, "effect": effect, "low": low,
            "high": high, "cases_needed": pd.NA, "verdict": verdict, **more}  # fmt: skip


def test_a_real_difference_is_said_with_its_interval() -> None:
    """In the direction of the effect, both ends as sizes, the small one first."""
    said = headline(table(brief=-40), "words", unit="words")
    assert said.startswith("`brief` answers in 4")
    assert "words less than no prompt (95%: 3" in said
    assert "more" in headline(table(long=40), "words", unit="words")


def test_the_others_are_bounded() -> None:
    """By the farthest end of an interval, rounded up; the sentence of the issue."""
    rows = [
        row("brief", "less", -20.4, -31, -9.3),
        row("art", "no difference larger than 12 words", 2, -7.5, 11.21),
        row("math", "no difference larger than 8 words", 1, -6, 8),
    ]
    assert headline(pd.DataFrame(rows), "words", unit="words") == (
        "`brief` answers in 20 words less than no prompt (95%: 9 to 31). "
        "No other persona changed the length by more than 12 words."
    )
    assert headline(pd.DataFrame(rows[1:]), "words", unit="words") == (
        "No persona changed the length by more than 12 words."
    )


def test_of_what_is_open_no_difference_is_claimed() -> None:
    """It is named as open, with the number of cases that would tell."""
    rows = [
        row("brief", "less", -20.4, -31, -9),
        row("art", "too little data to tell", 2, -7.5, 21, cases_needed=90),
        row("sport", "too little data to tell", 0, -7.5, 21, cases_needed=None),
        row("math", "no difference larger than 8 words", 1, -6, 8),
    ]
    said = headline(pd.DataFrame(rows), "words", unit="words")
    assert "Too little data to tell: `art`, `sport` (30 cases; about 90 would tell" in said
    assert "No other persona" not in said
    assert "No difference of note: `math`." in said


@pytest.mark.parametrize("cases", range(1, FEWEST_TO_TELL))
def test_with_few_cases_it_is_one_sentence(cases: int) -> None:
    """Whatever the scores: no verdict is possible, and the table has none."""
    effect_table = table(brief=-40, long=40, cases=cases)
    assert not set(effect_table["verdict"]) & {"more", "less"}
    said = headline(effect_table, "words", unit="words")
    assert said.count(". ") == 0
    assert "brief" not in said
    assert {"more", "less"} & set(table(brief=-40, cases=FEWEST_TO_TELL + 1)["verdict"])


def test_other_scores_and_baselines_are_named() -> None:
    """A share in percentage points; models one after the other."""
    rows = pd.DataFrame([
        row("brief", "more", 25, 5, 45),
        {**row("brief", "less", -25, -45, -5), "model": "n"},
    ])  # fmt: skip
    said = headline(rows, "contains", unit="percentage points", baseline="art")
    assert said == (
        "On `m`: `brief` is 25 percentage points higher in `contains` than `art` (95%: 5 to 45). "
        "On `n`: `brief` is 25 percentage points lower in `contains` than `art` (95%: 5 to 45)."
    )


def test_a_name_cannot_end_its_quotes() -> None:
    """A persona's name is text of others, and the page reads the headline as Markdown."""
    said = headline(pd.DataFrame([row("a`<b>`", "more", 9, 8, 10)]), "words", unit="words")
    assert said.startswith("`a'<b>'` answers in 9")


def test_nothing_to_compare() -> None:
    """Only the baseline was asked."""
    assert "only the baseline" in headline(pd.DataFrame(columns=["n_cases"]), "words")


def test_models_are_told_apart_as_personas_are() -> None:
    """With ``by="model"`` the models change places with the personas, and nobody is "no prompt"."""
    rows = [
        {**row("none", "more", 80, 50, 100), "model": "large"},
        {**row("art", "more", 80, 50, 100), "model": "large"},
    ]
    said = headline(
        pd.DataFrame(rows), "choice", unit="percentage points", baseline="none", by="model"
    )
    assert said == (
        "With `none`, `art`: `large` is 80 percentage points higher in `choice` than `none` "
        "(95%: 50 to 100)."
    )
    open_ = [{**row("none", "too little data to tell", 1, -9, 9), "model": "large"}]
    said = headline(pd.DataFrame(open_), "words", baseline="small", by="model")
    assert said == "Too little data to tell: `large` (30 cases)."
