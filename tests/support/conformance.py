"""The promises that every client keeps, whichever model stands behind it, real or not.

A module that tests clients inherits from ``Promises`` and gives these fixtures:

``build``     a function that builds a client: the client, and what closes all that was made for it
``sampling``  how the answers are drawn
``reached``   ``await reached(messages, completion)`` fails unless the model behind the client
              received exactly these messages, word for word, for this completion
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import pytest

from assistants.clients import Client
from assistants.messages import Completion, Delta, Message, Sampling

Built = tuple[Client, Callable[[], Awaitable[None]]]
"""A client, and what closes everything that was made for it."""

Build = Callable[[], Built]
Reached = Callable[[Sequence[Message], Completion], Awaitable[None]]


class Ask(Protocol):
    """Gets an answer in one of the two ways, the whole or as a stream."""

    streamed: bool

    async def __call__(self, client: Client, messages: Sequence[Message]) -> Completion: ...


class Whole:
    streamed = False

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling

    async def __call__(self, client: Client, messages: Sequence[Message]) -> Completion:
        return await client.complete(messages, self._sampling)


class Streamed(Whole):
    streamed = True

    async def __call__(self, client: Client, messages: Sequence[Message]) -> Completion:
        *_, last = [part async for part in client.stream(messages, self._sampling)]
        assert isinstance(last, Completion)
        return last


def said(*turns: str) -> list[Message]:
    """Return a persona and then user and assistant in turns."""
    roles = ["system", *(["user", "assistant"] * len(turns))]
    return [Message(role, text) for role, text in zip(roles, turns, strict=False)]


async def until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    """Wait for something that happens elsewhere; only what never happens reaches the limit."""
    end = time.perf_counter() + limit
    while not condition():
        assert time.perf_counter() < end, "did not happen"
        await asyncio.sleep(0.01)


PERSONAS = [
    "plain",
    "NUL \x00 and bell \x07",
    "bidi \u202e\u2066",
    "emoji 👩‍👩‍👧 é",
    '"quotes" \\ud800 </s> <|im_end|> {{x}}\r\n\t',
    " leading and trailing ",
]
"""System prompts that any model can read."""


def named(text: str) -> str:
    return ascii(text[:12])


class Promises:
    """The tests. Each needs nothing of the model but that it answers."""

    at_once = 40
    """Calls in flight; a model on a CPU is asked for fewer."""

    @pytest.fixture
    async def client(self, build: Build) -> AsyncIterator[Client]:
        built, close = build()
        yield built
        await close()

    @pytest.fixture(params=[Whole, Streamed], ids=["whole", "streamed"])
    def ask(self, request: pytest.FixtureRequest, sampling: Sampling) -> Ask:
        return request.param(sampling)

    @pytest.fixture
    def collected(self) -> Iterator[None]:
        """Python complains of connections whose event loop is gone: here, not in a later test."""
        yield
        gc.collect()

    def test_a_client_is_one(self, build: Build) -> None:
        """Every client has the members of the protocol."""
        client, close = build()
        assert isinstance(client, Client)
        assert all(client.model.partition(":"))
        assert client.identity
        assert client.max_concurrency >= 1
        asyncio.run(close())  # type: ignore[arg-type]

    @pytest.mark.parametrize("persona", PERSONAS, ids=named)
    async def test_the_persona_arrives_word_for_word(
        self, client: Client, ask: Ask, reached: Reached, persona: str
    ) -> None:
        """The system prompt reaches the model as written, whatever is in it."""
        messages = said(persona, "Hi.")
        await reached(messages, await ask(client, messages))

    async def test_history_arrives_in_order(
        self, client: Client, ask: Ask, reached: Reached
    ) -> None:
        """Every turn arrives, in order, under its own role."""
        messages = said("Be.", "one", "two", "three", "four", "five")
        await reached(messages, await ask(client, messages))

    async def test_nothing_is_added_to_a_conversation(
        self, client: Client, ask: Ask, reached: Reached
    ) -> None:
        """A conversation without a persona reaches the model without one."""
        messages = [Message("user", "Hi.")]
        await reached(messages, await ask(client, messages))

    async def test_pieces_join_to_the_text(self, client: Client, sampling: Sampling) -> None:
        """A stream's pieces are its text, and the last thing it yields is the completion."""
        *deltas, last = [part async for part in client.stream(said("Be.", "a b  c"), sampling)]
        assert isinstance(last, Completion)
        assert all(isinstance(d, Delta) for d in deltas)
        assert "".join(d.text for d in deltas) == last.text
        assert len(deltas) > 1

    async def test_a_completion_is_complete(self, client: Client, ask: Ask) -> None:
        """Status, reason, usage, model and times are there."""
        got = await ask(client, said("Be kind.", "Hi."))
        assert (got.status, got.finish_reason) in {("ok", "stop"), ("length", "length")}
        assert got.usage.input_tokens
        assert got.usage.output_tokens
        assert got.served_model
        assert got.started_at.endswith("+00:00")
        assert got.total_s is not None
        assert got.total_s >= 0
        assert (got.first_token_s is not None) == ask.streamed

    async def test_calls_at_once_do_not_mix(
        self, client: Client, ask: Ask, reached: Reached
    ) -> None:
        """Each of many calls in flight gets its own answer."""
        conversations = [said("Be.", "question " * i + str(i)) for i in range(self.at_once)]
        answers = await asyncio.gather(*(ask(client, c) for c in conversations))
        for messages, answer in zip(conversations, answers, strict=True):
            await reached(messages, answer)

    async def test_a_client_opens_again(self, client: Client, ask: Ask) -> None:
        """After aclose, which may come twice, the next call works."""
        for _ in range(2):
            assert (await ask(client, said("Be.", "Hi."))).status in {"ok", "length"}
            await client.aclose()
            await client.aclose()

    @pytest.mark.parametrize("closed", [True, False])
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.usefixtures("collected")
    def test_a_second_event_loop(self, build: Build, ask: Ask, closed: bool) -> None:
        """A client may be used from one event loop after another, closed in between or not."""
        client, close = build()

        async def once() -> Completion:
            completion = await ask(client, said("Be.", "Hi."))
            if closed:
                await client.aclose()
            return completion

        for _ in range(3):
            assert asyncio.run(once()).status in {"ok", "length"}
        asyncio.run(close())  # type: ignore[arg-type]

    async def test_a_repr_names_the_model(self, client: Client, ask: Ask) -> None:
        """What a notebook shows of a client names its model."""
        await ask(client, said("Be.", "Hi."))
        assert client.model in repr(client)

    async def test_a_stream_may_be_left(self, client: Client, sampling: Sampling) -> None:
        """Whoever stops listening leaves nothing behind that breaks the next call."""
        parts = client.stream(said("Be.", "one two three"), sampling)
        assert isinstance(await anext(parts), Delta)
        await parts.aclose()  # type: ignore[attr-defined]
        completion = await client.complete(said("Be.", "Hi."), sampling)
        assert completion.status in {"ok", "length"}
