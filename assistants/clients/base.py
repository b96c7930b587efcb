"""What every client is: something that turns a conversation into one completion."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

from assistants.messages import Completion, Delta, Message, Sampling


@runtime_checkable
class Client(Protocol):
    """Turns a conversation into one completion.

    Building one costs nothing: no connection, no process, no key is touched before the first
    call. It raises ``CallError`` and nothing else on purpose, sends each request once (attempts
    are the runner's), and may be used from one event loop at a time, one after the other.
    """

    model: str
    """``provider:id``, e.g. ``vllm:Qwen3-8B``; a column of every table."""

    max_concurrency: int
    """Calls in flight that the model behind it can use."""

    @property
    def identity(self) -> str:
        """What an answer's key says about the model: equal if and only if answers may be shared.

        It may change while a client exists: a server is stopped, and another one started.
        """
        ...

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the whole conversation and wait for the whole reply."""
        ...

    def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the reply piece by piece; the last thing yielded is the ``Completion``."""
        ...

    async def aclose(self) -> None:
        """Close connections. The next call opens them again."""
        ...
