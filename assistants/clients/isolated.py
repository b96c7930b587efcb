"""A client under another identity: the same model, answers that nobody shares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from assistants.clients import Client
from assistants.messages import Completion, Delta, Message, Sampling


class IsolatedClient:
    """A client whose answers go on from a history that no batch would come to.

    Its identity is one of its own for every ``history``; all else is as before.
    """

    def __init__(self, client: Client, history: str) -> None:
        self.client = client
        self.model = client.model
        self._history = history
        self.max_concurrency = client.max_concurrency

    @property
    def identity(self) -> str:
        """One of its own for every history."""
        return f"{self.client.identity} after {self._history}"

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """As before."""
        return await self.client.complete(messages, sampling)

    def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """As before."""
        return self.client.stream(messages, sampling)

    async def aclose(self) -> None:
        """As before."""
        await self.client.aclose()
