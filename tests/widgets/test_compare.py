"""``Compare`` from Python: columns, histories, edits, differences, the store, an experiment."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.assistant import Assistant
from assistants.clients import EMBEDDED_MODELS, OpenAIClient, ScriptedClient, echo
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.personas import Persona, escape_template
from assistants.results import Results
from assistants.widgets.chat.chat import Chat
from assistants.widgets.chat.compare import Compare
from support.faulty_server import FaultyServer, at
from support.slow_server import SlowServer, until

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


async def test_one_that_fails_says_why_and_the_others_go_on(
    here: Path, server: FaultyServer
) -> None:
    """And its column can be asked again."""
    good = OpenAIClient("x:good", endpoint=at(server.url))
    bad = OpenAIClient("x:bad", endpoint=at(server.url_of("500")))
    compare = Compare([KIND], [good, bad])
    await compare.ask("Hello?")
    states = {row["model"]: (row["state"], row["error"]) for row in compare.replies}
    assert states["x:good"] == ("done", None)
    assert states["x:bad"][0] == "failed"
    assert "HTTP 500" in states["x:bad"][1]
    assert "HTTP 500" in compare.static_html()
    (run,) = Results("results").runs("compare")
    assert run.statuses() == {"ok": 1, "error": 1}
    assert run.outcome == "failures"


async def test_unknown_is_never_nothing(here: Path) -> None:
    """A price that nobody knows is unknown; tokens and times come from the server."""
    compare = Compare([KIND], [ScriptedClient(echo, "echo"), ScriptedClient(echo, "other")])
    free = Compare([KIND], ["echo"])
    for widget in (compare, free):
        await widget.ask("Hello?")
    assert [row["cost_usd"] for row in free.replies] == [0.0]
    assert "$0" in free.static_html()
    paid = OpenAIClient("nowhere:m", endpoint=at("http://127.0.0.1:9/v1"))
    assert compare.session.models["scripted:echo"].name == "scripted:echo"
    assert "cost unknown" not in free.static_html()
    assert Compare([KIND], [paid]).session.models["nowhere:m"].prices is None


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
        assert "Stopped here" in compare.static_html()


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
    frame = run.trials().set_index("persona")
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
    assert list(run.trials()["repeat"]) == [0, 1, 2]


async def test_an_edited_prompt_is_another_persona(here: Path) -> None:
    """It is marked, sent word for word, in the transcript, and can be undone."""
    compare = Compare([KIND, CURT], ["echo"])
    await compare.ask("One?")
    compare.set_prompt(0, "Be {{ braces }} and {% all %}.")
    await compare.ask("Two?")
    assert [head["edited"] for head in compare.columns] == [True, False]
    assert compare.columns[0]["persona"] == "kind-edited"
    assert compare.replies[1]["answer"].startswith("system: Be {{ braces }} and {% all %}.")
    assert "system prompt edited" in compare.static_html()
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
    run.export()
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
    run = await experiment.run("results", on_progress=lambda progress: None)
    (live,) = Results("results").runs("compare")
    assert set(run.trials()["key"]).isdisjoint(live.trials()["key"])


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


async def test_an_experiment_without_a_name_is_a_new_file(here: Path) -> None:
    """In ``experiments``, named by the session; what is there already is never written over."""
    compare = Compare(["none", "art"], ["echo"])
    await compare.ask("Tea?")
    first = compare.to_experiment()
    assert first == Path("experiments") / f"compare-{compare.session.run}.yaml"
    await compare.ask("With milk?")
    assert [len(Experiment.load(path)) for path in (first, compare.to_experiment())] == [2, 4]
    named = compare.to_experiment(name="tea")
    assert named == Path("experiments/tea.yaml")
    assert len(list(Path("experiments").iterdir())) == 3


def test_without_a_model_it_is_the_one_that_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The columns, and so every stored answer, name the concrete model."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    assert str(Compare(["none"], results=None)) == "Compare(none on local:qwen: 0 turns)"
    known = EMBEDDED_MODELS["smollm2"]
    known.path.parent.mkdir(parents=True)
    with known.path.open("wb") as file:
        file.truncate(known.size)
    assert Chat("art", results=None).model == "local:smollm2"
    assert repr(Compare([Assistant(KIND, ScriptedClient(echo, "echo"))], results=None)) == (
        "Compare(kind on scripted:echo: 0 turns)"
    )


async def test_nobody_to_ask_is_said(here: Path) -> None:
    """With the names that there are."""
    with pytest.raises(UsageError, match="nobody to ask"):
        Compare(["none"], [])
    with pytest.raises(UsageError, match=r"unknown persona 'arts'.*'art'"):
        Compare(["arts"], ["echo"])
    with pytest.raises(UsageError, match="needs a value for topic"):
        Compare([Persona("x", "{{ topic }}")], ["echo"])


async def test_differences_are_left_behind(here: Path) -> None:
    """Who reads without a kernel sees them below the answers, for as long as they are shown."""
    said = iter(["Light is a wave.", "Light is a <b>particle</b>.", "Yes.", "Yes and no."])
    client = ScriptedClient(lambda messages, sampling: next(said), "two")
    compare = Compare([KIND, CURT], [client], results=None)
    compare.show_diff(0)
    assert "<ins>" not in compare.static_html()  # nothing was said yet
    for question in ("What is light?", "Sure?"):
        await compare.ask(question)
    table = compare.static_html().split("What differs from kind on scripted:two:")[1]
    assert "<del>wave.</del>" in table
    assert "<ins>&lt;b&gt;particle&lt;/b&gt;.</ins>" in table
    assert "1 word added, 1 left out" in table
    assert table.index("What is light?") < table.index("particle") < table.index("Sure?")
    assert "curt on scripted:two" in table
    compare.show_diff(None)
    assert "<ins>" not in compare.static_html()
    assert "What differs" not in compare.static_html()


async def test_choosing_a_column_brings_the_copy_up_to_date(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an answer does: the notebook has the differences when it is saved."""
    shown: list[str] = []
    monkeypatch.setattr(
        "IPython.display.update_display", lambda data, **_: shown.append(data["text/html"])
    )
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    compare = Compare([KIND, CURT], ["echo"], results=None)
    compare._ipython_display_()
    await compare.ask("Tea?")
    compare.show_diff(0)
    compare.show_diff(None)
    assert ["<ins>" in page for page in shown] == [False, True, False]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_literal_persona_says_exactly_its_text(text: str) -> None:
    """Braces and all: what somebody types is no template."""
    assert Persona("x", escape_template(text)).system_prompt() == text


async def test_a_text_that_no_message_can_hold_is_told(here: Path) -> None:
    """A lone surrogate, in an answer and in a prompt: JSON over a socket cannot carry it."""
    client = ScriptedClient(lambda messages, sampling: "a \ud800 b", "odd")
    compare = Compare([Persona("odd", escape_template("c \udc00 d"))], [client], results=None)
    await compare.ask("Tea?")
    json.dumps([compare.snapshot(), compare.columns], ensure_ascii=False).encode()
