"""Looking through a stored run, without a browser: call a method, look at the traits."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants import Completion, Experiment, Message, Results, Run, ScriptedClient
from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.widgets.browse.browse import ROWS, Browse
from assistants.widgets.browse.grid import PREVIEW, Filter, Grid, preview
from support.page_messages import click


def said(messages: Sequence[Message], sampling: object) -> str | Completion:
    """Words that depend on who is asked what; milk is refused by those who have a persona."""
    question = messages[-1].content
    if "Milk" in question and messages[0].role == "system":
        return Completion("No milk.", status="refusal")
    if "Salt" in question:
        return Completion("Salt " * 300, status="ok", reasoning="Let me *think*.")
    return f"{len(messages)} cups of {question} {messages[0].content[:20]}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three personas, two models, thirteen cases, two repeats."""
    cases: list[Any] = [f"Tea number {number}?" for number in range(9)]
    cases += [{"id": "milk", "question": "Milk?", "reference": "Yes."}, "Salt?",
              {"id": "talk", "turns": ["First?", "Second?"]},
              {"id": "brace", "question": "{{ x }}"}]  # fmt: skip
    experiment = Experiment.define(
        "tea",
        personas=["none", "art", "math"],
        models=[ScriptedClient(said, "one"), ScriptedClient(said, "two")],
        cases=cases,
        repeats=2,
    )
    folder = tmp_path_factory.mktemp("browse")
    return asyncio.run(experiment.run(folder / "results", on_progress=lambda progress: None))


@pytest.fixture
def browse(made: Run) -> Browse:
    return Browse(made)


def named(browse: Browse, case: str, persona: str, model: str = "scripted:one") -> dict[str, Any]:
    """The cell of that name on this screen."""
    (cell,) = (c for c in browse.cells
               if (c["case"], c["persona"], c["model"]) == (case, persona, model))  # fmt: skip
    return dict(cell)


def test_a_screen_of_cells_with_failures_first(browse: Browse) -> None:
    """Cases as rows, personas on models as columns; what does not count stands at the top."""
    assert [row["case"] for row in browse.rows][:2] == ["milk", "1"]
    assert len(browse.rows) == ROWS
    assert browse.pages == 2
    assert [(c["persona"], c["model"]) for c in browse.columns] == [
        (persona, f"scripted:{model}") for model in ("one", "two")
        for persona in ("none", "art", "math")
    ]  # fmt: skip
    cell = named(browse, "milk", "art")
    assert (cell["status"], cell["bad"], cell["repeats"]) == ("refusal", True, 2)
    assert cell["answer"] == "No milk."
    assert browse.summary == "13 cases, 156 trials, 8 of them not averaged"
    assert repr(browse).startswith(f"Browse({browse.run.id!r}: 13 cases")


def test_filters(browse: Browse) -> None:
    """By words in answers and questions, status, persona, model and case, all together."""
    browse.filter("NUMBER 3")
    assert [row["case"] for row in browse.rows] == ["4"]
    browse.filter("no milk")
    assert [row["case"] for row in browse.rows] == ["milk"]
    assert not named(browse, "milk", "none")["matches"]
    assert named(browse, "milk", "art")["matches"]
    browse.filter(status="refusal", persona=["art", "none"], model="scripted:two")
    assert [(c["persona"], c["model"]) for c in browse.columns] == [
        ("none", "scripted:two"), ("art", "scripted:two"),
    ]  # fmt: skip
    assert browse.summary == "1 case, 2 trials, 2 of them not averaged"
    browse.filter(case="AL")
    assert [row["case"] for row in browse.rows] == ["talk"]
    browse.filter(failures_first=False)
    assert browse.rows[0]["case"] == "1"
    browse.filter("nowhere to be found")
    assert browse.cells == []
    assert "0 cases" in browse.static_html()


