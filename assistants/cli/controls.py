"""``assistants controls``: generate, store and show the texts of control personas."""

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
    again: Annotated[bool, typer.Option("--again", help="Generate all texts again.")] = False,
    yes: options.Yes = False,
) -> int:
    """Generate an experiment's control texts, and show them."""
    from assistants.design import read_controls_file

    written = make_controls(file, personas or (), results, again=again, yes=yes)
    if written is None:
        say("The experiment has no control texts: add `controls: {neutral: true}` to its file.")
        return 0
    for name, text in read_controls_file(written).items():
        say(f"\n{name}: {text.about}", style="bold")
        show(text.system_prompt.strip())
    say(f"\nThey are in {written}. Edit them there: the run sends the text of that file.")
    return 0


def make_controls(
    file: Path,
    personas: Sequence[Path],
    results: Path,
    *,
    again: bool = False,
    yes: bool = False,
    budget: Budget | None = None,
    **changes: Any,
) -> Path | None:
    """Generate the missing texts; confirm first where the model may cost money."""
    from assistants.runs import missing_controls, paraphrase_model, write_controls

    missing = missing_controls(file, personas, again=again, **changes)
    paraphrases = [control for control in missing if control.kind == "paraphrase"]
    model = paraphrase_model(file, personas, **changes)
    if paraphrases and not yes and not model.is_free:
        count = pluralize(len(paraphrases), "paraphrase")
        need = f"The controls need {count} by {model.name}, which may cost money."
        if not sys.stdin.isatty():
            raise UsageError(need, fix="Add --yes, or name a free model.")
        say(need)
        typer.confirm("Go on?", abort=True, err=True)
    return asyncio.run(
        write_controls(
            file,
            personas=personas,
            results=results,
            again=again,
            budget=budget,
            on_progress=_ignore_progress,
            **changes,
        )
    )


def _ignore_progress(progress: object) -> None:
    """Print nothing: the texts themselves are shown afterwards."""
