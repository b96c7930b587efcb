"""What every client promises, whichever model stands behind it.

The promises that a real model can be held to stand in ``conformance.Promises``, and are kept by a
real vLLM in ``tests/on_vllm`` too. Here the model is a loopback server that shows what it received.

A new client joins by a line in ``BUILDERS``: a function that takes the loopback server and gives
the client, or something that behaves like one.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest

from assistants import errors
from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.scripted import ScriptedClient
from assistants.clients.tape import Tape, TapedClient
from assistants.clients.vllm import offline_client
from assistants.messages import Completion, Message, Sampling
from support.conformance import Ask, Build, Built, Promises, Reached, named, said, until
from support.fake_vllm import fake_python, fake_weights
from support.faulty_server import FaultyServer, Request, at

_FOLDER = tempfile.TemporaryDirectory()
_OFFLINE = Path(_FOLDER.name)
KEY = "sk-conform-Zp4Wn8Rt6Yh2Qk"


@dataclass(frozen=True)
class Builder:
    """How to build a client, and what it can do.

    ``reopens``: whether a second event loop may use it. An SDK object that somebody else built
    belongs to the loop of its first call. ``remote``: whether it calls a server at all.
    """

    name: str
    build: Callable[[FaultyServer], Built]
    reopens: bool = True
    remote: bool = True


def _endpoint(server: FaultyServer) -> Built:
    client = OpenAIClient("x:echo", endpoint=at(server.url, KEY))
    return client, client.aclose


def _supplied(server: FaultyServer) -> Built:
    sdk = openai.AsyncOpenAI(base_url=server.url, api_key=KEY)
    return OpenAIClient("x:echo", sdk=sdk), sdk.close


def _taped(server: FaultyServer) -> Built:
    folder = tempfile.TemporaryDirectory()
    tape = Tape(Path(folder.name) / "tape.jsonl")
    client = TapedClient(OpenAIClient("x:echo", endpoint=at(server.url, KEY)), tape)

    async def close() -> None:
        await client.aclose()
        tape.finish()
        folder.cleanup()

    return client, close


def _scripted(server: FaultyServer) -> Built:
    """The function is the model: it notes what it received where the server would have."""

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        body = {"messages": [{"role": m.role, "content": m.content} for m in messages]}
        server.requests.append(Request("scripted", {}, json.dumps(body).encode()))
        return server.answer(body)

    client = ScriptedClient(answer)
    return client, client.aclose


def _offline(server: FaultyServer) -> Built:
    """The stand-in for a private vLLM server passes requests on to the loopback server."""
    weights = fake_weights(_OFFLINE / str(server.port), forward=server.url)
    client = offline_client.OfflineClient("smol", weights, (), fake_python(_OFFLINE))
    return client, client.aclose


BUILDERS = [
    Builder("openai", _endpoint),
    Builder("openai sdk", _supplied, reopens=False),
    Builder("taped", _taped),
    Builder("scripted", _scripted, remote=False),
    Builder("offline", _offline),
]
REMOTE = [builder for builder in BUILDERS if builder.remote]
REOPENING = [builder for builder in BUILDERS if builder.reopens]

LONG_OR_BROKEN = ["\ud800 lone surrogate", "x" * 100_000]
"""System prompts that no real model reads, but that a client sends as they are."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def stopped_after() -> Iterator[None]:
    yield
    offline_client.stop()
    _FOLDER.cleanup()


@pytest.fixture(params=BUILDERS, ids=lambda b: b.name)
def builder(request: pytest.FixtureRequest) -> Builder:
    return request.param


@pytest.fixture
def build(builder: Builder, server: FaultyServer) -> Build:
    return lambda: builder.build(server)


@pytest.fixture
def sampling() -> Sampling:
    return Sampling()


@pytest.fixture
def reached(server: FaultyServer) -> Reached:
    """The server has the messages in its log, and answered with what it received."""

    async def check(messages: Sequence[Message], completion: Completion) -> None:
        sent = [{"role": m.role, "content": m.content} for m in messages]
        assert sent in [request.json["messages"] for request in server.requests]
        assert completion.text == server.answer({"messages": sent})
        server.requests[:] = [r for r in server.requests if r.json["messages"] != sent]

    return check


class TestClients(Promises):
    """The promises to all, and those that only a server with a log can show."""

    def test_building_sends_nothing(self, build: Build, server: FaultyServer) -> None:
        """Building a client costs nothing."""
        before = (len(server.requests), server.connections)
        _, close = build()
        assert (len(server.requests), server.connections) == before
        asyncio.run(close())  # type: ignore[arg-type]

    @pytest.mark.parametrize("persona", LONG_OR_BROKEN, ids=named)
    async def test_any_persona_arrives_word_for_word(
        self, client: Client, ask: Ask, reached: Reached, persona: str
    ) -> None:
        """The system prompt reaches the model as written, even one that it cannot read."""
        messages = said(persona, "Hi.")
        await reached(messages, await ask(client, messages))

    async def test_only_what_was_asked_is_sent(
        self, client: Client, server: FaultyServer, ask: Ask
    ) -> None:
        """One request a call, with these messages and no others."""
        server.requests.clear()
        await ask(client, [Message("user", "Hi.")])
        (request,) = server.requests
        assert request.json["messages"] == [{"role": "user", "content": "Hi."}]

    async def test_an_end_is_told_as_it_was(self, client: Client, ask: Ask) -> None:
        """Status, reason and tokens are the server's own."""
        got = await ask(client, said("Be kind.", "Hi."))
        assert (got.status, got.finish_reason, got.usage.input_tokens) == ("ok", "stop", 3)

    async def test_a_repr_has_no_key(self, client: Client, ask: Ask) -> None:
        """What a notebook shows of a client holds no secret."""
        await ask(client, said("Be.", "Hi."))
        assert not any(KEY[i : i + 8] in repr(client) for i in range(len(KEY) - 7))

    @pytest.mark.parametrize("builder", REOPENING, ids=lambda b: b.name)
    @pytest.mark.parametrize("closed", [True, False])
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.usefixtures("collected")
    def test_a_second_event_loop(self, build: Build, ask: Ask, closed: bool) -> None:
        """Those that may be used from one event loop after another are."""
        super().test_a_second_event_loop(build, ask, closed)

    @pytest.mark.parametrize("builder", REMOTE, ids=lambda b: b.name)
    async def test_cancel_returns_at_once(self, builder: Builder, ask: Ask) -> None:
        """A cancelled call ends without its answer, and the server sees it go."""
        with FaultyServer(latency=3600) as slow:
            client, close = builder.build(slow)
            task = asyncio.ensure_future(ask(client, said("Be.", "Hi.")))
            await until(lambda: slow.in_flight == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: slow.disconnects == 1)
            await close()

    @pytest.mark.parametrize("builder", REMOTE, ids=lambda b: b.name)
    async def test_an_error_is_a_call_error(self, builder: Builder, ask: Ask) -> None:
        """A model that is not there is a CallError that says what to do."""
        with FaultyServer() as gone:
            client, close = builder.build(gone)
        with pytest.raises(errors.CallError) as caught:
            await ask(client, said("Be.", "Hi."))
        assert caught.value.fix
        assert caught.value.message.startswith(client.model)
        await close()
