"""Work that blocks, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def run_in_daemon_thread(
    work: Callable[[], _T], name: str, *, unheard: Callable[[], None] | None = None
) -> _T:
    """Do ``work`` without blocking the event loop; cancelling does not wait for its end.

    Not ``asyncio.to_thread``: the loop waits for those threads before it ends, and so would
    somebody who pressed Ctrl-C.

    Parameters
    ----------
    work
        What blocks. Its exception is raised here.
    name
        Of the thread.
    unheard
        Called when the work is done and whoever asked for it is gone.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def run() -> None:
        try:
            outcome: _T | Exception = work()
        except Exception as error:  # whatever it is, the call that waits must hear of it
            outcome = error
        try:
            loop.call_soon_threadsafe(tell, outcome)
        except RuntimeError:  # the loop is closed
            nobody_waits()

    def tell(outcome: _T | Exception) -> None:
        if done.done():
            nobody_waits()
        elif isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)

    def nobody_waits() -> None:
        if unheard is not None:
            unheard()

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
