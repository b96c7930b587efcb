"""A results folder tells what ran, and its files outlive the program."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.results import Results
from assistants.runs import transcripts
from assistants.runs.store import Store
from support.experiments import experiment_at, quiet, turns
from support.faulty_server import FaultyServer


async def test_a_run_leaves_its_files_behind(here: Path, server: FaultyServer) -> None:
    """Manifest, table and one transcript a trial, all readable without the store."""
    run = await experiment_at(server.url, turns(2, 2)).run(on_progress=quiet)
    folder = run.export()
    assert folder == Path("results") / "exp" / run.id
    frame = pd.read_parquet(folder / "trials.parquet")
    assert len(frame) == 4
    files = sorted((folder / "transcripts").iterdir())
    assert len(files) == 4
    transcript, about = transcripts.read(files[2])
    assert [m.role for m in transcript.messages] == ["system", "user", "assistant", "user"]
    assert transcript.completion.text == frame["answer"][2]
    assert (about["persona"], about["case"]) == ("terse", "c0")
    run.export()  # again is no error


async def test_a_manifest_is_enough_to_believe_a_run(here: Path, server: FaultyServer) -> None:
    """Texts, their digests, models and what the server called itself, versions, order, counts."""
    experiment = experiment_at(server.url, 2, sampling=Sampling(seed=7), shuffle=3)
    run = await experiment.run(on_progress=quiet)
    manifest = json.loads((run.export() / "manifest.json").read_text())
    terse = next(p for p in manifest["system_prompts"] if p["persona"] == "terse")
    assert terse["system_prompt"] == "Be terse."
    assert terse["digest"] == hashlib.sha256(b"Be terse.").hexdigest()[:16]
    assert manifest["served"] == [
        {"model": "test:m", "served_model": "m", "system_fingerprint": None, "answers": 4}
    ]
    assert manifest["models"][0]["name"] == "test:m"
    assert manifest["personas"][1]["sampling"] == {"seed": 7}
    assert manifest["counts"] == {"ok": 4}
    assert manifest["order"]["shuffle"] == 3
    assert {"python", "openai", "pandas"} <= manifest["versions"].keys()
    assert "git_commit" in manifest


async def test_the_latest_run_is_found(here: Path) -> None:
    """Runs come oldest first; the newest of an experiment, or of all, is one call away."""
    made = [
        await Experiment.define(name, personas=["none"], models=["echo"], cases=["Hi"]).run(
            on_progress=quiet
        )
        for name in ("one", "two", "one")
    ]
    results = Results()
    assert [run.id for run in results.runs()] == [run.id for run in made]
    assert results.latest("two").id == made[1].id
    assert results.latest().id == results.get(made[2].id).id == made[2].id
    for wrong, said in [(lambda: results.latest("tow"), "'two'"), (lambda: results.get("x"), "x")]:
        with pytest.raises(UsageError, match=said):
            wrong()
    with pytest.raises(UsageError, match="holds no run"):
        Results("nowhere").latest()
    assert not Path("nowhere").exists()


async def test_a_run_that_was_killed_is_unfinished(here: Path) -> None:
    """A run without an end says so, and its table is there all the same."""
    with Store("results") as store:
        store.add_run("20260101-000000-aaaa", "exp", {})
    run = Results().latest()
    assert run.outcome == "unfinished"
    assert len(run.trials()) == 0
    assert repr(run) == "Run('20260101-000000-aaaa' of exp: no trials)"


@pytest.mark.parametrize(("name", "run"), [("../../up", "r"), ("exp", "../../../up"), ("..", "r")])
def test_a_store_from_a_stranger_writes_nowhere_else(here: Path, name: str, run: str) -> None:
    """Names in a store are parts of a path only if they are names."""
    with Store("results") as store:
        store.add_run(run, name, {})
    with pytest.raises(UsageError, match="cannot name"):
        Results().latest().export()


async def test_a_folder_stays_the_same_wherever_one_goes(here: Path) -> None:
    """And is named as a person would type it from there."""
    tea = Experiment.define("tea", personas=["none"], models=["echo"], cases=["Tea?"])
    run, results = await tea.run(on_progress=quiet), Results()
    assert run.folder == Path("results/tea") / run.id
    (here / "notebooks").mkdir()
    os.chdir(here / "notebooks")
    assert len(results.latest().trials()) == len(run.trials()) == 1
    assert run.export() == Path("../results/tea") / run.id
    assert repr(results) == repr(Results("../results")) == "Results('../results': 1 run)"
    assert list(Path().iterdir()) == []
