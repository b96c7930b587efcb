"""Scores, judges and controls."""

from __future__ import annotations

from behave import given, then, when
from behave.runner import Context


@given("an experiment of {number:d} questions that is scored, judged and controlled")
def judged(context: Context, number: int) -> None:
    context.world.experiment(
        cases=[f"Question {n}?" for n in range(number)],
        repeats=2,
        scorers=["words", {"judge": {"model": "vllm:judge", "criteria": {"kind": "Is it kind?"}}}],
        controls={"neutral": True, "paraphrases": 1, "same": True},
    )


@when('I ask for the effects of "{score}"')
def effects(context: Context, score: str) -> None:
    context.world.run(["effects", "exp", "--score", score])


@then('the file "{name}" says "{words}"')
def file_says(context: Context, name: str, words: str) -> None:
    assert words in (context.world.folder / name).read_text(encoding="utf-8")
