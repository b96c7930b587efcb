"""One assistant's live history. There is no widget in it: who wants to see it listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from assistants.assistant import Assistant
from assistants.errors import AssistantsError, CallError, IncompleteReplyError, UsageError
from assistants.messages import Completion, Delta
from assistants.utils.text import pluralize
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

_PATIENCE_S = 0.5
"""How long whoever stops an answer waits for the record, which goes on in any case."""


class Conversation:
    """What one assistant was asked, and what it said.

    Parameters
    ----------
    assistant
        Who answers.
    listener, keeper
        Who hears of it, and who stores it.
    turnstile
        Lets in as many calls as the model can use; shared by the conversations of one client.
    """

    def __init__(
        self,
        assistant: Assistant,
        *,
        listener: ConversationListener | None = None,
        keeper: AnswerStore | None = None,
        turnstile: asyncio.Semaphore | None = None,
    ) -> None:
        self.assistant = assistant
        self.entries: list[Entry] = []
        self.turnstile = turnstile
        self._listener = listener
        self._keeper = keeper
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Conversation({str(self.assistant)!r}: {pluralize(len(self.turns), 'turn')})"

    @property
    def turns(self) -> list[Turn]:
        """The questions so far, with their answers."""
        return [entry for entry in self.entries if isinstance(entry, Turn)]

    @property
    def is_busy(self) -> bool:
        """Whether an answer is on its way."""
        return any(turn.is_pending for turn in self.turns)

    async def ask(self, question: str, *, repeats: int = 1) -> Turn:
        """Ask, and wait for the end and the record. Which end it was stands in the answers.

        Parameters
        ----------
        question
            What comes next; the model sees everything before it that was answered whole.
        repeats
            How many answers to draw. The conversation goes on from the first whole one.

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
        turn = Turn(question, [], self._whole(self.turns), addressed_to=self.assistant)
        self.entries.append(turn)
        await self._draw(turn, repeats)
        await self._kept()
        return turn

    async def regenerate(self) -> Turn:
        """Draw one more answer to the last question; the conversation goes on from it.

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
        await self._kept()
        return turn

    async def edit(self, turn: Turn | int, question: str) -> Turn:
        """Ask something else in the place of an earlier question; what came after it goes.

        Whoever answers now answers it, and the transcript goes on saying so.

        Raises
        ------
        UsageError
            As ``ask`` does.
        """
        self._check_idle()
        if not question.strip():
            raise UsageError("The question is empty.")
        first = self.entries.index(self.turns[turn] if isinstance(turn, int) else turn)
        said = [entry.said for entry in self.entries[first:] if isinstance(entry, AssistantSwitch)]
        self._drop(first)
        if said:
            self.set_assistant(self.assistant, said[-1])
        return await self.ask(question)

    async def stop(self) -> None:
        """Stop what is on its way; the text so far is kept, and marked as stopped."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._kept(_PATIENCE_S)

    def clear(self) -> None:
        """Begin anew with the same assistant; what was stored stays stored.

        Raises
        ------
        UsageError
            If an answer is still on its way.
        """
        self._check_idle()
        self._drop(0)

    def set_assistant(self, assistant: Assistant, said: str) -> None:
        """Let ``assistant`` answer from here on; ``said`` stands in the transcript.

        Raises
        ------
        UsageError
            If an answer is still on its way.
        """
        self._check_idle()
        self.assistant = assistant
        if self.entries and isinstance(self.entries[-1], AssistantSwitch):
            self._drop(len(self.entries) - 1)  # nobody has answered in between
        if self.entries and not _same(assistant, self.turns[-1].addressed_to):
            change = AssistantSwitch(said, assistant, self.turns[-1].addressed_to)
            self.entries.append(change)
            self._tell(change)

    def append_turns(self, turns: Sequence[Turn]) -> None:
        """Put turns that were answered elsewhere at the end; each answer knows who gave it."""
        for turn in turns:
            copy = Turn(turn.question, [turn.answer], turn.before, addressed_to=self.assistant)
            self.entries.append(copy)
            self._tell(copy)

    async def _draw(self, turn: Turn, repeats: int) -> None:
        earlier = self.turns[: self.turns.index(turn)]
        said = history(earlier, turn.question)
        first, former = len(turn.answers), turn.chosen
        new = [Answer(self.assistant, said, first + i) for i in range(repeats)]
        turn.answers += new
        if first:
            turn.chosen = first  # what is on its way is what people want to see
        self._tell(turn)
        try:
            await self._begin(turn, new)
            async with asyncio.TaskGroup() as group:
                for answer in new:
                    if answer.is_pending:
                        self._watched(group.create_task(self._fill(turn, answer)))
        except asyncio.CancelledError:
            self._settle(turn, new, former)
            await self._kept(_PATIENCE_S)
            raise
        except BaseExceptionGroup as errors:  # mistakes of ours, not of a model
            raise errors.exceptions[0] from None
        finally:
            self._settle(turn, new, former)
            self._tell(turn)

    def _settle(self, turn: Turn, new: Sequence[Answer], former: int) -> None:
        """What was stopped before it could begin has ended too; the first whole one is chosen."""
        for answer in new:
            if answer.is_pending:
                self._end(turn, answer, "stopped")
        whole = (turn.answers.index(answer) for answer in new if answer.is_complete)
        turn.chosen = next(whole, former)

    async def _begin(self, turn: Turn, new: Sequence[Answer]) -> None:
        if self._keeper is None:
            return
        begun = self._watched(asyncio.create_task(self._keeper.begin(turn, new)))
        try:
            await asyncio.wait([begun])
        finally:
            begun.cancel()
        if begun.cancelled():
            for answer in new:
                answer.state = "stopped"  # it was never asked, so there is nothing to keep
        elif isinstance(error := begun.exception(), AssistantsError):
            for answer in new:  # a full disk is no reason to stop talking
                answer.note = f"Not stored. {error}"
        else:
            begun.result()

    def _watched(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """A task that ``stop`` cancels."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fill(self, turn: Turn, answer: Answer) -> None:
        """Stream one answer in; its failure is its own."""
        try:
            with track_call(answer.assistant.client):
                async with self.turnstile or contextlib.nullcontext():
                    await self._stream(turn, answer)
        except asyncio.CancelledError:
            self._end(turn, answer, "stopped")
            raise
        except AssistantsError as error:
            if isinstance(error, CallError) and error.partial is not None:
                answer.completion, answer.text = error.partial, error.partial.text
            answer.error = str(error)
            self._end(turn, answer, "failed")
        except Exception as error:
            answer.error = f"{type(error).__name__}: {error}"
            self._end(turn, answer, "failed")
            raise

    async def _stream(self, turn: Turn, answer: Answer) -> None:
        pieces = answer.assistant.stream(answer.history, repeat=answer.repeat)
        async with _closing(pieces) as stream:
            async for piece in stream:
                if isinstance(piece, Completion):
                    answer.completion, answer.text = piece, piece.text
                    self._end(turn, answer, "done")
                    return
                if answer.state == "waiting":
                    answer.state = "streaming"
                    self._tell(turn)
                if piece.text:
                    answer.text += piece.text
                    if self._listener is not None:
                        self._listener.grew(answer, piece.text)
        raise IncompleteReplyError(
            f"{answer.assistant.model}: the reply ended before the model did."
        )

    def _end(self, turn: Turn, answer: Answer, state: State) -> None:
        if not answer.is_pending:
            return  # it was stopped in the moment in which it ended by itself
        answer.state = state
        self._tell(turn)
        if self._keeper is not None and not answer.note:
            task = asyncio.create_task(self._keep(self._keeper, turn, answer))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    async def _keep(self, keeper: AnswerStore, turn: Turn, answer: Answer) -> None:
        try:
            await keeper.keep(turn, answer)
        except AssistantsError as error:
            answer.note = f"Not stored. {error}"
            self._tell(turn)

    async def _kept(self, patience_s: float | None = None) -> None:
        """Wait until the record has everything; it goes on whoever stops waiting."""
        if self._keeping:
            await asyncio.wait(list(self._keeping), timeout=patience_s)

    def _check_idle(self) -> None:
        if self.is_busy:
            raise UsageError("An answer is still on its way.", fix="Wait for it, or stop it.")

    def _drop(self, first: int) -> None:
        dropped = self.entries[first:]
        del self.entries[first:]
        if dropped and self._listener is not None:
            self._listener.dropped(dropped)

    def _tell(self, entry: Entry) -> None:
        if self._listener is not None:
            self._listener.changed(entry)

    @staticmethod
    def _whole(turns: Sequence[Turn]) -> tuple[Answer, ...]:
        return tuple(turn.answer for turn in turns if turn.answer.is_complete)


def _same(one: Assistant, other: Assistant | None) -> bool:
    """Whether nobody could tell who of the two answers."""
    return other is not None and str(one) == str(other) and one.digest == other.digest


@contextlib.asynccontextmanager
async def _closing(
    pieces: AsyncIterator[Delta | Completion],
) -> AsyncIterator[AsyncIterator[Delta | Completion]]:
    """A client's stream, closed at the end: an iterator may be a generator with a connection."""
    try:
        yield pieces
    finally:
        if (close := getattr(pieces, "aclose", None)) is not None:
            await close()
