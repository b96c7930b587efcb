"""What the answers of columns add to those of a chosen one: for a page, and without a kernel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from assistants.widgets.base import Item
from assistants.widgets.chat.column import ConversationColumn
from assistants.widgets.chat.static_html import CELL, question
from assistants.widgets.chat.turns import Answer, Turn
from assistants.widgets.html import compare_words, escape


def answers(columns: Sequence[ConversationColumn], against: ConversationColumn) -> Item:
    """By the id of each answer in the other columns, how it differs.

    Parameters
    ----------
    columns
        All of them.
    against
        The one that the others are compared with, turn by turn.
    """
    return {
        answer.id: _difference(theirs.answer, answer)
        for one in _others(columns, against)
        for mine, theirs in _pairs(one, against)
        for answer in mine.answers
        if _is_told(answer)
    }


def still(columns: Sequence[ConversationColumn], against: ConversationColumn) -> str:
    """Safe HTML of the same: a column each, a row a question; empty if nothing can be compared."""
    others = _others(columns, against)
    turns = against.conversation.turns
    found: list[dict[str, str]] = [{} for _ in turns]
    for one in others:
        for mine, theirs in _pairs(one, against):
            if _is_told(mine.answer):
                told = _difference(theirs.answer, mine.answer)
                found[turns.index(theirs)][one.id] = (
                    f"<p><small>{escape(told['said'])}</small></p>{told['html']}"
                )
    if not any(found):
        return ""
    wide = f'width="{100 // len(others)}%" {CELL}'
    heads = "".join(f"<th {wide}>{escape(str(one.assistant))}</th>" for one in others)
    rows = ""
    for turn, told in zip(turns, found, strict=True):
        if told:
            cells = "".join(f"<td {CELL}>{told.get(one.id, '')}</td>" for one in others)
            asked = f'<td colspan="{len(others)}" {CELL}>{question(turn.question)}</td>'
            rows += f"<tr>{asked}</tr><tr>{cells}</tr>"
    return (
        f"<p><b>What differs from {escape(str(against.assistant))}:</b></p>"
        f'<table class="conversation" width="100%"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _others(
    columns: Sequence[ConversationColumn], against: ConversationColumn
) -> list[ConversationColumn]:
    return [column for column in columns if column is not against]


def _pairs(one: ConversationColumn, against: ConversationColumn) -> Iterator[tuple[Turn, Turn]]:
    """Turns at the same place, as far as the chosen column has answered."""
    for mine, theirs in zip(one.conversation.turns, against.conversation.turns, strict=False):
        if theirs.answers and _is_told(theirs.answer):
            yield mine, theirs


def _is_told(answer: Answer) -> bool:
    return bool(answer.text) and not answer.is_pending


def _difference(old: Answer, new: Answer) -> dict[str, str]:
    difference = compare_words(old.text, new.text)
    return {"html": difference.html, "said": difference.summary}
