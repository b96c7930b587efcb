"""``assistants ask`` and ``assistants chat``: talking in the terminal."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.screen import err, out
from assistants.errors import CallError, UsageError
from assistants.text import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assistants.assistant import Assistant
    from assistants.messages import Completion, Message


@dataclass
class Column:
    """One answer on its way."""

    assistant: Assistant
    text: str = ""
    note: str = "waiting"
    failed: bool = False

    async def fill(self, question: str) -> None:
        """Stream the answer in; a failure is this column's alone."""
        from assistants.messages import Completion

        try:
            async for piece in self.assistant.stream(question):
                if isinstance(piece, Completion):
                    self.text, self.note = piece.text, _facts(piece)
                else:
                    self.text, self.note = self.text + piece.text, "answering"
        except CallError as error:
            self.failed, self.note = True, str(error)


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from stdin.")],
    persona: options.Personas = None,
    model: options.Models = None,
    personas: options.Folders = None,
) -> int:
    """Ask every persona on every model, side by side."""
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise UsageError("The question is empty.")
    columns = [Column(a) for a in _assistants(persona or ["none"], model or ["smollm2"], personas)]
    asyncio.run(_ask(columns, question))
    return 1 if any(column.failed for column in columns) else 0


def chat(
    persona: options.Persona = "none",
    model: options.Model = "smollm2",
    personas: options.Folders = None,
    results: options.ResultsFolder = Path("results"),
) -> int:
    """Talk with one persona; the conversation is kept as Markdown under the results folder."""
    (assistant,) = _assistants([persona], [model], personas)
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    log = results / "chats" / f"{stamp}-{persona}.md"
    err.print(f"{assistant}. An empty line or Ctrl-D ends; kept in {log}.")
    asyncio.run(_chat(assistant, log))
    return 0


def _assistants(
    personas: list[str], models: list[str], folders: list[Path] | None
) -> list[Assistant]:
    from assistants.assistant import Assistant
    from assistants.clients import connect
    from assistants.models import Catalogue
    from assistants.personas import Library

    library, catalogue = Library.default(folders or ()), Catalogue.default()
    clients = [connect(name, catalogue=catalogue) for name in models]
    return [Assistant(library.find(name), client) for client in clients for name in personas]


async def _ask(columns: list[Column], question: str) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(column.fill(question)) for column in columns]
            if out.is_terminal:
                await _watch(columns, tasks)
    finally:
        for client in {column.assistant.client for column in columns}:
            await client.aclose()
    if not out.is_terminal:
        for column in columns:
            out.print(f"== {column.assistant} ({visible(column.note)})\n", soft_wrap=True)
            out.print(visible(column.text) + "\n", soft_wrap=True)


async def _watch(columns: list[Column], tasks: list[asyncio.Task[None]]) -> None:
    from rich.live import Live

    with Live(
        _drawn(columns), console=out, auto_refresh=False, vertical_overflow="visible"
    ) as live:
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=1 / 15)
            live.update(_drawn(columns), refresh=True)
        live.update(_drawn(columns), refresh=True)


def _drawn(columns: list[Column]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    at_once = max(1, min(len(columns), out.width // 40))
    grid = Table.grid(expand=True)
    for _ in range(at_once):
        grid.add_column(ratio=1)
    panels = [
        Panel(
            Text(visible(column.text)),
            title=Text(str(column.assistant)),
            subtitle=Text(visible(column.note)[:200]),
            border_style="red" if column.failed else "none",
        )
        for column in columns
    ]
    for start in range(0, len(panels), at_once):
        grid.add_row(*panels[start : start + at_once])
    return grid


async def _chat(assistant: Assistant, log: Path) -> None:
    from assistants import transcripts
    from assistants.messages import Completion, Message, Transcript

    history: list[Message] = []
    try:
        while question := await asyncio.to_thread(_read_line):
            history.append(Message("user", question))
            try:
                async for piece in assistant.stream(history):
                    if isinstance(piece, Completion):
                        out.print(f"\n({_facts(piece)})")
                        transcript = Transcript(assistant.messages(history), piece)
                        transcripts.write(log, transcript, _about(assistant))
                        history.append(Message("assistant", piece.text))
                    else:
                        out.print(visible(piece.text), end="", soft_wrap=True)
            except CallError as error:
                history.pop()
                err.print(f"error: {visible(str(error))}", style="red")
    finally:
        await assistant.client.aclose()


def _read_line() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def _about(assistant: Assistant) -> dict[str, str]:
    return {"persona": assistant.name, "model": assistant.model}


def _facts(completion: Completion) -> str:
    parts = [] if completion.status == "ok" else [completion.status]
    if completion.usage.output_tokens is not None:
        parts.append(f"{completion.usage.output_tokens} tokens")
    if completion.first_token_s is not None:
        parts.append(f"first after {completion.first_token_s:.1f} s")
    if completion.total_s is not None:
        parts.append(f"{completion.total_s:.1f} s")
    return ", ".join(parts)
