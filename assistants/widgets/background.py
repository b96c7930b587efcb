"""The one thread in which live answers arrive.

A cell may keep the kernel's own event loop busy for minutes. Answers go on arriving here, and a
click is acted on here, whatever the kernel is doing. Conversations, their clients and the traits
of live widgets are touched in this thread only.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE_S = 5.0
"""How long something that was cancelled may take to keep its text and close its connection."""

_TICK_S = 0.2
"""How often a cell that waits looks up: the kernel sees an interrupt only while its loop turns."""

_lock = threading.Lock()
_running: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def loop() -> asyncio.AbstractEventLoop:
    """The event loop of that thread, which starts with the first live widget."""
    global _running, _thread
    with _lock:
        if _running is None or _thread is None or not _thread.is_alive():
            _running = asyncio.new_event_loop()
            _thread = threading.Thread(
                target=_running.run_forever, daemon=True, name="live answers"
            )
            _thread.start()
        return _running


async def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, done there. Cancelling this cancels it, and waits for its end."""
    here = asyncio.get_running_loop()
    if here is loop():
        return await work
    ended = asyncio.Event()

    async def told() -> T:
        try:
            return await work
        finally:
            with contextlib.suppress(RuntimeError):  # our loop is gone: nobody waits any more
                here.call_soon_threadsafe(ended.set)

    waiting = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(told(), loop()))
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=_TICK_S)
        return waiting.result()
    except asyncio.CancelledError:
        waiting.cancel()  # and so is the work there, which has a text to keep
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _PATIENCE_S)
        raise


def call(work: Callable[[], T]) -> T:
    """The result of a function that is called there; for what takes no time."""
    if threading.current_thread() is _thread:
        return work()

    async def called() -> T:
        return work()

    return asyncio.run_coroutine_threadsafe(called(), loop()).result()
