"""``assistants batches``: list the batches that runs have sent, and cancel one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.console import out, say, show, table
from assistants.errors import AssistantsError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from assistants.runs import BatchRecord


def batches(
    action: Annotated[
        str, typer.Argument(metavar="[list|cancel]", help="`cancel ID` ends a batch.")
    ] = "list",
    batch: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="An id that `assistants batches` lists.")
    ] = None,
    results: options.ResultsFolder = Path("results"),
) -> int:
    """List the batches that runs have sent to a provider, or cancel one."""
    from assistants.runs import FILE, Store, cancel_batch, refresh_batches

    if action not in ("list", "cancel"):
        raise UnknownNameError("action", action, ["list", "cancel"])
    if (action == "cancel") != (batch is not None):
        raise UsageError("Write `assistants batches`, or `assistants batches cancel ID`.")
    if not (results / FILE).exists():
        raise UsageError(f"{results} holds no results.", fix="Name a folder with `--results DIR`.")
    with Store(results) as store:
        if batch is not None:
            show(asyncio.run(cancel_batch(store, batch)))
            return 0
        problems: list[AssistantsError] = []
        records = asyncio.run(refresh_batches(store, problems.append))
        if not records:
            say("No run has sent a batch. Send one with `assistants run FILE --batch`.")
            return 0
        names = ["batch", "model", "requests", "sent (UTC)", "status"]
        out.print(table(names, [_row(record) for record in records]))
        if left := sum(record.ended_at is None for record in records):
            say(f"\nOut: {left}. The next run of the same experiment collects what comes.")
        for problem in problems:
            say(str(problem), style="red")
    return 1 if problems else 0


def _row(record: BatchRecord) -> list[object]:
    return [
        record.id,
        record.model,
        record.requests,
        record.created_at[:16].replace("T", " "),
        record.status.replace("_", " "),
    ]
