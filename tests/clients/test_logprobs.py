"""Log-probabilities of answers that are there: of the right tokens, or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from assistants import Message, OpenAIClient, ScriptedClient
from assistants.clients.openai.logprobs import (
    LogprobsUnavailableError,
    answer_logprobs,
    answer_tokens,
    prompt_tokens,
    prompt_tokens_without_reasoning,
)
from assistants.errors import CallError, ContextLengthError, MalformedReplyError
from support.faulty_server import FaultyServer, Request, at
from support.logprob_server import END, NEEDED, of_thinking, of_vllm, rendered

ASKED = (Message("system", NEEDED), Message("user", "Fruit?"))
SENT = [{"role": m.role, "content": m.content} for m in ASKED]


Build = Callable[..., OpenAIClient]


@pytest.fixture
async def client_at() -> AsyncIterator[Build]:
    """Build clients, and close them after the test."""
    built: list[OpenAIClient] = []

    def build(url: str, **settings: Any) -> OpenAIClient:
        built.append(OpenAIClient("vllm:m", endpoint=at(url), **settings))
        return built[-1]

    yield build
    for client in built:
        await client.aclose()


async def test_the_tokens_of_the_answer(client_at: Build) -> None:
    """The prompt's are what the template makes; the answer's are its own, and what ended it."""
    with FaultyServer(other=of_vllm) as server:
        client = client_at(server.url)
        assert await prompt_tokens(client, ASKED) == tuple(rendered(SENT, True))
        said = await answer_tokens(client, ASKED, "yes", is_finished=True)
        assert said == (*b"yes", END)
        assert await answer_tokens(client, ASKED, "yes", is_finished=False) == tuple(b"yes")
        prompt = await prompt_tokens(client, ASKED)
        assert await answer_logprobs(client, prompt, said) == (-0.5,) * 4


async def test_a_template_that_trims_tells_no_end(client_at: Build) -> None:
    """Then the answer's own tokens are all: what follows a changed answer is not what ended it."""

    def trimming(request: Request) -> dict[str, Any]:
        reply = of_vllm(request)
        if "messages" in request.json and not request.json["add_generation_prompt"]:
            return {"tokens": [t for t in reply["tokens"] if t != ord(" ")]}
        return reply

    with FaultyServer(other=trimming) as server:
        client = client_at(server.url)
        assert await answer_tokens(client, ASKED, " a b", is_finished=True) == tuple(b" a b")


async def test_an_answer_after_reasoning_stands_behind_the_thought(client_at: Build) -> None:
    """Not within it: the model's reply begins with an open thought, and the answer does not."""
    with FaultyServer(other=of_thinking) as server:
        client = client_at(server.url)
        assert bytes((await prompt_tokens(client, ASKED))[-7:]) == b"<think>"
        said = await answer_tokens(client, ASKED, "\n\nyes", is_finished=True, has_reasoning=True)
        assert said == (*b"yes", END)
        cut = await answer_tokens(client, ASKED, "yes", is_finished=False, has_reasoning=True)
        assert cut == tuple(b"yes")
        prompt = await prompt_tokens_without_reasoning(client, ASKED, "\n\nyes", said)
        assert bytes(prompt[-26:]) == b"<assistant><think></think>"
        assert await answer_logprobs(client, prompt, said) == (-0.5,) * 4


async def test_an_answer_that_does_not_stand_is_not_told(client_at: Build) -> None:
    """A template that leaves answers out, or writes them otherwise, tells nothing of them."""

    def upper(request: Request) -> dict[str, Any]:
        reply = of_thinking(request)
        if "messages" in request.json:
            return {"tokens": [*bytes(t % 256 for t in reply["tokens"]).upper()]}
        return reply

    with FaultyServer(other=upper) as server:
        client = client_at(server.url)
        with pytest.raises(LogprobsUnavailableError, match="reasons before it answers"):
            await prompt_tokens_without_reasoning(client, ASKED, "yes", tuple(b"yes"))


async def test_a_model_that_wants_a_system_message_gets_one(client_at: Build) -> None:
    """As in every call to it."""
    with FaultyServer(other=of_vllm) as server:
        client = client_at(server.url, always_system=True)
        empty = [{"role": "system", "content": ""}, SENT[1]]
        assert await prompt_tokens(client, ASKED[1:]) == tuple(rendered(empty, True))


@pytest.mark.parametrize(
    "reply",
    [
        lambda request: {},
        lambda request: {"tokens": []},
        lambda request: of_vllm(request) if "tok" in request.path else {"choices": [{"index": 0}]},
        lambda request: of_vllm(request) if "tok" in request.path else {"choices": []},
    ],
)
async def test_a_server_that_does_not_tell(
    reply: Callable[[Request], Any], client_at: Build
) -> None:
    """Is known by what is missing from its replies."""
    with FaultyServer(other=reply) as server:
        client = client_at(server.url)
        with pytest.raises(LogprobsUnavailableError, match="does not return"):
            await answer_logprobs(client, await prompt_tokens(client, ASKED), (1,))


@pytest.mark.parametrize("fault", ["404", "400"])
async def test_a_server_without_the_route(
    fault: str, server: FaultyServer, client_at: Build
) -> None:
    """Is known by the status, whatever the words."""
    client = client_at(server.url_of(fault))
    with pytest.raises(LogprobsUnavailableError):
        await prompt_tokens(client, ASKED)


@pytest.mark.parametrize("fault", ["500", "429", "401", "html"])
async def test_a_failure_is_no_refusal(fault: str, server: FaultyServer, client_at: Build) -> None:
    """A server that is down, busy or locked may well tell later."""
    client = client_at(server.url_of(fault))
    with pytest.raises(CallError) as caught:
        await prompt_tokens(client, ASKED)
    assert not isinstance(caught.value, LogprobsUnavailableError)


async def test_a_prompt_that_is_too_long(server: FaultyServer, client_at: Build) -> None:
    """Is an error of its own."""
    client = client_at(server.url_of("400 context vllm"))
    with pytest.raises(ContextLengthError):
        await prompt_tokens(client, ASKED)


async def test_a_model_without_a_server() -> None:
    """Tells nothing."""
    with pytest.raises(LogprobsUnavailableError):
        await prompt_tokens(ScriptedClient(lambda messages, sampling: "x"), ASKED)


def _place(**found: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "prompt_logprobs": [None, {"5": found}]}]}


@pytest.mark.parametrize(
    "reply",
    [
        {"tokens": "abc"},
        {"tokens": [True]},
        {"tokens": [-1]},
        {"tokens": [2**40]},
        {"choices": "no"},
        {"choices": [{"index": 0, "prompt_logprobs": []}]},
        {"choices": [{"index": 0, "prompt_logprobs": [None, None]}]},
        {"choices": [{"index": 0, "prompt_logprobs": [None, {"6": {"logprob": -1.0}}]}]},
        {"choices": [{"index": 0, "prompt_logprobs": [None, {"5": -1.0}]}]},
        _place(logprob=True),
        _place(logprob="-1"),
        _place(logprob=-1e999),
        _place(),
    ],
)
async def test_a_broken_reply_is_an_error(reply: dict[str, Any], client_at: Build) -> None:
    """Numbers of other tokens, or none: never a sum of what is left."""
    with FaultyServer(other=lambda request: reply) as server:
        client = client_at(server.url)
        asking = (
            prompt_tokens(client, ASKED)
            if "tokens" in reply
            else answer_logprobs(client, (4,), (5,))
        )
        with pytest.raises(MalformedReplyError):
            await asking
