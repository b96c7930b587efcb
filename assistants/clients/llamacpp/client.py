"""The client of an embedded model, which needs no API key, no GPU and no network.

It talks to a child process that starts with the first call, serves every client in this process,
and ends soon after this process ends.
"""

from __future__ import annotations

import atexit
import os
import threading
from pathlib import Path

from assistants.clients.llamacpp import weights
from assistants.clients.llamacpp.process import SLOTS, LlamaProcess
from assistants.clients.llamacpp.thread_benchmark import (
    measure_threads,
    stored_thread_benchmark,
)
from assistants.clients.openai.client import OpenAIClient, Timeouts
from assistants.messages import Sampling
from assistants.utils import Address, Endpoint, run_in_daemon_thread

_running: dict[str, LlamaProcess] = {}
_starting = threading.Lock()


DEFAULT_SAMPLING = Sampling(max_tokens=400)
"""Settings where neither the model's entry nor anybody else has their own: a small model that does
not stop by itself costs minutes. About 300 words."""


TIMEOUTS = Timeouts(first_token=600, idle=300, total=1800)
"""Time limits: nobody else waits for this model, and a busy laptop may write a word a second."""


def build_local_client(
    name: str,
    default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    folder: Path = Path(),
) -> OpenAIClient:
    """Build a client for an embedded model; its process starts with the first call.

    The first call raises ``MissingDependencyError`` if weights or xllamacpp are not installed.

    Parameters
    ----------
    name
        Of an embedded model, or the path of a GGUF file.
    default_sampling
        Settings of the model's entry, which win over ``DEFAULT_SAMPLING``.
    folder
        Where a relative path begins.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    """
    place = weights.absolute_name(name, folder)
    found = weights.find_weights(place)
    # Threads and slots do not change what the model says; its weights do, wherever they lie.
    label = name if name in weights.EMBEDDED_MODELS else "gguf"
    return OpenAIClient(
        f"local:{name}",
        endpoint=_endpoint(place),
        identity=lambda: f"local:{label}@{found.sha256[:16]}",
        max_concurrency=SLOTS,
        timeouts=TIMEOUTS,
        default_sampling=default_sampling.with_defaults(DEFAULT_SAMPLING),
        always_system=True,
    )


def stop_all() -> None:
    """End the child processes. The next call starts a new one."""
    # Do not wait for a start that is under way: its child ends when this process does.
    if not _starting.acquire(timeout=1):
        return
    try:
        while _running:
            _running.popitem()[1].stop()
    finally:
        _starting.release()


def _endpoint(name: str) -> Endpoint:
    async def address() -> Address:
        child = _running.get(name)
        if child is not None and child.is_alive:
            return child.address
        # If this call is cancelled while the child starts, the child serves the next call.
        return await run_in_daemon_thread(lambda: _address(name), f"start local:{name}")

    return address


def _address(name: str) -> Address:
    with _starting:
        child = _running.get(name)
        if child is None or not child.is_alive:
            if child is not None:
                child.close_pipes()
            best = stored_thread_benchmark(name) or measure_threads(name)
            child = _running[name] = LlamaProcess(name, threads=best.threads)
        return child.address


def _forget_after_fork() -> None:
    """Forget the children after a fork: they and the holder of the lock are the parent's."""
    global _starting
    _starting = threading.Lock()
    for child in _running.values():
        child.close_pipes()
    _running.clear()


atexit.register(stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
