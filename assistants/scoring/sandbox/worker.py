"""The program that runs the code of an answer, started by ``code_runs``.

Three processes. The outer one keeps the time and ends everything; the next is the first of a
process namespace, so that the kernel ends with it whatever else is left; the third gives up its
rights one by one, says on a pipe what it could give up, and becomes the answer's code. It imports
nothing but the standard library, and ``linux`` from beside it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

LIMITS = ("time", "memory", "files", "disk", "network", "processes")
"""Everything that is limited, in the order of reports. Memory is per process, and so of the whole
sandbox only where processes are limited too; disk is the folder as a whole."""


def script(blocks: list[str]) -> str:
    """Return the program that an answer's blocks make up.

    All of them, one after the other, when each is Python. Otherwise the longest unbroken run of
    blocks that are (an answer also shows output and sessions), or all of them when none is.
    """
    runs: list[list[str]] = [[]]
    for block in blocks:
        if _is_python(block):
            runs[-1].append(block)
        else:
            runs.append([])
    best = max(runs, key=lambda run: sum(map(len, run)))
    return "\n\n".join(best or blocks) + "\n"


def _is_python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return False
    return True


def main() -> None:
    """Read the order from standard input, run it, and report on the pipe how it ended."""
    order = json.load(sys.stdin)
    pipe = int(sys.argv[1])
    os.set_inheritable(pipe, False)
    enforced = {"time": "watched from outside"}
    inside = _enter(order, enforced)
    child = os.fork()
    if not child:
        _run_and_exit(_first if inside else _code, order, pipe, enforced)
    ended = _wait(child, order["seconds"])
    _end_everything(child)
    _report(pipe, {"ended": ended})


def _enter(order: Any, enforced: dict[str, str]) -> bool:
    """Enter namespaces without network or other processes, if this system lets us."""
    try:
        import linux as kernel  # type: ignore[import-not-found, unused-ignore]

        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    except (ImportError, OSError, AttributeError):
        return False
    if "namespaces" in order["without"]:
        return False
    try:
        kernel.enter_namespaces()
    except OSError:
        return False
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user namespace clears it
    enforced["network"] = "network namespace"
    return True


def _first(order: Any, pipe: int, enforced: dict[str, str]) -> None:
    """Be the first process of the namespace: the kernel kills the rest when it goes."""
    import linux as kernel

    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        kernel.make_read_only_except(order["folder"], order["disk_bytes"])
        enforced["files"] = "read-only mounts"
        enforced["disk"] = "file system in memory"
        os.chdir(order["folder"])
    except OSError:
        pass  # Landlock may still do it
    child = os.fork()
    if not child:
        _run_and_exit(_code, order, pipe, enforced)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _code(order: Any, pipe: int, enforced: dict[str, str]) -> None:
    """Give up every right, report which, and become the code of the answer."""
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 0)
    os.dup2(devnull, 1)
    _give_up(order, enforced)
    Path("answer.py").write_text(script(order["blocks"]), encoding="utf-8", errors="replace")
    _report(pipe, {"enforced": enforced})
    os.execve(  # noqa: S606 this process is already confined
        order["python"], [order["python"], *order["flags"], "answer.py"], order["environment"]
    )


def _give_up(order: Any, enforced: dict[str, str]) -> None:
    read_only = "files" in enforced
    _set_limits(order, enforced)
    try:
        import linux as kernel

        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        return
    if "landlock" not in order["without"]:
        try:
            kernel.allow_only_files(order["readable"], [order["folder"], os.devnull])
            enforced["files"] = " and ".join(filter(None, [enforced.get("files"), "Landlock"]))
        except OSError:
            pass
    if "seccomp" not in order["without"]:
        try:
            kernel.restrict_system_calls(attributes_too=not read_only)
            for what in ("network", "processes"):
                enforced[what] = " and ".join(filter(None, [enforced.get(what), "seccomp"]))
        except OSError:
            pass


def _set_limits(order: Any, enforced: dict[str, str]) -> None:
    import resource

    size = order["disk_bytes"]
    wanted = {
        "RLIMIT_CPU": (order["seconds"], order["seconds"] + 1),
        "RLIMIT_AS": (order["memory_bytes"],) * 2,
        "RLIMIT_FSIZE": (size, size),
        "RLIMIT_NOFILE": (64, 64),
        "RLIMIT_CORE": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
    }
    # The kernel counts all processes of a user, in a user namespace only those in it. It never
    # holds root to it.
    if os.getuid() and "network" in enforced:
        wanted["RLIMIT_NPROC"] = (order["processes"],) * 2
    for name, (soft, hard) in wanted.items():
        try:
            resource.setrlimit(getattr(resource, name), (int(soft), int(hard)))
        except (AttributeError, ValueError, OSError):
            continue
        if name == "RLIMIT_AS" and sys.platform == "linux":
            enforced["memory"] = "address space"
        if name == "RLIMIT_NPROC":
            enforced["processes"] = "process limit"


def _wait(child: int, seconds: float) -> Any:
    """Return the child's exit code, or ``"time"`` when it had to be stopped."""
    deadline = time.monotonic() + seconds
    pause = 0.002
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)
    return "time"


def _end_everything(child: int) -> None:
    """Kill what is left: the child, and as its subreaper whatever it left behind."""
    for _ in range(200):
        left = _children() or [child]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _children() -> list[int]:
    """Return the children of this process; grandchildren become that as their own parents die."""
    try:
        return [
            int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        ]
    except OSError:
        return []


def _run_and_exit(step: Any, *order: Any) -> None:
    """Run a step in a child, and end it here: it never returns to its parent's code."""
    try:
        step(*order)
    except BaseException as error:  # said on standard error, and then over
        os.write(2, f"{type(error).__name__}: {error}\n".encode(errors="replace"))
    os._exit(120)


def _report(pipe: int, what: Any) -> None:
    os.write(pipe, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
