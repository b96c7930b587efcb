"""``Compare`` from Python: columns, histories, edits, differences, the store, an experiment."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Self

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rude_server import RudeServer, at
from slow_server import SlowServer, until

from assistants.assistant import Assistant
from assistants.clients.openai import OpenAIClient
from assistants.clients.scripted import ScriptedClient, echo
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.results import Results
from assistants.store import Store
from assistants.widgets.compare import Compare
from assistants.widgets.differences import differences
from assistants.widgets.who import literal

KIND, CURT = Persona("kind", "Be kind."), Persona("curt", "Be curt.")
WORDS = " ".join(f"word{n}" for n in range(300))


async def test_every_persona_on_every_model_answers(here: Path) -> None:
    """Columns are the cross product, model by model; each gets its own system prompt."""
    shout = ScriptedClient(lambda messages, sampling: messages[0].content.upper(), "shout")
    compare = Compare([KIND, CURT], ["echo", shout])
    await compare.ask("Hello?")
    rows = pd.DataFrame(compare.replies)
    assert list(zip(rows["persona"], rows["model"], strict=True)) == [
        ("kind", "scripted:echo"), ("curt", "scripted:echo"),
        ("kind", "scripted:shout"), ("curt", "scripted:shout"),
    ]  # fmt: skip
    assert list(rows["answer"][2:]) == ["BE KIND.", "BE CURT."]
    assert rows["answer"][0].startswith("system: Be kind.")
    assert (rows["state"] == "done").all()
    assert compare.state == "idle"


async def test_follow_ups_keep_each_column_s_own_history(here: Path) -> None:
    """No column sees what another one said."""
    compare = Compare([KIND, CURT], ["echo"], results=None)
    await compare.ask("One?")
    await compare.ask("Two?")
    second = [row["answer"] for row in compare.replies if row["turn"] == 1]
    assert "Be kind" in second[0]
    assert "Be curt" not in second[0]
    assert "Be kind" not in second[1]


async def test_one_that_fails_says_why_and_the_others_go_on(here: Path, server: RudeServer) -> None:
    """And its column can be asked again."""
    good = OpenAIClient("x:good", endpoint=at(server.url))
    bad = OpenAIClient("x:bad", endpoint=at(server.url_of("500")))
    compare = Compare([KIND], [good, bad])
    await compare.ask("Hello?")
    states = {row["model"]: (row["state"], row["error"]) for row in compare.replies}
    assert states["x:good"] == ("done", None)
    assert states["x:bad"][0] == "failed"
    assert "HTTP 500" in states["x:bad"][1]
    assert "HTTP 500" in compare.still()
    (run,) = Results("results").runs("compare")
    assert run.statuses == {"ok": 1, "error": 1}
    assert run.outcome == "failures"


async def test_unknown_is_never_nothing(here: Path) -> None:
    """A price that nobody knows is unknown; tokens and times come from the server."""
    compare = Compare([KIND], [ScriptedClient(echo, "echo"), ScriptedClient(echo, "other")])
    free = Compare([KIND], ["echo"])
    for widget in (compare, free):
        await widget.ask("Hello?")
    assert [row["cost_usd"] for row in free.replies] == [0.0]
    assert "$0" in free.still()
    paid = OpenAIClient("nowhere:m", endpoint=at("http://127.0.0.1:9/v1"))
    assert compare.record.models["scripted:echo"].name == "scripted:echo"
    assert "cost unknown" not in free.still()
    assert Compare([KIND], [paid]).record.models["nowhere:m"].prices is None


async def test_stop_ends_one_column_or_all() -> None:
    """What was said so far is kept; nothing is in flight afterwards, nor any connection open."""
    with SlowServer(lambda request: WORDS) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        compare = Compare([KIND, CURT, Persona("third", "x")], [client], results=None)
        asked = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: [bool(r["answer"]) for r in compare.replies] == [True] * 3)
        assert compare.state == "answering"
        await compare.stop(1)
        await until(lambda: server.in_flight == 2)
        assert [row["state"] for row in compare.replies] == ["streaming", "stopped", "streaming"]
        await compare.stop()
        await asked
        await until(lambda: server.in_flight == 0)
        assert compare.state == "idle"
        assert {row["state"] for row in compare.replies} == {"stopped"}
        assert client._built is None  # hung up
        assert "Stopped here" in compare.still()


async def test_a_cell_that_is_interrupted_stops_the_answers(here: Path) -> None:
    """The prompt comes back, and what was whole is stored."""
    answer = {"kind": "Short.", "curt": WORDS}
    with SlowServer(lambda r: answer[r["messages"][0]["content"][3:7]]) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        compare = Compare([KIND, CURT], [client])
        cell = asyncio.create_task(compare.ask("Words?"))
        await until(lambda: [r["state"] for r in compare.replies] == ["done", "streaming"])
        cell.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cell
        assert [r["state"] for r in compare.replies] == ["done", "stopped"]
        await until(lambda: server.in_flight == 0)
    (run,) = Results("results").runs("compare")
    frame = run.trials.set_index("persona")
    assert frame["status"].to_dict() == {"kind": "ok", "curt": "truncated"}
    assert WORDS.startswith(frame["answer"]["curt"])


async def test_repeats_are_draws_of_one_question(here: Path) -> None:
    """Each is a trial of its own in the store, and of the seed that a batch would give it."""
    seen: list[int | None] = []

    def answer(messages: object, sampling: Sampling) -> str:
        seen.append(sampling.seed)
        return f"draw {len(seen)}"

    compare = Compare([KIND], [ScriptedClient(answer, "draws")], sampling=Sampling(seed=7))
    await compare.ask("Hello?", repeats=3)
    assert [row["answer"] for row in compare.replies] == ["draw 1", "draw 2", "draw 3"]
    assert [row["chosen"] for row in compare.replies] == [True, False, False]
    assert seen == [7, 8, 9]
    (run,) = Results("results").runs("compare")
    assert list(run.trials["repeat"]) == [0, 1, 2]


async def test_an_edited_prompt_is_another_persona(here: Path) -> None:
    """It is marked, sent word for word, in the transcript, and can be undone."""
    compare = Compare([KIND, CURT], ["echo"])
    await compare.ask("One?")
    compare.set_prompt(0, "Be {{ braces }} and {% all %}.")
    await compare.ask("Two?")
    assert [head["edited"] for head in compare.columns] == [True, False]
    assert compare.columns[0]["persona"] == "kind-edited"
    assert compare.replies[1]["answer"].startswith("system: Be {{ braces }} and {% all %}.")
    assert "system prompt edited" in compare.still()
    compare.set_prompt(0, None)
    assert compare.columns[0]["edited"] is False
    await compare.ask("Three?")
    third = next(r for r in compare.replies if r["turn"] == 2 and r["column"] == 0)
    assert third["answer"].startswith("system: Be kind.")


async def test_columns_move_fold_and_stay(here: Path) -> None:
    """Pinned ones stand first; the order of Python and page is one."""
    compare = Compare([KIND, CURT, Persona("third", "x")], ["echo"], results=None)
    names = lambda: [head["persona"] for head in compare.columns]  # noqa: E731
    compare.move(0, 1)
    assert names() == ["curt", "kind", "third"]
    compare.pin(2)
    assert names() == ["third", "curt", "kind"]
    compare.collapse(1)
    assert [head["collapsed"] for head in compare.columns] == [False, True, False]
    compare.pin(0)
    compare.move(0, -5)
    assert names() == ["third", "curt", "kind"]
    with pytest.raises(UsageError, match="no column 7"):
        compare.move(7, 1)


async def test_live_answers_are_data_later(here: Path) -> None:
    """A batch that asks the same finds the answers; transcripts are Markdown beside them."""
    compare = Compare(["none", "art"], ["echo"])
    await compare.ask("Tea?")
    await compare.ask("With milk?")
    compare.to_experiment("experiments", name="tea")
    experiment = Experiment.load("experiments/tea.yaml")
    assert len(experiment) == 4
    assert experiment.forecast("results").answered == 4
    (run,) = Results("results").runs("compare")
    assert run.manifest["source"] == "live"
    assert len(list((run.folder / "transcripts").glob("*.md"))) == 4
    before = {p.name: p.read_text() for p in (run.folder / "transcripts").glob("*.md")}
    run.write()
    assert before.keys() == {p.name for p in (run.folder / "transcripts").glob("*.md")}


async def test_another_s_history_is_never_taken_for_one_s_own(here: Path) -> None:
    """After an edit the history is one that no batch comes to, so no batch finds its answer."""
    compare = Compare(["art"], ["echo"])
    await compare.ask("Tea?")
    compare.set_prompt(0, "Be curt.")
    await compare.ask("With milk?")
    compare.to_experiment("experiments/tea.yaml")
    experiment = Experiment.load("experiments/tea.yaml")
    assert experiment.forecast("results").answered == 0
    run = await experiment.run("results", report=lambda progress: None)
    (live,) = Results("results").runs("compare")
    assert set(run.trials["key"]).isdisjoint(live.trials["key"])


@pytest.mark.parametrize("edited", [(), (0,), (0, 1), (1, 2)])
async def test_an_experiment_of_what_was_asked(here: Path, edited: tuple[int, ...]) -> None:
    """The same assistants, edits included, and the same questions; nothing is overwritten."""
    compare = Compare(["none", "art"], ["echo", "smollm2"], results=None)
    for column in compare._columns[2:]:
        column.conversation.assistant = compare._columns[0].assistant
        column.conversation.assistant = Assistant(
            column.original.persona, column.original.client, column.original.sampling
        )
    for number in edited:
        compare.set_prompt(number, 'Be "curt"\n\n{{ and }} {# exact #}: é\U0001f600')
    for column in compare._columns[:2]:
        await column.conversation.ask("Tea?")
        await column.conversation.ask("With: milk? {{ x }}")
    path = compare.to_experiment("a/tea.yaml", repeats=2)
    loaded = Experiment.load(path)
    assert {(a.model, a.system_prompt) for a in loaded.assistants} == {
        (c.assistant.model, c.assistant.system_prompt) for c in compare._columns
    }
    assert [case.turns for case in loaded.cases] == [("Tea?",), ("Tea?", "With: milk? {{ x }}")]
    assert loaded.repeats == 2
    with pytest.raises(UsageError, match="there already"):
        compare.to_experiment(path)


async def test_what_no_file_can_name_is_said(here: Path) -> None:
    """A model that is an object of somebody's program, or no question at all."""
    compare = Compare([KIND], [ScriptedClient(echo, "mine")], results=None)
    with pytest.raises(UsageError, match="Nothing has been asked"):
        compare.to_experiment("a.yaml")
    await compare.ask("Tea?")
    with pytest.raises(UsageError, match="scripted:mine"):
        compare.to_experiment("a.yaml")


