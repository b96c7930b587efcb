"""A live history: what is sent, what is kept, and that nothing is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient, ScriptedClient, echo
from assistants.errors import UsageError
from assistants.messages import Message, Sampling
from assistants.personas import Persona
from assistants.widgets.chat.conversation import Conversation
from assistants.widgets.chat.turns import Answer, AssistantSwitch, Entry, Turn
from support.faulty_server import FaultyServer, at
from support.slow_server import SlowServer, until

KIND = Persona("kind", "Be kind.")
CURT = Persona("curt", "Be curt.")
WORDS = " ".join(f"word{n}" for n in range(200))


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.text = ""
        self.gone: list[Entry] = []

    def on_change(self, entry: Entry) -> None:
        if isinstance(entry, Turn):
            self.states += [answer.state for answer in entry.answers]

    def on_text(self, answer: Answer, text: str) -> None:
        self.text += text

    def on_drop(self, entries: Sequence[Entry]) -> None:
        self.gone += entries


def scripted(persona: Persona = KIND) -> Assistant:
    return Assistant(persona, ScriptedClient(echo, "echo"))


def on(url: str, name: str = "x:m") -> Assistant:
    return Assistant(KIND, OpenAIClient(name, endpoint=at(url)))


async def test_a_follow_up_goes_on_from_what_was_said() -> None:
    """The model sees the whole conversation, and the persona word for word."""
    talk = Conversation(scripted())
    first = await talk.ask("One?")
    second = await talk.ask("Two?")
    assert first.answer.text.startswith("system: Be kind.\n\nuser: One?")
    assert [(m.role, m.content) for m in second.answer.history] == [
        ("user", "One?"), ("assistant", first.answer.text), ("user", "Two?"),
    ]  # fmt: skip


async def test_the_listener_hears_every_letter_and_every_state(server: FaultyServer) -> None:
    """What it heard, put together, is the answer that the server sent."""
    server.answer = lambda request: WORDS
    heard = Heard()
    assistant = on(server.url)
    turn = await Conversation(assistant, listener=heard).ask("Words?")
    await assistant.client.aclose()
    assert heard.text == turn.answer.text == WORDS
    assert [heard.states[0], heard.states[-1]] == ["waiting", "done"]
    assert "streaming" in heard.states
    assert turn.answer.completion is not None
    assert turn.answer.completion.usage.output_tokens == 200


async def test_stopping_keeps_the_text_and_closes_the_connection() -> None:
    """The partial text is marked, is no part of what follows, and no task or call is left."""
    with SlowServer(lambda request: WORDS) as server:
        assistant = on(server.url)
        talk = Conversation(assistant)
        asked = asyncio.create_task(talk.ask("Words?"))
        await until(lambda: bool(talk.turns) and bool(talk.turns[0].answer.text))
        await talk.stop()
        turn = await asked
        assert turn.answer.state == "stopped"
        assert WORDS.startswith(turn.answer.text)
        assert not turn.answer.is_complete
        await until(lambda: server.in_flight == 0)
        assert server.disconnects == 1
        server.every = 0
        following = await talk.ask("And?")
        assert following.answer.history == (Message("user", "And?"),)
        await assistant.client.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_whoever_asked_stops_the_answer() -> None:
    """An interrupt of the cell that waits ends the call too."""
    with SlowServer(lambda request: WORDS) as server:
        assistant = on(server.url)
        talk = Conversation(assistant)
        asked = asyncio.create_task(talk.ask("Words?", repeats=3))
        await until(lambda: server.in_flight == 3)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await until(lambda: server.in_flight == 0)
        await assistant.client.aclose()
    assert [answer.state for answer in talk.turns[0].answers] == ["stopped"] * 3
    assert not talk.is_busy
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_waits_for_its_turn_can_be_stopped() -> None:
    """One call at a time; the one that was never sent is stopped as well."""
    with SlowServer(lambda request: WORDS) as server:
        assistant = on(server.url)
        talk = Conversation(assistant, semaphore=asyncio.Semaphore(1))
        asked = asyncio.create_task(talk.ask("Words?", repeats=2))
        await until(lambda: bool(server.requests))
        await talk.stop()
        turn = await asked
        await assistant.client.aclose()
        assert [answer.state for answer in turn.answers] == ["stopped", "stopped"]
        assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["500", "html", "cut in body", "429"])
async def test_a_failure_says_why_and_what_to_do(server: FaultyServer, fault: str) -> None:
    """It is the turn's error, and not an exception of whoever asked; the next question works."""
    assistant = on(server.url_of(fault))
    talk = Conversation(assistant)
    turn = await talk.ask("Hello?")
    await assistant.client.aclose()
    assert turn.answer.state == "failed"
    assert turn.answer.error.startswith("x:m")
    talk.set_assistant(scripted(), "another model")
    again = await talk.ask("Hello?")
    assert again.answer.state == "done"
    assert len(again.answer.history) == 1


