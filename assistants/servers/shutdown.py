"""Ending servers, and clearing away what is left of those that ended by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress

from assistants.clients import ServerRecord, registry
from assistants.errors import UnknownNameError
from assistants.servers.processes import kill, of_session

PATIENCE_S = 6.0
"""Longer than a supervisor gives its server."""


_held: dict[int, subprocess.Popen[bytes]] = {}
"""Supervisors that this process started, and its ends of their pipes.

The pipes close when this process ends, however it does, which is what a supervisor waits for.
"""


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
        supervisor.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def find(name: str) -> ServerRecord:
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


def end(entry: ServerRecord) -> None:
    """End a server and wait until all of its processes are gone."""
    if registry.is_alive(entry):
        with suppress(OSError):
            os.kill(entry.supervisor, signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while registry.is_alive(entry) and time.monotonic() < until:
            time.sleep(0.05)
    if registry.is_alive(entry):  # a supervisor that hangs
        kill([entry.supervisor])
    _close_pipes(entry)
    kill(of_session(entry.group, entry.started))
    registry.remove(entry)


def remove_stale() -> list[ServerRecord]:
    """Clear away servers whose supervisor is gone, and return them.

    Nothing is left of most. A supervisor that was killed may have left processes behind.
    """
    stale = [entry for entry in registry.records() if not registry.is_alive(entry)]
    for entry in stale:
        _close_pipes(entry)
        kill(of_session(entry.group, entry.started))
        registry.remove(entry)
    return stale