@pytest.mark.parametrize("wanted", [{"persona": "arts"}, {"model": "x"}, {"status": "fine"}])
def test_a_filter_that_nothing_could_pass_is_a_mistake(
    browse: Browse, wanted: dict[str, str]
) -> None:
    """And the page says so, with what it shows as it was."""
    before = browse.rows
    with pytest.raises(UnknownNameError, match="unknown"):
        browse.filter(**wanted)
    click(browse, do="filter", **wanted)
    assert "unknown" in browse.notice
    click(browse, do="filter", wrong=1)
    assert "unknown filter" in browse.notice
    assert (browse.rows, browse.state) == (before, "idle")


def test_a_cell_shows_what_was_looked_for() -> None:
    """However far down the answer it stands."""
    row = {"answer": "Salt. " * 300 + "And pepper. " + "Salt. " * 300, "error": None}
    assert preview(row).startswith("Salt.")
    assert re.fullmatch(r"… .*And pepper\. Salt.*…", preview(row, "PEPPER"))
    assert len(preview(row, "pepper")) <= PREVIEW + 2


def test_screens(browse: Browse) -> None:
    """There is no screen before the first nor after the last."""
    browse.go_to_page(1)
    assert len(browse.rows) == 13 - ROWS
    click(browse, do="page", rows=7, columns=3)
    assert (browse.page, browse.column_page) == (1, 0)
    browse.go_to_page(-1)
    assert browse.page == 0


def test_another_repeat_is_a_step_away(browse: Browse) -> None:
    """In the cell and in what is open; after the last comes the first."""
    cell = named(browse, "1", "art")
    browse.open(cell["trial"])
    assert (browse.opened["repeat"], browse.opened["number"]) == (0, 1)
    browse.next_repeat(cell["trial"])
    there = named(browse, "1", "art")
    assert there["number"] == 2
    assert browse.opened["trial"] == there["trial"]
    browse.next_repeat(there["trial"])
    assert named(browse, "1", "art")["trial"] == cell["trial"]


def test_a_trial_opens_whole(made: Run, browse: Browse) -> None:
    """The system prompt, every turn, the reasoning, the facts; by its key or its place."""
    browse.filter(case="talk")
    cell = named(browse, "talk", "art")
    key = made.trials()["key"].iloc[cell["trial"]]
    browse.open(key)
    opened = browse.opened
    assert (opened["persona"], opened["case"], opened["key"]) == ("art", "talk", key)
    assert opened["system_prompt"]
    assert [turn["question"] for turn in opened["turns"]] == ["<p>First?</p>\n", "<p>Second?</p>\n"]
    assert "2 cups of First?" in opened["turns"][0]["answer"]
    assert "4 cups of Second?" in opened["turns"][1]["answer"]
    assert ["status", "ok"] in opened["facts"]
    browse.filter(case="11")
    browse.open(named(browse, "11", "none")["trial"])
    assert "<em>think</em>" in browse.opened["turns"][0]["reasoning"]
    browse.close_trial()
    assert browse.opened == {}
    with pytest.raises(UsageError, match="no trial"):
        browse.open("x" * 32)
    with pytest.raises(UsageError, match="no trial"):
        browse.open(99_999)


def test_two_selected_cells_show_their_difference(browse: Browse) -> None:
    """In words, of the second against the first; a third takes the place of the oldest."""
    first, second, third = (named(browse, case, "none")["trial"] for case in ("1", "2", "3"))
    click(browse, do="select", trial=first)
    assert browse.difference == {}
    click(browse, do="select", trial=second)
    assert "<ins>1?</ins>" in browse.difference["html"]
    assert "<del>0?</del>" in browse.difference["html"]
    click(browse, do="select", trial=third)
    assert browse.selected == [second, third]
    click(browse, do="select", trial=third)
    assert browse.selected == [second]
    browse.compare(first, third)
    assert "<ins>2?</ins>" in browse.difference["html"]
    assert "case 3" in browse.difference["new"]
    browse.close_trial()
    assert (browse.difference, browse.selected) == ({}, [])


