"""Conversations as static HTML: to read without a kernel, on GitHub, and in a saved notebook.

It is a table, because GitHub and an untrusted notebook take away every style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from assistants.widgets.chat.answer_stats import facts
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from assistants.widgets.html import escape, finished_html, to_html

CELL = (
    'align="left" valign="top" '
    'style="text-align: left; vertical-align: top; overflow-wrap: break-word"'
)
"""Of a cell, on its own: no style sheet comes along everywhere."""


def printed(conversations: Sequence[Conversation], costs: Mapping[str, float | None]) -> str:
    """Safe HTML: a column a conversation, a row a turn, with what changes after it.

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
    wide = f'width="{100 // len(conversations)}%" {CELL}'
    heads = "".join(f"<th {wide}>{_head(c)}</th>" for c in conversations)
    rows: list[str] = []
    for row in zip_longest(*map(_turns, conversations), fillvalue=()):
        questions = {e.question for entries in row for e in entries if isinstance(e, Turn)}
        if len(questions) == 1:
            rows.append(f'<tr><td colspan="{len(row)}" {CELL}>{question(*questions)}</td></tr>')
        cells = [
            "".join(_entry(entry, costs, with_question=len(questions) > 1) for entry in entries)
            for entries in row
        ]
        rows.append("<tr>" + "".join(f"<td {CELL}>{cell}</td>" for cell in cells) + "</tr>")
    return (
        f'<table class="conversation" width="100%"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _head(conversation: Conversation) -> str:
    persona = conversation.assistant.persona
    label = escape(persona.label or persona.name)
    return f"<b>{label}</b><br><small>{escape(str(conversation.assistant))}</small>"


def _turns(conversation: Conversation) -> list[list[Entry]]:
    """Its turns, each with what changes after it: what was asked together stands in one row."""
    rows: list[list[Entry]] = []
    for entry in conversation.entries:
        if isinstance(entry, Turn) or not rows:
            rows.append([])
        rows[-1].append(entry)
    return rows


def question(text: str) -> str:
    """What was asked, as safe HTML."""
    return f"<blockquote>{to_html(text)}</blockquote>"


def _entry(entry: Entry, costs: Mapping[str, float | None], *, with_question: bool) -> str:
    if isinstance(entry, AssistantSwitch):
        return f"<p><i>{escape(entry.line)}</i></p>"
    asked = question(entry.question) if with_question else ""
    others = "".join(
        f"<details><summary>another answer</summary>{_answer(entry, answer, costs)}</details>"
        for answer in entry.answers
        if answer is not entry.answer
    )
    return asked + _answer(entry, entry.answer, costs) + others


def _answer(turn: Turn, answer: Answer, costs: Mapping[str, float | None]) -> str:
    by = turn.author_label(answer)
    parts = [f"<p><small>Answered by {escape(by)}</small></p>" if by else ""]
    parts.append(finished_html(answer.text) if answer.text else "")
    if answer.state != "done":
        said = {"stopped": "Stopped here.", "failed": f"Failed. {answer.error}"}
        parts.append(f"<p><b>{escape(said.get(answer.state, 'The answer is on its way.'))}</b></p>")
    if answer.note:
        parts.append(f"<p><b>{escape(answer.note)}</b></p>")
    known = facts(answer, costs.get(answer.id))
    if known:
        parts.append(f"<p><small>{escape(' · '.join(known))}</small></p>")
    return "".join(parts)
