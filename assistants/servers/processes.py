"""The processes of a server, as the system counts them (Linux)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_APART_S = 30.0
"""An entry is written a moment after the process began; a clock may be set in between."""


def of_session(session: int, since: float) -> list[int]:
    """Processes of a session that began at ``since`` (seconds since 1970) and run a Python.

    A server is the first process of a session, and its children stay in it. Numbers are given out
    again, after a reboot above all. So a session whose first process began at another time is
    another one; where that process is gone, its number cannot have been given out, unless all of
    the session is gone too.
    """
    if not PROC.is_dir() or since < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
        return []
    begun = _begun(session)
    if begun is not None and abs(begun - since) > _APART_S:
        return []
    found: list[int] = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(folder.name)
            if os.getsid(pid) == session and "python" in (folder / "exe").readlink().name:
                found.append(pid)
    return found


def _begun(pid: int) -> float | None:
    """When a process began, in seconds since 1970; ``None`` if there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    ticks = int(stat.rpartition(")")[2].split()[19])  # the 22nd field, see proc(5)
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


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
