"""``assistants import`` and ``export``: configurations and runs of and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistants.cli import options
from assistants.cli.console import say
from assistants.messages import FINISHED
from assistants.utils import pluralize

if TYPE_CHECKING:
    from assistants.results import Run


def import_config(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="promptfooconfig.yaml, or a config in JSON.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="A new folder; experiments/NAME by default."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out, and list, what cannot be carried over.")
    ] = False,
) -> int:
    """Import a promptfoo configuration: experiment, personas and cases. Nothing in it is run."""
    from assistants.design import import_promptfoo

    imported = import_promptfoo(file, out, partial=partial)
    say(f"{imported.design!r}")
    if lost := len(imported.losses):
        say(f"Not carried over: {pluralize(lost, 'thing')}, listed at the head of the file.")
    say(f"Run it: assistants run {imported.path}")
    return 0


def export(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help="The id of a run, or an experiment: its newest run."),
    ],
    to: Annotated[
        str,
        typer.Option("--to", metavar="FORMAT", help="files, inspect, huggingface or otel."),
    ] = "files",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="A new folder; by default in the run's own."),
    ] = None,
    results: options.ResultsFolder = Path("results"),
) -> int:
    """Export a run: files, logs of inspect, a Hugging Face dataset, or OpenTelemetry spans."""
    exported = _find(run, results)
    form: Any = to
    place = exported.export(form, out)
    statuses = exported.statuses()
    failed = sum(count for status, count in statuses.items() if status not in FINISHED)
    count = pluralize(sum(statuses.values()), "trial")
    say(f"{count} of run {exported.id}, {failed} of them without an answer: {place}")
    return 0


def _find(name: str, results: Path) -> Run:
    from assistants.results import Results

    found = Results(results)
    by_id = [run for run in found.runs() if run.id == name]
    return by_id[0] if by_id else found.latest(name)
