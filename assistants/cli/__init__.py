"""The command line: ``assistants run``, ``ask``, ``chat`` and what is needed around them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from assistants.cli import look, run, talk
from assistants.cli.screen import err
from assistants.errors import AssistantsError, UsageError
from assistants.text import visible

app = typer.Typer(
    name="assistants",
    help="How does a system prompt change what a language model says, and is the change real?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _command(name: str, function: Callable[..., int]) -> None:
    """Add a command; it returns its exit code, and an error becomes a message and a code."""

    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs)
        except KeyboardInterrupt:
            code = 130
        except AssistantsError as error:
            _say(error)
            code = 2 if isinstance(error, UsageError) else 1
        raise typer.Exit(code)

    app.command(name)(command)


def _say(error: AssistantsError) -> None:
    """What went wrong, and what to do next, on stderr."""
    err.print(f"error: {visible(error.message)}", style="red", soft_wrap=True)
    if error.fix:
        err.print(visible(error.fix), soft_wrap=True)


_command("run", run.run)
_command("ask", talk.ask)
_command("chat", talk.chat)
_command("personas", look.personas)
_command("models", look.models)
_command("results", look.results)
_command("fetch", look.fetch)
_command("doctor", look.doctor)


def main() -> None:
    """Run a command and exit.

    0 all answered; 1 some trials failed, or a call did; 2 wrong usage or file; 3 a limit stopped
    the run; 130 interrupted.
    """
    logging.getLogger("stamina").addHandler(logging.NullHandler())  # the run reports attempts
    app()
