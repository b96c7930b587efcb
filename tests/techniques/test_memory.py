"""Memory: fewer tokens, the last turns whole, and every question as the person asked it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.assistant import Assistant, Prepared
from assistants.clients import ScriptedClient, connect, echo, fetch_weights
from assistants.errors import ServerUnreachableError, UsageError
from assistants.messages import Completion, Message, Sampling
from assistants.personas import Persona
from assistants.techniques import Load, Memory

LONG = " ".join(f"word{i}" for i in range(40))
SYSTEM = "You are a pirate."


def conversation(turns: int, *, answer: str = LONG) -> list[Message]:
    """Return so many questions with their answers, and one question more."""
    messages = []
    for number in range(1, turns + 1):
        messages += [
            Message("user", f"Question {number}?"),
            Message("assistant", f"Answer {number}: {answer}"),
        ]
    return [*messages, Message("user", "And now?")]


def summariser(asked: list[str], reply: str = "") -> ScriptedClient:
    """Return a model that numbers its summaries, and notes what it was asked."""

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        asked.append(messages[-1].content)
        return reply or f"Summary of {messages[-1].content.split(': ', 2)[1].splitlines()[0]}"

    return ScriptedClient(answer, "summariser")


async def prepared(technique: Memory, messages: Sequence[Message]) -> Prepared:
    assistant = Assistant(Persona("pirate", SYSTEM), ScriptedClient(echo), techniques=(technique,))
    return await assistant.prepare(messages)


async def test_summary_keeps_the_last_turns_whole() -> None:
    asked: list[str] = []
    messages = conversation(4)
    sent = await prepared(Memory(keep=2, client=summariser(asked), words=20), messages)
    assert sent.messages[0] == Message("system", SYSTEM)
    notes, _, first = sent.messages[1].content.rpartition("\n\n")
    assert first == "Question 3?"
    assert sent.messages[2:] == tuple(messages[5:])
    assert notes.splitlines()[1:] == [
        "> turn 1: Summary of Question 1?",
        "> turn 2: Summary of Question 2?",
    ]
    assert len(asked) == 2
    assert "Answer 1" in asked[0]
    assert "Answer 2" not in asked[0]
    (record,) = sent.techniques
    facts = record.facts
    assert (facts["turns"], facts["shortened"]) == (4, 2)
    assert facts["notes"][1] == {"first": 2, "last": 2, "text": "Summary of Question 2?"}
    assert facts["characters_before"] == sum(len(m.content) for m in messages[:-1])
    assert facts["characters_after"] == sum(len(m.content) for m in sent.messages[1:-1])
    assert facts["tokens_before"] == round(facts["characters_before"] / 4)
    assert len(record.calls) == 2


async def test_short_turns_are_quoted_and_cost_nothing() -> None:
    asked: list[str] = []
    sent = await prepared(
        Memory(keep=0, client=summariser(asked), words=20), conversation(1, answer="Yes.")
    )
    assert asked == []
    assert "> turn 1: question: Question 1?\n> answer: Answer 1: Yes." in sent.messages[1].content
    assert sent.messages[1].content.endswith("\n\nAnd now?")


async def test_segments_of_several_turns_wait_until_they_are_complete() -> None:
    asked: list[str] = []
    memory = Memory(keep=1, client=summariser(asked), words=20, turns=3)
    sent = await prepared(memory, conversation(3))
    assert sent.techniques[0].facts["shortened"] == 0
    assert asked == []
    sent = await prepared(memory, conversation(6))
    assert sent.techniques[0].facts["shortened"] == 3
    assert "> turns 1 to 3: Summary" in sent.messages[1].content
    assert len(asked) == 1


@pytest.mark.parametrize("reply", ["word " * 70, "word " * 200, " "], ids=["3x", "source", "empty"])
async def test_useless_summary_sends_the_whole_history(reply: str) -> None:
    """It fails open, says why, and keeps the call that was paid for."""
    messages = conversation(3, answer=f"{LONG} {LONG}")
    sent = await prepared(Memory(keep=1, client=summariser([], reply), words=20), messages)
    assert sent.messages[1:] == tuple(messages)
    (record,) = sent.techniques
    assert record.failure
    assert len(record.calls) == 1


async def test_unreachable_summariser_sends_the_whole_history() -> None:
    def unreachable(*_: object) -> str:
        raise ServerUnreachableError("vllm:x: no server answered.")

    messages = conversation(3)
    sent = await prepared(Memory(keep=1, client=ScriptedClient(unreachable), words=20), messages)
    assert sent.messages[1:] == tuple(messages)
    assert "no server answered" in (sent.techniques[0].failure or "")


async def test_extract_finds_the_sentence_that_matters() -> None:
    """Without a model: the sentence with the question's rare words, in its place."""
    messages = [
        Message("user", "My sister Vilma keeps seven goats. The weather is fine."),
        Message("assistant", "How nice! Goats need hay and the weather matters."),
        Message("user", "I prefer the coast. The sea is blue."),
        Message("assistant", "The sea is a fine place."),
        Message("user", "What is the name of the one who keeps goats?"),
    ]
    memory = Memory(keep=0, mode="extract", words=14)
    sent = await prepared(memory, messages)
    notes = sent.messages[1].content.splitlines()
    assert notes[1] == "> turn 1: question: My sister Vilma keeps seven goats."
    assert all("coast" not in line for line in notes)
    assert sent.messages[1].content.endswith(f"\n\n{messages[-1].content}")
    assert not sent.techniques[0].calls


