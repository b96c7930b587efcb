"""Refusals: recognised by code and parameter, and mended where the form alone differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from assistants.clients import OpenAIClient, all_observed, connect, describe_observations
from assistants.errors import MissingAddressError, ParameterRefusedError, ReasoningLimitError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.models import Catalogue
from support.faulty_server import at
from support.openai_families import FAMILIES
from support.openai_server import OpenAIServer

ASK = [Message("system", "Be kind."), Message("user", "Why?")]


@pytest.fixture
def openai(here: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        yield server


async def streamed(
    client: OpenAIClient, sampling: Sampling, messages: list[Message] = ASK
) -> tuple[str, Completion]:
    text = ""
    async for piece in client.stream(messages, sampling):
        if isinstance(piece, Delta):
            text += piece.text
        else:
            last = piece
    return text, last


def client_of(
    server: OpenAIServer, model: str, field: str = "max_completion_tokens"
) -> OpenAIClient:
    return OpenAIClient(
        f"openai:{model}", endpoint=at(server.url, server.key), max_tokens_field=field
    )


@pytest.mark.parametrize("model", sorted(FAMILIES))
async def test_every_family_answers_a_plain_question(openai: OpenAIServer, model: str) -> None:
    """With a cap and nothing else: whichever name the cap has there, whole and streamed."""
    client = client_of(openai, model)
    sampling = Sampling(max_tokens=20_000)
    messages = ASK if "system" in FAMILIES[model].roles else ASK[1:]
    whole = await client.complete(messages, sampling)
    text, last = await streamed(client, sampling, messages)
    assert (whole.text, whole.status) == (last.text, "ok")
    assert text == whole.text
    assert openai.count(status=400) <= 1  # the other name of the cap, learnt once
    await client.aclose()


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_the_name_of_the_cap_mends_itself(openai: OpenAIServer, field: str) -> None:
    """Either way, and the next client knows it; a call is never sent a third time."""
    model = "gpt-5" if field == "max_tokens" else "deepseek-chat"
    for _ in range(2):
        client = client_of(openai, model, field)
        assert (await client.complete(ASK, Sampling(max_tokens=20_000))).status == "ok"
        await client.aclose()
    assert openai.count(status=400) == 1
    assert openai.count(status=200) == 2


async def test_a_refused_stream_is_asked_again_whole(openai: OpenAIServer) -> None:
    """It says so in the record; the next stream is not refused again."""
    openai.verified = False
    model = next(name for name, f in FAMILIES.items() if f.streams_for == "verified")
    client = client_of(openai, model)
    for _ in range(2):
        text, last = await streamed(client, Sampling())
        assert text == last.text == "Why?"
        assert "refuses to stream" in str(last.note)
        assert last.first_token_s is None
    assert openai.count(status=400) == 1
    await client.aclose()


async def test_a_stream_and_a_cap_may_both_be_refused(openai: OpenAIServer) -> None:
    """Both forms change within one call."""
    openai.verified = False
    model = next(name for name, f in FAMILIES.items() if f.streams_for == "verified")
    client = client_of(openai, model, "max_tokens")
    _, last = await streamed(client, Sampling(max_tokens=20_000))
    assert last.status == "ok"
    assert openai.count(status=200) == 1
    await client.aclose()


async def test_a_refusal_names_the_parameter(openai: OpenAIServer) -> None:
    """Whatever the words of the message are: they change from request to request."""
    client = client_of(openai, "gpt-5")
    for _ in range(4):
        with pytest.raises(ParameterRefusedError) as refusal:
            await client.complete(ASK, Sampling(temperature=0.5))
        assert refusal.value.parameter == "temperature"
    with pytest.raises(ParameterRefusedError) as refusal:
        await client.complete(ASK, Sampling(reasoning_effort="none"))
    assert refusal.value.parameter == "reasoning_effort"
    (seen,) = all_observed().values()
    assert sorted(describe_observations(seen)) == [
        "refused reasoning_effort with reasoning_effort none",
        "refused temperature",
    ]
    await client.aclose()


async def test_reasoning_that_used_the_cap_keeps_its_tokens(openai: OpenAIServer) -> None:
    """Whole and streamed; what it cost is known, and there is no answer text."""
    client = client_of(openai, "gpt-5")
    for ask in (client.complete, lambda _, sampling: streamed(client, sampling)):
        with pytest.raises(ReasoningLimitError, match="reasoning used all 64 tokens") as error:
            await ask(ASK, Sampling(max_tokens=64))
        partial = error.value.partial
        assert isinstance(partial, Completion)
        assert (partial.text, partial.usage.reasoning_tokens) == ("", 64)
    await client.aclose()


async def test_more_settings_are_sent(openai: OpenAIServer) -> None:
    """By their names; ``extra`` is passed through."""
    client = client_of(openai, "gpt-6-luna")
    sampling = Sampling(
        reasoning_effort="none",
        response_format={"type": "json_object"},
        extra={"service_tier": "flex"},
    )
    completion = await client.complete(ASK, sampling)
    sent = openai.calls[-1].body
    assert sent["service_tier"] == "flex"
    assert sent["response_format"] == {"type": "json_object"}
    assert completion.system_fingerprint == "fp_1"
    await client.aclose()


async def test_the_system_prompt_may_be_a_developer_message(openai: OpenAIServer) -> None:
    """It is another request, and so another identity."""
    model = Catalogue.default().find("chatgpt")
    plain, developer = connect(model), connect(replace(model, system_role="developer"))
    assert plain.identity != developer.identity
    await developer.complete(ASK, Sampling())
    assert [m["role"] for m in openai.calls[-1].body["messages"]] == ["developer", "user"]
    await developer.aclose()


async def test_an_endpoint_of_one_s_own_needs_its_address(
    here: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure has none that is everybody's; the error names the variable."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "sk-azure-1")
    with pytest.raises(MissingAddressError, match="AZURE_OPENAI_BASE_URL"):
        await connect("azure:mine").complete(ASK, Sampling())


async def test_a_cap_of_a_third_name_has_no_other(openai: OpenAIServer) -> None:
    """A provider's entry may call it anything; its refusal is one like every other."""
    client = client_of(openai, "gpt-5", "temperature")
    with pytest.raises(ParameterRefusedError, match="temperature"):
        await client.complete(ASK, Sampling(max_tokens=5))
    assert openai.count(status=400) == 1
    await client.aclose()
