"""A scorer of whether the Python in an answer runs to its end.

The code is a stranger's. It runs in a process of its own (see ``worker.py``) with limits on time,
memory, disk, files, network and processes, an empty environment, and a folder that is gone
afterwards. ``limits_enforced`` tells what this system cannot enforce.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from assistants.errors import UsageError
from assistants.scoring.base import (
    FunctionScorer,
    ScoredValue,
    ScorerInput,
    UnscorableError,
    measure,
)
from assistants.scoring.code_blocks import CodeBlock, split_code_blocks
from assistants.scoring.sandbox import worker

PYTHON_LABELS = frozenset({"python", "python3", "py", "py3"})

MAX_CODE = 200_000
"""Characters. No answer has more code than that, but a broken one may."""

FLOOD_BYTES = 5_000_000
"""Standard error that ends the code; standard output goes nowhere and may be any amount."""

KEPT_BYTES = 4_000
"""The end of standard error, of which the last line is shown."""

GRACE_SECONDS = 5.0
"""Time after its limit at which a worker that does not even answer is killed from here."""

Layer = Literal["namespaces", "landlock", "seccomp"]


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Resources that code from an answer may use: seconds, and mebibytes of memory and disk."""

    seconds: float = 10.0
    memory_mib: int = 1024
    disk_mib: int = 32

    def __post_init__(self) -> None:
        if not (0.1 <= self.seconds <= 3_600 and self.memory_mib >= 64 and self.disk_mib >= 1):
            raise UsageError(
                "code_runs: the limits are out of range.",
                fix="Use 0.1 to 3600 seconds, at least 64 MiB of memory and 1 MiB of disk.",
            )


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """The end of a piece of code: its exit code, or ``None`` with ``stopped`` saying why."""

    exit_code: int | None
    stopped: str
    stderr: str
    enforced: Mapping[str, str]

    @property
    def detail(self) -> str:
        """The reason why it did not run to its end: what stopped it, or the last line it wrote."""
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        if self.stopped:
            return self.stopped
        if self.exit_code == 0:
            return ""
        return lines[-1].strip() if lines else f"ended with exit code {self.exit_code}"


def code_runs(*, allow_code: bool = False, limits: SandboxLimits | None = None) -> FunctionScorer:
    """Return a scorer that gives 1 where the answer's Python runs to its end with exit code 0.

    The code is that of the blocks labelled Python, or of all blocks where none has a label; which
    of them, ``worker.script`` decides. It runs in the Python that runs this, with its packages. It
    may not start processes, open sockets, ask for input, or read and write outside its folder: code
    that has to counts as not running. An answer without code is unscorable, and on Windows, which
    has none of these limits, every answer is.

    Raises
    ------
    UsageError
        Unless ``allow_code``: running what a model wrote is somebody's decision, not a default.
    """
    if not allow_code:
        raise UsageError(
            "code_runs runs the code that models write, on this machine.",
            fix="Write `allow_code: true` in the experiment to allow it.",
        )
    within = limits or SandboxLimits()
    python = ".".join(map(str, sys.version_info[:3]))
    isolation = {name: how for name, how in limits_enforced().items() if how}
    return measure(
        _code_runs,
        "_code_runs/1",
        name="code_runs",
        unit="share",
        direction="higher",
        kind="binary",
        limits=asdict(within),
        python=python,
        isolation=isolation,
    )


@lru_cache(maxsize=1)
def limits_enforced() -> dict[str, str | None]:
    """Return how each limit is enforced on this system, by trying; ``None`` where it is not."""
    if os.name != "posix":
        return dict.fromkeys(worker.LIMITS)
    result = run(["pass"], SandboxLimits())
    return {name: result.enforced.get(name) for name in worker.LIMITS}


def not_enforced() -> str:
    """Return a sentence on the limits that cannot be enforced here; empty if there are none."""
    missing = [name for name, how in limits_enforced().items() if how is None]
    if not missing:
        return ""
    return f"code_runs: on this system there is no limit on {', '.join(missing)}."


def code_of(answer: str) -> list[str]:
    """Return the code of an answer: blocks labelled Python, else those without a label."""
    blocks = split_code_blocks(answer)[1]
    labelled = [block for block in blocks if block.language.strip("{}.,") in PYTHON_LABELS]
    plain: list[CodeBlock] = [block for block in blocks if not block.language]
    return [block.code for block in labelled or plain if block.code.strip()]


def _code_runs(
    scorer_input: ScorerInput,
    *,
    limits: Mapping[str, Any],
    python: str,
    isolation: Mapping[str, str],
) -> float:
    if os.name != "posix":
        raise UnscorableError("this system cannot limit what code does: use Linux or WSL")
    blocks = code_of(scorer_input.answer)
    if not blocks:
        raise UnscorableError("the answer has no fenced Python")
    if sum(map(len, blocks)) > MAX_CODE:
        raise UnscorableError(f"more than {MAX_CODE:,} characters of code")
    result = run(blocks, SandboxLimits(**limits))
    return ScoredValue(float(result.exit_code == 0 and not result.stopped), result.detail)


