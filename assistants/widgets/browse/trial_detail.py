"""What Browse shows of a stored run: a trial, whole, and what is left of it without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistants.messages import AVERAGED
from assistants.run import Run
from assistants.runs.store import Store
from assistants.runs.tables import is_known
from assistants.utils.text import escape_control_chars, from_utf8, pluralize
from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import dollars
from assistants.widgets.html import compare_words, escape, to_html
from assistants.widgets.stored_runs import conversation

_CELL = (
    'align="left" valign="top" '
    'style="text-align: left; vertical-align: top; overflow-wrap: break-word"'
)


def whole(run: Run, row: Mapping[str, Any]) -> Item:
    """A row of the trials table as a page shows it: texts as safe HTML, names as plain text.

    Parameters
    ----------
    run
        That it belongs to.
    row
        With the columns that ``Grid.row`` gives.
    """
    questions, said = conversation(run, row["case"], row["key"])
    prompt = _prompt(run, row["persona_digest"])
    partial = row["answer"] if row["status"] not in AVERAGED and is_known(row["answer"]) else ""
    others = _others(run, row)
    turns: list[Item] = []
    for number, question in enumerate(questions):
        answer = said[number] if number < len(said) else None
        text = answer.text if answer else from_utf8(partial)
        reasoning = answer.reasoning if answer else None
        turns.append(
            {
                "question": to_html(question),
                "answer": to_html(text, colours=True) if text else "",
                "reasoning": to_html(reasoning) if reasoning else "",
                "by": escape_control_chars(others.get(number, "")),
            }
        )
        if answer is None:
            break  # what came after a failed turn was never asked
    return {
        "persona": escape_control_chars(row["persona"]),
        "model": escape_control_chars(row["model"]),
        "case": escape_control_chars(row["case"]),
        "repeat": int(row["repeat"]),
        "key": escape_control_chars(row["key"]),
        "status": escape_control_chars(row["status"]),
        "bad": row["status"] not in AVERAGED,
        "system_prompt": to_html(prompt) if prompt else "",
        "reference": to_html(from_utf8(row["reference"])) if is_known(row["reference"]) else "",
        "error": escape_control_chars(row["error"]) if is_known(row["error"]) else "",
        "facts": facts(row),
        "turns": turns,
    }


def facts(row: Mapping[str, Any]) -> list[list[str]]:
    """What is known about a trial, as names and values; nothing is made up."""
    found = [["status", escape_control_chars(row["status"])]]
    if is_known(row["finish_reason"]):
        found.append(["finish reason", escape_control_chars(row["finish_reason"])])
    tokens = {name: row[f"{name}_tokens"] for name in ("input", "output", "cached")}
    found += [[name, pluralize(int(n), "token")] for name, n in tokens.items() if is_known(n)]
    if is_known(row["cost_usd"]):
        found.append(["cost", dollars(float(row["cost_usd"]))])
    times = {"first token": row["first_token_s"], "time": row["total_s"]}
    found += [[name, f"{seconds:.2f} s"] for name, seconds in times.items() if is_known(seconds)]
    if is_known(row["attempts"]) and row["attempts"] > 1:
        found.append(["attempts", str(row["attempts"])])
    if is_known(row["started_at"]) and row["started_at"]:
        found.append(
            ["asked", escape_control_chars(row["started_at"][:19].replace("T", " ")) + " UTC"]
        )
    if is_known(row["sampling"]) and row["sampling"] != "{}":
        found.append(["sampling", escape_control_chars(row["sampling"])])
    return found


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Item:
    """In which words a row of the trials table differs from another one."""
    texts = [from_utf8(row["answer"]) if is_known(row["answer"]) else "" for row in (old, new)]
    changes = compare_words(*texts)
    return {
        "old": escape_control_chars(name_of(old)),
        "new": escape_control_chars(name_of(new)),
        "said": changes.summary,
        "html": changes.html,
    }


def still(item: Item) -> str:
    """The same as static HTML, which needs no style to be read."""
    facts = " · ".join(f"{escape(name)}: {escape(value)}" for name, value in item["facts"])
    prompt = item["system_prompt"] or "<p><i>No system prompt.</i></p>"
    parts = [
        f"<p><b>{escape(name_of(item))}</b><br><small>{facts}</small></p>",
        f"<details><summary>System prompt</summary>{prompt}</details>",
    ]
    for turn in item["turns"]:
        parts.append(f"<blockquote>{turn['question']}</blockquote>")
        if turn["by"]:
            parts.append(f"<p><small>Answered by {escape(turn['by'])}</small></p>")
        if turn["reasoning"]:
            thought = turn["reasoning"]
            parts.append(f"<details><summary>Reasoning</summary>{thought}</details>")
        parts.append(turn["answer"])
    if item["error"]:
        parts.append(f"<p><b>{escape(item['error'])}</b></p>")
    return "".join(parts)


def screen(columns: Sequence[Item], rows: Sequence[Item]) -> str:
    """A screen of the grid as a table, as ``Browse`` has it in its traits."""
    if not rows:
        return ""
    heads = "".join(
        f"<th {_CELL}><b>{escape(each['persona'])}</b><br>"
        f"<small>{escape(each['model'])}</small></th>"
        for each in columns
    )
    lines = []
    for row in rows:
        asked = f"<b>{escape(row['case'])}</b><br>{escape(row['question'])}"
        cells = "".join(f"<td {_CELL}>{_cell(cell)}</td>" for cell in row["cells"])
        lines.append(f"<tr><td {_CELL}>{asked}</td>{cells}</tr>")
    return (
        f'<table class="conversation"><thead><tr><th {_CELL}>case</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _cell(cell: Item | None) -> str:
    if cell is None:
        return ""
    which = f"repeat {cell['number']} of {cell['repeats']}" if cell["repeats"] > 1 else ""
    facts = ["" if cell["status"] == "ok" else cell["status"], cell["facts"], which]
    said = " · ".join(part for part in facts if part)
    return f"<p>{escape(cell['answer'])}</p><p><small>{escape(said)}</small></p>"


def name_of(item: Mapping[str, Any]) -> str:
    """Who answered which case, and which draw it was."""
    return f"{item['persona']} on {item['model']}, case {item['case']}, repeat {item['repeat'] + 1}"


def _prompt(run: Run, digest: str) -> str | None:
    with Store(run.results) as store:
        rows = list(store.read("SELECT system_prompt FROM prompts WHERE digest = ?", [digest]))
    return from_utf8(rows[0][0]) if rows and rows[0][0] is not None else None


def _others(run: Run, row: Mapping[str, Any]) -> dict[int, str]:
    """By turn, who gave an answer if it was somebody else: in a live session, others take over.

    An answer that was gone on from is stored with what came next too, so whose it is stands where
    it is the last one. Answers are told apart by when they began.
    """
    if run.manifest.get("source") != "live":
        return {}
    query = """
        SELECT a.turn, t.persona, t.model FROM answers a
        JOIN answers b ON b.started_at = a.started_at AND b.turn = a.turn AND b.answer = a.answer
        JOIN trials t ON t.key = b.key
        WHERE a.key = ? AND NOT a.final AND b.final ORDER BY t.run = ?
    """
    with Store(run.results) as store:
        found = {turn: (persona, model) for turn, persona, model
                 in store.read(query, [row["key"], run.id])}  # fmt: skip
    own = (row["persona"], row["model"])
    return {turn: " on ".join(who) for turn, who in found.items() if who != own}
