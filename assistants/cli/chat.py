"""``assistants ask`` and ``assistants chat``: conversations in the terminal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assistants.cli import options
from assistants.cli.console import cell, out, say, show
from assistants.errors import UsageError
from assistants.utils import display_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assistants.assistant import Assistant
    from assistants.messages import Completion, Sampling
    from assistants.models import Model
    from assistants.widgets import (
        Answer,
        AssistantSwitch,
        Conversation,
        ConversationListener,
        Turn,
    )


@dataclass
class ChatColumn:
    """A conversation on the screen: its last answer and the state of it."""

    conversation: Conversation
    log: str | None

    @property
    def assistant(self) -> Assistant:
        """The assistant that answers."""
        return self.conversation.assistant

    @property
    def answer(self) -> Answer | None:
        """The answer to the last question, once it was asked for."""
        turns = self.conversation.turns
        return turns[-1].answer if turns and turns[-1].answers else None

    @property
    def text(self) -> str:
        """The text that has arrived."""
        return self.answer.text if self.answer is not None else ""

    @property
    def error(self) -> str:
        """The reason why the answer failed; empty if it did not."""
        return self.answer.error if self.answer is not None else ""

    @property
    def state(self) -> str:
        """The state of the answer; facts about it once it is done."""
        if self.answer is None:
            return "waiting"
        if self.answer.state == "done" and self.answer.completion is not None:
            return _facts(self.answer.completion)
        return "answering" if self.answer.state == "streaming" else self.answer.state


class _Printer:
    """A listener that prints an answer as it arrives."""

    def on_change(self, entry: Turn | AssistantSwitch) -> None:
        """Ignore the states: the caller prints the end of an answer."""

    def on_text(self, answer: Answer, text: str) -> None:
        """Print a piece."""
        show(text, end="")

    def on_drop(self, entries: Sequence[Turn | AssistantSwitch]) -> None:
        """Ignore it: printed text cannot be taken back."""


def ask(
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="The question; `-` reads it from stdin.")
    ],
    persona: options.Personas = None,
    model: options.Models = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    reasoning_effort: options.ReasoningEffort = None,
    settings: options.Settings = None,
    system_prompt_in: options.SystemPromptIn = "system",
    personas: options.Folders = None,
    results: options.ResultsFolder = Path("results"),
    no_record: options.NoRecord = False,
) -> int:
    """Ask every persona on every model, side by side, and store the answers.

    Without -m the model is qwen, or smollm2 where only that was fetched.
    """
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise UsageError("The question is empty.")
    sampling = options.read_sampling(
        settings,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        seed=seed,
        reasoning_effort=reasoning_effort,
    ).sampling
    assistants, entries = _build_assistants(
        persona or ["none"], model or [], personas, system_prompt_in, sampling
    )
    columns = _columns(assistants, None if no_record else results, "ask", entries)
    asyncio.run(_ask(columns, question))
    answers = [column.answer for column in columns if column.answer is not None]
    if any(isinstance(answer.exception, UsageError) for answer in answers):
        return 2
    return 1 if any(answer.error for answer in answers) else 0


def chat(
    persona: options.Persona = "none",
    model: options.Model = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    reasoning_effort: options.ReasoningEffort = None,
    settings: options.Settings = None,
    system_prompt_in: options.SystemPromptIn = "system",
    personas: options.Folders = None,
    results: options.ResultsFolder = Path("results"),
    no_record: options.NoRecord = False,
) -> int:
    """Chat with one persona; the answers are stored, also as Markdown."""
    sampling = options.read_sampling(
        settings,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        seed=seed,
        reasoning_effort=reasoning_effort,
    ).sampling
    assistants, entries = _build_assistants(
        [persona], [model] if model else [], personas, system_prompt_in, sampling
    )
    folder = None if no_record else results
    (column,) = _columns(assistants, folder, "chat", entries, _Printer())
    say(f"{column.assistant}. An empty line or Ctrl-D ends.")
    is_answered = True
    # Lines are read outside the event loop: a Ctrl-C while somebody types has nothing to wait for.
    with asyncio.Runner() as loop:
        try:
            while question := _read_line():
                if question.startswith("/") and question[1:].isalpha():
                    say(f"{question}: there are no commands here; an empty line ends.")
                else:
                    is_answered = loop.run(_show_answer(column, question))
        finally:
            loop.run(column.assistant.client.aclose())
    return 0 if is_answered else 1


def _build_assistants(
    personas: list[str],
    models: list[str],
    folders: list[Path] | None,
    place: options.Place,
    sampling: Sampling,
) -> tuple[list[Assistant], dict[str, Model]]:
    """Return every persona on every model, and the catalogue entries of the models by name."""
    from assistants.assistant import Assistant
    from assistants.clients import connect, default_model
    from assistants.models import Catalogue
    from assistants.personas import Library

    library, catalogue = Library.default(folders or ()), Catalogue.default()
    entries = [catalogue.find(name) for name in models or [default_model()]]
    clients = [connect(entry, catalogue=catalogue) for entry in entries]
    assistants = [
        Assistant(library.find(name), client, sampling, persona_in=place)
        for client in clients
        for name in personas
    ]
    for assistant in assistants:
        _check_variables(assistant)
    return assistants, {entry.name: entry for entry in entries}


def _columns(
    assistants: list[Assistant],
    results: Path | None,
    name: str,
    entries: dict[str, Model],
    listener: ConversationListener | None = None,
) -> list[ChatColumn]:
    """Return a conversation per assistant, all stored in one run of that name."""
    from assistants.clients import start_concurrency
    from assistants.widgets import Conversation, SessionStore

    session = SessionStore(results, name, entries)
    log = display_path(session.folder / "conversation.md") if session.folder is not None else None
    limits = {id(a.client): asyncio.Semaphore(start_concurrency(a.client)) for a in assistants}
    return [
        ChatColumn(
            Conversation(
                assistant, listener=listener, store=session, semaphore=limits[id(assistant.client)]
            ),
            log,
        )
        for assistant in assistants
    ]


def _check_variables(assistant: Assistant) -> None:
    """Refuse a persona with variables, since a terminal has no way to give them."""
    missing = sorted(assistant.persona.variables - set(assistant.persona.defaults))
    if missing:
        raise UsageError(
            f"persona {assistant.name!r} needs a value for {' and '.join(missing)}.",
            fix="Give it in an experiment, under `vars:`, or as a default in the persona's file.",
        )


async def _ask(columns: list[ChatColumn], question: str) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(column.conversation.ask(question)) for column in columns]
            if out.is_terminal:
                await _watch(columns, tasks)
    finally:
        for client in {column.assistant.client for column in columns}:
            await client.aclose()
    for column in columns:
        if not out.is_terminal:
            text = f"\n\n{column.text}\n" if column.text else ""
            show(f"== {column.assistant} ({column.state}){text}")
        if column.error:
            say(f"error: {column.error}", style="red")
        _print_note(column)


async def _watch(columns: list[ChatColumn], tasks: list[asyncio.Task[Turn]]) -> None:
    """Show the answers as they grow, as far as the screen has room; then all of them, complete."""
    from rich.live import Live

    with Live(console=out, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
        while not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=1 / 15)
            live.update(_grid(columns), refresh=True)
    out.print(_grid(columns))


def _grid(columns: list[ChatColumn]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table

    per_row = max(1, min(len(columns), out.width // 40))
    grid = Table.grid(expand=True)
    for _ in range(per_row):
        grid.add_column(ratio=1)
    panels = [
        Panel(
            cell(column.text),
            title=cell(column.assistant),
            subtitle=cell(column.state),
            border_style="red" if column.error else "none",
        )
        for column in columns
    ]
    for start in range(0, len(panels), per_row):
        grid.add_row(*panels[start : start + per_row])
    return grid


async def _show_answer(column: ChatColumn, question: str) -> bool:
    """Show the answer to a question as it arrives; return whether there was one."""
    is_first = not column.conversation.turns
    await column.conversation.ask(question)
    answer = column.answer
    assert answer is not None
    show("")
    if answer.error:
        say(f"error: {answer.error}", style="red")
    elif answer.completion is not None:
        log = column.log
        place = f"; stored in {log}" if is_first and log is not None and not answer.note else ""
        say(f"({_facts(answer.completion)}{place})")
    _print_note(column)
    return not answer.error


def _print_note(column: ChatColumn) -> None:
    """Print the note of an answer, such as that it could not be stored."""
    if column.answer is not None and column.answer.note:
        say(f"warning: {column.answer.note}", style="red")


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
