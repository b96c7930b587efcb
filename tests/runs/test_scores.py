"""Scores of a stored run, and what they say of a persona."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistants import Experiment, Message, Run, Sampling, ScriptedClient
from assistants.errors import BadRequestError, UsageError
from assistants.scoring.base import ScorerInput, measure
from support.commands import call


def wordy(messages: Sequence[Message], sampling: Sampling) -> str:
    """Ten words more with a persona than without; a number of its own for each case."""
    number = int(messages[-1].content)
    if number == 99:
        raise BadRequestError("99 is never answered.")
    return "word " * (number + (10 if messages[0].role == "system" else 0))


@pytest.fixture
async def run(here: Path) -> Run:
    """Twelve cases, two personas, two repeats; the last case fails."""
    cases = [str(n) for n in [*range(20, 31), 99]]
    experiment = Experiment.define(
        "wordy", personas=["none", "art"], models=[ScriptedClient(wordy)], cases=cases, repeats=2
    )
    return await experiment.run(on_progress=lambda progress: None)


async def test_every_trial_has_a_row_and_a_failure_its_reason(run: Run) -> None:
    """A trial without an answer is a row without a value, never a 0 and never left out."""
    frame = run.scores("words", {"contains": "word"})
    assert len(frame) == 2 * len(run.trials()) == 96
    failed = frame[frame["status"] == "error"]
    assert len(failed) == 8
    assert failed["value"].isna().all()
    assert set(failed["reason"]) == {"there is no answer"}
    words = frame[(frame["scorer"] == "words") & (frame["persona"] == "none")]["value"].dropna()
    assert list(words) == [n for n in range(20, 31) for _ in range(2)]


async def test_a_score_is_computed_once(run: Run) -> None:
    """It is stored beside the answer under the scorer's version; another version scores anew."""
    seen: list[str] = []

    def length(answered: ScorerInput, factor: int) -> float:
        seen.append(answered.answer)
        return factor * len(answered.answer)

    for factor in (1, 1, 2):
        run.scores(measure(length, "length/1", unit="characters", factor=factor))
    assert len(seen) == 2 * 44


async def test_the_effect_is_what_the_persona_added(run: Run) -> None:
    """Ten words, paired by case, over the cases that both have; what is missing is said."""
    (row,) = run.effects("words", baseline="none").to_dict("records")
    assert (row["persona"], row["n_cases"], row["effect"]) == ("art", 11, 10)
    assert row["p"] == pytest.approx(2 / 2**11)
    assert row["verdict"].startswith("more")
    assert row["n_missing"] == 2


async def test_the_terminal_shows_the_same_table(run: Run) -> None:
    """``assistants effects`` in words and as JSON; a wrong score names the nearest."""
    shown = call("effects", "wordy")
    assert shown.code == 0
    assert "art" in shown.out
    assert "more" in shown.out
    (row,) = json.loads(call("effects", "wordy", "--json").out)
    assert row["effect"] == 10
    wrong = call("effects", "wordy", "--score", "wrods")
    assert wrong.code == 2
    assert "words" in wrong.err


async def test_without_a_baseline_nothing_is_compared(here: Path) -> None:
    """An effect is a difference from something that somebody named."""
    experiment = Experiment.define("bare", personas=["art"], models=["echo"], cases=["?"])
    run = await experiment.run(on_progress=lambda progress: None)
    with pytest.raises(UsageError, match="baseline"):
        run.effects()
