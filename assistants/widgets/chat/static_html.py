"""Conversations as static HTML: to read without a kernel, on GitHub, and in a saved notebook.

Layout is by tables, because GitHub and an untrusted notebook remove every style sheet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from markupsafe import Markup

from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import answer_facts
from assistants.widgets.chat.column import ConversationColumn
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from assistants.widgets.html import compare_words, finished_html, techniques_html, to_html, ui


def conversations_html(
    conversations: Sequence[Conversation], costs: Mapping[str, float | None]
) -> Markup:
    """Return safe HTML: a column per conversation, a row per turn, switches below their turn.

    Parameters
    ----------
    conversations
        In the order in which they are shown.
    costs
        US dollars of each answer, by its id.
    """
    if not any(conversation.turns for conversation in conversations):
        names = ", ".join(str(conversation.assistant) for conversation in conversations)
        return ui.aside(f"Nothing has been asked yet. Here to answer: {names}.")
    rows = []
    for row in zip_longest(*map(_rows, conversations), fillvalue=()):
        questions = {e.question for entries in row for e in entries if isinstance(e, Turn)}
        shared = to_html(*questions) if len(questions) == 1 else None
        cells = [
            Markup().join(_entry(entry, costs, with_question=shared is None) for entry in entries)
            for entries in row
        ]
        rows.append((shared, cells))
    return ui.side_by_side([_head(conversation) for conversation in conversations], rows)


def differences_html(columns: Sequence[ConversationColumn], base: ConversationColumn) -> Markup:
    """Return safe HTML of the word differences from ``base``: a column per other conversation.

    It is empty if nothing can be compared yet.
    """
    others = [column for column in columns if column is not base]
    cells: dict[str, dict[str, Markup]] = {}
    for column in others:
        for turn, base_turn in _answered_pairs(column, base):
            if _has_ended(turn.answer):
                diff = compare_words(base_turn.answer.text, turn.answer.text)
                cell = ui.small([diff.summary]) + diff.html
                cells.setdefault(base_turn.id, {})[column.id] = cell
    if not cells:
        return Markup()
    rows = [
        (to_html(turn.question), [cells[turn.id].get(column.id, "") for column in others])
        for turn in base.conversation.turns
        if turn.id in cells
    ]
    heads = [str(column.assistant) for column in others]
    title = ui.emphasis(f"What differs from {base.assistant}:")
    return title + ui.side_by_side(heads, rows)


def answer_differences(columns: Sequence[ConversationColumn], base: ConversationColumn) -> Item:
    """Return how the answers of the other columns differ from those of ``base``.

    Returns
    -------
    dict
        ``html`` and ``said`` by the id of each answer that has ended.
    """
    items = {}
    for column in columns:
        if column is not base:
            for turn, base_turn in _answered_pairs(column, base):
                for answer in filter(_has_ended, turn.answers):
                    diff = compare_words(base_turn.answer.text, answer.text)
                    items[answer.id] = {"html": diff.html, "said": diff.summary}
    return items


def _head(conversation: Conversation) -> Markup:
    persona = conversation.assistant.persona
    return ui.titled(persona.label or persona.name, conversation.assistant)


def _rows(conversation: Conversation) -> list[list[Entry]]:
    """Return the entries of each turn: the turn, and the switches after it."""
    rows: list[list[Entry]] = []
    for entry in conversation.entries:
        if isinstance(entry, Turn) or not rows:
            rows.append([])
        rows[-1].append(entry)
    return rows


def _entry(entry: Entry, costs: Mapping[str, float | None], *, with_question: bool) -> Markup:
    if isinstance(entry, AssistantSwitch):
        return ui.aside(entry.line)
    question = ui.quote(to_html(entry.question)) if with_question else ""
    others = [
        ui.folded("another answer", _answer(entry, answer, costs))
        for answer in entry.answers
        if answer is not entry.answer
    ]
    return Markup().join([question, _answer(entry, entry.answer, costs), *others])


def _answer(turn: Turn, answer: Answer, costs: Mapping[str, float | None]) -> Markup:
    author = turn.author_label(answer)
    endings = {"done": "", "stopped": "Stopped here.", "failed": f"Failed. {answer.error}"}
    notes = filter(None, [endings.get(answer.state, "The answer is on its way."), answer.note])
    return Markup().join([
        ui.small([f"Answered by {author}"]) if author else "",
        techniques_html(answer.techniques),
        finished_html(answer.text) if answer.text else "",
        *map(ui.emphasis, notes),
        ui.small(answer_facts(answer, costs.get(answer.id))),
    ])  # fmt: skip


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
