"""The smoke test: every server is asked the same, at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from assistants.clients import ServerRecord
from assistants.errors import CallError
from assistants.messages import Completion, Message, Sampling
from assistants.servers.health import client_of

QUESTION = "In one sentence: why is the sky blue?"
SAMPLING = Sampling(temperature=0, max_tokens=60)


@dataclass(frozen=True, slots=True)
class Smoke:
    """What one server answered, or why it did not."""

    entry: ServerRecord
    completion: Completion | None = None
    error: CallError | None = None


async def smoke_test(servers: Sequence[ServerRecord], question: str = QUESTION) -> list[Smoke]:
    """Ask every server at the same time; one that fails does not stop the others."""
    return list(await asyncio.gather(*(_ask(entry, question) for entry in servers)))


async def _ask(entry: ServerRecord, question: str) -> Smoke:
    async with client_of(entry) as client:
        try:
            return Smoke(entry, await client.complete([Message("user", question)], SAMPLING))
        except CallError as error:
            return Smoke(entry, error=error)
