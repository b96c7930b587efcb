"""Waiting for a store that others may have locked: elsewhere, and not for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from assistants.errors import StoreError
from assistants.utils.config_files import display_path
from assistants.widgets import background

T = TypeVar("T")

STORE_TIMEOUT_S = 3.0
"""How long a person waits for a store that others have locked, before they are told."""


async def run_with_timeout(
    thread: Executor | None,
    results: Path,
    work: Callable[[threading.Event], T],
    *,
    seconds: float = STORE_TIMEOUT_S,
) -> T:
    """What ``work`` gives. It is called in ``thread``, so that answers arrive here meanwhile.

    Parameters
    ----------
    thread
        One that does one thing after the other, if their order matters; ``None`` for any.
    results
        The folder of the store, to name it.
    work
        Is told when nobody waits for it any more: then it must not write.

    Raises
    ------
    StoreError
        If it has not ended after so many seconds.
    """
    too_late = threading.Event()
    going_on = asyncio.get_running_loop().run_in_executor(thread, work, too_late)
    try:
        # Not a timeout around it: where the loop itself was held up, both have come about.
        done, _ = await asyncio.wait([going_on], timeout=seconds)
        if not done:
            raise StoreError(
                f"{display_path(results)} was busy for {seconds:g} s.",
                fix="Close what holds it open: another program is writing to it.",
            )
        return going_on.result()
    finally:
        too_late.set()
        going_on.cancel()


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, done in the thread of ``background``; in any other thread only."""
    return asyncio.run_coroutine_threadsafe(work, background.loop()).result()
