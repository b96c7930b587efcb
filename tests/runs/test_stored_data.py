"""A store, a tape and experiment files of November 2026 are still what they were.

``tests/data/store_of_november_2026`` was made by the code of that month. What is stored is never
converted: keys, scorer versions, tapes and manifests have to be found by the code of today.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistants import Experiment, Results
from assistants.clients import Client
from assistants.messages import Completion, Delta, Message, Sampling

STORED = Path(__file__).parents[1] / "data" / "store_of_november_2026"
EXPERIMENTS = ["every-scorer", "judged", "start-here"]
CHANGED = ("_language/", "_reading_ease/")
"""Scorers of which the second revision tells languages by another method: those grade anew."""


class RefusingClient:
    """A client with another's name and identity that answers nothing."""

    def __init__(self, client: Client) -> None:
        self.model, self.identity = client.model, client.identity
        self.max_concurrency = client.max_concurrency
        self.default_sampling = client.default_sampling

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        raise AssertionError(f"{self.model} was asked {messages[-1].content!r}.")

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        raise AssertionError(f"{self.model} was asked {messages[-1].content!r}.")
        yield

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy what was stored, so that a test may write to it."""
    copy = tmp_path / "stored"
    shutil.copytree(STORED, copy)
    monkeypatch.chdir(copy)
    return copy


def refusing(experiment: Experiment) -> Experiment:
    """Return the same experiment, with clients that fail whoever asks them."""
    return replace(
        experiment,
        tape=None,
        assistants=tuple(
            replace(a, client=RefusingClient(a.client)) for a in experiment.assistants
        ),
        judges=tuple(
            replace(j, assistant=replace(j.assistant, client=RefusingClient(j.assistant.client)))
            for j in experiment.judges
        ),
    )


def rows(query: str) -> Iterator[tuple[Any, ...]]:
    """Return what the store in the working directory holds, read without this package."""
    database = sqlite3.connect("results/answers.sqlite")
    try:
        yield from database.execute(query).fetchall()
    finally:
        database.close()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_key_is_in_the_store(folder: Path, name: str) -> None:
    """A changed key would ask, and pay, for everything again."""
    experiment = Experiment.load(f"{name}.yaml")
    stored = {key for (key,) in rows("SELECT key FROM answers")}
    keys = {trial.key for trial in experiment.trials()}
    assert len(keys) == len(experiment)
    assert keys <= stored
    assert experiment.forecast("results").to_ask == 0


@pytest.mark.parametrize("name", EXPERIMENTS)
async def test_a_run_asks_nothing_and_scores_nothing_anew(folder: Path, name: str) -> None:
    """Answers, judgements and scores are found; only scorers that have changed grade again."""
    before = set(rows("SELECT key, scorer, seen, value, reason, detail FROM scores"))
    answers = set(rows("SELECT key, turn, answer FROM answers"))
    former = Results("results").latest(name).scores()
    run = await refusing(Experiment.load(f"{name}.yaml")).run("results", on_progress=lambda _: None)
    assert run.outcome == "complete"
    assert set(rows("SELECT key, turn, answer FROM answers")) == answers
    after = set(rows("SELECT key, scorer, seen, value, reason, detail FROM scores"))
    assert before <= after
    assert all(row[1].startswith(CHANGED) for row in after - before)
    scored = run.scores()
    assert list(scored["scorer"]) == list(former["scorer"])
    same = scored[~scored["scorer"].isin(["language", "reading_ease"])]
    assert same["value"].equals(former.loc[same.index, "value"])


async def test_the_tape_replays(folder: Path) -> None:
    """Into an empty store, without its model: each answer is the stored one, word for word."""
    experiment = Experiment.load("start-here.yaml")
    before = (folder / "start-here.tape.jsonl").read_bytes()
    stored = dict(rows("SELECT key, answer FROM answers"))
    run = await replace(refusing(experiment), tape=experiment.tape).run(
        folder / "new", on_progress=lambda _: None
    )
    trials = run.trials()
    assert len(trials) == len(experiment)
    assert dict(zip(trials["key"], trials["answer"], strict=True)).items() <= stored.items()
    assert (folder / "start-here.tape.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_stored_run_is_read_back(folder: Path, name: str) -> None:
    """Its table, its transcripts, its statistics and its manifest."""
    run = Results("results").latest(name)
    assert run.outcome == "complete"
    assert run.manifest["experiment"] == name
    assert (run.trials()["status"].isin(["ok", "length"])).all()
    transcripts = list(run.transcripts())
    assert len(transcripts) == len(run.trials())
    _, first, _ = transcripts[0]
    assert first.messages[-1].content
    assert {p["name"] for p in run.manifest["personas"]} == set(run.trials()["persona"])
