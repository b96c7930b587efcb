"""Conversations as static HTML: to read without a kernel, on GitHub, and in a saved notebook.

Layout is by tables, because GitHub and an untrusted notebook remove every style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import answer_facts
from assistants.widgets.chat.column import ConversationColumn
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from assistants.widgets.html import compare_words, escape, finished_html, to_html

_CELL = (
    'align="left" valign="top" '
    'style="text-align: left; vertical-align: top; overflow-wrap: break-word"'
)
"""Attributes of every cell, since no style sheet is available everywhere."""


def conversations_html(
    conversations: Sequence[Conversation], costs: Mapping[str, float | None]
) -> str:
    """Return safe HTML: a column per conversation, a row per turn, switches below their turn.

    Parameters
    ----------
    conversations
        In the order in which they are shown.
    costs
        US dollars of each answer, by its id.
    """
    if not any(conversation.turns for conversation in conversations):
        names = ", ".join(escape(str(c.assistant)) for c in conversations)
        return f"<p><i>Nothing has been asked yet. Here to answer: {names}.</i></p>"
    rows: list[str] = []
    for row in zip_longest(*map(_rows, conversations), fillvalue=()):
        questions = {e.question for entries in row for e in entries if isinstance(e, Turn)}
        if len(questions) == 1:
            rows.append(f'<tr><td colspan="{len(row)}" {_CELL}>{_question(*questions)}</td></tr>')
        cells = [
            "".join(_entry(entry, costs, with_question=len(questions) > 1) for entry in entries)
            for entries in row
        ]
        rows.append("<tr>" + "".join(f"<td {_CELL}>{cell}</td>" for cell in cells) + "</tr>")
    return _table([_head(conversation) for conversation in conversations], rows)


def differences_html(columns: Sequence[ConversationColumn], base: ConversationColumn) -> str:
    """Return safe HTML of the word differences from ``base``: a column per other conversation.

    It is empty if nothing can be compared yet.
    """
    others = [column for column in columns if column is not base]
    turns = base.conversation.turns
    cells: list[dict[str, str]] = [{} for _ in turns]
    for column in others:
        for turn, base_turn in _answered_pairs(column, base):
            if _has_ended(turn.answer):
                diff = _difference(base_turn.answer, turn.answer)
                cells[turns.index(base_turn)][column.id] = (
                    f"<p><small>{escape(diff['said'])}</small></p>{diff['html']}"
                )
    if not any(cells):
        return ""
    rows = []
    for turn, row in zip(turns, cells, strict=True):
        if row:
            question = _question(turn.question)
            rows.append(f'<tr><td colspan="{len(others)}" {_CELL}>{question}</td></tr>')
            row_cells = "".join(f"<td {_CELL}>{row.get(c.id, '')}</td>" for c in others)
            rows.append(f"<tr>{row_cells}</tr>")
    title = f"<p><b>What differs from {escape(str(base.assistant))}:</b></p>"
    return title + _table([escape(str(column.assistant)) for column in others], rows)


def answer_differences(columns: Sequence[ConversationColumn], base: ConversationColumn) -> Item:
    """Return how the answers of the other columns differ from those of ``base``.

    Returns
    -------
    dict
        ``html`` and ``said`` by the id of each answer that has ended.
    """
    return {
        answer.id: _difference(base_turn.answer, answer)
        for column in columns
        if column is not base
        for turn, base_turn in _answered_pairs(column, base)
        for answer in turn.answers
        if _has_ended(answer)
    }


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    width = f'width="{100 // len(heads)}%" {_CELL}'
    head = "".join(f"<th {width}>{cell}</th>" for cell in heads)
    return (
        f'<table class="conversation" width="100%"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _head(conversation: Conversation) -> str:
    persona = conversation.assistant.persona
    label = escape(persona.label or persona.name)
    return f"<b>{label}</b><br><small>{escape(str(conversation.assistant))}</small>"


def _rows(conversation: Conversation) -> list[list[Entry]]:
    """Return the entries of each turn: the turn, and the switches after it."""
    rows: list[list[Entry]] = []
    for entry in conversation.entries:
        if isinstance(entry, Turn) or not rows:
            rows.append([])
        rows[-1].append(entry)
    return rows


def _question(text: str) -> str:
    return f"<blockquote>{to_html(text)}</blockquote>"


def _entry(entry: Entry, costs: Mapping[str, float | None], *, with_question: bool) -> str:
    if isinstance(entry, AssistantSwitch):
        return f"<p><i>{escape(entry.line)}</i></p>"
    question = _question(entry.question) if with_question else ""
    others = "".join(
        f"<details><summary>another answer</summary>{_answer(entry, answer, costs)}</details>"
        for answer in entry.answers
        if answer is not entry.answer
    )
    return question + _answer(entry, entry.answer, costs) + others


def _answer(turn: Turn, answer: Answer, costs: Mapping[str, float | None]) -> str:
    author = turn.author_label(answer)
    parts = [f"<p><small>Answered by {escape(author)}</small></p>" if author else ""]
    parts.append(finished_html(answer.text) if answer.text else "")
    if answer.state != "done":
        texts = {"stopped": "Stopped here.", "failed": f"Failed. {answer.error}"}
        text = texts.get(answer.state, "The answer is on its way.")
        parts.append(f"<p><b>{escape(text)}</b></p>")
    if answer.note:
        parts.append(f"<p><b>{escape(answer.note)}</b></p>")
    if facts := answer_facts(answer, costs.get(answer.id)):
        parts.append(f"<p><small>{escape(' · '.join(facts))}</small></p>")
    return "".join(parts)


def _answered_pairs(
    column: ConversationColumn, base: ConversationColumn
) -> Iterator[tuple[Turn, Turn]]:
    """Yield turns at the same place, as far as the base has answered."""
    pairs = zip(column.conversation.turns, base.conversation.turns, strict=False)
    for turn, base_turn in pairs:
        if base_turn.answers and _has_ended(base_turn.answer):
            yield turn, base_turn


def _has_ended(answer: Answer) -> bool:
    return bool(answer.text) and not answer.is_pending


def _difference(old: Answer, new: Answer) -> dict[str, str]:
    diff = compare_words(old.text, new.text)
    return {"html": diff.html, "said": diff.summary}
