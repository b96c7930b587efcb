"""``assistants improve`` from outside: what it asks, says and leaves, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistants import Results
from support.commands import Done, call, write_experiment
from support.improvement_worlds import PARAPHRASE, PERSONA, PLANTED

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
