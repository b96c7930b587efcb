"""Processes of servers: found (Linux), ended, and cleared away."""

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
"""An record is written a moment after the process began; a clock may be set in between."""


def session_processes(session: int, since: float) -> list[int]:
    """List the Python processes of a session that began at ``since`` (seconds since 1970).

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
    """Return when a process began, in seconds since 1970; ``None`` if there is none."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    ticks = int(stat.rpartition(")")[2].split()[19])  # the 22nd field, see proc(5)
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: list[int]) -> int:
    """Return the bytes of main memory that processes hold and share with nobody."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            pages = (PROC / str(pid) / "statm").read_text().split()
            total += (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
    return total


def kill_processes(pids: list[int]) -> None:
    """End processes at once."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def keep_pipe_open(supervisor: subprocess.Popen[bytes]) -> None:
    """Keep the pipe to a supervisor open."""
    _held[supervisor.pid] = supervisor


def _close_pipes(record: ServerRecord) -> None:
    supervisor = _held.pop(record.supervisor, None)
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
    """Return the running server of a name: its own, or that of its model.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    living = [record for record in registry.records() if registry.is_alive(record)]
    for record in living:
        if name in (record.name, record.model, f"{registry.PROVIDER}:{record.model}"):
            return record
    raise UnknownNameError("server", name, [record.name for record in living])


def stop_server(record: ServerRecord) -> None:
    """End a server and wait until all of its processes are gone."""
    if registry.is_alive(record):
        with suppress(OSError):
            os.kill(record.supervisor, signal.SIGTERM)
        until = time.monotonic() + STOP_LIMIT_S
        while registry.is_alive(record) and time.monotonic() < until:
            time.sleep(0.05)
    if registry.is_alive(record):  # a supervisor that hangs
        kill_processes([record.supervisor])
    _close_pipes(record)
    kill_processes(session_processes(record.group, record.started))
    registry.remove(record)


def remove_stale() -> list[ServerRecord]:
    """Clear away servers whose supervisor is gone, and return them.

    Nothing is left of most. A supervisor that was killed may have left processes behind.
    """
    stale = [record for record in registry.records() if not registry.is_alive(record)]
    for record in stale:
        _close_pipes(record)
        kill_processes(session_processes(record.group, record.started))
        registry.remove(record)
    return stale
