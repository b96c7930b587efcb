"""A stored run of several models: which of them changed what, and for which persona."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from assistants import Experiment, Message, Run, Sampling, ScriptedClient
from assistants.errors import UnknownNameError, UsageError
from support.experiments import quiet

CASES = [f"Question {number}?" for number in range(24)]


def answering(extra: int, wordy_extra: int) -> ScriptedClient:
    """Return a model that says ``extra`` more words, and ``wordy_extra`` more as ``wordy``.

    Answers differ in length by case and repeat, alike for every model of this kind but for a word.
    """

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        is_wordy = messages[0].role == "system"
        case = int(messages[-1].content.split()[1].rstrip("?"))
        noise = (case * (7 + extra) + 3 * sampling.seed + is_wordy) % 3
        return "word " * (20 + case + noise + extra + is_wordy * (5 + wordy_extra))

    return ScriptedClient(answer, f"m{extra}-{wordy_extra}")


def experiment(*models: ScriptedClient, **more: object) -> Experiment:
    personas = ["none", {"name": "wordy", "system_prompt": "Talk."}]
    content = {
        "personas": personas,
        "scorers": ["words", {"contains": "word"}],
        "sampling": {"seed": 1},
        "repeats": 2,
    }
    return Experiment.define("exp", models=models, cases=CASES, **content | more)  # type: ignore[arg-type]


@pytest.fixture
async def run(here: Path) -> Run:
    """Return a run of two models; the second says 10 words more, and 20 more as ``wordy``."""
    return await experiment(answering(0, 0), answering(10, 10)).run(on_progress=quiet)


async def test_models_are_compared_by_name(run: Run) -> None:
    """The first model of the experiment is the baseline if none is named."""
    table = run.effects("words", by="model")
    assert list(zip(table["persona"], table["model"], strict=True)) == [
        ("none", "scripted:m10-10"), ("wordy", "scripted:m10-10"),
    ]  # fmt: skip
    assert list(table["verdict"]) == ["more", "more"]
    assert table["effect"].to_numpy() == pytest.approx([10, 20], abs=1)
    reverse = run.effects("words", by="model", baseline="scripted:m10-10")
    assert reverse["effect"].tolist() == (-table["effect"]).tolist()
    crossed = run.interactions("words")
    assert crossed["verdict"].tolist() == ["more"]
    assert crossed["effect"][0] == pytest.approx(10, abs=1)


async def test_a_short_name_is_a_model_too(here: Path) -> None:
    """As everywhere else a model is named."""
    Path("models.toml").write_text('[models]\nold = "scripted:m0-0"\n', encoding="utf-8")
    run = await experiment(answering(10, 10), answering(0, 0)).run(on_progress=quiet)
    assert set(run.effects("words", by="model", baseline="old")["verdict"]) == {"more"}
    assert list(run.interactions("words", baseline_model="old")["model"]) == ["scripted:m10-10"]


async def test_names_that_the_run_does_not_have(run: Run) -> None:
    """Each is answered with the nearest one."""
    with pytest.raises(UnknownNameError, match=r"unknown model 'scripted:m0'\..*scripted:m0-0"):
        run.effects("words", by="model", baseline="scripted:m0")
    with pytest.raises(UnknownNameError, match=r"unknown comparison 'models'\..*'model'"):
        run.effects("words", by="models")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown model 'none'"):
        run.interactions("words", baseline_model="none")
    with pytest.raises(UsageError, match="'votes' compares the answers of one model"):
        run.effects("votes", by="model")


async def test_one_model_has_nothing_to_be_compared_with(here: Path) -> None:
    """Said, and not shown as a table of nothing."""
    run = await experiment(answering(0, 0)).run(on_progress=quiet)
    for table in (lambda: run.effects("words", by="model"), lambda: run.interactions("words")):
        with pytest.raises(UsageError, match="asked only scripted:m0-0"):
            table()
    assert "One model was asked" in repr(run.show("models"))


async def test_the_report_has_a_section_for_models(run: Run) -> None:
    """Both scores, the table by model and that of personas by model."""
    shown = repr(run.show("models"))
    assert "Differences from scripted:m0-0" in shown
    assert "contains" in shown
    assert "Each persona's effect against none" in shown


async def test_the_figure_says_what_was_compared(run: Run) -> None:
    """A row per persona, and of one persona a row per model."""
    figure = run.plot.effects("words", by="model")
    assert figure.title == "words: what the model changed"
    assert "2 comparisons against scripted:m0-0" in figure.alt
    models = [answering(extra, 0) for extra in (0, 5, 10)]
    alone = await experiment(*models, personas=["none"]).run(on_progress=quiet)
    assert "Farthest from 0: scripted:m10-0" in alone.plot.effects("words", by="model").alt


async def test_control_personas_are_left_out(here: Path) -> None:
    """So that they make nobody else's difference harder to see."""
    run = await experiment(answering(0, 0), answering(10, 0), controls={"same": True}).run(
        on_progress=quiet
    )
    assert "none.same" in set(run.trials()["persona"])
    assert list(run.effects("words", by="model")["persona"]) == ["none", "wordy"]
    assert list(run.interactions("words")["persona"]) == ["wordy"]