async def test_nothing_that_matters_is_no_note() -> None:
    messages = [
        Message("user", "Aaa bbb."),
        Message("assistant", "Ccc ddd."),
        Message("user", "Unrelated?"),
    ]
    sent = await prepared(Memory(keep=0, mode="extract"), messages)
    assert sent.messages[1:] == (messages[-1],)


async def test_window_and_full() -> None:
    messages = conversation(4)
    window = await prepared(Memory(keep=1), messages)
    assert window.messages[1:] == tuple(messages[6:])
    full = await prepared(Memory(keep=1, client=summariser([])).control("full"), messages)
    assert full.messages[1:] == tuple(messages)
    assert full.techniques[0].facts["shortened"] == 0


async def test_model_that_speaks_first() -> None:
    """Its greeting is a turn, and never the first message of what is left."""
    messages = [Message("assistant", "Welcome!"), *conversation(2)]
    sent = await prepared(Memory(keep=1), messages)
    assert sent.messages[1:] == tuple(messages[3:])
    sent = await prepared(Memory(keep=3), messages)
    assert sent.messages[1:] == tuple(messages)


def test_labels_parts_and_controls() -> None:
    client = summariser([])
    arms = [
        Memory(client=client),
        Memory(mode="extract"),
        Memory(),
        Memory().control("full"),
    ]
    assert [arm.label for arm in arms] == ["summary", "extract", "window", "full"]
    assert len({repr(arm.parts) for arm in arms}) == len(arms)
    assert Memory(keep=1).parts != Memory(keep=2).parts
    assert Memory(client=client, words=9).parts != arms[0].parts
    assert Memory(client=client, turns=2).parts != arms[0].parts
    assert replace(arms[0], label="mine").parts == arms[0].parts
    # A setting that changes nothing gives no answers of their own.
    assert Memory(keep=1, mode="full").parts == Memory(keep=2, mode="full").parts
    assert Memory(words=9).parts == Memory().parts
    assert arms[0].control("window") == Memory(keep=2)
    with pytest.raises(UsageError, match="control"):
        arms[0].control("echo")


