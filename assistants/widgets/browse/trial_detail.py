"""The trials that Browse opens: a trial whole, two compared, and both without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from assistants.messages import AVERAGED
from assistants.results import Run
from assistants.runs import Store, is_known
from assistants.utils import escape_control_chars, from_utf8, pluralize
from assistants.widgets.base import Item
from assistants.widgets.chat.answer_stats import dollars
from assistants.widgets.html import compare_words, render_template, to_html, ui
from assistants.widgets.stored_runs import conversation


def trial_item(run: Run, row: Mapping[str, Any]) -> Item:
    """Return a row of the trials table for the page: texts as safe HTML, names as plain text.

    Parameters
    ----------
    run
        That it belongs to.
    row
        With the columns that ``Grid.row`` gives.
    """
    questions, completions = conversation(run, row["case"], row["key"])
    prompt = _system_prompt(run, row["persona_digest"])
    partial = row["answer"] if row["status"] not in AVERAGED and is_known(row["answer"]) else ""
    authors = _other_authors(run, row)
    turns: list[Item] = []
    for number, question in enumerate(questions):
        completion = completions[number] if number < len(completions) else None
        text = completion.text if completion else from_utf8(partial)
        reasoning = completion.reasoning if completion else None
        turns.append(
            {
                "question": to_html(question),
                "answer": to_html(text, colours=True) if text else "",
                "reasoning": to_html(reasoning) if reasoning else "",
                "by": escape_control_chars(authors.get(number, "")),
            }
        )
        if completion is None:
            break  # what came after a failed turn was never asked
    names = ("persona", "model", "case", "key", "status")
    return {
        **{name: escape_control_chars(row[name]) for name in names},
        "repeat": int(row["repeat"]),
        "bad": row["status"] not in AVERAGED,
        "system_prompt": to_html(prompt) if prompt else "",
        "reference": to_html(from_utf8(row["reference"])) if is_known(row["reference"]) else "",
        "error": escape_control_chars(row["error"]) if is_known(row["error"]) else "",
        "facts": _facts(row),
        "turns": turns,
    }


def difference_item(old: Mapping[str, Any], new: Mapping[str, Any]) -> Item:
    """Return the words in which a row of the trials table differs from another one."""
    texts = [from_utf8(row["answer"]) if is_known(row["answer"]) else "" for row in (old, new)]
    changes = compare_words(*texts)
    return {
        "old": escape_control_chars(_trial_name(old)),
        "new": escape_control_chars(_trial_name(new)),
        "summary": changes.summary,
        "html": changes.html,
    }


def trial_html(item: Item) -> Markup:
    """Return a trial that ``trial_item`` made as static HTML, which can be read without a style."""
    return render_template("trial.html", item=item, name=_trial_name(item))


def difference_html(item: Item) -> Markup:
    """Return a difference that ``difference_item`` made as static HTML."""
    html: Markup = ui.emphasis(f"{item['new']} against {item['old']}") + item["html"]
    return html


def screen_html(columns: Sequence[Item], rows: Sequence[Item]) -> Markup:
    """Return a screen of the grid, as ``Browse`` has it in its traits, as a table."""
    if not rows:
        return Markup()
    heads = ["case", *(ui.titled(column["persona"], column["model"]) for column in columns)]
    cells = [
        (None, [ui.titled(row["case"], "", Markup("<br>{}").format(row["question"])),
                *map(_cell_html, row["cells"])])
        for row in rows
    ]  # fmt: skip
    return ui.side_by_side(heads, cells, even=False)


def _cell_html(cell: Item | None) -> Markup:
    if cell is None:
        return Markup()
    repeat = f"repeat {cell['number']} of {cell['repeats']}" if cell["repeats"] > 1 else ""
    status = "" if cell["status"] == "ok" else cell["status"]
    return ui.sentence(cell["answer"]) + ui.small([status, cell["facts"], repeat])


def _facts(row: Mapping[str, Any]) -> list[list[str]]:
    """Return names and values of what is known about a trial."""
    facts = [["status", row["status"]]]
    if is_known(row["finish_reason"]):
        facts.append(["finish reason", row["finish_reason"]])
    tokens = {name: row[f"{name}_tokens"] for name in ("input", "output", "reasoning", "cached")}
    facts += [[name, pluralize(int(n), "token")] for name, n in tokens.items() if is_known(n)]
    if is_known(row["cost_usd"]):
        facts.append(["cost", dollars(float(row["cost_usd"]))])
    times = {"first token": row["first_token_s"], "time": row["total_s"]}
    facts += [[name, f"{seconds:.2f} s"] for name, seconds in times.items() if is_known(seconds)]
    if is_known(row["attempts"]) and row["attempts"] > 1:
        facts.append(["attempts", str(row["attempts"])])
    if is_known(row["started_at"]) and row["started_at"]:
        facts.append(["asked", row["started_at"][:19].replace("T", " ") + " UTC"])
    if is_known(row["sampling"]) and row["sampling"] != "{}":
        facts.append(["sampling", row["sampling"]])
    if is_known(row["applied_sampling"]) and row["applied_sampling"] != row["sampling"]:
        facts.append(["sent", row["applied_sampling"]])
    return [[name, escape_control_chars(value)] for name, value in facts]


def _trial_name(item: Mapping[str, Any]) -> str:
    """Return who answered which case, and which draw it was."""
    return f"{item['persona']} on {item['model']}, case {item['case']}, repeat {item['repeat'] + 1}"


def _system_prompt(run: Run, digest: str) -> str | None:
    with Store(run.results) as store:
        rows = list(store.read("SELECT system_prompt FROM prompts WHERE digest = ?", [digest]))
    return from_utf8(rows[0][0]) if rows and rows[0][0] is not None else None


def _other_authors(run: Run, row: Mapping[str, Any]) -> dict[int, str]:
    """Return by turn who gave an answer if it was somebody else: a live session may switch.

    An answer that was continued is stored again with the turns that followed; its author is the
    one of the trial where it is the last answer. Answers are told apart by when they began.
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
        authors = {turn: (persona, model)
                   for turn, persona, model in store.read(query, [row["key"], run.id])}  # fmt: skip
    own = (row["persona"], row["model"])
    return {turn: " on ".join(author) for turn, author in authors.items() if author != own}
