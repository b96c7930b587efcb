"""The protocol that every client follows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

from assistants.clients.rate_limits import RateLimits
from assistants.messages import Completion, Delta, Message, Sampling


@runtime_checkable
class Client(Protocol):
    """Anything that turns a conversation into one completion.

    Building a client opens no connection, starts no process and reads no API key; the first call
    does. A client raises ``CallError`` and nothing else on purpose. It sends each request once
    (the runner retries), and may be used from one event loop after another, not from two at once.
    """

    model: str
    """``provider:id``, for example ``vllm:Qwen3-8B``; a column of every table."""

    max_concurrency: int
    """The most calls in flight: more would only wait. See ``start_concurrency``."""

    default_sampling: Sampling
    """Settings of the model's entry; those of a persona and of an assistant win over them."""

    @property
    def identity(self) -> str:
        """The model's part of an answer's key: equal if and only if answers may be shared.

        It may change while a client exists: one server is stopped and another one started.
        """
        ...

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the whole conversation and wait for the whole reply."""
        ...

    def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the reply in pieces; the last item is the ``Completion``."""
        ...

    async def aclose(self) -> None:
        """Close connections. The next call opens them again."""
        ...


def start_concurrency(client: Client) -> int:
    """Return the number of calls in flight that suits the model, as far as is known beforehand.

    A client may have it as ``start_concurrency``; otherwise it is ``max_concurrency``.
    """
    return getattr(client, "start_concurrency", client.max_concurrency)


def known_rate_limits(client: Client) -> RateLimits | None:
    """Return the rate limits that hold now, if the client knows any (as ``rate_limits``)."""
    return getattr(client, "rate_limits", None)
