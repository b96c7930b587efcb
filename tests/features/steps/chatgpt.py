"""OpenAI as a newcomer meets it, and what came of each call there."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from behave import given, then, when
from behave.runner import Context

from support.openai_server import Call, OpenAIServer

FOUNDING = Path(__file__).parents[3] / "experiments" / "inverse-square-law.yaml"


@given("OpenAI, and a new key for it")
def openai(context: Context) -> None:
    context.world.serve_openai()


@given("OpenAI, and a key that it does not know")
def openai_with_wrong_key(context: Context) -> None:
    context.world.serve_openai(key="sk-of-somebody-else")


@given("the founding experiment")
def founding_experiment(context: Context) -> None:
    shutil.copy(FOUNDING, context.world.folder / "exp.yaml")


@when('I run it on "{model}"')
def run_on(context: Context, model: str) -> None:
    context.world.run(["run", "exp.yaml", "--no-report", "-m", model])


@when('I add "{setting}" to its sampling')
def add_setting(context: Context, setting: str) -> None:
    _edit(context, lambda text: text.replace("sampling: {", f"sampling: {{{setting}, "))


@when('I write "{line}" into it')
def write_line(context: Context, line: str) -> None:
    _edit(context, lambda text: f"{text}{line}\n")


@when("I set its caps to {tokens:d} tokens an answer and {usd:d} dollars")
def set_caps(context: Context, tokens: int, usd: int) -> None:
    _edit(context, lambda text: re.sub(r"max_tokens: \d+", f"max_tokens: {tokens}", text))
    _edit(context, lambda text: re.sub(r"usd: [\d.]+", f"usd: {usd}", text))


@when("I keep {count:d} of its questions")
def keep_questions(context: Context, count: int) -> None:
    def shortened(text: str) -> str:
        lines = text.splitlines(keepends=True)
        dropped = [line for line in lines if line.startswith("  - {id: ")][count:]
        return "".join(line for line in lines if line not in dropped)

    _edit(context, shortened)


@then('it names the line with "{setting}", and says "{advice}"')
def names_line(context: Context, setting: str, advice: str) -> None:
    lines = (context.world.folder / "exp.yaml").read_text(encoding="utf-8").splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if setting in line)
    text = " ".join(context.world.output().split())
    assert f"exp.yaml:{number}: " in text, text
    assert advice in text, text
    assert "Traceback" not in text


@then("one call was made, and nothing was paid for")
def one_call(context: Context) -> None:
    assert context.world.asked == 1, context.world.asked
    nothing_paid(context)


@then("nothing was paid for")
def nothing_paid(context: Context) -> None:
    assert not _server(context).answered


@then("everything was sent that the file says")
def everything_sent(context: Context) -> None:
    for call in _paid(context):
        assert call.applied is not None
        assert call.applied["temperature"] == 0.7
        assert call.applied["max_completion_tokens"] == 400
        assert call.applied["seed"] == 7


@then("no question was paid for twice")
def paid_once(context: Context) -> None:
    sent = [json.dumps(call.body, sort_keys=True) for call in _paid(context)]
    assert len(sent) == len(set(sent)) == len(context.world.rows())


@then("every answer has its price")
def priced(context: Context) -> None:
    assert context.world.rows()["cost_usd"].gt(0).all()


@then("no trial is answered")
def none_answered(context: Context) -> None:
    rows = context.world.rows()
    assert set(rows["status"]) == {"reasoning_limit"}, rows["status"].value_counts()
    assert not rows["answer"].fillna("").any()


@then("every call is paid for in the table")
def paid_in_table(context: Context) -> None:
    rows = context.world.rows()
    assert len(_paid(context)) == rows["attempts"].sum() == len(rows)


@then('no answer had a "{setting}", and the table says so')
def dropped(context: Context, setting: str) -> None:
    rows = context.world.rows()
    assert not any(setting in call.body for call in _paid(context))
    assert rows["sampling"].astype(str).str.contains(setting).all()
    assert not rows["applied_sampling"].astype(str).str.contains(setting).any()


def _server(context: Context) -> OpenAIServer:
    server: OpenAIServer = context.world.server
    return server


def _paid(context: Context) -> list[Call]:
    return [call for call in list(_server(context).calls) if call.status == 200]


def _edit(context: Context, change: Callable[[str], str]) -> None:
    path = context.world.folder / "exp.yaml"
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before, before
    path.write_text(after, encoding="utf-8")