async def test_nobody_to_ask_is_said(here: Path) -> None:
    """With the names that there are."""
    with pytest.raises(UsageError, match="nobody to ask"):
        Compare(["none"], [])
    with pytest.raises(UsageError, match=r"unknown persona 'arts'.*'art'"):
        Compare(["arts"], ["echo"])
    with pytest.raises(UsageError, match="wants a value for topic"):
        Compare([Persona("x", "{{ topic }}")], ["echo"])


async def test_a_record_that_cannot_be_written_loses_no_answer(here: Path) -> None:
    """The answer is there to read, with a note that it was not stored, and why."""
    Path("results").write_text("a file, where a folder has to be")
    compare = Compare([KIND], ["echo"])
    await compare.ask("Tea?")
    assert compare.replies[0]["state"] == "done"
    assert "Not stored. results/answers.sqlite cannot be opened" in compare.still()


def test_no_text_makes_a_comparison_slow() -> None:
    """It holds the kernel up: 60,000 line ends took it a minute."""
    began = time.process_time()
    for each in ("\n" * 200_000, "\t" * 200_000 + "x", "x\n\n" * 50_000, "[" * 200_000):
        differences(each, "One word.")
        differences("One word.", each)
    assert time.process_time() - began < 5


@given(st.text(alphabet="ab \n<&+-"), st.text(alphabet="ab \n<&+-"))
def test_differences_hold_both_texts(old: str, new: str) -> None:
    """Without what was added it is the old text, without what is gone the new one: word by word."""
    import html
    import re

    page = differences(old, new)
    bare = lambda part: html.unescape(re.sub(r"<[^>]*>", "", part)).split()  # noqa: E731
    assert bare(re.sub(r"<del>.*?</del>", " ", page, flags=re.S)) == new.split()
    assert "".join(bare(re.sub(r"<ins>.*?</ins>", " ", page, flags=re.S))) == "".join(old.split())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_literal_persona_says_exactly_its_text(text: str) -> None:
    """Braces and all: what somebody types is no template."""
    assert Persona("x", literal(text)).system_prompt() == text


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
    monkeypatch.setattr("assistants.widgets.record.PATIENCE_S", 0.5)
    compare, other = Compare([KIND], ["echo"]), Compare([CURT], ["echo"], results=None)
    with Locked():
        asked = asyncio.create_task(compare.ask("Tea?"))
        await until(lambda: compare.state == "answering")
        began = time.monotonic()
        await other.ask("Milk?")
        assert time.monotonic() - began < 0.4
        assert other.replies[0]["state"] == "done"
        await asyncio.wait_for(asked, 5)
        assert compare.replies[0]["state"] == "done"
        assert "Not stored. results was busy for 0.5 s" in compare.still()
    await compare.ask("With milk?")
    assert compare.still().count("Not stored") == 1
    (run,) = Results("results").runs("compare")
    assert list(run.trials["question"]) == ["Tea?\n\nWith milk?"]


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
        await asyncio.wait_for(asked, 5)
    (run,) = Results("results").runs("compare")
    assert list(run.trials["status"]) == ["ok"]


async def test_a_question_can_be_stopped_before_the_record_lets_it_in(here: Path) -> None:
    """Nothing is sent, and nothing is written afterwards."""
    with SlowServer(lambda request: WORDS) as server:
        compare = Compare([KIND], [OpenAIClient("x:m", endpoint=at(server.url))])
        with Locked():
            asked = asyncio.create_task(compare.ask("Words?"))
            await until(lambda: compare.state == "answering")
            await compare.stop()
            await asyncio.wait_for(asked, 2)
            assert [row["state"] for row in compare.replies] == ["stopped"]
        assert server.requests == []
    assert Results("results").runs("compare") == []


async def test_a_text_that_no_message_can_hold_is_told(here: Path) -> None:
    """A lone surrogate, in an answer and in a prompt: JSON over a socket cannot carry it."""
    client = ScriptedClient(lambda messages, sampling: "a \ud800 b", "odd")
    compare = Compare([Persona("odd", literal("c \udc00 d"))], [client], results=None)
    await compare.ask("Tea?")
    json.dumps([compare.whole(), compare.columns], ensure_ascii=False).encode()
