"""The embedded model: needs no key, no GPU and no network.

To the rest of the code it is one more base URL. Behind it stands a child process that starts with
the first call, serves every client in this process, and is gone soon after this process is.
"""

from __future__ import annotations

import atexit
import os
import threading

from assistants.clients.llamacpp import thread_benchmark, weights
from assistants.clients.llamacpp.process import SLOTS, LlamaProcess
from assistants.clients.openai.client import OpenAIClient
from assistants.utils import Address, Endpoint, run_in_daemon_thread

_running: dict[str, LlamaProcess] = {}
_starting = threading.Lock()


def build_local_client(name: str = "smollm2") -> OpenAIClient:
    """A client for an embedded model. Nothing starts before its first call.

    The first call raises ``MissingDependencyError`` if weights or xllamacpp are not installed.

    Raises
    ------
    UnknownNameError
        If there is no such model.
    """
    return OpenAIClient(
        f"local:{name}",
        endpoint=_endpoint(name),
        # Threads and slots do not change what the model says; its weights do.
        identity=f"local:{name}@{weights.find_weights(name).sha256[:16]}",
        max_concurrency=SLOTS,
        always_system=True,
    )


def stop_all() -> None:
    """End the children of this process. The next call starts a new one."""
    # A start that is under way is not waited for: its child ends when this process does.
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
        if child is not None and child.alive:
            return child.address
        # A child whose start nobody waited for serves the next call.
        return await run_in_daemon_thread(lambda: _address(name), f"start local:{name}")

    return address


def _address(name: str) -> Address:
    with _starting:
        child = _running.get(name)
        if child is None or not child.alive:
            if child is not None:
                child.let_go()
            speed = thread_benchmark.stored_thread_benchmark(
                name
            ) or thread_benchmark.measure_threads(name)
            child = _running[name] = LlamaProcess(name, threads=speed.threads)
        return child.address


def _forget_after_fork() -> None:
    """After a fork: the children are our parent's, and so is whoever held the lock."""
    global _starting
    _starting = threading.Lock()
    for child in _running.values():
        child.let_go()
    _running.clear()


atexit.register(stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
