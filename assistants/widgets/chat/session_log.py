"""A live session as one Markdown file: every question, its answers, and how they ended.

The file only grows, as answers end. The text of a model stands in quotes, so that nothing in it
can be taken for a heading, open a block that swallows the rest, or hide it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from assistants.utils.text import escape_control_chars, truncate_line
from assistants.widgets.chat.answer_stats import answer_facts
from assistants.widgets.chat.turns import Answer, Turn

_MARKS = re.compile(r"([\\`*_\[\]<>#|~&!])")


class SessionLog:
    """The file of one session; the first answer creates it.

    Parameters
    ----------
    path
        The Markdown file.
    title
        Its first line: any text.
    """

    def __init__(self, path: Path, title: str) -> None:
        self.path = path
        self._title = title
        self._written: set[str] = set()
        self._question: tuple[int, str] | None = None

    def __repr__(self) -> str:
        return f"SessionLog({len(self._written)} answers)"

    def add(self, turn: Turn, answer: Answer, cost: float | None) -> None:
        """Write an answer that has ended, with its question.

        Answers from elsewhere are written where the session first continues from them: the file
        holds the whole conversation.
        """
        before = set(self._written), self._question
        try:
            self._write(self._parts(turn, answer, cost))
        except OSError:  # the next answer has to bring these parts too
            self._written, self._question = before
            raise

    def _parts(self, turn: Turn, answer: Answer, cost: float | None) -> list[str]:
        parts = [] if self.path.exists() else [f"# {_plain(self._title)}"]
        for earlier in turn.before:
            if earlier.id not in self._written:
                parts += [
                    *self._question_parts(earlier),
                    f"## {_name(earlier)}",
                    _quote(earlier.text),
                ]
                self._written.add(earlier.id)
        draw = turn.answers.index(answer) + 1
        suffix = f", answer {draw}" if draw > 1 else ""
        parts += [*self._question_parts(answer), f"## {_name(answer)}{suffix}"]
        if turn.before and str(turn.before[-1].assistant) != str(answer.assistant):
            parts.append(f"*Goes on from what {_name(turn.before[-1])} said.*")
        parts += [*_ending(answer), " · ".join(answer_facts(answer, cost))]
        self._written.add(answer.id)
        return parts

    def _write(self, parts: Sequence[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{part}\n\n" for part in parts if part))

    def _question_parts(self, answer: Answer) -> list[str]:
        """Return the question, unless it is the last one written; its number is its turn."""
        questions = [m.content for m in answer.history if m.role == "user"]
        question = (len(questions), questions[-1])
        if question == self._question:
            return []
        self._question = question
        return [f"## Question {question[0]}", _quote(question[1])]


def _ending(answer: Answer) -> list[str]:
    parts = [_quote(answer.text)] if answer.text else []
    if answer.state == "stopped":
        parts.append("Stopped here: this is not the whole answer.")
    elif answer.state == "failed":
        parts += ["Failed:", _quote(answer.error)]
    return parts


def _name(answer: Answer) -> str:
    return _plain(str(answer.assistant))


def _plain(text: str) -> str:
    """Return the text on one line, with every mark of Markdown escaped."""
    return _MARKS.sub(r"\\\1", truncate_line(text, 200))


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in escape_control_chars(text).split("\n"))
