"""Running the command, and how it ended."""

from __future__ import annotations

import signal

from behave import then, when
from behave.runner import Context


@when("I run it")
@when("I run it again")
def run_it(context: Context) -> None:
    context.teller.run(["run", "exp.yaml", "--no-report"])


@when("I run it, with its report")
def run_with_report(context: Context) -> None:
    context.teller.run(["run", "exp.yaml"])


@when('I run it with "{options}"')
def run_with(context: Context, options: str) -> None:
    context.teller.run(["run", "exp.yaml", "--no-report", *options.split()])


@when("I start it, and press Ctrl-C when some are answered")
def press_ctrl_c(context: Context) -> None:
    context.teller.start(["run", "exp.yaml", "--no-report"])
    context.teller.stop(signal.SIGINT)


@when("I start it, and kill it when some are answered")
def kill(context: Context) -> None:
    context.teller.start(["run", "exp.yaml", "--no-report"])
    context.teller.stop(signal.SIGKILL)


@then("the exit code is {code:d}")
def exit_code(context: Context, code: int) -> None:
    assert context.teller.done.code == code, context.teller.done


@then("the prompt is back within a second")
def within_a_second(context: Context) -> None:
    assert context.teller.went_s < 1, context.teller.went_s


@then('it says "{words}"')
def says(context: Context, words: str) -> None:
    assert words in " ".join(context.teller.said().split()), context.teller.said()
    assert "Traceback" not in context.teller.said()


@then("it says how many trials are left")
def says_what_is_left(context: Context) -> None:
    left = context.left = (context.teller.rows()["status"] == "open").sum()
    assert left
    assert f"{left} left" in context.teller.said(), context.teller.said()
