"""A live session as one Markdown file: what was asked, who answered it, and how that ended.

It only grows, as answers end. Whatever a model says stands in quotes, so that no text in it can
be taken for a heading, open a block that swallows what follows, or hide it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from assistants.utils.text import escape_control_chars, truncate_line
from assistants.widgets.chat.answer_stats import facts
from assistants.widgets.chat.turns import Answer, Turn

_MARKS = re.compile(r"([\\`*_\[\]<>#|~&!])")


class SessionLog:
    """The file of one session; it is made with the first answer.

    Parameters
    ----------
    path
        Of the Markdown file.
    title
        Its first line: any text.
    """

    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        self._title = title
        self._told: set[str] = set()
        self._question: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"Log({len(self._told)} answers)"

    def add(self, turn: Turn, answer: Answer, cost: float | None) -> None:
        """Write an answer that has ended, with its question and what it goes on from.

        What was said elsewhere, before the session, is written too, where it is first gone on
        from: the file is the whole conversation.
        """
        before = set(self._told), self._question
        try:
            self._write(self._parts(turn, answer, cost))
        except OSError:  # what is not there has to come with the next one
            self._told, self._question = before
            raise

    def _parts(self, turn: Turn, answer: Answer, cost: float | None) -> list[str]:
        parts = [] if self.path.exists() else [f"# {_plain(self._title)}"]
        for earlier in turn.before:
            if earlier.id not in self._told:
                parts += [*self._asked(earlier), f"## {_name(earlier)}", _quote(earlier.text)]
                self._told.add(earlier.id)
        draw = turn.answers.index(answer) + 1
        which = f", answer {draw}" if draw > 1 else ""
        parts += [*self._asked(answer), f"## {_name(answer)}{which}"]
        if turn.before and str(turn.before[-1].assistant) != str(answer.assistant):
            parts.append(f"*Goes on from what {_name(turn.before[-1])} said.*")
        parts += [*_ended(answer), " · ".join(facts(answer, cost))]
        self._told.add(answer.id)
        return parts

    def _write(self, parts: Sequence[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{part}\n\n" for part in parts if part))

    def _asked(self, answer: Answer) -> list[str]:
        """The question, unless it is the one that stands there last; its number is its turn."""
        questions = [m.content for m in answer.history if m.role == "user"]
        question = (len(questions), questions[-1])
        if question == self._question:
            return []
        self._question = question
        return [f"## Question {question[0]}", _quote(question[1])]


def _ended(answer: Answer) -> list[str]:
    said = [_quote(answer.text)] if answer.text else []
    if answer.state == "stopped":
        said.append("Stopped here: this is not the whole answer.")
    elif answer.state == "failed":
        said += ["Failed:", _quote(answer.error)]
    return said


def _name(answer: Answer) -> str:
    return _plain(str(answer.assistant))


def _plain(text: str) -> str:
    """On one line, with no mark that means something in Markdown."""
    return _MARKS.sub(r"\\\1", truncate_line(text, 200))


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in escape_control_chars(text).split("\n"))
