"""``assistants controls``: the texts of control personas, made, shown and kept."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistants.cli import options
from assistants.cli.console import say, show
from assistants.errors import UsageError
from assistants.utils import pluralize

if TYPE_CHECKING:
    from assistants.runs import Budget


def controls(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file (.yaml).")],
    results: options.ResultsFolder = Path("results"),
    personas: options.Folders = None,
    again: Annotated[bool, typer.Option("--again", help="Make all of them anew.")] = False,
    yes: options.Yes = False,
) -> int:
    """Make an experiment's control texts, and show them."""
    from assistants.design import read_controls_file

    written = make(file, personas or (), results, again=again, yes=yes)
    if written is None:
        say("The experiment asks for no control texts: add `controls: {neutral: true}`.")
        return 0
    for name, text in read_controls_file(written).items():
        say(f"\n{name}: {text.about}", style="bold")
        show(text.system_prompt.strip())
    say(f"\nThey stand in {written}. Edit them there: what it says is what is asked.")
    return 0


def make(
    file: Path,
    personas: Sequence[Path],
    results: Path,
    *,
    again: bool = False,
    yes: bool = False,
    budget: Budget | None = None,
    **changes: Any,
) -> Path | None:
    """Make what is missing, after asking whether a model that may cost money may be asked."""
    from assistants.runs import missing_controls, paraphrase_model, write_controls

    wanting = missing_controls(file, personas, again=again, **changes)
    missing = [each for each in wanting if each.kind == "paraphrase"]
    model = paraphrase_model(file, personas, **changes)
    if missing and not yes and not model.is_free:
        wanted = f"{pluralize(len(missing), 'paraphrase')} of {model.name}, which may cost money"
        if not sys.stdin.isatty():
            raise UsageError(f"The controls need {wanted}.", fix="Add --yes, or name a free model.")
        say(f"The controls need {wanted}.")
        typer.confirm("Go on?", abort=True, err=True)
    return asyncio.run(
        write_controls(
            file,
            personas=personas,
            results=results,
            again=again,
            budget=budget,
            on_progress=_quiet,
            **changes,
        )
    )


def _quiet(progress: object) -> None:
    """The texts themselves are what is shown."""
