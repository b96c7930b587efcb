"""The tests' OpenAI server speaks OpenAI's protocol: the official SDK, unchanged, says so."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from support.openai_families import FAMILIES
from support.openai_server import Limits, OpenAIServer, Reply, Request, duration

ASK: Any = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "Why is the sky blue, in so many words?"},
]
OPENAI = sorted(name for name, family in FAMILIES.items() if family.host == "openai")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


TLS = ssl.create_default_context()
"""Reading the certificates takes longer than a test."""


@contextmanager
def sdk(server: OpenAIServer, **more: Any) -> Iterator[openai.OpenAI]:
    defaults = {
        "base_url": server.url, "api_key": server.key, "max_retries": 0,
        "http_client": openai.DefaultHttpxClient(verify=TLS),
    }  # fmt: skip
    with openai.OpenAI(**{**defaults, **more}) as client:
        yield client


def ask(server: OpenAIServer, model: str, messages: Any = ASK, **more: Any) -> ChatCompletion:
    """Ask, and read the reply's bytes as strictly as the SDK's types allow."""
    with sdk(server) as client:
        raw = client.chat.completions.with_raw_response.create(
            **{"model": model, "messages": messages, **more}
        )
        return ChatCompletion.model_validate_json(raw.text, strict=True)


@dataclass(frozen=True)
class Refused:
    """A parameter, and the code with which a model refuses it."""

    model: str
    sent: dict[str, Any]
    param: str | None
    code: str | None


REASONS = "o3 gpt-5 gpt-5-mini gpt-6-astra gpt-5.5 gpt-6-sol gpt-6-luna".split()
STOPLESS = "o3 gpt-5 gpt-5-mini gpt-5.1 gpt-5.5".split()
VALUE, PARAMETER = "unsupported_value", "unsupported_parameter"
REFUSED = [
    *(Refused(m, {"temperature": 0.7}, "temperature", VALUE) for m in REASONS if m != "o3"),
    Refused("o3", {"temperature": 0.7}, "temperature", PARAMETER),
    *(
        Refused(model, {name: value}, name, PARAMETER)
        for model in REASONS
        for name, value in {"top_p": 0.5, "presence_penalty": 1, "logprobs": True}.items()
    ),
    *(Refused(model, {"stop": ["blue"]}, "stop", PARAMETER) for model in STOPLESS),
    *(
        Refused(model, {"max_tokens": 160}, "max_tokens", PARAMETER)
        for model in OPENAI
        if model not in ("gpt-4.1", "o1-mini")
    ),
    Refused("gpt-5.1", {"temperature": 0.7, "reasoning_effort": "low"}, "temperature", VALUE),
    Refused("gpt-6-astra", {"reasoning_effort": "none"}, "reasoning_effort", VALUE),
    Refused("gpt-5.1", {"reasoning_effort": "minimal"}, "reasoning_effort", VALUE),
    Refused("gpt-4.1", {"reasoning_effort": "low"}, "reasoning_effort", PARAMETER),
    Refused("gpt-4.1", {"verbosity": "low"}, "verbosity", VALUE),
    Refused("gpt-6-luna", {"extra_body": {"top_k": 5}}, None, None),
    Refused("o1-mini", {}, "messages[0].role", VALUE),
    Refused("deepseek-chat", {"max_completion_tokens": 9}, "max_completion_tokens", PARAMETER),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.model}-{case.sent}")
def test_a_refusal_gives_code_and_param(server: OpenAIServer, case: Refused) -> None:
    """The SDK raises ``BadRequestError``, and what was refused can be told without its words."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(server, case.model, **case.sent)
    error = caught.value
    assert (error.code, error.param) == (case.code, case.param)
    assert error.type == "invalid_request_error"
    assert server.refused[case.model] == 1
    assert not server.answered


@pytest.mark.parametrize("model", ["gpt-5.1", "gpt-4.1", "gpt-6-luna", "gpt-6-sol", "gpt-5.5"])
def test_temperature_is_taken_without_reasoning(server: OpenAIServer, model: str) -> None:
    """A model that does not reason, or not now, takes every parameter of sampling."""
    effort = {} if model in ("gpt-4.1", "gpt-5.1") else {"reasoning_effort": "none"}
    sent = {"temperature": 0.7, "top_p": 0.5, "frequency_penalty": 0.1, **effort}
    completion = ask(server, model, **sent)
    assert completion.choices[0].finish_reason == "stop"
    assert server.calls[-1].applied is not None
    assert server.calls[-1].applied["temperature"] == 0.7


