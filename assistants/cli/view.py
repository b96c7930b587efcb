"""``assistants view``: open the latest report in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.console import say, show
from assistants.errors import UsageError
from assistants.utils import display_path

if TYPE_CHECKING:
    from assistants.results import Run


def view(
    experiment: options.Experiment = None,
    results: options.ResultsFolder = Path("results"),
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Print the path, and open nothing.")
    ] = False,
) -> int:
    """Open the latest report in the browser, and print its path."""
    from assistants.results import Results

    found = Results(results)
    latest = found.latest(experiment)
    reported = (run for run in reversed(found.runs(experiment)) if _page(run).is_file())
    run = next(reported, None)
    if run is None:
        of_experiment = f" of {experiment}" if experiment else ""
        raise UsageError(
            f"{display_path(results)}: no run{of_experiment} has a report.",
            fix="Write one: `assistants run FILE`, without --no-report. It asks nothing again.",
        )
    if run.id != latest.id:
        say(f"Run {latest.id} of {latest.experiment} is newer, and has no report.")
    page = _page(run)
    show(display_path(page))
    if not no_open and not webbrowser.open(page.resolve().as_uri()):
        say("No browser could be opened here: open that file in one.")
    return 0


def _page(run: Run) -> Path:
    return run.folder / "report.html"