def run(
    blocks: list[str], limits: SandboxLimits, *, without: tuple[Layer, ...] = ()
) -> ExecutionResult:
    """Run what ``blocks`` make up, and wait for it; takes at most its seconds and the grace.

    ``without`` leaves layers out, as if this kernel lacked them.

    Raises
    ------
    UnscorableError
        If the worker broke before the code began.
    """
    with tempfile.TemporaryDirectory(
        prefix="assistants-sandbox-", ignore_cleanup_errors=True
    ) as folder:
        order = json.dumps(_order(blocks, limits, str(Path(folder).resolve()), without))
        reading, writing = os.pipe()
        try:
            outer = subprocess.Popen(  # noqa: S603 our own program; the code comes by its input
                [sys.executable, "-I", "-S", "-B", worker.__file__, str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={},
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            with outer, open(reading, "rb", buffering=0) as report:  # noqa: PTH123 a descriptor
                try:
                    return _watch(outer, report, order.encode(), limits.seconds + GRACE_SECONDS)
                finally:
                    _kill(outer)
        except BrokenPipeError:
            raise UnscorableError(
                "the code could not be isolated: its sandbox did not start"
            ) from None


def _order(
    blocks: list[str], limits: SandboxLimits, folder: str, without: tuple[Layer, ...]
) -> Any:
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime"]
    devices = ["/dev/zero", "/dev/urandom", "/dev/random", "/proc/cpuinfo", "/proc/meminfo"]
    links = [str(Path(sys.executable)), str(Path(sys.executable).resolve())]
    mib = 1024 * 1024
    return {
        "blocks": blocks,
        "folder": folder,
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_mib * mib,
        "disk_bytes": limits.disk_mib * mib,
        "processes": 32,
        "python": sys.executable,
        "flags": ["-I", "-B", "-X", "utf8"],
        "readable": sorted({*prefixes, *system, *devices, *links}),
        # One thread for numpy: every thread takes address space, and a big machine has many.
        "environment": {"HOME": folder, "TMPDIR": folder, "OPENBLAS_NUM_THREADS": "1"},
        "without": list(without),
    }


def _watch(
    outer: subprocess.Popen[bytes], report: Any, order: bytes, seconds: float
) -> ExecutionResult:
    """Feed the worker, read what it reports until it is over, and return how it ended."""
    assert outer.stdin is not None
    assert outer.stderr is not None
    outer.stdin.write(order)
    outer.stdin.close()
    reported, errors, total, stopped = b"", b"", 0, ""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as ready:
        ready.register(report, selectors.EVENT_READ)
        ready.register(outer.stderr, selectors.EVENT_READ)
        while report in ready.get_map() and not stopped:
            for key, _ in ready.select(max(0.0, deadline - time.monotonic())):
                piece = os.read(key.fd, 65_536)
                if not piece:
                    ready.unregister(key.fileobj)
                elif key.fileobj is report:
                    reported += piece
                else:
                    total += len(piece)
                    errors = (errors + piece)[-KEPT_BYTES:]
            if total > FLOOD_BYTES:
                stopped = f"wrote more than {FLOOD_BYTES:,} bytes to standard error"
            elif time.monotonic() > deadline:
                stopped = "stopped: it did not end in time"
    os.set_blocking(outer.stderr.fileno(), False)
    errors += outer.stderr.read(KEPT_BYTES) or b"" if not stopped else b""
    return _result(reported, errors[-KEPT_BYTES:].decode(errors="replace"), stopped)


def _result(reported: bytes, errors: str, stopped: str) -> ExecutionResult:
    status: dict[str, Any] = {}
    for line in reported.splitlines():
        status.update(json.loads(line))
    if "enforced" not in status:
        last = errors.strip().splitlines()[-1:] or ["it ended before the code began"]
        raise UnscorableError(f"the code could not be isolated: {last[0]}")
    code = status.get("ended")
    if code == "time":
        code, stopped = None, stopped or "stopped: it did not end in time"
    elif isinstance(code, int) and (code < 0 or code > 128):
        number = -code if code < 0 else code - 128
        by_time = number in (signal.SIGXCPU, signal.SIGKILL)
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        stopped = stopped or f"killed by {name}" + (", out of time or memory" if by_time else "")
    return ExecutionResult(code, stopped, errors, status["enforced"])


def _kill(outer: subprocess.Popen[bytes]) -> None:
    """End the worker; its first process has asked the kernel to end with it, and all others too."""
    try:
        os.killpg(outer.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        outer.kill()
