"""The command line: ``assistants run``, ``ask``, ``chat`` and the commands around them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import version
from typing import Annotated, Any

import typer

from assistants.cli import (
    audit,
    batches,
    chat,
    controls,
    improve,
    init,
    interchange,
    knowledge,
    migrate,
    plugins,
    run,
    serve,
    show,
    view,
)
from assistants.cli.console import say
from assistants.errors import AssistantsError, UsageError
from assistants.utils import PluginWarning, without_plugins

app = typer.Typer(
    name="assistants",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"assistants {version('assistants')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Use no plug-ins of other packages.")
    ] = False,
) -> None:
    """Measure how a system prompt changes the answers of a language model."""
    if no_plugins:
        context.with_resource(without_plugins())


def _command(name: str, function: Callable[..., int]) -> None:
    """Add a command that returns its exit code; turn an error into a message and a code."""

    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        try:
            with _printed_warnings():
                code = function(*args, **kwargs)
        except (KeyboardInterrupt, typer.Abort):
            code = 130
        except AssistantsError as error:
            _print_error(error)
            code = 2 if isinstance(error, UsageError) else 1
        except OSError as error:  # a full disk, or a file that may not be written
            if error.filename is None:
                raise
            _print_error(AssistantsError(f"{error.filename}: {error.strerror}."))
            code = 1
        raise typer.Exit(code)

    app.command(name)(command)


@contextmanager
def _printed_warnings() -> Iterator[None]:
    """Print each warning about a plug-in once, as a line; other warnings stay as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", PluginWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if issubclass(category, PluginWarning):
                say(f"warning: {message}", style="yellow")
            else:
                others(message, category, *place)

        warnings.showwarning = show  # type: ignore[assignment]  # the same by position
        yield


def _print_error(error: AssistantsError) -> None:
    """Print an error, and what to do about it, on stderr."""
    say(f"error: {error.message}", style="red")
    if error.fix:
        say(error.fix)


_command("init", init.init)
_command("run", run.run)
_command("migrate", migrate.migrate)
_command("ask", chat.ask)
_command("chat", chat.chat)
_command("batches", batches.batches)
_command("audit", audit.audit)
_command("personas", show.personas)
_command("knowledge", knowledge.knowledge)
_command("models", show.models)
_command("results", show.results)
_command("view", view.view)
_command("effects", show.effects)
_command("import", interchange.import_config)
_command("export", interchange.export)
_command("controls", controls.controls)
_command("improve", improve.improve)
_command("serve", serve.serve)
_command("plan", serve.plan)
_command("servers", serve.servers)
_command("stop", serve.stop)
_command("fetch", show.fetch)
_command("plugins", plugins.plugins)
_command("doctor", show.doctor)


def main() -> None:
    """Run a command and exit.

    Exit codes: 0 all trials answered; 1 a trial or a call failed; 2 wrong usage or a wrong file;
    3 a limit stopped the run; 130 interrupted.
    """
    app()
