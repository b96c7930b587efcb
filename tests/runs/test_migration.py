"""Before a model is switched off: verdicts on the one to take its place, and what differs most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assistants import Experiment, Message, Run, Sampling, ScriptedClient
from assistants.analysis import answer_differences, holm
from assistants.errors import UnknownNameError, UsageError
from assistants.runs import Migration
from support.experiments import quiet

CASES = [f"Question {number}?" for number in range(24)]
NONSENSE = "<script>alert(1)</script> zebra quartz"


def old(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer in 20 to 43 words, and one more or less by case and repeat."""
    return " ".join(["word"] * _length(messages, sampling, 0)) + " because"


def new(messages: Sequence[Message], sampling: Sampling) -> str:
    """Answer alike, but longer as ``wordy``, and with other words to questions 3 and 7."""
    case = _case(messages)
    extra = 10 if messages[0].role == "system" else 0
    if case in (3, 7):
        return " ".join([NONSENSE] * ((20 + case) // 6))
    return " ".join(["word"] * (_length(messages, sampling, 1) + extra)) + " because"


def _case(messages: Sequence[Message]) -> int:
    return int(messages[-1].content.split()[1].rstrip("?"))


def _length(messages: Sequence[Message], sampling: Sampling, shift: int) -> int:
    assert sampling.seed is not None
    case = _case(messages)
    return 20 + case + (5 * case + sampling.seed + shift * (1 + case % 3)) % 3


@pytest.fixture
async def run(here: Path) -> Run:
    """Return a run of both models, with a control persona, which has no part in a migration."""
    experiment = Experiment.define(
        "exp",
        personas=["none", {"name": "wordy", "system_prompt": "Talk."}],
        models=[ScriptedClient(old, "old"), ScriptedClient(new, "new")],
        cases=CASES, scorers=["words", {"contains": "because"}], sampling={"seed": 1}, repeats=2,
        controls={"same": True},
    )  # fmt: skip
    return await experiment.run(on_progress=quiet)


async def test_planted_differences_are_named_per_persona_and_scorer(run: Run) -> None:
    """More words of one persona and no difference of the other; the share falls by 2 of 24."""
    migration = run.migration("scripted:old", "scripted:new", margin={"words": 6, "contains": 30})
    verdicts = migration.verdicts.set_index(["scorer", "persona"])["verdict"].to_dict()
    assert verdicts == {
        ("words", "none"): "no difference larger than 6 words",
        ("words", "wordy"): "more",
        ("contains", "none"): "no difference larger than 30 percentage points",
        ("contains", "wordy"): "no difference larger than 30 percentage points",
    }
    assert migration.summary == (
        "scripted:new in place of scripted:old: 1 more, 3 no difference of note."
    )
    assert repr(migration).startswith("Migration(exp: scripted:new in place of scripted:old")


async def test_all_verdicts_are_one_family(run: Run) -> None:
    """The p of each scorer's own table, adjusted over all of them."""
    verdicts = run.migration("scripted:old", "scripted:new").verdicts
    alone = pd.concat([run.effects(name, by="model") for name in ("words", "contains")])
    assert verdicts["p"].tolist() == alone["p"].tolist()
    assert verdicts["p_adjusted"].to_numpy() == pytest.approx(holm(alone["p"].to_numpy()))
    assert verdicts["effect"].tolist() == alone["effect"].tolist()


async def test_a_real_difference_within_the_margin_is_said_to_be(run: Run) -> None:
    """It is one, and the person who decides has said that it does not matter."""
    table = run.migration("scripted:old", "scripted:new", margin=40).verdicts
    verdict = table.set_index(["scorer", "persona"]).loc[("words", "wordy"), "verdict"]
    assert verdict == "more, within the margin of 40 words"


async def test_a_note_stands_once_for_all_rows_that_it_is_about(run: Run) -> None:
    """And none is lost."""
    migration = run.migration("scripted:old", "scripted:new")
    rows = migration.verdicts[migration.verdicts["note"] != ""]
    assert len(migration.notes) == rows["note"].nunique() > 0
    for row in rows.itertuples():
        (note,) = (text for text in migration.notes if text.endswith(f": {row.note}"))
        assert f"{row.scorer} of {row.persona}" in note


async def test_too_little_data_says_about_how_many_cases(run: Run) -> None:
    """A margin that the data cannot decide on; and the number is in the verdict."""
    verdicts = run.migration("scripted:old", "scripted:new", margin={"words": 0.3}).verdicts
    row = verdicts.iloc[0]
    assert row["verdict"] == f"too little data to tell, about {row['cases_needed']} cases needed"
    assert row["cases_needed"] > 24


async def test_the_answers_that_differ_most_come_first(run: Run) -> None:
    """Side by side, with the question; their text is safe on a page."""
    migration = run.migration("scripted:old", "scripted:new", most=4)
    differing = migration.differing
    assert set(zip(differing["persona"], differing["case"], strict=True)) == {
        ("none", "4"), ("none", "8"), ("wordy", "4"), ("wordy", "8"),
    }  # fmt: skip
    assert differing["question"].tolist()[0] in ("Question 3?", "Question 7?")
    assert differing["old_answer"].str.endswith("because").all()
    assert differing["new_answer"].str.contains("zebra").all()
    assert (differing["distance"] > differing["noise"]).all()
    every = run.migration("scripted:old", "scripted:new", most=1_000).differing
    assert set(every["persona"]) == {"none", "wordy"}
    page = migration._repr_html_()
    assert "zebra quartz" in page
    assert "<script" not in page
    assert "The answers that differ most" in repr(run.show("models"))


async def test_names_are_checked(run: Run) -> None:
    """Models, scorers and margins, each with the nearest that there is."""
    with pytest.raises(UnknownNameError, match=r"unknown model 'scripted:nwe'\..*scripted:new"):
        run.migration("scripted:old", "scripted:nwe")
    with pytest.raises(UsageError, match="are one model"):
        run.migration("scripted:old", "scripted:old")
    with pytest.raises(UnknownNameError, match=r"unknown scorer 'word'\..*'words'"):
        run.migration("scripted:old", "scripted:new", margin={"word": 3})
    with pytest.raises(UsageError, match="above 0"):
        run.migration("scripted:old", "scripted:new", margin=0)


async def test_controls_and_comparing_judges_have_no_verdict(here: Path) -> None:
    """A judge that compares personas says nothing of two models, and that is said."""
    compare = {"judge": {"model": "echo", "name": "better", "compare": "Which is better?"}}
    experiment = Experiment.define(
        "exp", personas=["none", "art"], cases=CASES[:2], scorers=["words", compare],
        models=[ScriptedClient(old, "old"), ScriptedClient(old, "new")],
        controls={"same": True}, sampling={"seed": 1},
    )  # fmt: skip
    run = await experiment.run(on_progress=quiet)
    migration = run.migration("scripted:old", "scripted:new")
    assert isinstance(migration, Migration)
    assert migration.verdicts["persona"].tolist() == ["none", "art"]
    assert migration.not_compared == ("better",)
    assert migration.differing.empty
    assert "No answers differ" in migration._repr_html_()
    assert "better compares answers of one model" in migration._repr_html_()


def answers(**of_model: list[str]) -> pd.DataFrame:
    """One case; each model's answers are its repeats."""
    rows = [
        {"persona": "none", "model": model, "case": "1", "repeat": repeat, "answer": text}
        for model, texts in of_model.items()
        for repeat, text in enumerate(texts)
    ]
    return pd.DataFrame(rows)


def test_the_distance_is_beside_that_of_repeats() -> None:
    """Mean of all pairs; repeats that differ as much leave no excess; the pair is a typical one."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    frame = answers(old=["a", "b"], new=["c", "d"])
    (row,) = answer_differences(frame, old="old", new="new", vectors=vectors).itertuples()
    assert (row.distance, row.noise, row.excess) == pytest.approx((0.5, 1.0, -0.5))
    frame = answers(old=["a", "a"], new=["b", "b", "b"])
    vectors = np.array([[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 3)
    (row,) = answer_differences(frame, old="old", new="new", vectors=vectors).itertuples()
    assert (row.distance, row.noise, row.excess) == pytest.approx((1.0, 0.0, 1.0))
    assert row.old_row in (0, 1)
    assert row.new_row in (2, 3, 4)


def test_a_single_draw_has_no_noise_to_compare_with() -> None:
    """The distance alone ranks then, and the noise is unknown, not 0."""
    frame = answers(old=["a b c"], new=["a b d", "a b c"])
    (row,) = answer_differences(frame, old="old", new="new").itertuples()
    assert np.isnan(row.noise)
    assert row.excess == row.distance > 0
    frame.loc[0, "answer"] = None
    assert answer_differences(frame, old="old", new="new").empty
