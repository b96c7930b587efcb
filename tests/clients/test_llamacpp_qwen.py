"""The large embedded model, once: fetched as pinned, and asked. Other tests use smollm2."""

from __future__ import annotations

import asyncio

import pytest

from assistants.clients import connect, fetch_weights
from assistants.clients.llamacpp import client as local
from assistants.clients.llamacpp import weights
from assistants.clients.llamacpp.thread_benchmark import stored_thread_benchmark
from assistants.messages import Message, Sampling

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

POET = Message("system", "You are a poet. Answer every question in verse, about the sea.")
QUESTION = Message("user", "What is a tree?")


async def test_qwen_is_fetched_whole_and_answers() -> None:
    """What came has the pinned digest; a persona reaches it; answers end at their cap or before."""
    path = fetch_weights("qwen")
    assert path == weights.find_fetchable("qwen").path
    assert weights.are_weights_intact("qwen")
    client = connect("qwen")
    sampling = Sampling(temperature=0, max_tokens=12)
    conversations = [[QUESTION], [Message("system", ""), QUESTION], [POET, QUESTION]]
    try:
        replies = await asyncio.gather(*(client.complete(c, sampling) for c in conversations))
    finally:
        await client.aclose()
        local.stop_all()
    bare, empty, poet = replies
    assert all(reply.text.strip() and reply.status in ("ok", "length") for reply in replies)
    assert all(0 < (reply.usage.output_tokens or 0) <= 12 for reply in replies)
    assert bare.usage.input_tokens == empty.usage.input_tokens
    assert (poet.usage.input_tokens or 0) >= (bare.usage.input_tokens or 0) + 10
    assert {reply.served_model for reply in replies} == {"qwen"}
    benchmark = stored_thread_benchmark("qwen")
    assert benchmark is not None
    assert benchmark.tokens_per_second > 0
