"""Scorers in an experiment: applied when it ends, read for ever after, and never run by reading."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistants import Experiment, Message, Results, Run, Sampling, ScriptedClient
from assistants.errors import UnknownNameError, UsageError
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import Store
from support.conformance import until

HOSTILE = {
    "loop": "while True: pass",
    "fork": "import os\nwhile True: os.fork()",
    "eat": "x = bytearray(10_000_000_000)",
    "write": "open('../../outside.txt', 'w').write('x')\nopen('/tmp/outside.txt', 'w').write('x')",
    "call": "import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=1)",
    "fine": "print(6 * 7)",
}
GRADERS = """\
from pathlib import Path

Path("loaded").write_text("x")


def shouting(answered):
    return answered.answer.count("!")


def broken(answered):
    raise RuntimeError("no idea")


shouting.unit = "marks"
"""


async def quiet(experiment: Experiment) -> Run:
    return await experiment.run(on_progress=lambda progress: None)


def coder(messages: Sequence[Message], sampling: Sampling) -> str:
    return f"Run this:\n```python\n{HOSTILE[messages[-1].content]}\n```"


async def test_hostile_code_is_contained_and_the_run_goes_on(here: Path) -> None:
    """An endless loop, a fork bomb, 10 GB, files and the network: each scores 0, with a reason."""
    HOSTILE["call"] = HOSTILE["call"].replace("PORT", "9")
    experiment = Experiment.define(
        "code", personas=["none"], models=[ScriptedClient(coder)], cases=list(HOSTILE),
        scorers=[{"code_runs": {"seconds": 1, "memory_mib": 512}}, "words"], allow_code=True,
    )  # fmt: skip
    run = await quiet(experiment)
    assert run.outcome == "complete"
    frame = run.scores("code_runs").assign(name=list(HOSTILE)).set_index("name")
    assert frame["value"].to_dict() == {name: float(name == "fine") for name in HOSTILE}
    assert frame["detail"].drop("fine").notna().all()
    assert not list(here.glob("**/outside.txt"))
    assert run.scores("words")["value"].notna().all()


async def test_code_runs_only_if_the_experiment_allows_it(here: Path) -> None:
    """Before anything is asked; and the setting allows nothing but itself."""
    content = {"personas": ["none"], "models": ["echo"], "cases": ["?"], "scorers": ["code_runs"]}
    with pytest.raises(UsageError, match="allow_code: true"):
        Experiment.define("code", **content)
    with pytest.raises(UsageError, match="true or false"):
        Experiment.define("code", **content, allow_code="yes")


async def test_an_interrupt_ends_the_scoring_and_keeps_what_is_scored(here: Path) -> None:
    """The next run scores the rest; what takes long is not done twice."""
    Path("graders.py").write_text(GRADERS)

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        code = "pass" if messages[-1].content == "0" else "import time\ntime.sleep(60)"
        return f"```python\n{code}\n```"

    experiment = Experiment.define(
        "slow", personas=["none"], models=[ScriptedClient(answer)], cases=list("01234"),
        scorers=[{"python": "graders:shouting"}, {"code_runs": {"seconds": 1}}], allow_code=True,
    )  # fmt: skip
    task = asyncio.create_task(quiet(experiment))
    await until(Path("loaded").exists)  # the experiment is about to score
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cut = Results().latest()
    assert cut.outcome == "interrupted"
    assert cut.scores("code_runs")["value"].isna().any()
    done = await quiet(experiment)
    assert list(done.scores("code_runs")["value"]) == [1, 0, 0, 0, 0]


@pytest.fixture
async def run(here: Path) -> Run:
    """Two personas, two cases; three scorers, of which one is the user's and one is broken."""
    Path("graders.py").write_text(GRADERS)
    experiment = Experiment.define(
        "own", personas=["none", "art"], models=["echo"], cases=["Hi!", "Ho!!"],
        scorers=["words", {"python": "graders:shouting"}, {"python": "graders:broken"}],
        allow_code=True,
    )  # fmt: skip
    return await quiet(experiment)


async def test_one_s_own_scorers_stand_in_the_same_table(run: Run) -> None:
    """A scorer that raises marks its scores as failed with the reason, and drops no row."""
    frame = run.scores()
    assert frame.groupby("scorer", sort=False).size().to_dict() == {
        "words": 4, "shouting": 4, "broken": 4,
    }  # fmt: skip
    of = frame.set_index("scorer")
    assert of.loc["shouting", "value"].ge(1).all()
    assert set(of.loc["broken", "reason"]) == {"RuntimeError: no idea"}
    assert run.effects("shouting")["persona"].tolist() == ["art"]
    assert run.statistics.main_score == "words"


async def test_reading_a_stranger_s_results_runs_nothing(run: Run) -> None:
    """A store says which scorers there were; their code is not looked for, and not run."""
    Path("loaded").unlink()
    scores = Results().latest().scores()
    assert not Path("loaded").exists()
    assert scores.equals(run.scores())


async def test_a_store_without_a_score_says_so(run: Run) -> None:
    """Scores that a manifest speaks of and the store does not have are missing, with the reason."""
    with Store("results") as store:
        manifest = dict(run.manifest)
        manifest["scorers"] = [{**manifest["scorers"][0], "name": "evil", "version": "other/1 {}"}]
        store.end_run(run.id, "complete", manifest)
    frame = Results().latest().scores()
    assert frame["value"].isna().all()
    assert set(frame["reason"]) == {"no score yet: run the experiment again"}


async def test_an_unknown_score_names_the_nearest(run: Run) -> None:
    """Out of those of the run, the votes, and those that there are."""
    with pytest.raises(UnknownNameError, match="shouting"):
        run.scores("shoutin")
    with pytest.raises(UsageError, match="has no control personas"):
        run.control_contrasts()


async def test_a_run_of_an_earlier_version_has_no_scorers(run: Run) -> None:
    """Its manifest does not speak of them; it can be scored all the same."""
    with Store("results") as store:
        old = {k: v for k, v in run.manifest.items() if k not in ("scorers", "judges", "controls")}
        store.end_run(run.id, "complete", json.loads(json.dumps(old)))
    earlier = Results().latest()
    assert earlier.scores().empty
    assert earlier.scores("words")["value"].notna().all()
    assert earlier.effects()["persona"].tolist() == ["art"]


def test_every_question_to_a_run_asks_no_model() -> None:
    """Only ``embeddings`` does, and one has to wait for it."""
    questions = [name for name in vars(RunStatistics) if not name.startswith("_")]
    waiting = [n for n in questions if asyncio.iscoroutinefunction(getattr(RunStatistics, n))]
    assert waiting == ["embeddings"]


async def test_a_change_of_the_scorers_asks_no_model_again(run: Run) -> None:
    """Answers that are there are scored with what is new."""
    experiment = Experiment.define(
        "own", personas=["none", "art"], models=["echo"], cases=["Hi!", "Ho!!"],
        scorers=["reading_ease"],
    )  # fmt: skip
    assert experiment.forecast().to_ask == 0
    again = await quiet(replace(experiment, repeats=1))
    assert again.statistics.main_score == "reading_ease"
    assert again.scores()["value"].notna().all()
