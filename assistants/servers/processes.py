"""The processes of a server, as the system counts them (Linux)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def of_session(session: int, since: float) -> list[int]:
    """Processes of a session that began at ``since`` (seconds since 1970) and run a Python.

    A server is the first process of a session, and its children stay in it. Numbers are given out
    again, after a reboot above all, so neither older sessions nor other programs count.
    """
    if not PROC.is_dir() or since < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
        return []
    found: list[int] = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(folder.name)
            if os.getsid(pid) == session and "python" in (folder / "exe").readlink().name:
                found.append(pid)
    return found


def resident(pids: list[int]) -> int:
    """Bytes of main memory that they hold and share with nobody."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            pages = (PROC / str(pid) / "statm").read_text().split()
            total += (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    return total


def kill(pids: list[int]) -> None:
    """End them at once."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
