"""Rate and Browse on a store that a stranger made: everything in it is only read."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assistants import Experiment, Run, ScriptedClient
from assistants.widgets.browse.browse import Browse
from assistants.widgets.rate.rate import Rate
from support.hostile_texts import PAYLOADS

HARMLESS = set("p br hr em strong s del ins code pre blockquote ul ol li h1 h2 a span table thead "
               "tbody tr th td b small i details summary".split())  # fmt: skip
ATTRIBUTES = (r"class=|href=.(?:https?|mailto):|rel=|start=|align=|valign=|width=|colspan=|"
              r"style=.text-align")  # fmt: skip
PERSONA, MODEL = PAYLOADS[0], PAYLOADS[11]


@pytest.fixture
async def run(here: Path) -> Run:
    """Questions, answers, and the names of cases, a persona and the model are payloads."""
    run = await Experiment.define(
        "tea",
        personas=["none", "art"],
        models=[ScriptedClient(lambda said, _: " ".join(m.content for m in said), "one")],
        cases=[{"id": f"{n} {text}", "question": text} for n, text in enumerate(PAYLOADS)
               if text.strip()],
    ).run(on_progress=lambda progress: None)  # fmt: skip
    with closing(sqlite3.connect("results/answers.sqlite")) as store, store:
        for table in ("trials", "assistants"):
            store.execute(f"UPDATE {table} SET model = ?", [MODEL])
            store.execute(f"UPDATE {table} SET persona = ? WHERE persona = 'art'", [PERSONA])
    return run


def check(html: str) -> None:
    """Only tags and attributes that neither run nor fetch anything."""
    assert set(re.findall(r"<\s*/?\s*([^\s/>]+)", html)) <= HARMLESS
    assert not re.search(rf"<[^>]*\s(?!{ATTRIBUTES})\w+=", html)


def test_rate_only_shows(run: Run) -> None:
    """The pairs, and at the end the names."""
    rate = Rate(run, rater="ann")
    while not rate.done:
        check(rate.question + rate.left + rate.right)
        rate.vote("tie")
    assert {row["persona"] for row in rate.tally} == {"none", PERSONA}
    check(rate.static_html())


def test_browse_only_shows(run: Run) -> None:
    """Every screen, every trial, a difference, and what is left of it."""
    browse = Browse(run)
    assert browse.columns[1] == {"persona": PERSONA, "model": MODEL}
    for page in range(browse.pages):
        browse.go_to_page(page)
        check(browse.static_html())
        for cell in browse.cells:
            browse.open(cell["trial"])
            check(browse.static_html())
            check("".join(turn["answer"] + turn["question"] for turn in browse.opened["turns"]))
        browse.compare(browse.cells[0]["trial"], browse.cells[1]["trial"])
        check(browse.static_html() + browse.difference["html"])
