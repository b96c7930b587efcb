"""Which port a server gets."""

from __future__ import annotations

import socket

from assistants.clients import registry
from assistants.errors import UsageError
from assistants.servers.launch_options import LOOPBACK, LaunchOptions

FIRST = 8000
_MANY = 1000


def port_for(launch: LaunchOptions) -> int:
    """The port that was asked for, or the first free one.

    It is the server that takes it, some seconds later; somebody else may have been faster then.

    Raises
    ------
    UsageError
        If it is taken, naming by whom if that is a server of ours, or if none is free.
    """
    if launch.port is not None:
        if not _is_free(launch.host, launch.port, again=True):
            raise UsageError(
                f"Port {launch.port} is taken{_by_whom(launch.port)}.",
                fix="Ask for another with `--port`, or for none: the first free one is used.",
            )
        return launch.port
    for port in range(FIRST, FIRST + _MANY):
        if _is_free(launch.host, port):
            return port
    raise UsageError(f"No port from {FIRST} to {FIRST + _MANY - 1} is free.")


def _is_free(host: str, port: int, *, again: bool = False) -> bool:
    """Whether it can be taken; ``again`` if it was in use a moment ago.

    A port that a starting server has bound and does not listen on yet looks free with that.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        if again:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host or LOOPBACK, port))
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    entry = next((each for each in registry.records() if each.port == port), None)
    return f" by {entry.name}" if entry else ""
