"""Processes of servers: how they are found (Linux), ended, and cleared away."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from assistants.clients import ServerRecord, registry
from assistants.errors import UnknownNameError

PROC = Path("/proc")
STOP_LIMIT_S = 6.0
"""Longer than a supervisor gives its server."""

_held: dict[int, subprocess.Popen[bytes]] = {}
"""Supervisors that this process started, and its ends of their pipes.

The pipes close when this process ends, however it does, which is what a supervisor waits for.
"""

_APART_S = 30.0
"""An entry is written a moment after the process began; a clock may be set in between."""


def session_processes(session: int, since: float) -> list[int]:
    """Processes of a session that began at ``since`` (seconds since 1970) and run a Python.

    A server is the first process of a session, and its children stay in it. Numbers are given out
    again, after a reboot above all. So a session whose first process began at another time is
    another one; where that process is gone, its number cannot have been given out, unless all of
    the session is gone too.
    """
    if not PROC.is_dir() or since < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME):
        return []
    started = _start_time(session)
    if started is not None and abs(started - since) > _APART_S:
        return []
    found: list[int] = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(folder.name)
            if os.getsid(pid) == session and "python" in (folder / "exe").readlink().name:
                found.append(pid)
    return found


def _start_time(pid: int) -> float | None:
    """When a process began, in seconds since 1970; ``None`` if there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    ticks = int(stat.rpartition(")")[2].split()[19])  # the 22nd field, see proc(5)
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: list[int]) -> int:
    """Bytes of main memory that they hold and share with nobody."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            pages = (PROC / str(pid) / "statm").read_text().split()
            total += (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    return total


def kill_processes(pids: list[int]) -> None:
    """End them at once."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def keep_pipe_open(supervisor: subprocess.Popen[bytes]) -> None:
    """Keep the pipe to a supervisor open."""
    _held[supervisor.pid] = supervisor


def _close_pipes(entry: ServerRecord) -> None:
    supervisor = _held.pop(entry.supervisor, None)
    if supervisor is None:
        return
    assert supervisor.stdin is not None
    supervisor.stdin.close()
    try:
        supervisor.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def find_server(name: str) -> ServerRecord:
    """The running server of a name: its own, or that of its model.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    living = [entry for entry in registry.records() if registry.is_alive(entry)]
    for entry in living:
        if name in (entry.name, entry.model, f"{registry.PROVIDER}:{entry.model}"):
            return entry
    raise UnknownNameError("server", name, [entry.name for entry in living])


def stop_server(entry: ServerRecord) -> None:
    """End a server and wait until all of its processes are gone."""
    if registry.is_alive(entry):
        with suppress(OSError):
            os.kill(entry.supervisor, signal.SIGTERM)
        until = time.monotonic() + STOP_LIMIT_S
        while registry.is_alive(entry) and time.monotonic() < until:
            time.sleep(0.05)
    if registry.is_alive(entry):  # a supervisor that hangs
        kill_processes([entry.supervisor])
    _close_pipes(entry)
    kill_processes(session_processes(entry.group, entry.started))
    registry.remove(entry)


def remove_stale() -> list[ServerRecord]:
    """Clear away servers whose supervisor is gone, and return them.

    Nothing is left of most. A supervisor that was killed may have left processes behind.
    """
    stale = [entry for entry in registry.records() if not registry.is_alive(entry)]
    for entry in stale:
        _close_pipes(entry)
        kill_processes(session_processes(entry.group, entry.started))
        registry.remove(entry)
    return stale
