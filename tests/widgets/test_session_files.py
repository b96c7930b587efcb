"""What a live session leaves on disk: while it can be written, and while it cannot."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from pathlib import Path
from typing import Self

import pytest
from markdown_it import MarkdownIt

from assistants.clients import OpenAIClient, ScriptedClient
from assistants.experiment import Experiment
from assistants.personas import Persona
from assistants.results import Results
from assistants.runs.store import Store
from assistants.runs.transcripts import read
from assistants.widgets.browse.browse import Browse
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.columns import ConversationColumns
from assistants.widgets.chat.compare import Compare
from support.faulty_server import FaultyServer, at
from support.hostile_texts import SHORT
from support.slow_server import SlowServer, until

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")
WORDS = " ".join(f"word{n}" for n in range(300))


def log_of(widget: ConversationColumns) -> str:
    """The session's one file."""
    assert widget.session.folder is not None
    return (widget.session.folder / "conversation.md").read_text()


def headings(log: str) -> list[str]:
    """As whoever reads the Markdown sees them; those in a quote are somebody's words."""
    tokens = MarkdownIt("commonmark").enable("table").parse(log)
    return [
        "".join(part.content for part in after.children or [])
        for before, after in itertools.pairwise(tokens)
        if before.type == "heading_open" and before.level == 0
    ]


async def test_what_could_not_be_written_comes_with_the_next_answer(here: Path) -> None:
    """A disk that is full for a moment costs no question's heading."""
    chat = Chat("none", "echo")
    await chat.ask("What is light?")
    assert chat.session.folder is not None
    file = chat.session.folder / "conversation.md"
    aside = file.rename(file.with_suffix(".aside"))
    file.mkdir()
    await chat.ask("And a shadow?")
    assert "cannot be written" in chat.static_html()
    file.rmdir()
    aside.rename(file)
    await chat.regenerate()
    assert headings(log_of(chat))[3:] == ["Question 2", "none on scripted:echo, answer 2"]


async def test_the_log_says_who_answered(here: Path) -> None:
    """One file is the whole conversation: each question, and whose answer it is."""
    chat = Chat("none", "echo")
    await chat.ask("What is light?")
    chat.switch("art")
    await chat.ask("And a shadow?")
    log = log_of(chat)
    assert headings(log) == [
        f"chat, {chat.session.run}", "Question 1", "none on scripted:echo",
        "Question 2", "art on scripted:echo",
    ]  # fmt: skip
    assert "> What is light?\n" in log
    assert "*Goes on from what none on scripted:echo said.*" in log
    assert "$0" in log
    # And in what is left of the last turn alone.
    _, about = read(max((chat.session.folder or Path()).glob("transcripts/*.md")))
    assert about["before"] == ["none on scripted:echo"]


async def test_the_log_keeps_what_was_taken_back(here: Path, server: FaultyServer) -> None:
    """Another answer, an edit, a failure, a new beginning: what was said stays said."""
    bad = OpenAIClient("x:bad", endpoint=at(server.url_of("500")))
    compare = Compare([KIND], ["echo", bad])
    await compare.ask("One?")
    await compare.regenerate(0)
    await compare.edit(0, "Eins?", column=0)
    compare.clear()
    await compare.ask("Un?")
    log = log_of(compare)
    said = sorted(headings(log)[2:4])
    assert said == ["kind on scripted:echo", "kind on x:bad"]
    assert headings(log)[4:7] == ["kind on scripted:echo, answer 2", "Question 1",
                                  "kind on scripted:echo"]  # fmt: skip
    assert log.count("Failed:\n\n> x:bad") == 2
    assert [log.count(f"> {each}?\n") for each in ("One", "Eins", "Un")] == [1, 1, 1]


async def test_the_log_begins_where_the_conversation_does(here: Path) -> None:
    """Though its first turns were asked in another session, or by a batch."""
    made = Experiment.define("tea", personas=["art"], models=["echo"], cases=["Tea?"])
    run = await made.run("results", on_progress=lambda progress: None)
    chat = Chat.from_trial(run, run.trials()["key"][0])
    chat.switch("none")
    await chat.ask("And sugar?")
    assert headings(log_of(chat))[1:] == [
        "Question 1", "art on scripted:echo", "Question 2", "none on scripted:echo",
    ]  # fmt: skip


@pytest.mark.parametrize("start", range(0, len(SHORT), 200))
async def test_no_text_can_speak_for_somebody_else_in_the_log(here: Path, start: int) -> None:
    """Neither a model's, a question's nor a name's: by a heading, or by hiding what follows."""
    forged = ["## Question 9", "x\n---", "```\n", "<!--", "<script>", "\r## a", "> ## b", "[x]: y"]
    client = ScriptedClient(lambda messages, sampling: messages[-1].content, "# *a*\n`<b>|[")
    chat = Chat(KIND, client)
    asked = [*forged, "\n\n".join(SHORT[start : start + 200])]
    for number, text in enumerate(asked):
        await chat.ask(f"{text}\n{number}")
    name = "kind on scripted:# *a* `<b>|["
    assert headings(log_of(chat))[1:] == [
        each for n in range(len(asked)) for each in (f"Question {n + 1}", name)
    ]


