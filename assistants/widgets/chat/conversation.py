"""The live history of one assistant, independent of any widget: a listener gets its events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from assistants.assistant import Assistant
from assistants.errors import AssistantsError, IncompleteReplyError, UsageError
from assistants.messages import Completion, Delta, partial_completion
from assistants.utils import pluralize
from assistants.widgets.background import track_call
from assistants.widgets.chat.turns import (
    Answer,
    AnswerStore,
    AssistantSwitch,
    ConversationListener,
    Entry,
    State,
    Turn,
    history,
)

_STORE_WAIT_S = 0.5
"""Seconds that whoever stops an answer waits for it to be stored, which goes on in any case."""


class Conversation:
    """The questions to one assistant, and its answers.

    Parameters
    ----------
    assistant
        Who answers.
    listener
        Gets the events of this conversation.
    store
        Stores the answers.
    semaphore
        Admits as many calls as the model can use; shared by the conversations of one client.
    """

    def __init__(
        self,
        assistant: Assistant,
        *,
        listener: ConversationListener | None = None,
        store: AnswerStore | None = None,
        semaphore: asyncio.Semaphore | None = None,
    ) -> None:
        self.assistant = assistant
        self.entries: list[Entry] = []
        self.semaphore = semaphore
        self._listener = listener
        self._store = store
        self._tasks: set[asyncio.Task[None]] = set()
        self._store_tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Conversation({str(self.assistant)!r}: {pluralize(len(self.turns), 'turn')})"

    @property
    def turns(self) -> list[Turn]:
        """The questions so far, with their answers."""
        return [entry for entry in self.entries if isinstance(entry, Turn)]

    @property
    def is_busy(self) -> bool:
        """True while an answer is on its way."""
        return any(turn.is_pending for turn in self.turns)

    async def ask(self, question: str, *, repeats: int = 1) -> Turn:
        """Ask, and wait until every answer has ended and is stored; their states say how.

        Parameters
        ----------
        question
            The next question; the model sees every completely answered turn before it.
        repeats
            Number of answers to draw. The conversation continues from the first complete one.

        Raises
        ------
        UsageError
            If the question is empty, or an answer is still on its way.
        """
        self._check_idle()
        if not question.strip():
            raise UsageError("The question is empty.")
        if repeats < 1:
            raise UsageError(f"at least one repeat is needed, not {repeats!r}.")
        before = tuple(turn.answer for turn in self.turns if turn.answer.is_complete)
        turn = Turn(question, [], before, addressed_to=self.assistant)
        self.entries.append(turn)
        await self._draw(turn, repeats)
        await self._wait_until_stored()
        return turn

    async def regenerate(self) -> Turn:
        """Draw one more answer to the last question; the conversation continues from it.

        Raises
        ------
        UsageError
            If nothing was asked, or an answer is still on its way.
        """
        self._check_idle()
        if not self.turns:
            raise UsageError("Nothing has been asked yet.", fix="Ask a question first.")
        turn = self.turns[-1]
        await self._draw(turn, 1)
        await self._wait_until_stored()
        return turn

    async def edit(self, turn: Turn | int, question: str) -> Turn:
        """Replace an earlier question; the turns after it are dropped.

        The current assistant answers it, and the transcript keeps saying so.

        Raises
        ------
        UsageError
            As ``ask`` does.
        """
        self._check_idle()
        if not question.strip():
            raise UsageError("The question is empty.")
        first = self.entries.index(self.turns[turn] if isinstance(turn, int) else turn)
        switches = [e.text for e in self.entries[first:] if isinstance(e, AssistantSwitch)]
        self._drop(first)
        if switches:
            self.set_assistant(self.assistant, switches[-1])
        return await self.ask(question)

    async def stop(self) -> None:
        """Stop the answers on their way; the text so far is kept, and marked as stopped."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._wait_until_stored(_STORE_WAIT_S)

    def clear(self) -> None:
        """Start over with the same assistant; stored answers stay stored.

        Raises
        ------
        UsageError
            If an answer is still on its way.
        """
        self._check_idle()
        self._drop(0)

    def set_assistant(self, assistant: Assistant, text: str) -> None:
        """Let ``assistant`` answer from here on; the transcript says so with ``text``.

        Raises
        ------
        UsageError
            If an answer is still on its way.
        """
        self._check_idle()
        self.assistant = assistant
        if self.entries and isinstance(self.entries[-1], AssistantSwitch):
            self._drop(len(self.entries) - 1)  # nobody has answered in between
        if self.entries and not _is_same(assistant, self.turns[-1].addressed_to):
            switch = AssistantSwitch(text, assistant, self.turns[-1].addressed_to)
            self.entries.append(switch)
            self._report(switch)

    def append_turns(self, turns: Sequence[Turn]) -> None:
        """Append turns that were answered elsewhere; each answer keeps its author."""
        for turn in turns:
            copy = Turn(turn.question, [turn.answer], turn.before, addressed_to=self.assistant)
            self.entries.append(copy)
            self._report(copy)

    async def _draw(self, turn: Turn, repeats: int) -> None:
        messages = history(self.turns[: self.turns.index(turn)], turn.question)
        first, former = len(turn.answers), turn.chosen
        new = [Answer(self.assistant, messages, first + i) for i in range(repeats)]
        turn.answers += new
        if first:
            turn.chosen = first  # show the new answer while it arrives
        self._report(turn)
        try:
            await self._begin(turn, new)
            async with asyncio.TaskGroup() as group:
                for answer in new:
                    if answer.is_pending:
                        self._cancellable(group.create_task(self._fill(turn, answer)))
        except asyncio.CancelledError:
            self._settle(turn, new, former)
            await self._wait_until_stored(_STORE_WAIT_S)
            raise
        except BaseExceptionGroup as errors:  # mistakes of ours, not of a model
            raise errors.exceptions[0] from None
        finally:
            self._settle(turn, new, former)
            self._report(turn)

    def _settle(self, turn: Turn, new: Sequence[Answer], former: int) -> None:
        """End answers that were stopped before they began, and choose the first complete one."""
        for answer in new:
            if answer.is_pending:
                self._end(turn, answer, "stopped")
        complete = (turn.answers.index(answer) for answer in new if answer.is_complete)
        turn.chosen = next(complete, former)

    async def _begin(self, turn: Turn, new: Sequence[Answer]) -> None:
        if self._store is None:
            return
        task = self._cancellable(asyncio.create_task(self._store.begin(turn, new)))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
        if task.cancelled():
            for answer in new:
                answer.state = "stopped"  # it was never asked, so there is nothing to store
        elif isinstance(error := task.exception(), AssistantsError):
            for answer in new:  # a full disk is no reason to stop talking
                answer.note = f"Not stored. {error}"
        else:
            task.result()

    def _cancellable(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Let ``stop`` cancel a task."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fill(self, turn: Turn, answer: Answer) -> None:
        """Stream one answer in; its failure is its own."""
        try:
            with track_call(answer.assistant.client):
                async with self.semaphore or contextlib.nullcontext():
                    await self._stream(turn, answer)
        except asyncio.CancelledError:
            self._end(turn, answer, "stopped")
            raise
        except AssistantsError as error:
            if (partial := partial_completion(error)) is not None:
                answer.completion, answer.text = partial, partial.text
            answer.error, answer.exception = str(error), error
            self._end(turn, answer, "failed")
        except Exception as error:
            answer.error = f"{type(error).__name__}: {error}"
            self._end(turn, answer, "failed")
            raise

    async def _stream(self, turn: Turn, answer: Answer) -> None:
        answer.prepared = await answer.assistant.prepare(answer.history, repeat=answer.repeat)
        if answer.prepared.techniques:
            self._report(turn)
        pieces = answer.assistant.stream(answer.prepared, repeat=answer.repeat)
        async with _closing(pieces) as stream:
            async for piece in stream:
                if isinstance(piece, Completion):
                    answer.completion, answer.text = piece, piece.text
                    self._end(turn, answer, "done")
                    return
                if answer.state == "waiting":
                    answer.state = "streaming"
                    self._report(turn)
                if piece.text:
                    answer.text += piece.text
                    if self._listener is not None:
                        self._listener.on_text(answer, piece.text)
        raise IncompleteReplyError(
            f"{answer.assistant.model}: the reply ended before the model did."
        )

    def _end(self, turn: Turn, answer: Answer, state: State) -> None:
        if not answer.is_pending:
            return  # it was stopped in the moment in which it ended by itself
        answer.state = state
        self._report(turn)
        if self._store is not None and not answer.note:
            task = asyncio.create_task(self._store_answer(self._store, turn, answer))
            self._store_tasks.add(task)
            task.add_done_callback(self._store_tasks.discard)

    async def _store_answer(self, store: AnswerStore, turn: Turn, answer: Answer) -> None:
        try:
            await store.store(turn, answer)
        except AssistantsError as error:
            answer.note = f"Not stored. {error}"
            self._report(turn)

    async def _wait_until_stored(self, timeout_s: float | None = None) -> None:
        """Wait until every answer is stored, which goes on after a timeout."""
        if self._store_tasks:
            await asyncio.wait(list(self._store_tasks), timeout=timeout_s)

    def _check_idle(self) -> None:
        if self.is_busy:
            raise UsageError("An answer is still on its way.", fix="Wait for it, or stop it.")

    def _drop(self, first: int) -> None:
        dropped = self.entries[first:]
        del self.entries[first:]
        if dropped and self._listener is not None:
            self._listener.on_drop(dropped)

    def _report(self, entry: Entry) -> None:
        if self._listener is not None:
            self._listener.on_change(entry)


def _is_same(one: Assistant, other: Assistant | None) -> bool:
    """Return whether no reader and no key could tell the two assistants apart."""
    return other is not None and str(one) == str(other) and one.digest == other.digest


@contextlib.asynccontextmanager
async def _closing(
    pieces: AsyncIterator[Delta | Completion],
) -> AsyncIterator[AsyncIterator[Delta | Completion]]:
    """Close a client's stream at the end: an iterator may be a generator with a connection."""
    try:
        yield pieces
    finally:
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()
