"""The process that stands above a server and ends it; this file is the whole program.

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
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    order = json.loads(sys.stdin.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    lock = _locked(Path(order["lock"]))
    if lock is None:
        print(json.dumps({"error": "one of that name has not ended yet"}), file=answer, flush=True)
        return
    try:
        server = _started(order)
    except OSError as error:
        print(json.dumps({"error": f"{error.filename}: {error.strerror}"}), file=answer, flush=True)
        return
    print(json.dumps({"group": server.pid}), file=answer, flush=True)
    answer.close()
    if order["parent"]:
        threading.Thread(target=_until_alone, args=(order["parent"], told), daemon=True).start()
    try:
        while server.poll() is None and not told.wait(LOOK_S):
            pass
    finally:
        _end(server)
        for file in order["leaves"]:
            Path(file).unlink(missing_ok=True)
        os.close(lock)


def _locked(path: Path) -> int | None:
    """The lock, held; ``None`` if somebody else holds it for more than a second."""
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


def _started(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    with Path(order["log"]).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - what the user asked for
            order["argv"],
            env=order["environment"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_me,
        )


def _end_with_me() -> None:
    """In the server, before it becomes one: be told when the supervisor is killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _until_alone(parent: int, told: threading.Event) -> None:
    """Set ``told`` once the starter is gone, even if something it forked holds the pipe open."""
    threading.Thread(target=_until_closed, args=(told,), daemon=True).start()
    while os.getppid() == parent and not told.wait(LOOK_S):
        pass
    told.set()


def _until_closed(told: threading.Event) -> None:
    sys.stdin.read()
    told.set()


def _end(server: subprocess.Popen[bytes]) -> None:
    """End every process of the server's group: politely, then not."""
    _signal(server.pid, signal.SIGTERM)
    until = time.monotonic() + GRACE_S
    while _some(server) and time.monotonic() < until:
        time.sleep(LOOK_S / 4)
    _signal(server.pid, signal.SIGKILL)
    server.wait()


def _some(server: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the group is left; an ended first process is taken note of."""
    server.poll()
    try:
        os.killpg(server.pid, 0)
    except OSError:
        return False
    return True


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


if __name__ == "__main__":
    main()
