"""``Chat`` from Python: switching, forking, opening what was stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient, ScriptedClient, connect, echo
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.results import Results
from assistants.runs.store import Store
from assistants.trial import Case
from assistants.widgets.chat.chat import Chat
from support.faulty_server import FaultyServer, at


def messages_to(server: FaultyServer) -> list[list[dict[str, str]]]:
    """What each question sent; before a run, a server is asked for other things too."""
    asked = [each for each in server.requests if each.path.endswith("/chat/completions")]
    return [request.json["messages"] for request in asked]


async def test_the_traits_are_the_interface(here: Path) -> None:
    """Setting ``persona`` or ``model`` switches; the page reads the same traits."""
    chat = Chat("none", "echo")
    assert (chat.persona, chat.model) == ("none", "scripted:echo")
    assert {"name", "label", "description"} == chat.personas[0].keys()
    assert {"scripted:echo", "smollm2"} <= set(chat.models_known)
    await chat.ask("One?")
    chat.persona = "art"
    await chat.ask("Two?")
    assert [row["persona"] for row in chat.replies] == ["none", "art"]
    assert "art on scripted:echo answers from here on (before: none" in chat.static_html()
    assert chat.replies[1]["answer"].startswith("system: You are a painter")


async def test_an_unknown_name_changes_nothing(here: Path) -> None:
    """The error says the nearest one, and the trait is what it was."""
    chat = Chat("art", "echo", results=None)
    with pytest.raises(UsageError, match="unknown persona 'arts'"):
        chat.persona = "arts"
    with pytest.raises(UsageError, match="unknown model"):
        chat.model = "echoo"
    assert (chat.persona, chat.model) == ("art", "scripted:echo")


async def test_another_model_keeps_the_persona_and_its_edits(
    here: Path, server: FaultyServer
) -> None:
    """The model is switched and nothing else is."""
    chat = Chat("art", "echo", results=None)
    chat.set_prompt(0, "Be curt.")
    await chat.ask("One?")
    other = OpenAIClient("x:m", endpoint=at(server.url))
    chat.switch(model=other)
    await chat.ask("Two?")
    assert chat.columns[0]["edited"]
    assert [row["model"] for row in chat.replies] == ["scripted:echo", "x:m"]
    assert server.requests[-1].json["messages"][0] == {"role": "system", "content": "Be curt."}
    chat.model = "scripted:echo"
    chat.persona = "none"
    assert not chat.columns[0]["edited"]


async def test_regenerate_edit_and_clear(here: Path) -> None:
    """As in ``Compare``, on the one column that there is."""
    chat = Chat("none", "echo")
    await chat.ask("One?")
    await chat.regenerate()
    assert [row["chosen"] for row in chat.replies] == [False, True]
    await chat.ask("Two?")
    await chat.edit(0, "Eins?")
    assert [row["question"] for row in chat.replies] == ["Eins?"]
    chat.clear()
    assert chat.replies == []
    (run,) = Results("results").runs("chat")
    assert len(run.trials()) == 4  # nothing that was answered is lost
    assert list(run.trials()["status"]) == ["ok"] * 4


async def test_a_fork_asks_everybody_the_last_question(here: Path) -> None:
    """With the turns before it; the chat's own answer stands first, and is not asked again."""
    chat = Chat("none", "echo")
    await chat.ask("One?")
    await chat.ask("Two?")
    compare = await chat.fork(["none", "art", "history"])
    rows = [row for row in compare.replies if row["turn"] == 1]
    assert [row["persona"] for row in rows] == ["none", "art", "history"]
    assert rows[0]["answer"] == chat.replies[1]["answer"]
    assert "user: One?" in rows[1]["answer"]
    assert rows[1]["answer"].startswith("system: You are a painter")
    assert chat.forked == compare.model_id
    assert "Everybody else" in chat.static_html()
    # An answer after somebody else's is no draw that a batch could make.
    made = Experiment.define(
        "x", personas=["art"], models=["echo"], cases=[{"turns": ["One?", "Two?"]}]
    )
    assert made.forecast("results").answered == 0
    chat.close_fork()
    assert "Everybody else" not in chat.static_html()


async def test_a_fork_of_nothing_is_refused(here: Path) -> None:
    """Before anything was asked, or with nobody else to ask."""
    chat = Chat("art", "echo", results=None)
    with pytest.raises(UsageError, match="no whole turn"):
        await chat.fork(["none"])
    await chat.ask("One?")
    with pytest.raises(UsageError, match="nobody else"):
        await chat.fork(["art"])


@pytest.mark.parametrize("persona", ["none", "art"])
async def test_a_stored_trial_opens_as_a_chat(here: Path, persona: str) -> None:
    """With its history, on its model, with its sampling; and goes on from there."""
    experiment = Experiment.define(
        "tea", personas=["none", "art"], models=["echo"], sampling={"temperature": 0.5},
        cases=[{"id": "milk", "turns": ["Tea?", "With {{ milk }}?"], "vars": {"milk": "oats"}}],
        repeats=2,
    )  # fmt: skip
    run = await experiment.run("results", on_progress=lambda progress: None)
    row = run.trials().query("persona == @persona and repeat == 1").iloc[0]
    chat = Chat.from_trial(run, row)
    assert [(r["question"], r["state"]) for r in chat.replies] == [
        ("Tea?", "done"), ("With oats?", "done"),
    ]  # fmt: skip
    assert chat.replies[1]["answer"] == row["answer"]
    assert (chat.persona, chat.model) == (persona, "scripted:echo")
    await chat.ask("And sugar?")
    assert "temperature=0.5" in chat.replies[2]["answer"]
    assert "user: With oats?" in chat.replies[2]["answer"]
    again = Chat.from_trial(run, row["key"])
    assert len(again.replies) == 2
    # What was asked next is what a batch of three turns would have asked in this repeat.
    longer = Experiment.define(
        "tea", personas=[persona], models=["echo"], sampling={"temperature": 0.5},
        cases=[{"turns": ["Tea?", "With oats?", "And sugar?"]}], repeats=2,
    )  # fmt: skip
    assert longer.forecast("results").answered == 1