def test_a_trial_is_kept_as_a_case(browse: Browse, here: Path) -> None:
    """With its turns and its reference; braces stay braces."""
    (here / "mine.yaml").write_text("# Mine.\npersonas: [none]\nmodels: [echo]\ncases:\n- Why?\n")
    browse.keep(named(browse, "milk", "art")["trial"], here / "mine.yaml", id="milk")
    browse.filter(case="talk")
    click(browse, do="keep", trial=browse.cells[0]["trial"], path=" mine.yaml ")
    assert browse.kept == "Kept as case 3 in mine.yaml."
    browse.filter(case="brace")
    browse.keep(browse.cells[0]["trial"], "mine.yaml")
    cases = Experiment.load("mine.yaml").cases
    assert [case.questions for case in cases] == [
        ("Why?",), ("Milk?",), ("First?", "Second?"), ("{{ x }}",),
    ]  # fmt: skip
    assert cases[1].reference == "Yes."
    with pytest.raises(FileError, match="already"):
        browse.keep(browse.cells[0]["trial"], "mine.yaml")
    click(browse, do="keep", trial=browse.cells[0]["trial"], path="mine.yaml")
    assert "already" in browse.notice
    assert browse.kept == ""


async def test_a_stored_trial_opens_as_a_chat(here: Path) -> None:
    """With its history, below the grid; and goes away again."""
    run = await Experiment.define(
        "tea", personas=["none", "art"], models=["echo"], cases=["Tea?"]
    ).run(on_progress=lambda progress: None)
    browse = Browse(run)
    chat = browse.open_chat(named(browse, "1", "art", "scripted:echo")["trial"])
    assert [row["question"] for row in chat.replies] == ["Tea?"]
    assert browse.chat == f"IPY_MODEL_{chat.model_id}"
    browse.close_chat()
    assert browse.chat == ""


async def test_results_offer_their_runs(here: Path) -> None:
    """The newest first; another one is a choice away."""
    for name in ("tea", "milk"):
        await Experiment.define(name, personas=["none"], models=["echo"], cases=[f"{name}?"]).run(
            on_progress=lambda progress: None
        )
    browse = Browse(Results("results"))
    newest, oldest = browse.runs
    assert (browse.run_id, browse.rows[0]["question"]) == (newest, "milk?")
    click(browse, do="run", run=oldest)
    assert (browse.run_id, browse.rows[0]["question"]) == (oldest, "tea?")
    browse.select_run(newest)
    assert browse.rows[0]["question"] == "milk?"
    click(browse, do="run", run="<b>")
    assert "unknown run" in browse.notice


def test_the_page_gets_one_screen(browse: Browse, made: Run) -> None:
    """Never every answer, and of no answer more than its beginning."""
    browse.filter(case="11")
    sent = json.dumps(browse.get_state(), default=str)
    assert "Salt Salt" in sent
    assert "Salt " * 100 not in sent
    assert "Tea number" not in sent


def test_what_is_left_can_be_read(browse: Browse) -> None:
    """The screen as it was filtered, and the trial that was open; a table without a style."""
    browse.filter("cups", persona="art", case="1")
    browse.open(browse.cells[0]["trial"])
    left = browse.static_html()
    assert "persona art" in left
    assert left.count("<tr>") == 1 + len(browse.rows)
    assert "cups of" in left
    assert "<summary>System prompt</summary>" in left


@settings(max_examples=40)
@given(data=st.data())
def test_a_filter_shows_what_a_look_at_every_row_would(made: Run, data: st.DataObject) -> None:
    """No trial is missed, and none is there too many."""
    frame = made.trials()
    grid = Grid(frame)
    text = data.draw(st.sampled_from(["", "cups", "TEA", "milk", "Salt", "zz"]))
    status = data.draw(st.sampled_from([(), ("ok",), ("refusal",)]))
    persona = data.draw(st.sampled_from([(), ("art",), ("none", "math")]))
    case = data.draw(st.sampled_from(["", "1", "al"]))
    found = grid.find(Filter(text, status, persona, (), case))
    expected = [
        text.lower() in f"{row['answer']}\0{row['question']}".lower()
        and (not status or row["status"] in status)
        and (not persona or row["persona"] in persona)
        and case in row["case"]
        for row in frame.to_dict("records")
    ]
    assert list(found.hits) == expected
    shown = {grid.cases[i] for i in found.cases}
    assert shown == set(frame["case"][expected])