@pytest.mark.parametrize("model", sorted(FAMILIES))
def test_every_family_answers(server: OpenAIServer, model: str) -> None:
    """A question with nothing but a user's message is answered by every model of the table."""
    completion = ask(server, model, ASK[1:])
    assert completion.choices[0].message.content == ASK[1]["content"]
    assert completion.model == FAMILIES[model].snapshot
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    reasoned = (completion.usage.completion_tokens_details.reasoning_tokens or 0) > 0
    assert reasoned == (FAMILIES[model].effort != "none")


def test_the_words_of_a_refusal_change(server: OpenAIServer) -> None:
    """Nobody can go by the wording: the same refusal is worded in several ways."""
    messages = set()
    for _ in range(4):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(server, "gpt-5", temperature=0.7)
        messages.add(caught.value.body["message"])  # type: ignore[index,call-overload]
    assert len(messages) > 1


def test_reasoning_uses_the_cap_first(server: OpenAIServer) -> None:
    """A small cap is used up by reasoning: an answer without text, which is paid for."""
    completion = ask(server, "gpt-6-luna", max_completion_tokens=160)
    assert completion.choices[0].message.content == ""
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 160
    assert completion.usage.completion_tokens == 160
    cut = ask(server, "gpt-6-luna", max_completion_tokens=642)
    assert cut.choices[0].message.content == "Why is"
    assert cut.choices[0].finish_reason == "length"
    assert ask(server, "gpt-6-luna", max_completion_tokens=900).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("counted", [True, False])
def test_a_stream_is_the_reply_in_pieces(server: OpenAIServer, counted: bool) -> None:
    """Chunks keep to the SDK's type, add up to the text, and end with the usage if asked for."""
    options: Any = {"stream_options": {"include_usage": True}} if counted else {}
    with sdk(server) as client:
        stream = client.chat.completions.create(
            model="gpt-4.1", messages=ASK, stream=True, logprobs=True, **options
        )
        chunks = [ChatCompletionChunk.model_validate(c.model_dump(), strict=True) for c in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == ASK[1]["content"]
    assert choices[-1].finish_reason == "stop"
    assert [chunk.usage is not None for chunk in chunks] == [False] * len(choices) + [
        True
    ] * counted


async def test_an_async_client_streams(server: OpenAIServer) -> None:
    """The asynchronous client too."""
    async with openai.AsyncOpenAI(base_url=server.url, api_key=server.key) as client:
        stream = await client.chat.completions.create(model="gpt-4.1", messages=ASK, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == ASK[1]["content"]


@pytest.mark.parametrize("model", ["o3", "gpt-5", "gpt-6-astra"])
def test_only_verified_organisations_stream(model: str) -> None:
    """An organisation that is not verified gets whole replies, and no streams."""
    with OpenAIServer(verified=False) as server:
        with pytest.raises(openai.BadRequestError) as caught:
            ask(server, model, stream=True)
        assert (caught.value.code, caught.value.param) == (VALUE, "stream")
        assert ask(server, model).choices[0].message.content


def test_keys_and_names_are_checked(server: OpenAIServer) -> None:
    """A wrong key is a 401, an unknown model a 404, and both cost nothing."""
    with (
        sdk(server, api_key="sk-of-somebody-else") as client,
        pytest.raises(openai.AuthenticationError) as wrong,
    ):
        client.chat.completions.create(model="gpt-4.1", messages=ASK)
    assert wrong.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(server, "gpt-7")
    assert unknown.value.code == "model_not_found"
    assert not server.answered
    with sdk(server) as client:
        assert [model.id for model in client.models.list()] == list(FAMILIES)


def test_other_hosts_ignore_clamp_and_join(server: OpenAIServer) -> None:
    """What a compatible host ignores is taken without an effect; the server notes what is left."""
    messages = [*ASK, {"role": "developer", "content": "In French."}]
    sent = {"temperature": 1.6, "seed": 7, "presence_penalty": 1, "max_tokens": 90}
    ask(server, "claude-sonnet-5", messages, **sent)
    applied = server.calls[-1].applied
    assert applied is not None
    assert applied["temperature"] == 1.0
    assert applied["messages"][0] == {"role": "system", "content": "You are brief.\nIn French."}
    assert not applied.keys() & {"seed", "presence_penalty"}


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("gemini-3-flash", {"frequency_penalty": 0.1}),
        ("openai/gpt-5-mini", {"max_completion_tokens": 9}),
        ("deepseek-chat", {"messages": [{"role": "developer", "content": "Hi."}]}),
    ],
)
def test_other_hosts_refuse_in_their_own_way(
    server: OpenAIServer, model: str, sent: dict[str, Any]
) -> None:
    """Theirs is a 400 like OpenAI's, in a form without OpenAI's code and param."""
    with pytest.raises(openai.BadRequestError) as caught:
        ask(server, model, **sent)
    assert caught.value.param is None


