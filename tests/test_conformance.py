"""What every client promises, whichever model stands behind it.

A new client joins by a line in ``BUILDERS``: a function that takes the loopback server and gives
the client, or something that behaves like one.
"""

from __future__ import annotations

import asyncio
import gc
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from rude_server import Request, RudeServer, at

from assistants import errors
from assistants.clients.base import Client
from assistants.clients.openai import OpenAIClient
from assistants.clients.scripted import ScriptedClient
from assistants.clients.tape import Tape, TapedClient
from assistants.messages import Completion, Delta, Message, Sampling

KEY = "sk-conform-Zp4Wn8Rt6Yh2Qk"
PLAIN = Sampling()


@dataclass(frozen=True)
class Builder:
    """How to build a client, and what it can do.

    ``reopens``: whether a second event loop may use it. An SDK object that somebody else built
    belongs to the loop of its first call. ``remote``: whether it calls a server at all.
    """

    name: str
    build: Callable[[RudeServer], Built]
    reopens: bool = True
    remote: bool = True


Built = tuple[Client, Callable[[], Awaitable[None]]]
"""A client, and what closes everything that was made for it."""


def _endpoint(server: RudeServer) -> Built:
    client = OpenAIClient("x:echo", endpoint=at(server.url, KEY))
    return client, client.aclose


def _supplied(server: RudeServer) -> Built:
    sdk = openai.AsyncOpenAI(base_url=server.url, api_key=KEY)
    return OpenAIClient("x:echo", sdk=sdk), sdk.close


def _taped(server: RudeServer) -> Built:
    folder = tempfile.TemporaryDirectory()
    tape = Tape(Path(folder.name) / "tape.jsonl")
    client = TapedClient(OpenAIClient("x:echo", endpoint=at(server.url, KEY)), tape)

    async def close() -> None:
        await client.aclose()
        tape.finish()
        folder.cleanup()

    return client, close


def _scripted(server: RudeServer) -> Built:
    """The function is the model: it notes what it received where the server would have."""

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        server.requests.append(Request("scripted", {}, json.dumps(body).encode()))
        return server.answer(body)

    client = ScriptedClient(answer)
    return client, client.aclose


BUILDERS = [
    Builder("openai", _endpoint),
    Builder("openai sdk", _supplied, reopens=False),
    Builder("taped", _taped),
    Builder("scripted", _scripted, remote=False),
]
REMOTE = [builder for builder in BUILDERS if builder.remote]
REOPENING = [builder for builder in BUILDERS if builder.reopens]

Ask = Callable[[Client, Sequence[Message]], Awaitable[Completion]]


async def whole(client: Client, messages: Sequence[Message]) -> Completion:
    return await client.complete(messages, PLAIN)


async def streamed(client: Client, messages: Sequence[Message]) -> Completion:
    *_, last = [part async for part in client.stream(messages, PLAIN)]
    assert isinstance(last, Completion)
    return last


@pytest.fixture(scope="module")
def server() -> Iterator[RudeServer]:
    with RudeServer() as running:
        yield running


@pytest.fixture(params=BUILDERS, ids=lambda b: b.name)
def builder(request: pytest.FixtureRequest) -> Builder:
    return request.param


@pytest.fixture
async def client(builder: Builder, server: RudeServer) -> AsyncIterator[Client]:
    built, close = builder.build(server)
    yield built
    await close()


@pytest.fixture(params=[whole, streamed])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param


def received(server: RudeServer) -> list[dict[str, str]]:
    return server.requests[-1].json["messages"]


def said(*turns: str) -> list[Message]:
    """A persona and then user and assistant in turns."""
    roles = ["system", *(["user", "assistant"] * len(turns))]
    return [Message(role, text) for role, text in zip(roles, turns, strict=False)]


ODD = [
    "plain",
    "\ud800 lone surrogate",
    "NUL \x00 and bell \x07",
    "bidi \u202e\u2066",
    "emoji 👩‍👩‍👧 é",
    '"quotes" \\ud800 </s> <|im_end|> {{x}}\r\n\t',
    " leading and trailing ",
    "x" * 100_000,
]


def test_a_client_is_one(builder: Builder, server: RudeServer) -> None:
    """Every client has the members of the protocol, and building it sends nothing."""
    before = len(server.requests)
    client, close = builder.build(server)
    assert isinstance(client, Client)
    assert len(server.requests) == before
    asyncio.run(close())  # type: ignore[arg-type]


@pytest.mark.parametrize("persona", ODD, ids=lambda t: ascii(t[:12]))
async def test_the_persona_arrives_word_for_word(
    client: Client, server: RudeServer, ask: Ask, persona: str
) -> None:
    """The system prompt reaches the model as written, and odd text comes back as it went."""
    completion = await ask(client, said(persona, "Hi."))
    assert received(server)[0] == {"role": "system", "content": persona}
    assert completion.text == server.answer(server.requests[-1].json)


