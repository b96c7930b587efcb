"""Running the command, and how it ended."""

from __future__ import annotations

import signal

from behave import then, when
from behave.runner import Context


@when("I run it")
@when("I run it again")
def run_it(context: Context) -> None:
    context.world.run(["run", "exp.yaml", "--no-report"])


@when("I run it, with its report")
def run_with_report(context: Context) -> None:
    context.world.run(["run", "exp.yaml"])


@when('I run it with "{options}"')
def run_with(context: Context, options: str) -> None:
    context.world.run(["run", "exp.yaml", "--no-report", *options.split()])


@when("I start it, and press Ctrl-C when some are answered")
def press_ctrl_c(context: Context) -> None:
    context.world.start(["run", "exp.yaml", "--no-report"])
    context.world.stop(signal.SIGINT)


@when("I start it, and kill it when some are answered")
def kill(context: Context) -> None:
    context.world.start(["run", "exp.yaml", "--no-report"])
    context.world.stop(signal.SIGKILL)


@then("the exit code is {code:d}")
def exit_code(context: Context, code: int) -> None:
    assert context.world.done.code == code, context.world.done


@then('it says "{words}"')
def says(context: Context, words: str) -> None:
    assert words in " ".join(context.world.output().split()), context.world.output()
    assert "Traceback" not in context.world.output()


@then("it says how many trials are left")
def says_what_is_left(context: Context) -> None:
    left = context.left = (context.world.rows()["status"] == "open").sum()
    assert left
    assert f"{left} left" in context.world.output(), context.world.output()
