"""What was asked live becomes a case of an experiment: from a cell, and at a page's wish."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import ScriptedClient
from assistants.errors import FileError, UsageError
from assistants.experiment import Experiment
from assistants.messages import Completion
from assistants.widgets import background
from assistants.widgets.browse.browse import Browse
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare

MINE = "# Mine.\npersonas: [none]\nmodels: [echo]\ncases:\n- Why?  # the first\n\n# The end.\n"


@pytest.fixture
def mine(here: Path) -> Path:
    """An experiment with one case, and comments."""
    file = here / "mine.yaml"
    file.write_text(MINE)
    return file


def wish(widget: Browse | Chat | Compare, **content: Any) -> None:
    """What a page sends; waits for what it is told."""
    widget.notice = widget.kept = ""
    widget._on_message(widget, content, [])
    end = time.monotonic() + 60
    while not (widget.kept or widget.notice) and time.monotonic() < end:
        time.sleep(0.01)
    background.call(lambda: None)  # what is said with it is said


@pytest.mark.parametrize("made", [Chat, Compare])
async def test_a_turn_is_kept_with_the_questions_before_it(
    made: type[Chat] | type[Compare], mine: Path
) -> None:
    """By its number, counted from either end; comments stay, and the batch finds the answers."""
    widget = made("none", "echo")
    for question in ("Tea?", "With {{ milk }}: or #sugar?", "Two\nlines?"):
        await widget.ask(question)
    assert widget.keep("mine.yaml", 0) == "2"
    assert widget.keep(mine, -2, id="milk") == "milk"
    assert widget.keep(mine) == "4"
    assert widget.kept == f"Kept as case 4 in {mine}."
    cases = Experiment.load("mine.yaml").cases
    assert [case.questions for case in cases[1:]] == [
        ("Tea?",),
        ("Tea?", "With {{ milk }}: or #sugar?"),
        ("Tea?", "With {{ milk }}: or #sugar?", "Two\nlines?"),
    ]
    assert re.findall("#.*", mine.read_text())[:2] == ["# Mine.", "# the first"]
    assert mine.read_text().endswith("# The end.\n")
    assert Experiment.load("mine.yaml").forecast("results").answered == 3


async def test_columns_that_went_different_ways(mine: Path) -> None:
    """The turn of the column that is named; a question without a whole answer was never sent on."""
    replies: Iterator[str | Completion] = iter(["Yes.", Completion("", status="refusal"), "Yes."])
    once = ScriptedClient(lambda messages, sampling: next(replies), "once")
    compare = Compare(["none"], [once, "echo"], results=None)
    await compare.ask("One?")
    await compare.ask("Two?")
    await compare.edit(1, "Zwei?", column=1)
    await compare.ask("Three?")
    compare.keep(mine, column=0)
    compare.keep(mine, 1, column=1)
    kept = [case.questions for case in Experiment.load("mine.yaml").cases[1:]]
    assert kept == [
        tuple(m.content for m in transcript.messages if m.role == "user")
        for transcript in compare.transcripts()[:1]
        if transcript is not None
    ] + [("One?", "Zwei?")]


async def test_a_page_keeps_a_turn(mine: Path) -> None:
    """And is told where; the next question takes the message away, and the file is offered."""
    chat = Chat("none", "echo", results=None)
    await chat.ask("Tea?")
    await chat.ask("Milk?")
    (column,), turn = chat.columns, chat._columns[0].conversation.turns[0].id
    wish(chat, do="keep", path=" mine.yaml ", turn=turn, column=column["id"])
    assert chat.kept == "Kept as case 2 in mine.yaml."
    assert mine.read_text().count("Tea?") == 1
    assert "Milk?" not in mine.read_text()
    wish(chat, do="keep", path="mine.yaml", turn=turn, column=column["id"])
    assert "there already, as case '2'" in chat.notice
    assert chat.kept == ""
    assert chat.source_file == "mine.yaml"
    wish(chat, do="keep", path="mine.yaml", turn=-1, column=0)
    assert chat.kept
    await chat.ask("More?")
    assert chat.kept == ""


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "is a folder"), (".", "is a folder"), ("missing.yaml", "no such file"),
        ("/etc/passwd", "not an experiment"), ("x\0y", "is not a path"),
        ("x" * 5_000, "cannot be read"),
        ("<script>window.hacked=1</script>.yaml", "no such file"), ("mine.yaml/x", "mine.yaml/x"),
        ("\ud800.yaml", "ud800"), ("plain.jsonl", "not an experiment"), (7, ""), (None, ""),
        (["mine.yaml"], ""),
    ],
)  # fmt: skip
async def test_a_wrong_path_writes_nothing(mine: Path, path: Any, said: str) -> None:
    """It is told in words, whatever a page sends as one; and the widget goes on."""
    (mine.parent / "plain.jsonl").write_text('{"question": "Why?"}\n')
    before = {file: file.read_bytes() for file in mine.parent.rglob("*") if file.is_file()}
    chat = Chat("none", "echo", results=None)
    await chat.ask("Tea?")
    wish(chat, do="keep", path=path, turn=-1, column=0)
    assert said in chat.notice
    assert chat.notice
    assert "\0" not in chat.notice
    assert chat.kept == ""
    assert {f: f.read_bytes() for f in mine.parent.rglob("*") if f.is_file()} == before
    await chat.ask("Milk?")
    assert chat.replies[1]["state"] == "done"


async def test_what_cannot_be_kept_is_said(mine: Path) -> None:
    """No turn, no such turn, a case that is there, a file that is no experiment."""
    chat = Chat("none", "echo", results=None)
    with pytest.raises(UsageError, match="no turn -1"):
        chat.keep(mine)
    await chat.ask("Why?")
    for turn in (1, -2, "t0"):
        with pytest.raises(UsageError, match="no turn"):
            chat.keep(mine, turn)
    with pytest.raises(FileError, match="there already"):
        chat.keep(mine)
    with pytest.raises(FileError, match="no such file"):
        chat.keep("mine.yml")
    assert mine.read_text() == MINE
