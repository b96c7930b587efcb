"""The parts of a live conversation: questions, answers as they grow, and assistant switches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from assistants.assistant import Assistant, Prepared
from assistants.errors import UsageError
from assistants.messages import Completion, Message, TechniqueRecord

State = Literal["waiting", "streaming", "done", "stopped", "failed"]
"""``done`` is a reply that the model finished; a stopped or failed one never counts as such."""

_ids = itertools.count(1)


@dataclass(eq=False)
class Answer:
    """One draw of an answer, as it grows.

    ``text`` is what has arrived, ``repeat`` which draw of its request it is, ``error`` why it
    failed (``exception`` in words), and ``note`` anything else a reader has
    to know, such as that it could not be stored. ``prepared`` is what was sent, once it is known.
    """

    assistant: Assistant
    history: tuple[Message, ...]
    repeat: int = 0
    text: str = ""
    state: State = "waiting"
    completion: Completion | None = None
    prepared: Prepared | None = None
    error: str = ""
    exception: Exception | None = None
    note: str = ""
    id: str = field(default_factory=lambda: f"a{next(_ids)}")

    @property
    def techniques(self) -> tuple[TechniqueRecord, ...]:
        """Records of what techniques did to its question, once that is known."""
        return () if self.prepared is None else self.prepared.techniques

    @property
    def sent(self) -> Prepared:
        """The messages that were sent, or would be without techniques."""
        return self.prepared or Prepared(self.assistant.messages(self.history))

    @property
    def is_pending(self) -> bool:
        """True while more text may arrive."""
        return self.state in ("waiting", "streaming")

    @property
    def is_complete(self) -> bool:
        """True if a conversation can continue from it."""
        return self.state == "done" and bool(self.text)


@dataclass(eq=False)
class Turn:
    """A question and the answers to it; the conversation continues from the ``chosen`` one.

    ``before`` are the answers that it continues from. ``addressed_to`` is who was asked: a reader
    takes the answers for this assistant's, unless another author is named.
    """

    question: str
    answers: list[Answer]
    before: tuple[Answer, ...] = ()
    chosen: int = 0
    addressed_to: Assistant | None = None
    id: str = field(default_factory=lambda: f"t{next(_ids)}")

    @property
    def answer(self) -> Answer:
        """The chosen answer."""
        return self.answers[self.chosen]

    @property
    def is_pending(self) -> bool:
        """True while an answer is on its way."""
        return any(answer.is_pending for answer in self.answers)

    def author_label(self, answer: Answer) -> str:
        """Return who gave an answer, if others than who was asked have answered; else ``""``."""
        asked = self.addressed_to
        is_mixed = asked is not None and any(
            str(other.assistant) != str(asked)
            for other in self.answers
            if other.assistant is not asked
        )
        return str(answer.assistant) if is_mixed else ""


@dataclass(eq=False)
class AssistantSwitch:
    """The point from which another assistant answers, or the same one with another prompt."""

    text: str
    assistant: Assistant
    former: Assistant | None
    id: str = field(default_factory=lambda: f"c{next(_ids)}")

    @property
    def line(self) -> str:
        """The line in the transcript: who answers below it, and who answered above."""
        return self.text if self.former is None else f"{self.text} (before: {self.former})"


Entry = Turn | AssistantSwitch


class ConversationListener(Protocol):
    """Gets the events of one conversation, in the thread that it runs in."""

    def on_change(self, entry: Entry) -> None:
        """Handle an entry that is new or has another state."""
        ...

    def on_text(self, answer: Answer, text: str) -> None:
        """Handle a piece of an answer."""
        ...

    def on_drop(self, entries: Sequence[Entry]) -> None:
        """Handle the removal of the last entries."""
        ...


class AnswerStore(Protocol):
    """Stores answers without holding up the ones that are still on their way."""

    async def begin(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Write down the answers that are about to be asked for, and set their ``repeat``."""
        ...

    async def store(self, turn: Turn, answer: Answer) -> None:
        """Store an answer that has ended, in whatever state."""
        ...


def history(turns: Sequence[Turn], question: str) -> tuple[Message, ...]:
    """Return the messages to send: every completely answered turn, and the new question."""
    earlier = [
        message
        for turn in turns
        if turn.answer.is_complete
        for message in (Message("user", turn.question), Message("assistant", turn.answer.text))
    ]
    return (*earlier, Message("user", question))


def find_turn(turns: Sequence[Turn], turn: int | str) -> Turn:
    """Return a turn by its id, or by its index; -1 is the last one.

    Raises
    ------
    UsageError
        If there is none.
    """
    for index, candidate in enumerate(turns):
        if turn in (index, index - len(turns), candidate.id):
            return candidate
    fix = "" if turns else "Ask something first."
    raise UsageError(f"There is no turn {turn!r}.", fix=fix)
