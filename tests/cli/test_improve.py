"""``assistants improve`` from outside: what it asks, says and leaves, and its exit code."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from assistants import Message, Results, Sampling
from support.commands import Done, call, run, start, write_experiment
from support.faulty_server import FaultyServer
from support.improvement_worlds import PARAPHRASE, PERSONA, PLANTED, World

CASES = [{"id": str(n), "question": f"Is {n} a number?", "reference": "yes"} for n in range(60)]


@pytest.fixture(autouse=True)
def scripts(here: Path) -> None:
    """Write a persona, an experiment, and two models: one answers, the other one writes."""
    Path("personas").mkdir()
    Path("personas/tutor.md").write_text(f"{PERSONA}\n", encoding="utf-8")
    Path("answers.yaml").write_text('"*": "yes"\n', encoding="utf-8")
    # Both editor and paraphraser get this: a text that the answers do not depend on.
    Path("writer.yaml").write_text(json.dumps({"*": f"{PERSONA} {PLANTED}"}), encoding="utf-8")
    write_experiment(
        models=["scripted:answers.yaml"], personas=["tutor"], cases=CASES, scorers=["exact"]
    )


def improve(*more: str, persona: str = "tutor") -> Done:
    return call("improve", persona, "--experiment", "exp.yaml", "-m", "scripted:writer.yaml", *more)


def test_what_did_not_help_is_said_and_nothing_is_written() -> None:
    """Every answer is right already, so there is nothing to gain."""
    before = Path("personas/tutor.md").read_bytes()
    done = improve("--score", "exact")
    assert done.code == 0
    assert "cases to work on" in done.err
    assert "at most: " in done.err
    assert "It did not help: no candidate scored better than tutor" in done.out
    assert Path("personas/tutor.md").read_bytes() == before
    assert list(Path("personas").iterdir()) == [Path("personas/tutor.md")]


def test_what_helped_is_written_beside_the_old_one() -> None:
    """With its diff, and a page; the answer's length stands for a score that the edit changes."""
    # The echo repeats the prompt, so that a longer one is a longer answer.
    text = json.dumps({"*": f"{PERSONA} {PLANTED}", PERSONA: PARAPHRASE})
    Path("writer.yaml").write_text(text, encoding="utf-8")
    done = improve("--on", "echo", "--score", "words", "--better", "higher", "--rounds", "1")
    assert done.code == 0
    assert f"+{PLANTED}" in done.out.split("\n")
    assert "It helped: on " in done.out
    saved = Path("personas/tutor-improved.md")
    assert f"persona: {saved}" in done.out
    assert PLANTED in saved.read_text(encoding="utf-8")
    run = Results().latest("exp.improve-held-out")
    assert "It helped" in (run.folder / "improvement.html").read_text(encoding="utf-8")


def test_json_is_one_object() -> None:
    """For a program to read."""
    found = json.loads(improve("--json").out)
    assert (found["persona"], found["outcome"], found["saved"]) == ("tutor", "no candidate", None)
    assert sum(found["cases"].values()) == 60


def test_a_dry_run_asks_and_writes_nothing() -> None:
    """Only the forecast."""
    before = sorted(Path().rglob("*"))
    done = improve("--dry-run")
    assert (done.code, done.out) == (0, "")
    assert "at most: " in done.err
    assert sorted(Path().rglob("*")) == before


def test_a_limit_is_exit_code_3() -> None:
    """As of a run; the same command with a higher limit goes on."""
    done = improve("--limit-tokens", "100")
    assert done.code == 3
    assert "A limit stopped the improvement" in done.err
    assert improve().code == 0


def test_a_mistake_is_exit_code_2() -> None:
    """Named, with what was meant."""
    done = improve(persona="tutro")
    assert done.code == 2
    assert "Did you mean 'tutor'" in done.err


AT_ONCE = 2


@pytest.mark.kill
@pytest.mark.parametrize("after", [4, 30, 60, 100])
def test_a_kill_costs_no_more_than_what_was_in_flight(here: Path, after: int) -> None:
    """At work, at the choice or at the look: the same command again asks for the rest."""
    world = World()

    def answer(request: dict[str, Any]) -> str:
        messages = [Message(m["role"], m["content"]) for m in request["messages"]]
        if "zorbin" in messages[0].content:  # the prompt audit, which generates nothing
            return "?"
        return world.answer(messages, Sampling(repeat=request.get("seed") or 0))

    questions = [{"id": str(n), "question": f"Is statement {n} true?", "reference": "true"}
                 for n in range(60)]  # fmt: skip
    write_experiment(personas=["tutor"], cases=questions, scorers=["exact"], concurrency=AT_ONCE)
    command = ["improve", "tutor", "--experiment", "exp.yaml", "--yes", "--rounds", "1"]
    with FaultyServer(answer, latency=0.01) as server:
        env = {"VLLM_BASE_URL": server.url}
        killed = start(*command, cwd=here, env=env)
        while len(world.asked) < after and killed.poll() is None:
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
        assert after <= len(world.asked)
        resumed = run(*command, cwd=here, **env)
        assert resumed.code == 0
        asked = len(world.asked)
        whole = run(*command, "--results", "whole", cwd=here, **env)
    assert asked <= (len(world.asked) - asked) + AT_ONCE
    said = [line for line in whole.out.splitlines() if line.startswith("It ")]
    assert said
    assert [line for line in resumed.out.splitlines() if line.startswith("It ")] == said
