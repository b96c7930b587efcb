"""What is in the folder before the command is run."""

from __future__ import annotations

import json
from pathlib import Path

from behave import given, when
from behave.runner import Context

MISTAKES = {
    "unknown key": {"repeat": 2},
    "unknown persona": {"personas": ["none", "phisics"]},
    "unknown model": {"models": ["chatgtp"]},
    "unknown baseline": {"baseline": "atr"},
    "duplicate id": {"cases": [{"id": "a", "question": "x"}, {"id": "a", "question": "y"}]},
    "missing case file": {"cases": "qestions.csv"},
    "wrong kind of value": {"repeats": "three"},
}


@given('an experiment with the personas "{names}" on the embedded model')
def embedded(context: Context, names: str) -> None:
    context.world.experiment(
        personas=names.split(", "),
        models=["local:smollm2"],
        sampling={"temperature": 0, "max_tokens": 24, "seed": 7},
    )


@given("an experiment with {trials:d} trials, four at a time")
def with_trials(context: Context, trials: int) -> None:
    questions = [f"Question {number}?" for number in range(trials // 2)]
    context.world.experiment(cases=questions, concurrency=4)


@when("I add a case to it")
def add_case(context: Context) -> None:
    context.world.experiment(cases=["Question 0?", "Question 1?", "One more?"], concurrency=4)


@given('an experiment file with the mistake "{mistake}"')
def with_mistake(context: Context, mistake: str) -> None:
    (context.world.folder / "questions.csv").write_text("question\nWhy?\n", encoding="utf-8")
    if mistake == "no YAML":
        (context.world.folder / "exp.yaml").write_text("cases: [", encoding="utf-8")
    else:
        context.world.experiment(**MISTAKES[mistake])


@given('its personas have answered already, but for "{name}"')
def answered_already(context: Context, name: str) -> None:
    path: Path = context.world.folder / "exp.yaml"
    text = path.read_text(encoding="utf-8")
    others = [persona for persona in ("none", "art") if persona != name]
    path.write_text(text.replace('["none", "art"]', json.dumps(others)), encoding="utf-8")
    context.world.run(["run", "exp.yaml", "--no-report"])
    assert context.world.done.code == 0, context.world.done
    path.write_text(text, encoding="utf-8")


@given('a persona file "{file}" that says "{words}"')
@when('I edit "{file}" to say "{words}"')
def persona_file(context: Context, file: str, words: str) -> None:
    path = context.world.folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"---\nlabel: Mine\ndescription: Mine.\n---\n{words}\n", encoding="utf-8")
    rows = context.world.table
    context.digests = set() if rows is None else set(rows["persona_digest"])
