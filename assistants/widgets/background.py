"""The one thread in which live answers arrive, and the guards of what happens there.

A cell may keep the kernel's own event loop busy for minutes. Answers keep arriving in this
thread, and clicks are acted on here, whatever the kernel is doing. Conversations, their clients
and the traits of live widgets are touched in this thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from assistants.clients import Client, IsolatedClient
from assistants.errors import StoreError
from assistants.utils import display_path

T = TypeVar("T")

STORE_TIMEOUT_S = 3.0
"""Seconds that a person waits for a store that another program has locked."""

_CANCEL_TIMEOUT_S = 5.0
"""Seconds that cancelled work may take to store its text and close its connection."""

_POLL_S = 0.2
"""Seconds between two looks of a waiting cell: the kernel sees an interrupt only while its loop
turns."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None

_calls: Counter[int] = Counter()
"""In-flight calls by the ``id()`` of their client, which is alive, and so unique, meanwhile."""


def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of the thread, which starts with the first live widget."""
    global _loop, _thread
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_loop.run_forever, daemon=True, name="live answers")
            _thread.start()
        return _loop


async def run(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work`` in that thread. Cancelling this cancels it there, and waits for its end."""
    here = asyncio.get_running_loop()
    if here is loop():
        return await work
    ended = asyncio.Event()

    async def signalling() -> T:
        try:
            return await work
        finally:
            with contextlib.suppress(RuntimeError):  # our loop is closed: nobody waits any more
                here.call_soon_threadsafe(ended.set)

    future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(signalling(), loop()))
    try:
        while not future.done():
            await asyncio.wait([future], timeout=_POLL_S)
        return future.result()
    except asyncio.CancelledError:
        future.cancel()  # and so is the work there, which has a text to store
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _CANCEL_TIMEOUT_S)
        raise


def call(work: Callable[[], T]) -> T:
    """Call ``work`` in that thread and return its result; for work that takes no time."""
    if threading.current_thread() is _thread:
        return work()

    async def called() -> T:
        return work()

    return wait_for(called())


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Block until ``work`` has run in that thread, and return its result; in other threads only."""
    return asyncio.run_coroutine_threadsafe(work, loop()).result()


async def run_with_timeout(
    executor: Executor | None,
    results: Path,
    work: Callable[[threading.Event], T],
    *,
    seconds: float = STORE_TIMEOUT_S,
) -> T:
    """Run store access in a worker thread, so that a locked store holds up no answer.

    Parameters
    ----------
    executor
        With one worker, if the order of calls matters; ``None`` for the loop's default.
    results
        The folder of the store, for the error message.
    work
        Gets an event that is set when nobody waits for it any more: then it must not write.
    seconds
        The time limit.

    Raises
    ------
    StoreError
        If it has not ended in time.
    """
    too_late = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(executor, work, too_late)
    try:
        # Not asyncio.timeout: after a pause of the loop itself, both may have happened.
        done, _ = await asyncio.wait([future], timeout=seconds)
        if not done:
            raise StoreError(
                f"{display_path(results)} was busy for {seconds:g} s.",
                fix="Close what holds it open: another program is writing to it.",
            )
        return future.result()
    finally:
        too_late.set()
        future.cancel()


@contextlib.contextmanager
def track_call(client: Client) -> Iterator[None]:
    """Count an in-flight call of a client, so that no other widget closes the client meanwhile."""
    number = id(_unwrapped(client))
    _calls[number] += 1
    try:
        yield
    finally:
        _calls[number] -= 1
        if not _calls[number]:
            del _calls[number]


def is_busy(client: Client) -> bool:
    """Return whether any widget waits for an answer of this client."""
    return id(_unwrapped(client)) in _calls


def _unwrapped(client: Client) -> Client:
    return client.client if isinstance(client, IsolatedClient) else client
