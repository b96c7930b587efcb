"""What is shown of servers while they start, when they have, and when they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from assistants.cli.console import cell, err, out, say, show, table
from assistants.utils.text import to_json, truncate_line

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
    """Says how far a start is: on one line of a terminal, or a line for each stage in a file."""
    from assistants.servers import report_stages

    if not err.is_terminal:
        yield report_stages(say)
        return
    with err.status("starting") as status:

        def report(now: StartProgress) -> None:
            line = f"{now.name}: {now.stage}, {now.seconds:.0f} s  {now.line}"
            status.update(cell(truncate_line(line, max(20, err.width - 4))))

        yield report


def _seconds(smoke: SmokeResult) -> float | None:
    taken = smoke.completion.total_s if smoke.completion else None
    return None if taken is None else round(taken, 2)


def show_card(entry: ServerRecord, said: ServerStatus) -> None:
    """One server, when it has started."""
    from assistants.servers import server_card

    facts = server_card(entry, said)
    out.print(table([entry.name, ""], facts.items()))
    out.print()


def warn_if_open(launch: LaunchOptions) -> None:
    """Say of a server that others can reach what guards it, and where its key lies."""
    from assistants.clients import registry
    from assistants.servers import home_relative
    from assistants.utils.urls import is_loopback

    if not is_loopback(launch.host):
        entry = registry.lock_path(launch.name).with_suffix(".json")
        say(f"{launch.name} {_OPEN.format(entry=home_relative(entry))}", style="yellow")


_OPEN = (
    "is open to the network. Its key, which lies in {entry}, guards what lies below /v1; vLLM asks "
    "for none on its other routes, /tokenize and /invocations among them. Put it behind a proxy "
    "that does."
)


def show_measured(plan: Plan, up: Sequence[tuple[LaunchOptions, ServerRecord]]) -> None:
    """Predicted beside measured; what says something about a plan is kept for the next one."""
    from assistants.servers import matches_plan, measure_start, save_measurements

    gpus = {gpu.index: gpu for gpu in plan.gpus}
    by_name = {server.name: server for server in plan.servers}
    found: list[StartMeasurement] = []
    kept: list[StartMeasurement] = []
    for launch, entry in up:
        server = by_name[entry.model]
        if entry.cache_tokens:
            gpu = gpus[server.gpus[0]]
            seen = measure_start(server, gpu, entry.cache_tokens, entry.memory or 0)
            found.append(seen)
            kept += [seen] if matches_plan(launch, server) else []
    if kept:
        save_measurements(kept)
    columns = ["model", "total_gib", "measured_memory_gib", "cache_tokens"]
    columns += ["measured_cache_tokens", "cache_off_percent"]
    rows = [[row[name] for name in columns] for row in plan.compare_with_measured(found)]
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
    """Wait for as long as any of them lives; 1 if one ended by itself, which they all did then."""
    from assistants.clients import registry

    living = list(servers)
    while living:
        await asyncio.sleep(_LOOK_S)
        for entry in [each for each in living if not registry.is_alive(each)]:
            living.remove(entry)
            say(f"{entry.name} has ended; its log is {entry.log}.", style="red")
    return 1


async def show_all(living: Sequence[ServerRecord], as_json: bool) -> int:
    """One row a server."""
    from assistants.servers import is_healthy, server_rows, server_status

    healthy = await asyncio.gather(*(is_healthy(entry) for entry in living))
    said = await asyncio.gather(*(server_status(entry) for entry in living))
    made = server_rows(list(zip(living, said, healthy, strict=True)))
    if as_json:
        typer.echo(to_json({"servers": made}))
    else:
        out.print(table(list(made[0]), [list(row.values()) for row in made]))
    return 0 if all(healthy) else 1


async def test(living: Sequence[ServerRecord], question: str, as_json: bool) -> int:
    """Ask every server the same at the same time, and show what each answered."""
    from assistants.servers import smoke_test

    found = await smoke_test(living, question)
    rows: list[dict[str, Any]] = [
        {
            "server": each.record.name,
            "answer": each.completion.text if each.completion else None,
            "error": each.error.message if each.error else None,
            "seconds": _seconds(each),
        }
        for each in found
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
    return 0 if all(each.completion and each.completion.text for each in found) else 1
