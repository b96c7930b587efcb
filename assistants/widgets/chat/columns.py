"""Columns of live conversations: what ``Compare`` and ``Chat`` have in common."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import traitlets

from assistants.assistant import Assistant
from assistants.errors import UsageError
from assistants.messages import Transcript
from assistants.models import Model
from assistants.personas import Library, edited_persona
from assistants.utils.text import escape_control_chars, pluralize
from assistants.widgets import background
from assistants.widgets.base import CaseSaver, Item, LiveWidget, read_sources
from assistants.widgets.chat.answer_stats import row
from assistants.widgets.chat.column import ConversationColumn
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.page_feed import PageFeed
from assistants.widgets.chat.session_store import SessionStore
from assistants.widgets.chat.static_html import printed
from assistants.widgets.chat.turns import find_turn

_ids = itertools.count(1)


class ConversationColumns(LiveWidget):
    """Conversations side by side, streamed to the page and kept in the store."""

    _esm = read_sources(
        "static/page.js",
        "static/markdown.js",
        "chat/answers.js",
        "chat/columns.js",
        "chat/model_picker.js",
        "chat/sidebar.js",
        "chat/chat.js",
    )
    _css = read_sources("static/live.css")

    kind = traitlets.Unicode("").tag(sync=True)
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The heads of the columns, in the order in which they are shown."""
    sums = traitlets.Dict().tag(sync=True)
    """What the answers of each column come to, by its id; empty where each answer says it alone."""
    state = traitlets.Unicode("idle").tag(sync=True)
    """``idle`` or ``answering``."""
    kept = traitlets.Unicode("").tag(sync=True)
    """The case that was saved last, and where."""
    source_file = traitlets.Unicode("").tag(sync=True)
    """The experiment file that a case is saved in unless another is named."""
    replies = traitlets.List(traitlets.Dict())
    """One row an answer, finished or not: ``pandas.DataFrame(widget.replies)``."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        "ask": "ask",
        "stop": "stop",
        "regenerate": "regenerate",
        "edit": "edit",
        "clear": "clear",
        "prompt": "set_prompt",
        "keep": "_keep_in",
    }

    def __init__(
        self,
        kind: str,
        assistants: Sequence[Assistant],
        *,
        results: str | Path | None,
        models: dict[str, Model],
        library: Library,
    ) -> None:
        self.library = library
        self.models = models
        self.record = SessionStore(results, kind, models)
        self._case_saver = CaseSaver(self)
        self._columns: list[ConversationColumn] = []
        self._turnstiles: dict[int, asyncio.Semaphore] = {}
        super().__init__(kind=kind)
        for assistant in assistants:
            self._columns.append(self._column(assistant))
        self._draw_heads()

    def __repr__(self) -> str:
        names = ", ".join(str(column.assistant) for column in self._columns)
        turns = max((len(c.conversation.turns) for c in self._columns), default=0)
        return f"{type(self).__name__}({names}: {pluralize(turns, 'turn')})"

    # -- what a person does ----------------------------------------------------------------------

    async def ask(self, question: str, *, repeats: int = 1) -> None:
        """Ask every column, and wait until each has answered, failed or was stopped.

        Parameters
        ----------
        question
            The next question; every column goes on from its own history.
        repeats
            How many answers each column draws.

        Raises
        ------
        UsageError
            If the question is empty, or an answer is still on its way.
        """
        await background.run(self._ask(question, int(repeats)))

    async def stop(self, column: int | str | None = None) -> None:
        """Stop one column, or all of them; what they said so far is kept."""
        await background.run(self._stop(column))

    async def regenerate(self, column: int | str = 0) -> None:
        """Draw one more answer to a column's last question."""
        one = self._find(column)
        await background.run(self._doing(one.conversation.regenerate()))

    async def edit(self, turn: int | str, question: str, column: int | str = 0) -> None:
        """Ask a column something else in the place of a turn; what came after it goes."""
        conversation = self._find(column).conversation
        one = find_turn(conversation.turns, turn)
        await background.run(self._doing(conversation.edit(one, question)))

    def clear(self) -> None:
        """Begin anew, in every column; what was stored stays stored."""
        background.call(self._clear)

    def set_prompt(self, column: int | str, text: str | None = None) -> None:
        """Let a column answer with this system prompt from here on; ``None`` undoes every edit.

        Raises
        ------
        UsageError
            If an answer is on its way.
        """
        background.call(lambda: self._set_prompt(self._find(column), text))

    def keep(
        self,
        path: str | Path,
        turn: int | str = -1,
        *,
        column: int | str = 0,
        id: str | None = None,  # noqa: A002 - the word of the file
    ) -> str:
        """Append a turn, with the questions it goes on from, to an experiment file as a case.

        Comments and everything else in the file stay as they are.

        Parameters
        ----------
        path
            An experiment file. Where its ``cases:`` name a ``.jsonl`` or ``.csv`` file, the case
            becomes a line of that one.
        turn
            Counts from 0; -1 is the last one.
        column
            Whose turn it is, since an edit lets columns go different ways.
        id
            Names the case; by default it is numbered.

        Returns
        -------
        str
            The id that the case has there.

        Raises
        ------
        UsageError
            If there is no such turn.
        FileError
            If the file is no experiment, or has the case already.
        """
        said = find_turn(self._find(column).conversation.turns, turn).answer.history
        questions = [message.content for message in said if message.role == "user"]
        return self._case_saver.save(path, questions, id=id)

    def transcripts(self) -> list[Transcript | None]:
        """What each column's last whole answer was given to; ``None`` where there is none."""
        found: list[Transcript | None] = []
        for column in self._columns:
            whole = [turn.answer for turn in column.conversation.turns if turn.answer.is_complete]
            last = whole[-1] if whole else None
            if last is None or last.completion is None:
                found.append(None)
            else:
                found.append(Transcript(last.assistant.messages(last.history), last.completion))
        return found

    def close(self) -> None:
        """Take the widget off the page; what is on its way is stopped."""
        columns = getattr(self, "_columns", [])
        if any(column.conversation.is_busy for column in columns):
            self.schedule(self._stop)
        super().close()

    # -- what the page is told -------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Every entry of every column."""
        return {
            "columns": [
                {
                    "id": column.id,
                    "entries": [column.feed.entry(entry) for entry in column.conversation.entries],
                }
                for column in self._columns
            ]
        }

    def flush(self) -> None:
        """Send what is waiting, now; and let Python see it too."""
        super().flush()
        self._note_state()

    def static_html(self) -> str:
        """The conversations as a table."""
        conversations = [column.conversation for column in self._columns]
        costs = {
            answer.id: self.record.cost(answer)
            for conversation in conversations
            for turn in conversation.turns
            for answer in turn.answers
        }
        return printed(conversations, costs)

    # -- the work, in the thread of `background` -------------------------------------------------

    async def _ask(self, question: str, repeats: int) -> None:
        if any(column.conversation.is_busy for column in self._columns):
            raise UsageError("An answer is still on its way.", fix="Wait for it, or stop it.")
        if not question.strip():
            raise UsageError("The question is empty.")
        self._case_saver.clear()
        await self._doing(
            *(column.conversation.ask(question, repeats=repeats) for column in self._columns)
        )

    async def _doing(self, *work: Any) -> None:
        """Wait for all of it; a mistake of ours in one column does not take the others along."""
        try:
            results = await asyncio.gather(*work, return_exceptions=True)
        except asyncio.CancelledError:
            await self._stop()
            raise
        finally:
            self._note_state()
            self.flush()
            self.update_fallback()
            await self._hang_up()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _stop(self, column: int | str | None = None) -> None:
        chosen = self._columns if column is None else [self._find(column)]
        await asyncio.gather(*(each.conversation.stop() for each in chosen))
        self._note_state()

    async def _hang_up(self) -> None:
        """Leave no connection open while nobody asks anything, here or in another widget."""
        if not any(column.conversation.is_busy for column in self._columns):
            clients = {id(c.assistant.client): c.assistant.client for c in self._columns}
            for client in clients.values():
                if not background.is_busy(client):
                    await client.aclose()

    async def _keep_in(self, path: str, turn: str, column: str) -> None:
        """Elsewhere, since a large file takes a while to read, and answers arrive here."""
        self._case_saver.clear()
        await asyncio.to_thread(self.keep, path.strip(), turn, column=column)
        self.source_file = escape_control_chars(path.strip())

    def _clear(self) -> None:
        for column in self._columns:
            column.conversation.clear()
        self._note_state()
        self.update_fallback()

    def _set_prompt(self, column: ConversationColumn, text: str | None) -> None:
        original = column.original
        if text is None or text == (original.system_prompt or ""):
            if column.edited:
                said = f"{original.name}: its own system prompt again"
                column.conversation.set_assistant(original, said)
        else:
            turns = [turn for each in self._columns for turn in each.conversation.turns]
            asked = [answer.assistant for turn in turns for answer in turn.answers]
            others = [*(c.assistant for c in self._columns), *asked, *self.record.assistants]
            persona = edited_persona(original.persona, text, [each.persona for each in others])
            assistant = replace(original, persona=persona, variables={})
            column.conversation.set_assistant(assistant, f"system prompt edited: {persona.name}")
        self._draw_heads()

    def _column(self, assistant: Assistant) -> ConversationColumn:
        name = f"column-{next(_ids)}"
        feed = PageFeed(name, self.send_update, self.record.cost, self._note_busy)
        made = Conversation(assistant, listener=feed, keeper=self.record)
        column = ConversationColumn(name, made, feed, assistant)
        self._turn_to(column)
        return column

    def _turn_to(self, column: ConversationColumn) -> None:
        """As many calls at a time as a column's model can use, all columns together."""
        client = column.assistant.client
        column.conversation.turnstile = self._turnstiles.setdefault(
            id(client), asyncio.Semaphore(client.max_concurrency)
        )

    def _find(self, column: int | str) -> ConversationColumn:
        for number, each in enumerate(self._columns):
            if column in (number, each.id):
                return each
        raise UsageError(f"There is no column {column!r}.")

    def _draw_heads(self) -> None:
        self.columns = [column.described() for column in self._columns]
        self._note_sums()

    def _note_busy(self) -> None:
        busy = any(column.conversation.is_busy for column in self._columns)
        self.state = "answering" if busy else "idle"

    def _note_state(self) -> None:
        self._note_busy()
        self.replies = [
            {"column": number, **row(place, turn, repeat, self.record.cost(turn.answers[repeat]))}
            for number, column in enumerate(self._columns)
            for place, turn in enumerate(column.conversation.turns)
            for repeat in range(len(turn.answers))
        ]
        self._note_sums()

    def _note_sums(self) -> None:
        self.sums = {column.id: column.summed(self.record.cost) for column in self._columns}