@pytest.mark.parametrize(
    "wrong", [{"mode": "sumary"}, {"mode": "summary"}, {"keep": -1}, {"words": 0}, {"turns": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="memory"):
        Memory(**wrong)  # type: ignore[arg-type]


def test_forecast_counts_each_segment_once() -> None:
    memory = Memory(keep=1, client=summariser([]), words=30, turns=2)
    loads = [memory.forecast(Load(turns * 200, 10, turns)) for turns in range(6)]
    assert [len(load.calls) for load in loads] == [0, 0, 0, 1, 0, 1]
    assert [load.history < turns * 200 for turns, load in enumerate(loads)] == [
        False, False, False, True, True, True,
    ]  # fmt: skip
    assert Memory(keep=1).forecast(Load(600, 10, 3)).history == 200
    assert memory.control("full").forecast(Load(600, 10, 3)) == Load(600, 10, 3)


TEXT = st.text(max_size=60) | st.sampled_from([LONG, "One. Two. Three?", "> quoted\n\nQuestion?"])
TURNS = st.lists(st.tuples(TEXT, TEXT), max_size=6)
MEMORIES = st.builds(
    lambda mode, keep, words, turns: Memory(
        keep,
        mode,
        ScriptedClient(lambda m, s: f"S {len(m[-1].content)}") if mode == "summary" else None,
        words,
        turns,
    ),
    st.sampled_from(["summary", "extract", "window", "full"]),
    st.integers(0, 3),
    st.integers(1, 30),
    st.integers(1, 3),
)


@given(MEMORIES, TURNS, TEXT)
async def test_laws_of_all_modes(
    memory: Memory, pairs: list[tuple[str, str]], question: str
) -> None:
    """The system message and the last question are untouched, kept turns are whole, in order."""
    history = [
        message
        for asked, answered in pairs
        for message in (Message("user", asked), Message("assistant", answered))
    ]
    sent = await prepared(memory, [*history, Message("user", question)])
    system, *rest = sent.messages
    assert system == Message("system", SYSTEM)
    assert rest[-1].content.endswith(question)
    assert [m.role for m in rest] == ["user", "assistant"] * (len(rest) // 2) + ["user"]
    whole = len(rest) // 2
    assert whole >= min(memory.keep, len(pairs))
    expected = [*history, Message("user", question)][-len(rest) :]
    assert rest[1:] == expected[1:]
    first = rest[0].content
    assert first.endswith(expected[0].content)
    notes = first.removesuffix(expected[0].content)
    assert not notes or notes.endswith("\n\n")
    assert all(line.startswith(">") for line in notes.rstrip("\n").splitlines()[1:])


@given(TURNS.filter(bool), st.integers(0, 2), st.integers(1, 3))
async def test_summaries_are_append_only(
    pairs: list[tuple[str, str]], keep: int, turns: int
) -> None:
    """The notes of one question begin those of the next, and no call has a summary in it."""
    asked: list[str] = []

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        asked.append(messages[-1].content)
        return "SUMMARY"

    memory = Memory(keep, client=ScriptedClient(answer, "s"), words=5, turns=turns)
    history: list[Message] = []
    before: list[object] = []
    for question, reply in pairs:
        history += [Message("user", question), Message("assistant", reply)]
        sent = await prepared(memory, [*history, Message("user", "next")])
        notes = sent.techniques[0].facts["notes"]
        assert notes[: len(before)] == before
        assert len(before) <= len(notes) <= len(before) + 1
        before = notes
    assert not any("SUMMARY" in request for request in asked)
    assert len(set(asked)) <= len(pairs)


@pytest.mark.slow
async def test_embedded_model_summarises() -> None:
    """The model that comes with the package does it, or the whole history is sent and says so."""
    fetch_weights("smollm2")
    client = connect("smollm2")
    story = "The ship left Lisbon in May with forty sailors, and a storm broke its mast. " * 3
    messages = conversation(2, answer=story)
    try:
        memory = Memory(1, client=client, words=30, sampling=Sampling(temperature=0, max_tokens=60))
        sent = await prepared(memory, messages)
    finally:
        await client.aclose()
    (record,) = sent.techniques
    (call,) = record.calls
    assert isinstance(call.completion, Completion)
    assert sent.messages[-1] == messages[-1]
    if record.failure:
        assert sent.messages[1:] == tuple(messages)
    else:
        assert record.facts["characters_after"] < record.facts["characters_before"]
