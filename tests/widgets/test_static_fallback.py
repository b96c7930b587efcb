"""What is left beside a widget is whole: what stands in it too, and each answer by its question."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from assistants.experiment import Experiment
from assistants.personas import Persona
from assistants.widgets.browse.browse import Browse
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the notebook holds beside each widget that was shown."""
    held: dict[str, str] = {}

    def show(data: Any = None, display_id: str = "", **_: Any) -> None:
        if display_id:
            held[display_id] = data["text/html"]

    monkeypatch.setattr("IPython.display.display", show)
    monkeypatch.setattr("IPython.display.update_display", show)
    return held


def cells(page: str) -> list[list[str]]:
    """The rows of a table, as one reads them."""
    found = []
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        parts = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        texts = [html.unescape(re.sub(r"<[^>]*>", " ", part)) for part in parts]
        found.append([" ".join(text.split()) for text in texts])
    return found


async def forked() -> tuple[Chat, Compare]:
    """A chat that is shown, and the columns below it in which everybody was asked."""
    chat = Chat(KIND, "echo", results=None)
    chat._ipython_display_()
    await chat.ask("One?")
    return chat, await chat.fork([CURT])


async def test_the_copy_of_a_chat_has_what_everybody_is_asked(
    here: Path, copies: dict[str, str]
) -> None:
    """As soon as it was answered, wherever it was asked; and no more once the columns are gone."""
    chat, compare = await forked()
    await compare.ask("And all of you?")
    (copy,) = copies.values()
    assert copy.count("And all of you?") > 1
    compare.clear()
    (copy,) = copies.values()
    assert "And all of you?" not in copy
    chat.close_fork()
    (copy,) = copies.values()
    assert "Everybody else" not in copy


async def test_a_fork_that_is_shown_itself_has_a_copy_too(
    here: Path, copies: dict[str, str]
) -> None:
    """Both are up to date."""
    _, compare = await forked()
    compare._ipython_display_()
    await compare.ask("And all of you?")
    assert ["And all of you?" in copy for copy in copies.values()] == [True, True]


async def test_the_copy_of_a_run_has_the_chat_below_it(here: Path, copies: dict[str, str]) -> None:
    """With what it goes on from, what is asked there, and whoever is asked there."""
    run = await Experiment.define(
        "tea", personas=["none", "art"], models=["echo"], cases=["Tea?"]
    ).run(on_progress=lambda progress: None)
    browse = Browse(run)
    browse._ipython_display_()
    chat = browse.open_chat(0)
    (copy,) = copies.values()
    assert "<blockquote><p>Tea?</p>" in copy
    await chat.ask("With milk?")
    (copy,) = copies.values()
    assert "With milk?" in copy
    compare = await chat.fork(["history"])
    await compare.ask("With honey?")
    (copy,) = copies.values()
    assert "With honey?" in copy
    browse.close_chat()
    (copy,) = copies.values()
    assert "With milk?" not in copy


async def test_a_change_in_one_column_moves_no_answer(here: Path) -> None:
    """A row a question, whatever happens in a column between two of them."""
    compare = Compare([KIND, CURT], ["echo"], results=None)
    await compare.ask("One?")
    compare.set_prompt(1, "Be terse.")
    await compare.ask("Two?")
    await compare.ask("Three?")
    _, *rows = cells(compare.static_html())
    assert [row for row in rows if len(row) == 1] == [["One?"], ["Two?"], ["Three?"]]
    answers = [row for row in rows if len(row) == 2]
    for row, question in zip(answers, ("One?", "Two?", "Three?"), strict=True):
        for said in row:
            assert re.findall(r"user: (\w+\?)", said)[-1] == question
    assert answers[0][1].endswith("curt-edited (before: curt on scripted:echo)")


async def test_columns_that_were_asked_different_things(here: Path) -> None:
    """Each question stands above its own answers, and what was never asked is left empty."""
    compare = Compare([KIND, CURT], ["echo"], results=None)
    await compare.ask("One?")
    await compare.ask("Two?")
    await compare.edit(0, "Eins?", column=1)
    _, first, second, third = cells(compare.static_html())
    assert [cell.split()[0] for cell in first] == ["One?", "Eins?"]
    assert second == ["Two?"]
    assert "user: Two?" in third[0]
    assert third[1] == ""
