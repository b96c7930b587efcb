"""Health of servers: whether they answer, what they report of themselves, and a smoke test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from assistants.clients import (
    Metrics,
    OpenAIClient,
    ServerRecord,
    read_json_object,
    read_metrics,
    registry,
)
from assistants.errors import CallError
from assistants.messages import Completion, Message, Sampling
from assistants.utils.urls import Address

QUESTION = "In one sentence: why is the sky blue?"
SAMPLING = Sampling(temperature=0, max_tokens=60)
"""The smoke test's question, and how it is asked."""

_TIMEOUT_S = 5.0

_ROUNDED = 16
"""Tokens by which a sum may be off: each engine of a server rounds its own down."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A server's report of itself; ``context`` is the longest conversation, in tokens."""

    context: int | None = None
    metrics: Metrics = field(default_factory=Metrics)

    def holds(self, length: int) -> int | None:
        """Return how many conversations of ``length`` tokens fit into its cache at once.

        Counted in whole blocks where a token takes one. A model whose layers keep different things
        (windows, states) takes several: what its server tells as tokens is then how often the
        longest conversation fits, and of any other length nothing is known.
        """
        metrics = self.metrics
        if not metrics.cache_tokens:
            return None
        blocks, size = metrics.cache_blocks or 0, metrics.block_size or 1
        longest = self.context or size
        whole = blocks * size, blocks * longest / -(-longest // size)  # earlier versions, and 0.32
        if any(abs(tokens - metrics.cache_tokens) < _ROUNDED for tokens in whole):
            return blocks // -(-length // size)
        return metrics.cache_tokens // length if length == self.context else None


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """The answer of one server, or the reason why there is none."""

    record: ServerRecord
    completion: Completion | None = None
    error: CallError | None = None


@asynccontextmanager
async def client_of(record: ServerRecord) -> AsyncIterator[OpenAIClient]:
    """Yield a client for this very server, whatever else is called the same."""

    async def endpoint() -> Address:
        return record.address

    client = OpenAIClient(f"{registry.PROVIDER}:{record.model}", endpoint=endpoint)
    try:
        yield client
    finally:
        await client.aclose()


async def is_healthy(record: ServerRecord) -> bool:
    """Return whether a server is ready to be asked; ``False`` after five seconds of silence.

    It has to take its key and know its model: somebody else may have its port.
    """
    async with client_of(record) as client:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await client.get("../health")
                return any(model.get("id") == record.model for model in await _served(client))
        except (CallError, TimeoutError):
            return False


async def server_status(record: ServerRecord) -> ServerStatus:
    """Ask a server; what it does not tell is ``None``."""
    async with client_of(record) as client:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return ServerStatus(await _context(client), await read_metrics(client))
        except (CallError, TimeoutError):
            return ServerStatus()


async def smoke_test(
    servers: Sequence[ServerRecord], question: str = QUESTION
) -> list[SmokeResult]:
    """Ask every server at the same time; one that fails does not stop the others."""
    return list(await asyncio.gather(*(_ask(record, question) for record in servers)))


async def _ask(record: ServerRecord, question: str) -> SmokeResult:
    async with client_of(record) as client:
        try:
            return SmokeResult(record, await client.complete([Message("user", question)], SAMPLING))
        except CallError as error:
            return SmokeResult(record, error=error)


async def _context(client: OpenAIClient) -> int | None:
    served = await _served(client)
    context = served[0].get("max_model_len") if served else None
    return context if type(context) is int and context > 0 else None


async def _served(client: OpenAIClient) -> list[Mapping[str, Any]]:
    """Return the server's description of each model that it serves."""
    served = read_json_object(await client.get("/models"), client.model).get("data")
    return (
        [model for model in served if isinstance(model, dict)] if isinstance(served, list) else []
    )