async def test_a_mistake_in_a_program_is_no_failure_of_a_model() -> None:
    """It goes up to whoever asked, and leaves nothing open."""

    def wrong(messages: Sequence[Message], sampling: Sampling) -> str:
        raise ZeroDivisionError

    talk = Conversation(Assistant(KIND, ScriptedClient(wrong, "wrong")))
    with pytest.raises(ZeroDivisionError):
        await talk.ask("Hello?", repeats=2)
    assert not talk.is_busy


async def test_regenerating_draws_one_more_and_goes_on_from_it() -> None:
    """The former answer stays; the conversation goes on from the new one."""
    count = iter(range(9))
    client = ScriptedClient(lambda messages, sampling: f"answer {next(count)}", "count")
    talk = Conversation(Assistant(KIND, client))
    await talk.ask("Hello?")
    turn = await talk.regenerate()
    assert [answer.text for answer in turn.answers] == ["answer 0", "answer 1"]
    following = await talk.ask("And?")
    assert following.answer.history[1].content == "answer 1"


async def test_a_failed_draw_does_not_replace_an_answer(server: FaultyServer) -> None:
    """Regenerating against a broken server leaves the answer that there was."""
    talk = Conversation(scripted())
    await talk.ask("Hello?")
    broken = on(server.url_of("500"))
    talk.assistant = broken
    turn = await talk.regenerate()
    await broken.client.aclose()
    assert [answer.state for answer in turn.answers] == ["done", "failed"]
    assert turn.answer.state == "done"


async def test_an_interrupt_forgets_no_answer() -> None:
    """The conversation goes on from the answer that is whole, whichever draw was on its way."""
    count = iter(range(9))
    with SlowServer(lambda request: WORDS if next(count) == 1 else "Yes.") as server:
        assistant = on(server.url)
        talk = Conversation(assistant)
        await talk.ask("One?")
        again = asyncio.create_task(talk.regenerate())
        await until(lambda: len(talk.turns[0].answers) == 2 and bool(talk.turns[0].answer.text))
        again.cancel()
        with pytest.raises(asyncio.CancelledError):
            await again
        assert talk.turns[0].answer.text == "Yes."
        following = await talk.ask("Two?")
        assert [m.content for m in following.answer.history] == ["One?", "Yes.", "Two?"]
        await assistant.client.aclose()


@pytest.mark.parametrize("whole", [0, 1, 2])
async def test_an_interrupt_of_several_draws_keeps_the_whole_one(whole: int) -> None:
    """Any of them: the next question goes on from it."""
    with SlowServer(lambda r: "Yes." if r["seed"] == whole else WORDS) as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        talk = Conversation(Assistant(KIND, client, Sampling(seed=0)))
        asked = asyncio.create_task(talk.ask("One?", repeats=3))
        await until(lambda: bool(talk.turns) and talk.turns[0].answers[whole].is_complete)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await client.aclose()
    assert [answer.is_complete for answer in talk.turns[0].answers].count(True) == 1
    assert talk.turns[0].chosen == whole


async def test_editing_a_question_drops_what_came_after() -> None:
    """The edited question is asked in the old one's place."""
    heard = Heard()
    talk = Conversation(scripted(), listener=heard)
    for question in ("One?", "Two?", "Three?"):
        await talk.ask(question)
    turn = await talk.edit(1, "Zwei?")
    assert [each.question for each in talk.turns] == ["One?", "Zwei?"]
    assert [m.content for m in turn.answer.history if m.role == "user"] == ["One?", "Zwei?"]
    assert len(heard.gone) == 2


async def test_a_switch_is_part_of_the_transcript() -> None:
    """Who answered what can be told afterwards; two switches in a row are one."""
    talk = Conversation(scripted())
    await talk.ask("One?")
    talk.set_assistant(scripted(CURT), "curt from here on")
    talk.set_assistant(scripted(KIND), "kind from here on")
    talk.set_assistant(scripted(CURT), "curt from here on")
    turn = await talk.ask("Two?")
    kinds = [type(entry) for entry in talk.entries]
    assert kinds == [Turn, AssistantSwitch, Turn]
    assert turn.answer.assistant.persona is CURT
    assert talk.turns[0].answer.assistant.persona is KIND


async def test_one_thing_at_a_time() -> None:
    """While an answer is on its way there is nothing to ask, to clear or to switch."""
    with SlowServer(lambda request: WORDS) as server:
        assistant = on(server.url)
        talk = Conversation(assistant)
        asked = asyncio.create_task(talk.ask("Words?"))
        await until(lambda: talk.is_busy)
        for attempt in (talk.ask("Two?"), talk.regenerate(), talk.edit(0, "Three?")):
            with pytest.raises(UsageError, match="on its way"):
                await attempt
        with pytest.raises(UsageError, match="on its way"):
            talk.clear()
        await talk.stop()
        await asked
        await assistant.client.aclose()
    talk.clear()
    assert talk.entries == []


@pytest.mark.parametrize("question", ["", " \n "])
async def test_an_empty_question_is_refused(question: str) -> None:
    """Before anything is asked."""
    talk = Conversation(scripted())
    with pytest.raises(UsageError, match="empty"):
        await talk.ask(question)
    assert talk.entries == []
