"""What the page is told of a conversation: each thing once, and no more often than it can draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from assistants.utils.text import escape_control_chars, to_utf8
from assistants.widgets.chat.answer_stats import facts
from assistants.widgets.chat.stream_buffer import StreamBuffer
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from assistants.widgets.html import finished_html

Item = dict[str, Any]


class PageFeed:
    """Listens to a conversation, and tells a page what is new.

    Parameters
    ----------
    column
        The id of the column that the page draws it in.
    tell
        Takes a function that gives the next item at the moment when it is sent.
    cost
        US dollars of an answer; ``None`` if unknown.
    heard
        Called when anything but the length of an answer has changed.
    """

    def __init__(
        self,
        column: str,
        tell: Callable[[Callable[[], Item | None]], None],
        cost: Callable[[Answer], float | None],
        heard: Callable[[], None],
    ) -> None:
        self._column = column
        self._tell = tell
        self._cost = cost
        self._heard = heard
        self._arriving: dict[str, StreamBuffer] = {}
        self._waiting: set[str] = set()
        self._told: dict[str, tuple[str, str, str]] = {}
        self._dropped: set[str] = set()

    def changed(self, entry: Entry) -> None:
        """An entry is new, or its state is."""
        self._heard()
        if entry.id not in self._waiting:
            self._waiting.add(entry.id)
            self._tell(lambda: self._news(entry))

    def grew(self, answer: Answer, text: str) -> None:
        """A piece of an answer has arrived."""
        self._arriving.setdefault(answer.id, StreamBuffer()).add(text)
        if answer.id not in self._waiting:
            self._waiting.add(answer.id)
            self._tell(lambda: self._piece(answer))

    def dropped(self, entries: Sequence[Entry]) -> None:
        """The last entries are no part of the conversation any more."""
        self._heard()
        ids = [entry.id for entry in entries]
        self._dropped.update(ids)
        self._tell(lambda: {"op": "drop", "entries": ids})

    def entry(self, entry: Entry, answers: Iterable[Answer] | None = None) -> Item:
        """An entry as the page draws it, with all of its answers or some."""
        if isinstance(entry, AssistantSwitch):
            return {"id": entry.id, "change": escape_control_chars(entry.line)}
        wanted = entry.answers if answers is None else answers
        return {
            "id": entry.id,
            "question": escape_control_chars(entry.question),
            "chosen": entry.answer.id if entry.answers else "",
            "answers": [self._answer(entry, answer) for answer in wanted],
        }

    def _news(self, entry: Entry) -> Item | None:
        """What the page does not know of an entry."""
        self._waiting.discard(entry.id)
        if entry.id in self._dropped:
            return None
        new = []
        if isinstance(entry, Turn):
            new = [a for a in entry.answers if self._told.get(a.id) != _state(entry, a)]
        return {"op": "entry", "column": self._column, "entry": self.entry(entry, new)}

    def _piece(self, answer: Answer) -> Item | None:
        self._waiting.discard(answer.id)
        if not answer.is_pending or answer.id not in self._told:
            return None
        return {"op": "more", "answer": answer.id, **self._arriving[answer.id].take()}

    def _answer(self, turn: Turn, answer: Answer) -> Item:
        self._told[answer.id] = _state(turn, answer)
        item = {
            "id": answer.id,
            "number": turn.answers.index(answer) + 1,
            "state": answer.state,
            "error": escape_control_chars(answer.error),
            "note": escape_control_chars(answer.note),
            "by": escape_control_chars(turn.author_label(answer)),
            "facts": facts(answer, self._cost(answer)),
        }
        if answer.is_pending:
            arriving = self._arriving.setdefault(answer.id, StreamBuffer())
            arriving.new = ""  # it is part of what is told now
            return {**item, **arriving.snapshot()}
        self._arriving.pop(answer.id, None)
        page = finished_html(answer.text, colours=True)
        return {**item, "html": page, "text": to_utf8(answer.text)}


def _state(turn: Turn, answer: Answer) -> tuple[str, str, str]:
    """What may change of an answer besides its text, and has to be told again then."""
    return answer.state, answer.note, turn.author_label(answer)
