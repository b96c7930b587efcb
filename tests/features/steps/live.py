"""The live widgets, from Python: what a click does, without a browser."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from behave import given, then, when
from behave.runner import Context

from assistants.design import append_case
from assistants.experiment import Experiment
from assistants.results import Results
from assistants.widgets import Chat, Compare, Rate


def run_at_home(context: Context, work: Coroutine[Any, Any, Any]) -> None:
    with context.world.at_home():
        asyncio.run(work)


@when('I compare "{names}" and ask "{question}"')
def compare(context: Context, names: str, question: str) -> None:
    with context.world.at_home():
        context.live = Compare(names.split(", "), ["vllm:m"], results=Path("results").resolve())
    run_at_home(context, context.live.ask(question))


@when('I ask all of them "{question}"')
def ask_all(context: Context, question: str) -> None:
    run_at_home(context, context.live.ask(question))


@then('{number:d} columns have answered "{question}"')
def answered(context: Context, number: int, question: str) -> None:
    rows = [row for row in context.live.replies if row["question"] == question]
    assert len(rows) == number, rows
    assert all(row["state"] == "done" and question in row["answer"] for row in rows), rows


@then("every column was told its own history")
def own_history(context: Context) -> None:
    for request in context.world.server.requests[-2:]:
        messages = request.json["messages"]
        system = [m["content"] for m in messages if m["role"] == "system"]
        reply = next(m["content"] for m in messages if m["role"] == "assistant")
        assert reply.startswith(f"As {(system or ['nobody'])[0][:40]}"), messages


@then('the conversation is in the results as "{name}"')
def in_results(context: Context, name: str) -> None:
    run = Results(context.world.folder / "results").latest(name)
    assert set(run.trials()["status"]) == {"ok"}, run
    assert list(run.folder.glob("**/*.md")), list(run.folder.iterdir())


@when("I make an experiment of it")
def to_experiment(context: Context) -> None:
    with context.world.at_home():
        context.live.to_experiment("exp.yaml")


@then('the personas are "{names}"')
def personas(context: Context, names: str) -> None:
    assert list(context.world.rows()["persona"].unique()) == names.split(", ")


@when('I chat with "{name}" and ask "{question}"')
def chat(context: Context, name: str, question: str) -> None:
    with context.world.at_home():
        context.live = Chat(name, "vllm:m", results=Path("results").resolve())
    run_at_home(context, context.live.ask(question))


@when('the persona "{name}" takes over and is asked "{question}"')
def switch(context: Context, name: str, question: str) -> None:
    with context.world.at_home():
        context.live.switch(persona=name)
    run_at_home(context, context.live.ask(question))


@then('the transcript says where "{name}" takes over')
def says_where(context: Context, name: str) -> None:
    still = context.live.static_html()
    first, second = still.index("What is light?"), still.index("And a shadow?")
    assert first < still.index(f"{name} on", first) < second, still
    log = (context.live.session.folder / "conversation.md").read_text(encoding="utf-8")
    before, after = log.split("> And a shadow?")
    assert "## art on vllm:m" in before, log
    assert f"## {name} on vllm:m" in after, log


@given("a model whose server is down")
def down(context: Context) -> None:
    (context.world.folder / "models.toml").write_text(
        '[providers.gone]\naddress = "http://127.0.0.1:9/v1"\n', encoding="utf-8"
    )


@when('I compare "{name}" on both and ask "{question}"')
def on_both(context: Context, name: str, question: str) -> None:
    with context.world.at_home():
        folder = Path("results").resolve()
        context.live = Compare([name], ["vllm:m", "gone:m"], results=folder)
    run_at_home(context, context.live.ask(question))


@then('one column has answered and the other says "{words}"')
def one_and_other(context: Context, words: str) -> None:
    good, bad = sorted(context.live.replies, key=lambda row: row["state"])
    assert good["state"] == "done", good
    assert bad["state"] == "failed", bad
    assert words in bad["error"], bad


@when("I rate its answers, preferring the left")
@when("I rate its answers again")
def rate(context: Context) -> None:
    run = Results(context.world.folder / "results").latest()
    context.live = Rate(run, rater="ann")
    context.seen = []
    while not context.live.done:
        context.seen += [context.live.static_html(), str(context.live.snapshot())]
        context.live.vote("left")


@then("no name was shown before the last vote")
def blind(context: Context) -> None:
    assert context.seen
    assert not [page for page in context.seen if ">art<" in page or "'art'" in page]


@then("there are {number:d} votes in the results")
def votes(context: Context, number: int) -> None:
    run = Results(context.world.folder / "results").latest()
    assert len(run.votes()) == number
    assert set(run.votes()["rater"]) == {"ann"}


@then("there is nothing left to rate")
def nothing_left(context: Context) -> None:
    assert context.live.done
    assert not context.seen


@given("an experiment file with a comment")
def commented(context: Context) -> None:
    context.file = context.world.folder / "exp.yaml"
    context.file.write_text(
        "# mine\npersonas: [none]\nmodels: [vllm:m]\ncases:\n  - What is rain?  # first\n",
        encoding="utf-8",
    )


@when('I keep "{question}" as a case of it')
def keep(context: Context, question: str) -> None:
    append_case(context.file, question)


@then("the comment is still there")
def comment(context: Context) -> None:
    text = context.file.read_text(encoding="utf-8")
    assert text.startswith("# mine\n"), text
    assert "# first" in text, text


@then('the experiment asks "{question}"')
def asks(context: Context, question: str) -> None:
    with context.world.at_home():
        experiment = Experiment.load("exp.yaml")
    assert experiment.cases[-1].question == question
