"""A client whose answers are never shared with other conversations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from assistants.clients.base import Client, start_concurrency
from assistants.messages import Completion, Delta, Message, Sampling


class IsolatedClient:
    """Delegate to another client, under an identity of its own for every ``history``.

    A conversation that continues from edited or mixed turns can give answers that no batch run
    would give. Its own identity keeps them out of the answers that runs reuse.
    """

    def __init__(self, client: Client, history: str) -> None:
        self.client = client
        self.model = client.model
        self.max_concurrency = client.max_concurrency
        self.start_concurrency = start_concurrency(client)
        self.default_sampling = client.default_sampling
        self._history = history

    @property
    def identity(self) -> str:
        """The identity of the wrapped client, followed by the history."""
        return f"{self.client.identity} after {self._history}"

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the conversation through the wrapped client."""
        return await self.client.complete(messages, sampling)

    def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Stream the reply of the wrapped client."""
        return self.client.stream(messages, sampling)

    async def aclose(self) -> None:
        """Close the wrapped client."""
        await self.client.aclose()