async def test_history_arrives_in_order(client: Client, server: RudeServer, ask: Ask) -> None:
    """Every turn arrives, in order, under its own role."""
    turns = said("Be.", "one", "two", "three", "four", "five")
    await ask(client, turns)
    assert received(server) == [{"role": m.role, "content": m.content} for m in turns]


async def test_nothing_is_added_to_a_conversation(
    client: Client, server: RudeServer, ask: Ask
) -> None:
    """A conversation without a persona reaches the model without one."""
    await ask(client, [Message("user", "Hi.")])
    assert received(server) == [{"role": "user", "content": "Hi."}]


async def test_pieces_join_to_the_text(client: Client) -> None:
    """A stream's pieces are its text, and the last thing it yields is the completion."""
    *deltas, last = [part async for part in client.stream(said("Be.", "a b  c"), PLAIN)]
    assert isinstance(last, Completion)
    assert all(isinstance(d, Delta) for d in deltas)
    assert "".join(d.text for d in deltas) == last.text
    assert len(deltas) > 1


async def test_a_completion_is_complete(client: Client, ask: Ask) -> None:
    """Status, reason, usage, model and times are there."""
    got = await ask(client, said("Be kind.", "Hi."))
    assert (got.status, got.finish_reason, got.usage.input_tokens) == ("ok", "stop", 3)
    assert got.served_model
    assert got.started_at.endswith("+00:00")
    assert got.total_s is not None
    assert 0 <= got.total_s < 5
    assert (got.first_token_s is not None) == (ask is streamed)


async def test_calls_at_once_do_not_mix(client: Client, ask: Ask) -> None:
    """Each of many calls in flight gets its own answer."""
    texts = [f"question {i}" for i in range(40)]
    answers = await asyncio.gather(*(ask(client, said("Be.", t)) for t in texts))
    assert all(f'"{t}"' in a.text for t, a in zip(texts, answers, strict=True))


@pytest.mark.parametrize("builder", REMOTE, ids=lambda b: b.name)
async def test_cancel_returns_at_once(builder: Builder, ask: Ask) -> None:
    """A cancelled call ends within a second, and the server sees it go."""
    with RudeServer(latency=30) as slow:
        client, close = builder.build(slow)
        task = asyncio.ensure_future(ask(client, said("Be.", "Hi.")))
        await until(lambda: slow.in_flight == 1)
        start = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.perf_counter() - start < 1
        await until(lambda: slow.disconnects == 1)
        await close()


async def test_a_client_opens_again(client: Client, ask: Ask) -> None:
    """After aclose, which may come twice, the next call works."""
    for _ in range(2):
        assert (await ask(client, said("Be.", "Hi."))).status == "ok"
        await client.aclose()
        await client.aclose()


@pytest.mark.parametrize("builder", REOPENING, ids=lambda b: b.name)
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("collected")
def test_a_second_event_loop(builder: Builder, server: RudeServer, ask: Ask, closed: bool) -> None:
    """A client may be used from one event loop after another, closed in between or not."""
    client, close = builder.build(server)

    async def once() -> Completion:
        completion = await ask(client, said("Be.", "Hi."))
        if closed:
            await client.aclose()
        return completion

    for _ in range(3):
        assert asyncio.run(once()).status == "ok"
    asyncio.run(close())  # type: ignore[arg-type]


@pytest.fixture
def collected() -> Iterator[None]:
    """Python complains of connections whose event loop is gone: here, not in a later test."""
    yield
    gc.collect()


async def test_a_repr_has_no_key(client: Client, ask: Ask) -> None:
    """What a notebook shows of a client names its model and no secret."""
    await ask(client, said("Be.", "Hi."))
    assert client.model in repr(client)
    assert not any(KEY[i : i + 8] in repr(client) for i in range(len(KEY) - 7))


async def test_a_stream_may_be_left(client: Client) -> None:
    """Whoever stops listening leaves nothing behind that breaks the next call."""
    parts = client.stream(said("Be.", "one two three"), PLAIN)
    assert isinstance(await anext(parts), Delta)
    await parts.aclose()  # type: ignore[attr-defined]
    assert (await client.complete(said("Be.", "Hi."), PLAIN)).status == "ok"


@pytest.mark.parametrize("builder", REMOTE, ids=lambda b: b.name)
async def test_an_error_is_a_call_error(builder: Builder, ask: Ask) -> None:
    """A model that is not there is a CallError that says what to do."""
    with RudeServer() as gone:
        client, close = builder.build(gone)
    with pytest.raises(errors.CallError) as caught:
        await ask(client, said("Be.", "Hi."))
    assert caught.value.fix
    assert caught.value.message.startswith(client.model)
    await close()


async def until(condition: Callable[[], bool], limit: float = 5.0) -> None:
    end = time.perf_counter() + limit
    while not condition():
        assert time.perf_counter() < end, "did not happen"
        await asyncio.sleep(0.01)
