"""Clients that come from other packages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from assistants.clients.base import Client, known_rate_limits, start_concurrency
from assistants.clients.rate_limits import RateLimits
from assistants.errors import AssistantsError, PluginCallError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.models import Model
from assistants.utils import Plugin, truncate_line


class ClientPlugin(Protocol):
    """A function that builds the client of a model.

    An entry point of the group ``assistants.clients`` has the provider's name, and leads to such a
    function, or to a ``Provider`` where the server speaks the OpenAI protocol.
    """

    def __call__(self, model: Model) -> Client:
        """Return a client whose ``model`` is ``model.name``, which is ``provider:id``."""
        ...


class PluginClient:
    """A client of a plug-in, whose mistakes become failures of single calls."""

    def __init__(self, client: Client, plugin: Plugin) -> None:
        self.model = client.model
        self.max_concurrency = client.max_concurrency
        self.start_concurrency = start_concurrency(client)
        self.default_sampling = client.default_sampling
        self._client, self._plugin = client, plugin

    def __repr__(self) -> str:
        return truncate_line(f"PluginClient({self.model!r}, {self._plugin.source})", 120)

    @property
    def identity(self) -> str:
        """The identity of the plug-in's client."""
        return self._client.identity

    @property
    def rate_limits(self) -> RateLimits | None:
        """The rate limits that the plug-in's client knows."""
        return known_rate_limits(self._client)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the conversation through the plug-in's client."""
        with self._translated():
            completion = await self._client.complete(messages, sampling)
            self._check(completion, Completion)
        return completion

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Stream the reply of the plug-in's client."""
        last: Delta | Completion | None = None
        with self._translated():
            async for last in self._client.stream(messages, sampling):
                self._check(last, (Delta, Completion))
                yield last
            self._check(last, Completion)

    async def aclose(self) -> None:
        """Close the plug-in's client."""
        with self._translated():
            await self._client.aclose()

    def _check(self, reply: object, expected: Any) -> None:
        if not isinstance(reply, expected):
            raise self._error(f"it returned {type(reply).__name__}, not a Completion")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except AssistantsError:
            raise
        except Exception as error:
            raise self._error(f"{type(error).__name__}: {error}") from error

    def _error(self, reason: str) -> PluginCallError:
        return PluginCallError(
            f"{self.model}: the client of {self._plugin} failed: {truncate_line(reason, 250)}."
        )


def connect_plugin(plugin: Plugin, model: Model) -> Client:
    """Return the client that a plug-in builds.

    Raises
    ------
    PluginError
        If it builds none, or one of another model.
    """
    client: Client = plugin.call(Client, [model])
    if client.model != model.name:
        raise plugin.error(f"it returned a client of the model {client.model!r}")
    return PluginClient(client, plugin)
