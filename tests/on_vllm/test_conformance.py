"""The clients keep their promises with a real model: on a vLLM server, and on vLLM offline.

What a loopback server shows in its log, a real one shows by what it makes of it: the tokens it
counted are those of a prompt written out by hand, and its greedy answer is the answer to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import OpenAIClient
from assistants.clients.vllm import offline_client as offline
from assistants.clients.vllm.offline_client import offline_client
from assistants.errors import CallError, ContextLengthError
from assistants.messages import Completion, Message, Sampling
from support.conformance import Ask, Build, Built, Promises, Reached, said
from support.faulty_server import at

pytestmark = pytest.mark.timeout(900)  # a start takes minutes where two cores do all the work

OPTIONS = "--max-model-len 2048 --dtype bfloat16 --enforce-eager"
GREEDY = Sampling(temperature=0, max_tokens=6)
LONG = Sampling(temperature=0, max_tokens=1500)


@pytest.fixture(scope="session", autouse=True)
def options() -> Iterator[None]:
    """The engine's options, and no second start because of a slow test in between."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_OFFLINE_ARGS", OPTIONS)
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setattr(offline, "LINGER_S", 600.0)
        yield
    offline.stop()


def on_server(server: Any, weights: Path) -> OpenAIClient:
    return OpenAIClient(f"vllm:{server.model}", endpoint=at(server.url, server.key))


def on_offline(server: Any, weights: Path) -> OpenAIClient:
    return offline_client(str(weights))


@pytest.fixture(params=[on_server, on_offline], ids=["server", "offline"])
def build(request: pytest.FixtureRequest, server: Any, weights: Path) -> Build:
    make: Callable[[Any, Path], OpenAIClient] = request.param

    def built() -> Built:
        client = make(server, weights)
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


@pytest.fixture(scope="session")
def answered() -> dict[str, tuple[int, str]]:
    """Tokens of and greedy answers to prompts, as the server gave them."""
    return {}


@pytest.fixture
async def reached(server: Any, weights: Path, answered: dict[str, tuple[int, str]]) -> Any:
    reference = on_server(server, weights)

    async def check(messages: Sequence[Message], completion: Completion) -> None:
        prompt = written_out(messages)
        if prompt not in answered:
            asked = {"prompt": prompt, "add_special_tokens": False}
            reply = await reference.post("/completions", {**asked, **GREEDY.as_dict()})
            tokens = (await reference.post("../tokenize", asked))["count"]
            answered[prompt] = (tokens, reply["choices"][0]["text"])
        assert (completion.usage.input_tokens, completion.text) == answered[prompt]

    yield check
    await reference.aclose()


class TestClients(Promises):
    """The promises to all, and what only a real model can show."""

    at_once = 12

    async def test_the_persona_counts(self, client: OpenAIClient, reached: Reached) -> None:
        """What `reached` goes by tells one persona from another."""
        completion = await client.complete(said("You are a pirate.", "Hi."), GREEDY)
        with pytest.raises(AssertionError):
            await reached(said("You are a parrot on a shoulder.", "Hi."), completion)

    async def test_cancel_frees_the_model(self, client: OpenAIClient) -> None:
        """A cancelled call ends within a second, and the engine drops the request."""
        tasks = [
            asyncio.ensure_future(client.complete(said("Be.", f"Tell {i} long stories."), LONG))
            for i in range(4)
        ]
        await self.until_running(client, lambda running: running >= 4)
        start = time.perf_counter()
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert time.perf_counter() - start < 1
        await self.until_running(client, lambda running: running == 0)

    async def until_running(
        self, client: OpenAIClient, enough: Callable[[float], bool], seconds: float = 10
    ) -> None:
        end = time.perf_counter() + seconds
        while not enough(await in_flight(client)):
            assert time.perf_counter() < end, "did not happen"
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


async def in_flight(client: OpenAIClient) -> float:
    """Requests that vLLM works on, as it says itself."""
    lines = (await client.get("../metrics")).decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{")
    )
