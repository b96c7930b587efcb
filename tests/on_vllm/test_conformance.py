"""The clients keep their promises with a real model: on a vLLM server, and on a private one.

A loopback server shows in its log what it received. A real one shows the tokens of its prompt: they
are those of the conversation written out by hand, and as many as the answer's usage says. Words are
not compared: a greedy answer depends on the processor, and on what else is in the batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest

from assistants.clients import OpenAIClient, read_metrics
from assistants.clients.vllm.offline_client import offline_client
from assistants.errors import CallError, ContextLengthError
from assistants.messages import Completion, Message, Sampling
from support.conformance import Ask, Build, Built, Promises, Reached, said
from support.faulty_server import at
from support.vllm_serving import Served

GREEDY = Sampling(temperature=0, max_tokens=6)
LONG = Sampling(temperature=0, max_tokens=1500)


@pytest.fixture(params=["server", "offline"])
def build(request: pytest.FixtureRequest) -> Build:
    def built() -> Built:
        client: OpenAIClient
        if request.param == "server":
            server: Served = request.getfixturevalue("server")
            client = OpenAIClient(f"vllm:{server.model}", endpoint=at(server.url, server.key))
        else:
            client = offline_client(str(request.getfixturevalue("private")))
        return client, client.aclose

    return built


@pytest.fixture
def sampling() -> Sampling:
    return GREEDY


def written_out(messages: Sequence[Message]) -> str:
    """The prompt that SmolLM2's template makes, down to the persona it inserts by itself."""
    turns = [(m.role, m.content) for m in messages]
    if turns[0][0] != "system":
        own = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
        turns.insert(0, ("system", own))
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    return text + "<|im_start|>assistant\n"


@pytest.fixture
async def reached(client: OpenAIClient) -> Reached:
    """The server made its prompt of exactly these messages."""

    async def check(messages: Sequence[Message], completion: Completion) -> None:
        text = {"prompt": written_out(messages), "add_special_tokens": False}
        tokens = (await client.post("../tokenize", text))["tokens"]
        asked = {
            "messages": client.request_messages(messages),
            "max_tokens": 1,
            "return_token_ids": True,
        }
        assert (await client.post("/chat/completions", asked))["prompt_token_ids"] == tokens
        assert completion.usage.input_tokens == len(tokens)
        assert completion.usage.output_tokens

    return check


class TestClients(Promises):
    """The promises to all, and what only a real model can show."""

    at_once = 12

    async def test_the_persona_counts(self, client: OpenAIClient, reached: Reached) -> None:
        """What `reached` goes by tells one persona from another."""
        completion = await client.complete(said("You are a pirate.", "Hi."), GREEDY)
        with pytest.raises(AssertionError):
            await reached(said("You are a parrot on a shoulder.", "Hi."), completion)

    async def test_cancel_frees_the_model(self, client: OpenAIClient) -> None:
        """A cancelled call ends, and the engine drops it long before the answer is whole."""
        tasks = [
            asyncio.ensure_future(client.complete(said("Be.", f"Tell {i} long stories."), LONG))
            for i in range(4)
        ]
        await self.until_running(client, lambda running: running >= 4)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        await self.until_running(client, lambda running: running == 0)

    async def until_running(
        self, client: OpenAIClient, enough: Callable[[float], bool], seconds: float = 60
    ) -> None:
        end = time.monotonic() + seconds
        while not enough((await read_metrics(client)).running or 0):
            assert time.monotonic() < end, "did not happen"
            await asyncio.sleep(0.1)

    async def test_too_long_a_conversation(self, client: OpenAIClient, ask: Ask) -> None:
        """What does not fit the model is told as such, and not tried again."""
        with pytest.raises(ContextLengthError) as caught:
            await ask(client, said("word " * 4000, "Hi."))
        assert not caught.value.retryable

    async def test_a_text_that_is_none(self, client: OpenAIClient, ask: Ask) -> None:
        """A lone surrogate, which no tokeniser reads, is a CallError, and the model goes on."""
        with pytest.raises(CallError):
            await ask(client, said("\ud800 lone surrogate", "Hi."))
        assert (await ask(client, said("Be.", "Hi."))).text
