"""What a live conversation consists of: questions, answers as they grow, and changes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from assistants.assistant import Assistant
from assistants.errors import UsageError
from assistants.messages import Completion, Message

State = Literal["waiting", "streaming", "done", "stopped", "failed"]
"""``done`` is a reply that the model finished; what was stopped or failed never counts as one."""

_ids = itertools.count(1)


@dataclass(eq=False)
class Answer:
    """One draw of an answer, as it grows. ``text`` is what has arrived.

    ``repeat`` is which draw of its request it is, ``note`` what else there is to know: why it
    failed (``error``), or that it could not be stored.
    """

    assistant: Assistant
    history: tuple[Message, ...]
    repeat: int = 0
    text: str = ""
    state: State = "waiting"
    completion: Completion | None = None
    error: str = ""
    note: str = ""
    id: str = field(default_factory=lambda: f"a{next(_ids)}")

    @property
    def is_pending(self) -> bool:
        """Whether more may come."""
        return self.state in ("waiting", "streaming")

    @property
    def is_complete(self) -> bool:
        """Whether a conversation can go on from it."""
        return self.state == "done" and bool(self.text)


@dataclass(eq=False)
class Turn:
    """A question and the answers to it; the conversation goes on from the ``chosen`` one.

    ``addressed_to`` is who was to answer it, and whom a reader takes its answers for.
    """

    question: str
    answers: list[Answer]
    before: tuple[Answer, ...] = ()
    chosen: int = 0
    addressed_to: Assistant | None = None
    id: str = field(default_factory=lambda: f"t{next(_ids)}")

    @property
    def answer(self) -> Answer:
        """The one that was chosen."""
        return self.answers[self.chosen]

    @property
    def is_pending(self) -> bool:
        """Whether an answer is on its way."""
        return any(answer.is_pending for answer in self.answers)

    def author_label(self, answer: Answer) -> str:
        """Who gave an answer, if not all of the turn's are by who was asked; else nothing."""
        others = (
            each.assistant for each in self.answers if each.assistant is not self.addressed_to
        )
        mixed = self.addressed_to is not None and any(
            str(each) != str(self.addressed_to) for each in others
        )
        return str(answer.assistant) if mixed else ""


@dataclass(eq=False)
class AssistantSwitch:
    """From here on somebody else answers, or the same one with another system prompt."""

    said: str
    assistant: Assistant
    former: Assistant | None
    id: str = field(default_factory=lambda: f"c{next(_ids)}")

    @property
    def line(self) -> str:
        """What stands in the transcript: who answers from here on, and who did above."""
        return self.said if self.former is None else f"{self.said} (before: {self.former})"


Entry = Turn | AssistantSwitch


class ConversationListener(Protocol):
    """Hears what becomes of one conversation, in the thread that it runs in."""

    def changed(self, entry: Entry) -> None:
        """An entry is new, or its state is."""
        ...

    def grew(self, answer: Answer, text: str) -> None:
        """A piece of an answer has arrived."""
        ...

    def dropped(self, entries: Sequence[Entry]) -> None:
        """The last entries are no part of the conversation any more."""
        ...


class AnswerStore(Protocol):
    """Stores answers, and holds up nobody else meanwhile."""

    async def begin(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Answers that are about to be asked for; gives each its ``repeat``."""
        ...

    async def keep(self, turn: Turn, answer: Answer) -> None:
        """Store an answer that has ended, however it did."""
        ...


def history(turns: Sequence[Turn], question: str) -> tuple[Message, ...]:
    """What is sent: every question that was answered whole, its answer, and the new question."""
    said = [
        message
        for turn in turns
        if turn.answer.is_complete
        for message in (Message("user", turn.question), Message("assistant", turn.answer.text))
    ]
    return (*said, Message("user", question))


def find_turn(turns: Sequence[Turn], turn: int | str) -> Turn:
    """A turn by its id or its place, which counts from 0; -1 is the last one.

    Raises
    ------
    UsageError
        If there is none.
    """
    for place, each in enumerate(turns):
        if turn in (place, place - len(turns), each.id):
            return each
    fix = "" if turns else "Ask something first."
    raise UsageError(f"There is no turn {turn!r}.", fix=fix)
