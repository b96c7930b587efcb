"""Program that stands above a server and ends it; this file is the whole of it.

It reads one line of JSON from stdin, takes the lock that says it lives, starts the server in a
process group of its own with its words going to a log, and answers with one line of JSON on
stdout: ``{"group": ...}`` or ``{"error": ...}``. It ends the whole group, the server's own children
too, when it is told to (SIGTERM), when the server's first process ends, and, unless the server is
to stay, when whoever started it is gone.

It imports nothing of this package, so that it starts fast and may be run as a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

GRACE_S = 2.0
"""Seconds that a server has to end by itself; GPU memory is given back in an orderly way then."""

LOOK_S = 0.2
LOCK_S = 1.0
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Watch over a server until it, or its reason to be, is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started it
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    order = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    lock = _take_lock(Path(order["lock"]))
    if lock is None:
        print(json.dumps({"error": "one of that name has not ended yet"}), file=answer, flush=True)
        return
    try:
        server = _start_server(order)
    except OSError as error:
        print(json.dumps({"error": f"{error.filename}: {error.strerror}"}), file=answer, flush=True)
        return
    print(json.dumps({"group": server.pid}), file=answer, flush=True)
    answer.close()
    if order["parent"]:
        threading.Thread(
            target=_wait_for_starter, args=(order["parent"], ended), daemon=True
        ).start()
    try:
        while server.poll() is None and not ended.wait(LOOK_S):
            pass
    finally:
        _end_group(server)
        for file in order["leaves"]:
            Path(file).unlink(missing_ok=True)
        os.close(lock)


def _take_lock(path: Path) -> int | None:
    """Take and return the lock; ``None`` if somebody else holds it for more than a second."""
    until = time.monotonic() + LOCK_S
    while time.monotonic() < until:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file: a lock on that one says nothing.
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        os.close(handle)
        time.sleep(LOOK_S / 4)
    return None


def _start_server(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    with Path(order["log"]).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - what the user asked for
            order["argv"],
            env=order["environment"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_supervisor,
        )


def _end_with_supervisor() -> None:
    """Ask, in the server before it becomes one, to be told of the supervisor's end (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait_for_starter(parent: int, ended: threading.Event) -> None:
    """Set ``ended`` once the starter is gone, even if something it forked holds the pipe open."""
    threading.Thread(target=_wait_for_pipe, args=(ended,), daemon=True).start()
    while os.getppid() == parent and not ended.wait(LOOK_S):
        pass
    ended.set()


def _wait_for_pipe(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End every process of the server's group: politely, then not."""
    _signal_group(server.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while _is_group_alive(server) and time.monotonic() < until:
        time.sleep(LOOK_S / 4)
    _signal_group(server.pid, signal.SIGKILL)
    server.wait()


def _is_group_alive(server: subprocess.Popen[bytes]) -> bool:
    """Return whether anything of the group is left; reap its first process."""
    server.poll()
    try:
        os.killpg(server.pid, 0)
    except OSError:
        return False
    return True


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
