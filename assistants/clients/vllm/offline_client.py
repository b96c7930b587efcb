"""Offline models: a vLLM server of our own, for a machine whose one job is a big run.

The first call starts the server, and hundreds of calls may be in flight: vLLM batches them as they
come. The clients of one process that name the same weights and options share it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.request import Timeouts
from assistants.clients.vllm.engine_options import (
    answer_affecting_options,
    options_from_environment,
)
from assistants.clients.vllm.interpreter import VARIABLE, vllm_python
from assistants.clients.vllm.weights import find_weights, weights_digest
from assistants.errors import CallError, UsageError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.utils import Address, run_in_daemon_thread

if TYPE_CHECKING:
    from assistants.clients.vllm.private_server import PrivateServer

MAX_CONCURRENCY = 256
"""Calls at once. vLLM works on as many as fit its memory together and lets the rest wait."""

LINGER_S = 120.0
"""Seconds that a model stays loaded once the last client of it is closed: a start takes a minute
or more, and what comes after a run is often another one. ``stop`` ends it at once."""

_TIMEOUTS = Timeouts(first_token=600.0, idle=600.0, total=3600.0)
"""Longer than another server's: with hundreds in flight, a call waits its turn inside vLLM."""


def offline_client(
    model: str,
    folder: str | Path = "",
    default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
) -> OfflineClient:
    """Return a client for weights that vLLM can load. Nothing starts before its first call.

    The first call starts vLLM, which takes one to several minutes and most of the GPU's memory;
    clients of the same weights share it. ``VLLM_OFFLINE_ARGS`` holds options for it, written as
    for ``vllm serve``; ``CUDA_VISIBLE_DEVICES`` chooses the GPUs.

    Parameters
    ----------
    model
        A folder with weights, or a Hugging Face name that is in the local cache already.
    folder
        What a relative path is relative to.
    default_sampling
        Settings of the model's entry.

    Raises
    ------
    UsageError
        If there are no such weights here, or the options are wrong.
    """
    weights = find_weights(model, Path(folder))
    return OfflineClient(model, weights, options_from_environment(), _python(), default_sampling)


class OfflineClient(OpenAIClient):
    """A model on a private vLLM server; see ``offline_client``.

    Its identity is made of the weights and of the options that may change an answer, not of where
    they lie: the same weights elsewhere share answers, and another server's are not shared.
    """

    def __init__(
        self,
        model: str,
        weights: Path,
        options: tuple[str, ...],
        python: str,
        default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    ) -> None:
        facts = [weights_digest(weights)[:16], *answer_affecting_options(options)]
        super().__init__(
            f"vllm-offline:{model}",
            endpoint=self._address,
            identity=f"vllm-offline@{' '.join(facts)}",
            max_concurrency=MAX_CONCURRENCY,
            default_sampling=default_sampling,
            timeouts=_TIMEOUTS,
        )
        # What vLLM calls the model, and so what answers say: never a path on this machine.
        self._served = weights.name if weights.parent.name != "snapshots" else model
        names = ("--model", str(weights), "--served-model-name", self._served)
        self._launch = (python, *options, *names)
        self._server: PrivateServer | None = None
        self._waiting = 0

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the whole conversation and wait for the whole reply."""
        try:
            return await super().complete(messages, sampling)
        except CallError as error:
            failure = await self._explained(error)
        raise failure

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the reply piece by piece; the last thing yielded is the ``Completion``."""
        try:
            async with aclosing(super().stream(messages, sampling)) as parts:  # type: ignore[type-var]
                async for part in parts:
                    yield part
            return
        except CallError as error:
            failure = await self._explained(error)
        raise failure

    async def aclose(self) -> None:
        """Let go of the model: it ends when no client has used it for ``LINGER_S``."""
        await super().aclose()
        self._server = None
        _release(self, self._launch)

    async def _address(self) -> Address:
        server = _use(self, self._launch)
        if server is None:
            self._server = None
            self._waiting += 1
            try:
                server = await run_in_daemon_thread(
                    lambda: _start(self, self.model, self._launch),
                    f"start {self.model}",
                    on_abandoned=self._on_abandoned_start,
                )
            finally:
                self._waiting -= 1
        self._server = server
        return server.address

    def _on_abandoned_start(self) -> None:
        """Let go of a server whose start nobody waited for, unless another call needs it."""
        if self._server is None and not self._waiting:
            _release(self, self._launch)

    async def _explained(self, error: CallError) -> CallError:
        """Return why vLLM ended if that is what made a call fail, and ``error`` otherwise.

        vLLM's server takes seconds to end once its engine is dead; it is of no use any more.
        """
        server = self._server
        if server is None or not error.retryable or await asyncio.to_thread(server.is_healthy):
            return error
        await asyncio.to_thread(server.end)
        ended = server.error()
        ended.partial = error.partial
        return ended


