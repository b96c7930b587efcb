"""Columns of live conversations: the common base of ``Compare`` and ``Chat``."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import traitlets
from markupsafe import Markup

from assistants.assistant import Assistant
from assistants.clients import Client, connect, default_model, start_concurrency
from assistants.errors import UsageError
from assistants.messages import Transcript
from assistants.models import Catalogue, Model
from assistants.personas import Library, edited_persona
from assistants.techniques import BUILDERS as TECHNIQUE_ORDER
from assistants.techniques import read_techniques
from assistants.utils import escape_control_chars, pluralize
from assistants.widgets import background
from assistants.widgets.base import CaseSaver, Item, LiveWidget, read_sources
from assistants.widgets.chat.answer_stats import reply_row
from assistants.widgets.chat.column import ConversationColumn
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.page_feed import PageFeed
from assistants.widgets.chat.session_store import SessionStore
from assistants.widgets.chat.static_html import conversations_html
from assistants.widgets.chat.turns import find_turn

_ids = itertools.count(1)


class ConversationColumns(LiveWidget):
    """Conversations side by side, streamed to the page and stored."""

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
    """The totals of each column, by its id; empty where a single answer shows them itself."""
    state = traitlets.Unicode("idle").tag(sync=True)
    """``idle`` or ``answering``."""
    kept = traitlets.Unicode("").tag(sync=True)
    """The case that was saved last, and where."""
    source_file = traitlets.Unicode("").tag(sync=True)
    """The experiment file that a case is saved in unless another is named."""
    replies = traitlets.List(traitlets.Dict())
    """One row per answer, finished or not: ``pandas.DataFrame(widget.replies)``."""

    commands = {  # noqa: RUF012 - declared a ClassVar in LiveWidget
        "ask": "ask",
        "stop": "stop",
        "regenerate": "regenerate",
        "edit": "edit",
        "clear": "clear",
        "prompt": "set_prompt",
        "technique": "set_technique",
        "keep": "_keep_from_page",
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
        self.session = SessionStore(results, kind, models)
        self._case_saver = CaseSaver(self)
        self._columns: list[ConversationColumn] = []
        self._semaphores: dict[int, asyncio.Semaphore] = {}
        super().__init__(kind=kind)
        for assistant in assistants:
            self._columns.append(self._new_column(assistant))
        self._update_heads()

    def __repr__(self) -> str:
        names = ", ".join(str(column.assistant) for column in self._columns)
        turns = max((len(c.conversation.turns) for c in self._columns), default=0)
        return f"{type(self).__name__}({names}: {pluralize(turns, 'turn')})"

    # -- for people ------------------------------------------------------------------------------

    async def ask(self, question: str, *, repeats: int = 1) -> None:
        """Ask every column, and wait until each has answered, failed or was stopped.

        Parameters
        ----------
        question
            The next question; every column continues from its own history.
        repeats
            Number of answers that each column draws.

        Raises
        ------
        UsageError
            If the question is empty, or an answer is still on its way.
        """
        await background.run(self._ask(question, int(repeats)))

    async def stop(self, column: int | str | None = None) -> None:
        """Stop one column, or all of them; the text so far is kept."""
        await background.run(self._stop(column))

    async def regenerate(self, column: int | str = 0) -> None:
        """Draw one more answer to a column's last question."""
        conversation = self._find(column).conversation
        await background.run(self._gather(conversation.regenerate()))

    async def edit(self, turn: int | str, question: str, column: int | str = 0) -> None:
        """Replace the question of a turn in a column; the turns after it are dropped."""
        conversation = self._find(column).conversation
        old = find_turn(conversation.turns, turn)
        await background.run(self._gather(conversation.edit(old, question)))

    def clear(self) -> None:
        """Start over in every column; stored answers stay stored."""
        background.call(self._clear)

    def set_prompt(self, column: int | str, text: str | None = None) -> None:
        """Give a column another system prompt from here on; ``None`` undoes every edit.

        Raises
        ------
        UsageError
            If an answer is on its way.
        """
        background.call(lambda: self._set_prompt(self._find(column), text))

    def set_technique(self, column: int | str, name: str, settings: Any = True) -> None:
        """Switch a technique of a column on or off, from here on.

        Parameters
        ----------
        column
            Its place, counted from 0.
        name
            ``enrich``, ``memory``, ``knowledge``, or one of a plug-in.
        settings
            As an experiment file writes them; ``True`` for the usual ones, with the better
            embedded model as the sidecar, and ``False`` to switch it off.

        Raises
        ------
        UsageError
            For an unknown technique, a wrong setting, or if an answer is on its way.
        """
        background.call(lambda: self._set_technique(self._find(column), name, settings))

    def keep(
        self,
        path: str | Path,
        turn: int | str = -1,
        *,
        column: int | str = 0,
        id: str | None = None,  # noqa: A002 - the word of the file
    ) -> str:
        """Append a turn, with the questions before it, to an experiment file as a case.

        Comments and everything else in the file stay as they are.

        Parameters
        ----------
        path
            An experiment file. Where its ``cases:`` name a ``.jsonl`` or ``.csv`` file, the case
            becomes a line of that one.
        turn
            Counts from 0; -1 is the last one.
        column
            Its column, since edits make the columns differ.
        id
            Names the case; by default it is numbered.

        Returns
        -------
        str
            The id of the case in the file.

        Raises
        ------
        UsageError
            If there is no such turn.
        FileError
            If the file is no experiment, or has the case already.
        """
        messages = find_turn(self._find(column).conversation.turns, turn).answer.history
        questions = [message.content for message in messages if message.role == "user"]
        return self._case_saver.save(path, questions, id=id)

    def transcripts(self) -> list[Transcript | None]:
        """Return each column's last complete answer with what it was given to, or ``None``."""
        transcripts: list[Transcript | None] = []
        for column in self._columns:
            answers = [turn.answer for turn in column.conversation.turns if turn.answer.is_complete]
            last = answers[-1] if answers else None
            if last is None or last.completion is None:
                transcripts.append(None)
            else:
                sent = last.sent
                transcripts.append(Transcript(sent.messages, last.completion, sent.techniques))
        return transcripts

    def close(self) -> None:
        """Remove the widget from the page, and stop the answers on their way."""
        columns = getattr(self, "_columns", [])
        if any(column.conversation.is_busy for column in columns):
            self.schedule(self._stop)
        super().close()

    # -- for the page ----------------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Return every entry of every column."""
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
        """Send the waiting updates now, and bring ``replies`` up to date."""
        super().flush()
        self._update_replies()

    def static_html(self) -> Markup:
        """Return the conversations as a table."""
        conversations = [column.conversation for column in self._columns]
        costs = {
            answer.id: self.session.cost(answer)
            for conversation in conversations
            for turn in conversation.turns
            for answer in turn.answers
        }
        return conversations_html(conversations, costs)

    # -- in the thread of `background` -----------------------------------------------------------

    async def _ask(self, question: str, repeats: int) -> None:
        if any(column.conversation.is_busy for column in self._columns):
            raise UsageError("An answer is still on its way.", fix="Wait for it, or stop it.")
        if not question.strip():
            raise UsageError("The question is empty.")
        self._case_saver.clear()
        await self._gather(
            *(column.conversation.ask(question, repeats=repeats) for column in self._columns)
        )

    async def _gather(self, *work: Any) -> None:
        """Wait for all columns; a programming error in one does not stop the others."""
        try:
            results = await asyncio.gather(*work, return_exceptions=True)
        except asyncio.CancelledError:
            await self._stop()
            raise
        finally:
            self._update_replies()
            self.flush()
            self.update_fallback()
            await self._close_idle_clients()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _stop(self, column: int | str | None = None) -> None:
        chosen = self._columns if column is None else [self._find(column)]
        await asyncio.gather(*(one.conversation.stop() for one in chosen))
        self._update_replies()

    async def _close_idle_clients(self) -> None:
        """Close the connections of clients that no widget waits for."""
        if not any(column.conversation.is_busy for column in self._columns):
            clients = {id(c.assistant.client): c.assistant.client for c in self._columns}
            for client in clients.values():
                if not background.is_busy(client):
                    await client.aclose()

    async def _keep_from_page(self, path: str, turn: str, column: str) -> None:
        """Save in a worker thread: reading a large file would block the answers."""
        self._case_saver.clear()
        await asyncio.to_thread(self.keep, path.strip(), turn, column=column)
        self.source_file = escape_control_chars(path.strip())

    def _clear(self) -> None:
        for column in self._columns:
            column.conversation.clear()
        self._update_replies()
        self.update_fallback()

    def _set_prompt(self, column: ConversationColumn, text: str | None) -> None:
        original = column.original
        if text is None or text == (original.system_prompt or ""):
            if column.is_edited:
                line = f"{original.name}: its own system prompt again"
                techniques = column.assistant.techniques
                column.conversation.set_assistant(replace(original, techniques=techniques), line)
        else:
            turns = [turn for one in self._columns for turn in one.conversation.turns]
            authors = [answer.assistant for turn in turns for answer in turn.answers]
            current = [one.assistant for one in self._columns]
            others = [a.persona for a in (*current, *authors, *self.session.assistants)]
            persona = edited_persona(original.persona, text, others)
            techniques = column.assistant.techniques
            assistant = replace(original, persona=persona, variables={}, techniques=techniques)
            column.conversation.set_assistant(assistant, f"system prompt edited: {persona.name}")
        self._update_heads()

    def _set_technique(self, column: ConversationColumn, name: str, settings: Any) -> None:
        assistant = column.assistant
        usual = {"enrich": {"model": default_model()}, "memory": {"summary": default_model()}}
        chosen = usual.get(name, True) if settings is True else settings
        new = read_techniques({name: chosen}, self._connect, Path(), persona=assistant.persona)
        kept = [technique for technique in assistant.techniques if technique.name != name]
        order = list(TECHNIQUE_ORDER)
        techniques = sorted(
            [*kept, *new], key=lambda t: order.index(t.name) if t.name in order else len(order)
        )
        said = "on" if new else "off"
        column.conversation.set_assistant(
            replace(assistant, techniques=tuple(techniques)), f"{name} is {said} from here on"
        )
        self._update_heads()

    def _connect(self, name: str) -> Client:
        """Return the client of a sidecar, whose price counts too."""
        entry = Catalogue.default().find(name)
        self.models.setdefault(entry.name, entry)
        return connect(entry)

    def _new_column(self, assistant: Assistant) -> ConversationColumn:
        name = f"column-{next(_ids)}"
        feed = PageFeed(name, self.send_update, self.session.cost, self._update_state)
        conversation = Conversation(assistant, listener=feed, store=self.session)
        column = ConversationColumn(name, conversation, feed, assistant)
        self._share_semaphore(column)
        return column

    def _share_semaphore(self, column: ConversationColumn) -> None:
        """Limit the calls of all columns on one model to as many as the model can use."""
        client = column.assistant.client
        column.conversation.semaphore = self._semaphores.setdefault(
            id(client), asyncio.Semaphore(start_concurrency(client))
        )

    def _find(self, column: int | str) -> ConversationColumn:
        for index, candidate in enumerate(self._columns):
            if column in (index, candidate.id):
                return candidate
        raise UsageError(f"There is no column {column!r}.")

    def _update_heads(self) -> None:
        self.columns = [column.head() for column in self._columns]
        self._update_sums()

    def _update_state(self) -> None:
        busy = any(column.conversation.is_busy for column in self._columns)
        self.state = "answering" if busy else "idle"

    def _update_replies(self) -> None:
        self._update_state()
        self.replies = [
            {
                "column": index,
                **reply_row(number, turn, repeat, self.session.cost(turn.answers[repeat])),
            }
            for index, column in enumerate(self._columns)
            for number, turn in enumerate(column.conversation.turns)
            for repeat in range(len(turn.answers))
        ]
        self._update_sums()

    def _update_sums(self) -> None:
        self.sums = {column.id: column.totals(self.session.cost) for column in self._columns}
