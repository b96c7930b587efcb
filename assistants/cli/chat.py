"""``assistants ask`` and ``assistants chat``: talking in the terminal."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.console import cell, out, say, show
from assistants.errors import AssistantsError, CallError, UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assistants.assistant import Assistant
    from assistants.messages import Completion, Message


@dataclass
class ChatColumn:
    """One answer on its way."""

    assistant: Assistant
    text: str = ""
    note: str = "waiting"
    error: AssistantsError | None = None

    async def fill(self, question: str) -> None:
        """Stream the answer in; a failure is this column's alone."""
        from assistants.messages import Completion

        try:
            async for piece in self.assistant.stream(question):
                if isinstance(piece, Completion):
                    self.text, self.note = piece.text, _facts(piece)
                else:
                    self.text, self.note = self.text + piece.text, "answering"
        except AssistantsError as error:
            self.error, self.note = error, "failed"


def ask(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question; `-` reads it from stdin.")
    ],
    persona: options.Personas = None,
    model: options.Models = None,
    system_prompt_in: options.SystemPromptIn = "system",
    personas: options.Folders = None,
) -> int:
    """Ask every persona on every model, side by side."""
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise UsageError("The question is empty.")
    columns = [
        ChatColumn(a)
        for a in _assistants(persona or ["none"], model or ["smollm2"], personas, system_prompt_in)
    ]
    asyncio.run(_ask(columns, question))
    errors = [column.error for column in columns if column.error is not None]
    return 2 if any(isinstance(error, UsageError) for error in errors) else 1 if errors else 0


def chat(
    persona: options.Persona = "none",
    model: options.Model = "smollm2",
    system_prompt_in: options.SystemPromptIn = "system",
    personas: options.Folders = None,
    results: options.ResultsFolder = Path("results"),
) -> int:
    """Talk with one persona; kept as Markdown."""
    (assistant,) = _assistants([persona], [model], personas, system_prompt_in)
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    log = results / "chats" / f"{stamp}-{persona}.md"
    say(f"{assistant}. An empty line or Ctrl-D ends.")
    history: list[Message] = []
    answered = True
    # Lines are read outside the event loop: a Ctrl-C while somebody types has nothing to wait for.
    with asyncio.Runner() as loop:
        try:
            while question := _read_line():
                if question.startswith("/") and question[1:].isalpha():
                    say(f"{question}: there are no commands here; an empty line ends.")
                else:
                    answered = loop.run(_answer(assistant, history, question, log))
        finally:
            loop.run(assistant.client.aclose())
    return 0 if answered else 1


def _assistants(
    personas: list[str], models: list[str], folders: list[Path] | None, place: options.Place
) -> list[Assistant]:
    from assistants.assistant import Assistant
    from assistants.clients import connect
    from assistants.models import Catalogue
    from assistants.personas import Library

    library, catalogue = Library.default(folders or ()), Catalogue.default()
    clients = [connect(name, catalogue=catalogue) for name in models]
    made = [
        Assistant(library.find(name), client, persona_in=place)
        for client in clients
        for name in personas
    ]
    for assistant in made:
        _check_text(assistant)
    return made


def _check_text(assistant: Assistant) -> None:
    """See before anything is asked that a persona wants no variable: here is no way to give one."""
    wanted = sorted(assistant.persona.variables - set(assistant.persona.defaults))
    if wanted:
        raise UsageError(
            f"persona {assistant.name!r} wants a value for {' and '.join(wanted)}.",
            fix="Give it in an experiment, under `vars:`, or as a default in the persona's file.",
        )


async def _ask(columns: list[ChatColumn], question: str) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(column.fill(question)) for column in columns]
            if out.is_terminal:
                await _watch(columns, tasks)
    finally:
        for client in {column.assistant.client for column in columns}:
            await client.aclose()
    for column in columns:
        if not out.is_terminal:
            text = f"\n\n{column.text}\n" if column.text else ""
            show(f"== {column.assistant} ({column.note}){text}")
        if column.error is not None:
            say(f"error: {column.error}", style="red")


async def _watch(columns: list[ChatColumn], tasks: list[asyncio.Task[None]]) -> None:
    """The answers as they grow, as far as the screen has room; then all of them, whole."""
    from rich.live import Live

    with Live(console=out, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=1 / 15)
            live.update(_drawn(columns), refresh=True)
    out.print(_drawn(columns))


def _drawn(columns: list[ChatColumn]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table

    at_once = max(1, min(len(columns), out.width // 40))
    grid = Table.grid(expand=True)
    for _ in range(at_once):
        grid.add_column(ratio=1)
    panels = [
        Panel(
            cell(column.text),
            title=cell(column.assistant),
            subtitle=cell(column.note),
            border_style="red" if column.error is not None else "none",
        )
        for column in columns
    ]
    for start in range(0, len(panels), at_once):
        grid.add_row(*panels[start : start + at_once])
    return grid


async def _answer(assistant: Assistant, history: list[Message], question: str, log: Path) -> bool:
    """Show an answer and keep it; whether there was one."""
    from assistants.messages import Completion, Message, Transcript
    from assistants.runs import transcripts

    asked = [*history, Message("user", question)]
    try:
        async for piece in assistant.stream(asked):
            if not isinstance(piece, Completion):
                show(piece.text, end="")
                continue
            show("")
            kept = "" if history else f"; kept in {log}"
            say(f"({_facts(piece)}{kept})")
            about = {"persona": assistant.name, "model": assistant.model}
            transcripts.write(log, Transcript(assistant.messages(asked), piece), about)
            if piece.text:  # there is nothing to go on from otherwise
                history[:] = [*asked, Message("assistant", piece.text)]
    except CallError as error:
        show("")
        say(f"error: {error}", style="red")
        return False
    return True


def _read_line() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


def _facts(completion: Completion) -> str:
    parts: list[str] = [] if completion.status == "ok" else [completion.status]
    if completion.usage.output_tokens is not None:
        parts.append(f"{completion.usage.output_tokens} tokens")
    if completion.first_token_s is not None:
        parts.append(f"first after {completion.first_token_s:.1f} s")
    if completion.total_s is not None:
        parts.append(f"{completion.total_s:.1f} s")
    return ", ".join(parts)
