"""Updates of a conversation for its page: each thing once, no more often than it can be drawn.

Finished blocks of Markdown are rendered once; the rest is plain text until it is a block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assistants.utils import escape_control_chars, to_utf8
from assistants.widgets.chat.answer_stats import answer_facts
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from assistants.widgets.html import MAX_CHARACTERS, finished_html, techniques_html, to_html

Item = dict[str, Any]

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class PageFeed:
    """A ``ConversationListener`` that sends a page what is new.

    Parameters
    ----------
    column
        The id of the column that the page draws the conversation in.
    send_update
        Takes a function that returns the next item at the moment when it is sent.
    cost
        Returns the US dollars of an answer; ``None`` if unknown.
    on_state
        Called when anything but the length of an answer has changed.
    """

    def __init__(
        self,
        column: str,
        send_update: Callable[[Callable[[], Item | None]], None],
        cost: Callable[[Answer], float | None],
        on_state: Callable[[], None],
    ) -> None:
        self._column = column
        self._send_update = send_update
        self._cost = cost
        self._on_state = on_state
        self._buffers: dict[str, StreamBuffer] = {}
        self._waiting: set[str] = set()
        self._sent: dict[str, tuple[str, str, str]] = {}
        self._dropped: set[str] = set()

    def on_change(self, entry: Entry) -> None:
        """Send an entry that is new or has another state."""
        self._on_state()
        if entry.id not in self._waiting:
            self._waiting.add(entry.id)
            self._send_update(lambda: self._entry_update(entry))

    def on_text(self, answer: Answer, text: str) -> None:
        """Send a piece of an answer."""
        self._buffers.setdefault(answer.id, StreamBuffer()).add(text)
        if answer.id not in self._waiting:
            self._waiting.add(answer.id)
            self._send_update(lambda: self._text_update(answer))

    def on_drop(self, entries: Sequence[Entry]) -> None:
        """Remove the last entries from the page."""
        self._on_state()
        ids = [entry.id for entry in entries]
        self._dropped.update(ids)
        self._send_update(lambda: {"op": "drop", "entries": ids})

    def entry(self, entry: Entry, answers: Iterable[Answer] | None = None) -> Item:
        """Return an entry as the page draws it, with all of its answers or some."""
        if isinstance(entry, AssistantSwitch):
            return {"id": entry.id, "change": escape_control_chars(entry.line)}
        chosen = entry.answers if answers is None else answers
        return {
            "id": entry.id,
            "question": escape_control_chars(entry.question),
            "chosen": entry.answer.id if entry.answers else "",
            "answers": [self._answer(entry, answer) for answer in chosen],
        }

    def _entry_update(self, entry: Entry) -> Item | None:
        self._waiting.discard(entry.id)
        if entry.id in self._dropped:
            return None
        new = []
        if isinstance(entry, Turn):
            new = [a for a in entry.answers if self._sent.get(a.id) != _state(entry, a)]
        return {"op": "entry", "column": self._column, "entry": self.entry(entry, new)}

    def _text_update(self, answer: Answer) -> Item | None:
        self._waiting.discard(answer.id)
        if not answer.is_pending or answer.id not in self._sent:
            return None
        return {"op": "more", "answer": answer.id, **self._buffers[answer.id].take()}

    def _answer(self, turn: Turn, answer: Answer) -> Item:
        self._sent[answer.id] = _state(turn, answer)
        item = {
            "id": answer.id,
            "number": turn.answers.index(answer) + 1,
            "state": answer.state,
            "error": escape_control_chars(answer.error),
            "note": escape_control_chars(answer.note),
            "author": escape_control_chars(turn.author_label(answer)),
            "facts": answer_facts(answer, self._cost(answer)),
            "sent": techniques_html(answer.techniques),
        }
        if answer.is_pending:
            buffer = self._buffers.setdefault(answer.id, StreamBuffer())
            buffer.new = ""  # it is part of this item
            return {**item, **buffer.snapshot()}
        self._buffers.pop(answer.id, None)
        page = finished_html(answer.text, colours=True)
        return {**item, "html": page, "text": to_utf8(answer.text)}


def _state(turn: Turn, answer: Answer) -> tuple[str, str, str]:
    """Return what may change of an answer besides its text, and has to be sent again then."""
    is_prepared = "prepared" if answer.prepared is not None else ""
    return f"{answer.state} {is_prepared}", answer.note, turn.author_label(answer)


@dataclass
class StreamBuffer:
    """The text of one answer as it grows, and the part of it that a page does not have yet.

    ``pages`` is the HTML of the finished blocks, ``rendered`` how many characters they are of,
    ``rest`` the text after them.
    """

    rest: str = ""
    new: str = ""
    rendered: int = 0
    pages: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Append a piece."""
        self.rest += text
        self.new += text

    def take(self) -> dict[str, object]:
        """Return what is new, for a page that has everything before it.

        ``text`` goes at the end of the plain text, unless blocks were finished: then ``html``
        goes at the end of the rendered ones, and the plain text becomes ``tail``.
        """
        end = end_of_blocks(self.rest)
        new, self.new = self.new, ""
        if not end or self.rendered > MAX_CHARACTERS:
            return {"text": escape_control_chars(new)}
        block, self.rest = self.rest[:end], self.rest[end:]
        self.rendered += end
        page = to_html(block)
        self.pages.append(page)
        return {"html": page, "tail": escape_control_chars(self.rest)}

    def snapshot(self) -> dict[str, object]:
        """Return everything that has arrived, for a page that has nothing."""
        return {"html": "".join(self.pages), "tail": escape_control_chars(self.rest)}


def end_of_blocks(text: str) -> int:
    """Return how many characters of ``text`` are blocks that nothing to come can change.

    The last of them ends at the last blank line outside of a fenced block.
    """
    end = position = 0
    fence = ""
    for line in _LINE.findall(text):
        is_whole = line.endswith("\n")
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and is_whole and mark[1].startswith(fence) and not line[mark.end() :].strip():
            fence = ""
        position += len(line)
        if is_whole and not fence and not line.strip():
            end = position
    return end