def _python() -> str:
    """Return the Python of ``assistants serve``; without any, one whose start says what is missing.

    A client is built without vLLM too, for answers that are stored.
    """
    try:
        return vllm_python()
    except UsageError:
        named = os.environ.get(VARIABLE, "").strip() or sys.executable
        return str(Path(named).expanduser())


_Launch = tuple[str, ...]
"""The Python of a server and its options, which name the weights."""


class _SharedServer:
    """A server, the clients that use it, and the timer that ends it when there are none."""

    def __init__(self, server: PrivateServer) -> None:
        self.server = server
        self.users: weakref.WeakSet[OfflineClient] = weakref.WeakSet()
        self.timer: threading.Timer | None = None


_running: dict[_Launch, _SharedServer] = {}
_starting = threading.Lock()
_users = threading.Lock()


def stop() -> None:
    """End every offline model of this process now. The next call starts anew."""
    # A start that is under way is not waited for: it ends when this process does.
    while _running:
        with suppress(KeyError):  # its time was up just now
            shared = _running.popitem()[1]
            if shared.timer is not None:
                shared.timer.cancel()
            shared.server.stop()


def _use(client: OfflineClient, launch: _Launch) -> PrivateServer | None:
    """Return the server that runs already, from now on used by ``client``."""
    with _users:
        shared = _running.get(launch)
        if shared is None or not shared.server.is_alive:
            return None
        if shared.timer is not None:
            shared.timer.cancel()
            shared.timer = None
        shared.users.add(client)
        return shared.server


def _release(client: OfflineClient, launch: _Launch) -> None:
    with _users:
        shared = _running.get(launch)
        if shared is None or client not in shared.users:
            return
        shared.users.discard(client)
        if shared.users:
            return
        if LINGER_S > 0:
            shared.timer = threading.Timer(LINGER_S, _end_unused, (launch, shared))
            shared.timer.daemon = True
            shared.timer.start()
            return
    _end_unused(launch, shared)


def _end_unused(launch: _Launch, shared: _SharedServer) -> None:
    with _users:
        if _running.get(launch) is not shared or shared.users:
            return
        del _running[launch]
    shared.server.stop()


def _start(client: OfflineClient, name: str, launch: _Launch) -> PrivateServer:
    """Start one server at a time: two at once would each count the memory that the other takes."""
    from assistants.clients.vllm.private_server import PrivateServer

    with _starting:
        if (server := _use(client, launch)) is not None:
            return server
        if (dead := _running.pop(launch, None)) is not None:
            dead.server.stop()
        server = PrivateServer(name, launch[0], launch[1:])
        shared = _running[launch] = _SharedServer(server)
        shared.users.add(client)
        return server


def _forget() -> None:
    """After a fork: the servers are our parent's, and so is whoever held the lock."""
    global _starting, _users
    _starting, _users = threading.Lock(), threading.Lock()
    _running.clear()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
