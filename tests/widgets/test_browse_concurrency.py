"""What a person wishes of a stored run while another wish is still on its way."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from assistants import Experiment, Results
from assistants.widgets import background
from assistants.widgets.browse.browse import Browse
from assistants.widgets.browse.grid import Grid
from assistants.widgets.chat.chat import Chat
from support.page_messages import click, is_working


@pytest.fixture
async def two(here: Path) -> Browse:
    """A large run and a small one, the small one shown."""
    for name, count in (("large", 40), ("small", 2)):
        cases = [f"{name} {number}?" for number in range(count)]
        await Experiment.define(
            name, personas=["none", "art", "math"], models=["echo"], cases=cases, repeats=2
        ).run(on_progress=lambda progress: None)
    return Browse(Results("results"))


def slow(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Large runs take a while to be read, or looked through."""
    real = getattr(Grid, name)

    def after_a_while(self: Grid, *args: Any) -> Any:
        found = real(self, *args)
        time.sleep(0.5 * (len(self) > 20))
        return found

    monkeypatch.setattr(Grid, name, after_a_while)


async def test_the_run_that_was_chosen_last_is_shown(
    two: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though one that was chosen before it takes longer to read; a filter cancels neither."""
    small, large = two.runs
    slow(monkeypatch, "__init__")
    background.call(lambda: two.handle_message({"do": "run", "run": large}))
    background.call(lambda: two.handle_message({"do": "filter", "text": "zebra"}))
    click(two, do="run", run=small)
    assert (two.run_id, two.rows[0]["question"], two.state) == (small, "small 0?", "idle")
    background.call(lambda: two.handle_message({"do": "run", "run": large}))
    click(two, do="filter", text="small 1")
    assert (two.run_id, two.rows[0]["question"], two.state) == (large, "large 0?", "idle")


async def test_a_filter_of_one_run_is_not_that_of_another(
    two: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run changes while its answers are looked through."""
    small, large = two.runs
    two.select_run(large)
    slow(monkeypatch, "find")
    background.call(lambda: two.handle_message({"do": "filter", "text": "large 3"}))
    click(two, do="run", run=small)
    assert (two.run_id, two.summary, two.filters["text"]) == (small, "2 cases, 12 trials", "")
    assert (two.notice, two.state) == ("", "idle")


async def test_a_locked_store_holds_up_no_answer(
    two: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that cannot be read is not shown, says why, and others stream meanwhile."""
    limit = "assistants.widgets.browse.trial_panel.STORE_TIMEOUT_S"
    monkeypatch.setattr(limit, 60)
    chat = Chat("none", "echo", results=None)
    two.open(0)
    shown = two.opened
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        background.call(lambda: two.handle_message({"do": "open", "trial": 1}))
        await chat.ask("Tea?")
        assert is_working(two)
    click(two, do="open", trial=0)
    assert two.opened == shown
    monkeypatch.setattr(limit, 0.5)
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        click(two, do="open", trial=1)
    assert two.notice.startswith("results was busy for 0.5 s")
    assert two.opened == shown
    two.open(1)
    assert two.opened["trial"] == 1


async def test_what_was_opened_last_is_shown(two: Browse) -> None:
    """Whichever is read first; and nothing, where it was put away meanwhile."""
    first = two.cells[0]
    wishes = [{"do": "open", "trial": trial} for trial in (7, first["trial"])]
    background.call(lambda: [two.handle_message(wish) for wish in wishes])
    click(two, do="repeat", trial=first["trial"])
    assert (two.opened["number"], two.opened["trial"]) == (2, two.cells[0]["trial"])
    background.call(lambda: two.handle_message({"do": "open", "trial": 7}))
    click(two, do="close_trial")
    assert two.opened == {}


async def test_a_case_is_kept_elsewhere(two: Browse, here: Path) -> None:
    """However long the store or the file takes, answers arrive; in the end it is in the file."""
    (here / "mine.yaml").write_text("personas: [none]\nmodels: [echo]\ncases:\n- Why?\n")
    chat = Chat("none", "echo", results=None)
    with closing(sqlite3.connect("results/answers.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        background.call(lambda: two.handle_message({"do": "keep", "trial": 0, "path": "mine.yaml"}))
        await chat.ask("Tea?")
        assert is_working(two)
        assert two.kept == ""
    click(two, do="turn", down=0, across=0)
    assert two.kept == "Kept as case 2 in mine.yaml."
    assert "small 0?" in (here / "mine.yaml").read_text()
