"""Embeddings: asked for once a text, in the order of the rows, and refused if they are broken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistants import Experiment, Message, Run, Sampling, ScriptedClient
from assistants.clients import connect, count_tokens
from assistants.errors import CallError, MalformedReplyError, UsageError
from support.faulty_server import FaultyServer, Request


def by_persona(messages: Sequence[Message], sampling: Sampling) -> str:
    side = "warm" if messages[0].role == "system" else "cold"
    return f"{side} {messages[-1].content} {sampling.repeat}"


@pytest.fixture
async def run(here: Path) -> Run:
    """Two personas, six cases, two draws."""
    experiment = Experiment.define(
        "warmth", personas=["none", "art"], models=[ScriptedClient(by_persona)],
        cases=[f"q{n}" for n in range(6)], repeats=2,
    )  # fmt: skip
    return await experiment.run(on_progress=lambda progress: None)


def vector(text: str) -> list[float]:
    """Warm and cold answers point into different directions."""
    return [1.0, 0.0, len(text) / 100] if text.startswith("warm") else [0.0, 1.0, len(text) / 100]


def embedded(request: Request) -> dict[str, Any]:
    rows = [{"index": i, "embedding": vector(t)} for i, t in enumerate(request.json["input"])]
    return {"object": "list", "data": rows[::-1], "usage": {"total_tokens": 1}}


async def test_each_text_is_asked_for_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row a trial, in order, whatever the order of the reply; then from the store."""
    with FaultyServer(other=embedded) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        rows = await run.embeddings("vllm:embedder")
        again = await run.embeddings("vllm:embedder")
        assert len(server.requests) == 1
        assert server.requests[0].path == "/v1/embeddings"
        assert server.requests[0].json["model"] == "embedder"
    assert np.array_equal(rows, again)
    expected = [vector(answer) for answer in run.trials()["answer"]]
    assert np.allclose(rows, np.array(expected, dtype=np.float32))


async def test_change_is_measured_by_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that point elsewhere have moved, however alike their words are."""
    with FaultyServer(other=embedded) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        rows = await run.embeddings("vllm:embedder")
    table = run.text_distance(vectors=rows)
    assert table.loc[0, "excess"] == pytest.approx(1, abs=0.05)
    assert table.loc[0, "p"] < 0.05


@pytest.mark.parametrize(
    "reply",
    [
        {"data": []},
        {"data": "no"},
        {"data": [{"index": 0, "embedding": [1.0]}] * 24},
        {"data": [{"index": i, "embedding": [1.0] * (1 + i % 2)} for i in range(24)]},
        {"data": [{"index": i, "embedding": ["x"]} for i in range(24)]},
        {"data": [{"index": i, "embedding": [1e999]} for i in range(24)]},
        {"data": [{"index": i} for i in range(24)]},
        ["no object"],
    ],
)
async def test_a_broken_reply_is_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, reply: Any
) -> None:
    """And none of it is stored."""
    with FaultyServer(other=lambda request: reply) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        with pytest.raises(MalformedReplyError):
            await run.embeddings("vllm:embedder")
        server.other = embedded
        assert (await run.embeddings("vllm:embedder")).shape == (24, 3)


async def test_a_server_that_is_down_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every other call does."""
    monkeypatch.setenv("VLLM_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(CallError, match="no server answered"):
        await run.embeddings("vllm:embedder")


async def test_a_model_without_a_server_gives_none(run: Run) -> None:
    """A scripted model has no embeddings, and the message says what has."""
    with pytest.raises(UsageError, match="gives no embeddings"):
        await run.embeddings("echo")


@pytest.mark.parametrize(
    ("reply", "count"),
    [
        ({"tokens": [1, 2, 3]}, 3),
        ({"count": 4}, 4),
        ({"no": 1}, None),
        ([], None),
    ],
)
async def test_tokens_are_counted_by_the_server(
    monkeypatch: pytest.MonkeyPatch, reply: Any, count: int | None
) -> None:
    """Of vLLM and of llama.cpp; what cannot be counted is unknown, and no number."""
    with FaultyServer(other=lambda request: reply) as server:
        monkeypatch.setenv("VLLM_BASE_URL", server.url)
        client = connect("vllm:m")
        assert await count_tokens(client, "some text") == count
        await client.aclose()
        assert server.requests[0].path == "/tokenize"