async def test_a_trial_of_a_persona_that_is_gone(here: Path) -> None:
    """It is opened with the system prompt that was sent, braces and all."""
    persona = Persona("gone", "{{ '{{ x }}' }} for {{ y }}", defaults={"y": "you"})
    assistant = Assistant(persona, ScriptedClient(echo, "echo"), Sampling(seed=3))
    experiment = Experiment("gone", (assistant,), (Experiment.define(
        "x", personas=["none"], models=["echo"], cases=["Tea?"]).cases[0],))  # fmt: skip
    run = await experiment.run("results", on_progress=lambda progress: None)
    chat = Chat.from_trial(run, run.trials().iloc[0])
    await chat.ask("More?")
    assert chat.replies[1]["answer"].startswith("system: {{ x }} for you\n")


async def test_a_trial_with_its_persona_in_the_question_goes_on_so(
    here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the head of the first question, as then; whoever answers next on this model, too."""
    monkeypatch.setenv("VLLM_BASE_URL", server.url)
    assistant = Assistant(Persona("curt", "Be curt."), connect("vllm:m"), persona_in="user")
    experiment = Experiment("tea", (assistant,), (Case("tea", ("Tea?",)),))
    run = await experiment.run("results", on_progress=lambda progress: None)
    chat = Chat.from_trial(run, run.trials()["key"][0])
    await chat.ask("And sugar?")
    first, then = messages_to(server)
    assert [message["role"] for message in then] == ["user", "assistant", "user"]
    assert then[0] == first[0]
    assert "Be curt." in then[0]["content"]
    # What was asked next is what a batch of two turns would have asked.
    longer = Experiment("tea", (assistant,), (Case("tea", ("Tea?", "And sugar?")),))
    assert longer.forecast("results").answered == 1
    chat.set_prompt(0, "Be kind.")
    await chat.ask("Milk?")
    chat.persona = "art"
    await chat.ask("Honey?")
    await chat.fork(["history"])
    sent = messages_to(server)
    assert len(sent) == 5
    assert {message["role"] for messages in sent for message in messages} == {"user", "assistant"}
    assert [
        said in messages[0]["content"]
        for messages, said in zip(
            sent[2:], ["Be kind.", "You are a painter", "historian"], strict=True
        )
    ] == [True] * 3
    # Another model has a place for it; and back on this one, it is where it was.
    chat.switch(model=OpenAIClient("x:m", endpoint=at(server.url)))
    await chat.ask("Lemon?")
    chat.model = "vllm:m"
    await chat.ask("Rum?")
    assert [messages[0]["role"] for messages in messages_to(server)[5:]] == ["system", "user"]
    # And its own answers are stored as what they are.
    (live,) = Results("results").runs("chat")
    assert list(live.trials().query("model == 'vllm:m'")["persona_in"].unique()) == ["user"]


async def test_a_persona_that_no_library_has_can_be_chosen_again(here: Path) -> None:
    """It stands at the side by its name, from where it is switched to, and asked with others."""
    chat = Chat(Persona("first", "Be curt."), "echo", results=None)
    chat.switch(Persona("second", "Be kind.", label="Second"))
    assert [each["name"] for each in chat.personas[:2]] == ["second", "first"]
    assert chat.personas[0]["label"] == "Second"
    chat.persona = "first"
    await chat.ask("One?")
    assert chat.replies[0]["answer"].startswith("system: Be curt.")
    compare = await chat.fork(["second", "art"])
    assert [row["persona"] for row in compare.replies] == ["first", "second", "art"]
    assert "Be kind." in compare.replies[1]["answer"]


async def test_a_model_of_any_name(here: Path) -> None:
    """A page takes no lone surrogate, so it has a readable name for it, and may choose by it."""
    odd, plain = ScriptedClient(echo, "\ud800\x1b"), ScriptedClient(echo, "echo")
    chat = Chat("none", odd, results=None)
    name = chat.model
    assert name.isascii()
    assert name.isprintable()
    assert name in chat.models_known
    chat.switch(model=plain)
    chat.switch(model=name)
    await chat.ask("One?")
    assert [row["model"] for row in chat.replies] == [odd.model]
    chat.switch(model=ScriptedClient(echo, "unheard-of"))
    assert chat.model in chat.models_known


async def test_a_live_turn_after_a_switch_opens_and_stays_unshared(here: Path) -> None:
    """The earlier answers were somebody else's, and so is what goes on from them."""
    chat = Chat("art", "echo")
    await chat.ask("One?")
    chat.persona = "none"
    await chat.ask("Two?")
    (run,) = Results("results").runs("chat")
    opened = Chat.from_trial(run, run.trials().iloc[1])
    await opened.ask("Three?")
    batch = Experiment.define(
        "x", personas=["none"], models=["echo"], cases=[{"turns": ["One?", "Two?", "Three?"]}]
    )
    assert batch.forecast("results").answered == 0


async def test_what_was_never_answered_cannot_be_opened(here: Path) -> None:
    """The error says so."""
    chat = Chat("none", "echo")
    await chat.ask("One?")
    (run,) = Results("results").runs("chat")
    with pytest.raises(UsageError, match="no trial 'x'"):
        Chat.from_trial(run, "x")
    key = run.trials()["key"][0]
    with Store("results") as store:
        store._db.write("DELETE FROM answers", [])
    with pytest.raises(UsageError, match="no answer"):
        Chat.from_trial(run, key)
