"""Output about servers: their start, their status, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from assistants.cli.console import cell, err, out, say, show, table
from assistants.utils import to_json, truncate_line

if TYPE_CHECKING:
    from assistants.clients import ServerRecord
    from assistants.servers import (
        LaunchOptions,
        Plan,
        ProgressCallback,
        ServerStatus,
        SmokeResult,
        StartMeasurement,
        StartProgress,
    )

_LOOK_S = 1.0


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Show the progress of a start: one changing line on a terminal, else a line per stage."""
    from assistants.servers import report_stages

    if not err.is_terminal:
        yield report_stages(say)
        return
    with err.status("starting") as status:

        def report(update: StartProgress) -> None:
            line = f"{update.name}: {update.stage}, {update.seconds:.0f} s  {update.line}"
            status.update(cell(truncate_line(line, max(20, err.width - 4))))

        yield report


def _seconds(smoke: SmokeResult) -> float | None:
    taken = smoke.completion.total_s if smoke.completion else None
    return None if taken is None else round(taken, 2)


def show_card(entry: ServerRecord, status: ServerStatus) -> None:
    """Print the facts of a server that has started."""
    from assistants.servers import server_card

    facts = server_card(entry, status)
    out.print(table([entry.name, ""], facts.items()))
    out.print()


def warn_if_open(launch: LaunchOptions) -> None:
    """Warn about a server that others can reach: what protects it, and where its key is."""
    from assistants.clients import registry
    from assistants.servers import home_relative
    from assistants.utils import is_loopback

    if not is_loopback(launch.host):
        entry = registry.lock_path(launch.name).with_suffix(".json")
        say(f"{launch.name} {_OPEN.format(entry=home_relative(entry))}", style="yellow")


_OPEN = (
    "is open to the network. Its key, stored in {entry}, protects the routes below /v1; vLLM asks "
    "for none on its other routes, such as /tokenize and /invocations. Put it behind a proxy "
    "that does."
)


def show_measured(plan: Plan, started: Sequence[tuple[LaunchOptions, ServerRecord]]) -> None:
    """Print predicted and measured memory; store measurements for the next plan."""
    from assistants.servers import matches_plan, measure_start, save_measurements

    gpus = {gpu.index: gpu for gpu in plan.gpus}
    by_name = {server.name: server for server in plan.servers}
    measured: list[StartMeasurement] = []
    kept: list[StartMeasurement] = []
    for launch, entry in started:
        server = by_name[entry.model]
        if entry.cache_tokens:
            gpu = gpus[server.gpus[0]]
            measurement = measure_start(server, gpu, entry.cache_tokens, entry.memory or 0)
            measured.append(measurement)
            kept += [measurement] if matches_plan(launch, server) else []
    if kept:
        save_measurements(kept)
    columns = ["model", "total_gib", "measured_memory_gib", "cache_tokens"]
    columns += ["measured_cache_tokens", "cache_off_percent"]
    rows = [[row[name] for name in columns] for row in plan.compare_with_measured(measured)]
    names = [
        "model",
        "GiB predicted",
        "GiB measured",
        "cache predicted",
        "cache measured",
        "off, %",
    ]
    out.print(table(names, rows, title="predicted and measured"))


async def until_ended(servers: Sequence[ServerRecord]) -> int:
    """Wait until every server has ended by itself, and return 1."""
    from assistants.clients import registry

    living = list(servers)
    while living:
        await asyncio.sleep(_LOOK_S)
        for entry in [item for item in living if not registry.is_alive(item)]:
            living.remove(entry)
            say(f"{entry.name} has ended; its log is {entry.log}.", style="red")
    return 1


async def show_all(living: Sequence[ServerRecord], as_json: bool) -> int:
    """Print one row per server."""
    from assistants.servers import is_healthy, server_rows, server_status

    healthy = await asyncio.gather(*(is_healthy(entry) for entry in living))
    statuses = await asyncio.gather(*(server_status(entry) for entry in living))
    rows = server_rows(list(zip(living, statuses, healthy, strict=True)))
    if as_json:
        typer.echo(to_json({"servers": rows}))
    else:
        out.print(table(list(rows[0]), [list(row.values()) for row in rows]))
    return 0 if all(healthy) else 1


async def test(living: Sequence[ServerRecord], question: str, as_json: bool) -> int:
    """Ask every server the same question at once, and print the answers."""
    from assistants.servers import smoke_test

    results = await smoke_test(living, question)
    rows: list[dict[str, Any]] = [
        {
            "server": result.record.name,
            "answer": result.completion.text if result.completion else None,
            "error": result.error.message if result.error else None,
            "seconds": _seconds(result),
        }
        for result in results
    ]
    if as_json:
        typer.echo(to_json({"question": question, "servers": rows}))
    else:
        say(question)
        for row in rows:
            say(f"\n{row['server']}" + (f" ({row['seconds']} s)" if row["answer"] else ""))
            if row["error"]:
                say(str(row["error"]), style="red")
            else:
                show(str(row["answer"]))
    return 0 if all(result.completion and result.completion.text for result in results) else 1