async def test_a_stored_turn_is_shown_with_who_gave_each_answer(here: Path) -> None:
    """What was said before somebody else took over is not put into their mouth."""
    chat = Chat("none", "echo")
    await chat.ask("What is light?")
    chat.switch("art")
    await chat.ask("And a shadow?")
    browse = Browse(Results("results").latest("chat"))
    browse.open(1)
    assert [turn["by"] for turn in browse.opened["turns"]] == ["none on scripted:echo", ""]
    assert "none on scripted:echo" in browse.static_html()


async def test_who_answered_is_found_in_another_run(here: Path) -> None:
    """Where a stored trial was opened, and somebody else went on from it."""
    made = Experiment.define("tea", personas=["art"], models=["echo"], cases=["Tea?"])
    run = await made.run("results", on_progress=lambda progress: None)
    chat = Chat.from_trial(run, run.trials()["key"][0])
    chat.switch("none")
    await chat.ask("And sugar?")
    browse = Browse(Results("results").latest("chat"))
    browse.open(0)
    assert [turn["by"] for turn in browse.opened["turns"]] == ["art on scripted:echo", ""]


async def test_a_record_that_cannot_be_written_loses_no_answer(here: Path) -> None:
    """The answer is there to read, with a note that it was not stored, and why."""
    Path("results").write_text("a file, where a folder has to be")
    compare = Compare([KIND], ["echo"])
    await compare.ask("Tea?")
    assert compare.replies[0]["state"] == "done"
    assert "Not stored. results/answers.sqlite cannot be opened" in compare.static_html()


class Locked:
    """A results folder that another program writes to."""

    def __enter__(self) -> Self:
        Store("results").close()
        self._db = sqlite3.connect("results/answers.sqlite", isolation_level=None)
        self._db.execute("BEGIN EXCLUSIVE")
        return self

    def __exit__(self, *_: object) -> None:
        self._db.execute("COMMIT")
        self._db.close()


async def test_a_locked_record_holds_up_no_answer(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question is asked all the same, says that it is not kept, and others stream meanwhile."""
    monkeypatch.setattr("assistants.widgets.chat.session_store.STORE_TIMEOUT_S", 2.0)
    compare, other = Compare([KIND], ["echo"]), Compare([CURT], ["echo"], results=None)
    with Locked():
        asked = asyncio.create_task(compare.ask("Tea?"))
        await until(lambda: compare.state == "answering")
        await other.ask("Milk?")
        assert not asked.done()
        assert other.replies[0]["state"] == "done"
        await asyncio.wait_for(asked, 60)
        assert compare.replies[0]["state"] == "done"
        assert "Not stored. results was busy for 2 s" in compare.static_html()
    await compare.ask("With milk?")
    assert compare.static_html().count("Not stored") == 1
    (run,) = Results("results").runs("compare")
    assert list(run.trials()["question"]) == ["Tea?\n\nWith milk?"]


async def test_an_answer_waits_for_a_lock_that_goes_away(here: Path) -> None:
    """It is there to read at once, and in the record as soon as that can be written."""
    with SlowServer(lambda request: WORDS, every=0.001) as server:
        compare = Compare([KIND], [OpenAIClient("x:m", endpoint=at(server.url))])
        asked = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: any(r["answer"] for r in compare.replies))
        with Locked():
            await until(lambda: compare.replies[0]["state"] == "done")
            assert compare.state == "idle"
            assert not asked.done()
        await asyncio.wait_for(asked, 60)
    (run,) = Results("results").runs("compare")
    assert list(run.trials()["status"]) == ["ok"]


async def test_only_the_record_is_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where answers themselves take long to begin, nobody says that the record was busy."""
    monkeypatch.setattr("assistants.widgets.chat.session_store.STORE_TIMEOUT_S", 1.0)

    def slow(messages: object, sampling: object) -> str:
        time.sleep(1.2)  # as the first import of an SDK does
        return "Yes."

    compare = Compare([KIND, CURT], [ScriptedClient(slow, "slow")])
    await compare.ask("Tea?")
    assert "Not stored" not in compare.static_html()
    (run,) = Results("results").runs("compare")
    assert run.statuses() == {"ok": 2}


async def test_a_question_can_be_stopped_before_the_record_lets_it_in(here: Path) -> None:
    """Nothing is sent, and nothing is written afterwards."""
    with SlowServer(lambda request: WORDS) as server:
        compare = Compare([KIND], [OpenAIClient("x:m", endpoint=at(server.url))])
        with Locked():
            asked = asyncio.create_task(compare.ask("Words?"))
            await until(lambda: compare.state == "answering")
            await compare.stop()
            await asyncio.wait_for(asked, 60)
            assert [row["state"] for row in compare.replies] == ["stopped"]
        assert server.requests == []
    assert Results("results").runs("compare") == []
