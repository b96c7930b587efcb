"""Blocking work in threads that the event loop does not wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def run_in_daemon_thread(
    work: Callable[[], _T], name: str, *, on_abandoned: Callable[[], None] | None = None
) -> _T:
    """Run ``work`` in a daemon thread and return its result; cancelling does not wait for its end.

    ``asyncio.to_thread`` will not do: the loop waits for such threads before it ends, and so would
    somebody who pressed Ctrl-C.

    Parameters
    ----------
    work
        The blocking function. Its exception is raised here.
    name
        Name of the thread.
    on_abandoned
        Called when the work ends after the caller was cancelled or its loop was closed.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            outcome: _T | Exception = work()
        except Exception as error:  # every error is passed on to the waiting call
            outcome = error
        try:
            loop.call_soon_threadsafe(deliver, outcome)
        except RuntimeError:  # the loop is closed
            abandon()

    def deliver(outcome: _T | Exception) -> None:
        if done.done():
            abandon()
        elif isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)

    def abandon() -> None:
        if on_abandoned is not None:
            on_abandoned()

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