def test_limits_are_told_and_kept() -> None:
    """Headers count down; above the limit there is a 429 that says how long to wait."""
    limits = Limits(requests=3, tokens=1000, minute_s=3600)
    with OpenAIServer(limits=limits) as server, sdk(server) as client:
        remaining = []
        for _ in range(3):
            raw = client.chat.completions.with_raw_response.create(
                model="gpt-4.1", messages=ASK, max_completion_tokens=100
            )
            remaining.append(
                [
                    int(raw.headers[f"x-ratelimit-remaining-{kind}"])
                    for kind in ("requests", "tokens")
                ]
            )
        assert remaining == [[2, 900], [1, 800], [0, 700]]
        assert raw.headers["x-ratelimit-limit-requests"] == "3"
        assert raw.headers["x-ratelimit-reset-requests"].startswith(("59m", "1h0m"))
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server, "gpt-4.1")
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.type == "requests"
        assert 1190 < int(caught.value.response.headers["retry-after"]) <= 1200
        assert ask(server, "gpt-5.1").choices  # each model has limits of its own
        with pytest.raises(openai.RateLimitError) as large:
            ask(server, "gpt-5.1", max_completion_tokens=1001)
        assert large.value.type == "tokens"
        assert "retry-after" not in large.value.response.headers
        assert (server.count(status=429), server.count(status=200)) == (2, 4)


def test_the_sdk_waits_and_gets_through() -> None:
    """A client that waits as long as it was told is answered: the clock may run fast."""
    limits = Limits(requests=2, tokens=1000, minute_s=1.0)
    with OpenAIServer(limits=limits) as server, sdk(server, max_retries=5) as client:
        for _ in range(4):
            client.chat.completions.create(model="gpt-4.1", messages=ASK)
        assert server.answered["gpt-4.1"] == 4
        assert server.refused["gpt-4.1"] >= 1


def test_a_server_may_say_another_time_to_wait() -> None:
    """A test chooses what a refusal above the limits says: nothing, zero, or a date in the past."""
    limits = Limits(requests=1, tokens=1000, minute_s=3600)
    with OpenAIServer(limits=limits, retry_after=lambda wait: {"retry-after": "0"}) as server:
        ask(server, "gpt-4.1")
        with pytest.raises(openai.RateLimitError) as caught:
            ask(server, "gpt-4.1")
    assert caught.value.response.headers["retry-after"] == "0"
    assert "retry-after-ms" not in caught.value.response.headers


async def test_calls_in_flight_are_counted() -> None:
    """The most at once, whichever client they come from."""
    with OpenAIServer(latency=1.0) as server:
        async with openai.AsyncOpenAI(base_url=server.url, api_key=server.key) as client:
            create = client.chat.completions.create
            await asyncio.gather(*(create(model="gpt-4.1", messages=ASK) for _ in range(5)))
        assert 1 < server.peak <= 5
        assert server.in_flight == 0


def test_no_money_is_a_429_of_its_own(server: OpenAIServer) -> None:
    """An account without credit is refused with a code that no waiting cures."""
    server.has_credit = False
    with pytest.raises(openai.RateLimitError) as caught:
        ask(server, "gpt-4.1")
    assert caught.value.code == "insufficient_quota"
    assert "retry-after" not in caught.value.response.headers


def test_fingerprint_and_snapshot_can_change(server: OpenAIServer) -> None:
    """A test may have the host roll out another version in the middle of a run."""
    before = ask(server, "gpt-4.1")
    server.fingerprint = "fp_2"
    server.snapshots["gpt-4.1"] = "gpt-4.1-2026-01-01"
    after = ask(server, "gpt-4.1")
    assert (before.system_fingerprint, after.system_fingerprint) == ("fp_1", "fp_2")
    assert after.model == "gpt-4.1-2026-01-01"


def test_more_routes_can_be_added(server: OpenAIServer) -> None:
    """Another part of the API answers the routes that it knows, behind the check of the key."""

    def route(request: Request) -> Reply | None:
        if (request.method, request.path) != ("POST", "/v1/batches"):
            return None
        return Reply.of({"got": json.loads(request.body), "query": dict(request.query)})

    server.routes.append(route)
    with sdk(server) as client:
        asked: Any = {"body": {"a": 1}, "options": {"params": {"q": "x"}}}
        got = client.post("/batches", cast_to=object, **asked)
        assert got == {"got": {"a": 1}, "query": {"q": "x"}}
        with pytest.raises(openai.NotFoundError):
            client.get("/batches/none", cast_to=object)
    with sdk(server, api_key="sk-wrong") as client, pytest.raises(openai.AuthenticationError):
        client.post("/batches", cast_to=object, body={})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.12, "120ms"),
        (6, "6s"),
        (17.5, "17.5s"),
        (63, "1m3s"),
        (360, "6m0s"),
        (7200, "2h0m0s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    """The times in the headers have the form that OpenAI's have."""
    assert duration(seconds) == text
