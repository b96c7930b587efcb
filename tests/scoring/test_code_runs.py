"""Code from answers really runs, and hostile code is contained while the caller goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from assistants.errors import UsageError
from assistants.scoring import Score, ScorerInput, apply_scorer, make_scorer
from assistants.scoring.sandbox import code_runs, worker
from assistants.scoring.sandbox.code_runs import SandboxLimits, code_of, run

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other kernels have other limits")
QUICK = SandboxLimits(seconds=2, memory_mib=512, disk_mib=8)
LAYERS: list[tuple[code_runs.Layer, ...]] = [(), ("namespaces",), ("landlock",), ("seccomp",)]


def graded(answer: str, limits: SandboxLimits = QUICK) -> Score:
    return apply_scorer(
        code_runs.code_runs(allow_code=True, limits=limits), ScorerInput("?", answer)
    )


def fenced(code: str) -> str:
    return f"Here it is:\n\n```python\n{code}\n```\n"


def python_processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_code_runs_only_where_it_is_allowed() -> None:
    """Nobody runs a stranger's code by listing a scorer."""
    with pytest.raises(UsageError, match="allow_code: true"):
        code_runs.code_runs()
    with pytest.raises(UsageError, match="allow_code: true"):
        make_scorer("code_runs")
    assert make_scorer("code_runs", allow_code=True).kind == "binary"


@pytest.mark.parametrize(
    ("code", "value", "detail"),
    [
        ("print(sum(range(10)))", 1, None),
        ("raise SystemExit(0)", 1, None),
        ("import sys\nsys.exit(3)", 0, "ended with exit code 3"),
        ("1 / 0", 0, "ZeroDivisionError: division by zero"),
        ("def broken(:", 0, "SyntaxError: invalid syntax"),
        ("input()", 0, "EOFError: EOF when reading a line"),
        ("import os\nassert sorted(os.environ) == []", 0, "AssertionError"),
        ("import os\nos.abort()", 0, "killed by SIGABRT"),
        ("open('mine', 'w').write('x')\nassert open('mine').read() == 'x'", 1, None),
        ("import tempfile\ntempfile.TemporaryFile().write(b'x')", 1, None),
        ("import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()", 1, None),
        ("import asyncio\nasyncio.run(asyncio.sleep(0))", 1, None),
        ("import numpy\nassert numpy.ones(3).sum() == 3", 1, None),
        ("print('\ud800 \x00'[:0])", 0, None),
    ],
)
def test_a_program_is_graded_by_how_it_ends(code: str, value: float, detail: str | None) -> None:
    """Exit code 0 is 1; anything else is 0, with the last line that it wrote."""
    score = graded(fenced(code))
    assert score.value == value
    if detail:
        assert score.detail == detail


def test_an_answer_without_code_has_no_score() -> None:
    """Talking instead of programming is not a program that failed."""
    for answer in ("", "Just add one.", "```bash\nls\n```", "```python\n\n```"):
        assert graded(answer) == Score(None, "the answer has no fenced Python")


def test_where_nothing_can_be_limited_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows an experiment with this scorer still loads and runs; its answers have no score."""
    monkeypatch.setattr(code_runs, "limits_enforced", code_runs.limits_enforced.__wrapped__)
    monkeypatch.setattr(code_runs, "os", SimpleNamespace(name="nt"))
    score = graded(fenced("1 / 0"))
    assert score.value is None
    assert "cannot limit" in (score.reason or "")
    assert "no limit on time, memory" in code_runs.not_enforced()


def test_which_blocks_are_the_program() -> None:
    """All Python blocks that go together; output and sessions between them are not code."""
    both = "```python\ndef f(): return 1\n```\nthen\n```py\nassert f() == 1\n```"
    assert graded(both).value == 1
    assert code_of("```\nx = 1\n```\n```python\ny = 1\n```\n") == ["y = 1"]
    assert code_of("```\nx = 1\n```") == ["x = 1"]
    assert code_of("1. so:\n   ~~~python\n   x = 1\n   ~~~") == ["x = 1"]
    assert code_of("```python\nx = 1") == ["x = 1"], "an answer that was cut"
    assert worker.script(["x = 1", "y = 2"]) == "x = 1\n\ny = 2\n"
    assert worker.script(["x = 1", ">>> x\n1", "y = 2222"]) == "y = 2222\n"
    assert worker.script(["def f(:", "1 +"]) == "def f(:\n\n1 +\n"
    assert worker.script(["(" * 50_000, "x = '\\d'"]) == "x = '\\d'\n"


HOSTILE = {
    "endless loop": "while True: pass",
    "sleeps": "import time\ntime.sleep(1000)",
    "ignores signals": "import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass",
    "fork bomb": "import os\nwhile True: os.fork()",
    "10 GB": "x = bytearray(10 * 2**30)",
    "10 GB in pieces": "x = []\nwhile True: x.append(bytearray(2**20))",
    "thread bomb": "import threading, time\nwhile True: "
    "threading.Thread(target=time.sleep, args=(60,)).start()",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)",
    "kills everybody": "import os\nos.kill(-1, 9)\nraise SystemExit(1)",
    "one big file": "f = open('big', 'wb')\nwhile True: f.write(bytes(2**20))",
    "many files": "i = 0\nwhile True:\n  open(str(i), 'wb').write(bytes(2**20)); i += 1",
    "floods stdout": "while True: print('x' * 100_000)",
    "floods stderr": "import sys\nwhile True: sys.stderr.write('x' * 100_000)",
    "starts a shell": "import subprocess\nsubprocess.run(['sh', '-c', 'true'], check=True)",
    "reads a secret": "open('/etc/passwd').read()",
    "reads its parent": "open('/proc/self/environ').read()",
    "mounts": "import ctypes, os\nl = ctypes.CDLL(None)\n"
    "assert l.umount2(os.getcwd().encode(), 2) == 0",
    "changes a mode": "import os, sys\nos.chmod(sys.executable, 0)",
    "recurses": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
}


@LINUX
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_code_is_contained(kind: str) -> None:
    """Code that never ends by itself is ended, scored 0, and nothing of it is left."""
    before = python_processes()
    score = graded(fenced(HOSTILE[kind]), SandboxLimits(seconds=1, memory_mib=256, disk_mib=8))
    assert score.value == 0, score
    assert score.detail
    assert python_processes() <= before
    assert os.getpgid(0) == os.getpgrp(), "this process is still here"


@LINUX
@pytest.mark.parametrize("without", LAYERS, ids=lambda w: "all" if not w else f"no {w[0]}")
def test_nothing_is_written_outside_its_folder(
    tmp_path: Path, without: tuple[code_runs.Layer, ...]
) -> None:
    """By any layer alone that deals with files."""
    target = tmp_path / "escaped"
    mine = tmp_path / "mine"
    mine.write_text("kept")
    code = f"""
import os
for name in ({str(target)!r}, '/tmp/escaped-from-cell', {str(mine)!r}, '/dev/shm/escaped'):
    for step in (lambda: open(name, 'w').write('x'), lambda: os.unlink(name),
                 lambda: os.chmod(name, 0), lambda: os.utime(name, (1, 1)),
                 lambda: os.symlink('/', name), lambda: os.rename('answer.py', name)):
        try:
            step()
        except OSError:
            pass
"""
    when = mine.stat()
    ran = run([code], QUICK, without=without)
    assert ran.exit_code == 0, ran
    assert ran.enforced.get("files")
    assert not target.exists()
    assert not Path("/tmp/escaped-from-cell").exists()
    assert not Path("/dev/shm/escaped").exists()
    assert mine.read_text() == "kept"
    assert (mine.stat().st_mode, mine.stat().st_mtime) == (when.st_mode, when.st_mtime)


@LINUX
@pytest.mark.parametrize("without", LAYERS, ids=lambda w: "all" if not w else f"no {w[0]}")
def test_nobody_is_called(without: tuple[code_runs.Layer, ...]) -> None:
    """Not even a listener on this machine hears from the code, by either layer alone."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code = f"import socket\nsocket.create_connection(('127.0.0.1', {port})).send(b'x')"
        ran = run([code], QUICK, without=without)
        assert ran.exit_code == 1, ran
        assert ran.enforced.get("network")
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


@LINUX
@pytest.mark.parametrize(
    "without", [(), ("seccomp",), ("namespaces", "seccomp")], ids=lambda w: "+".join(w) or "all"
)
def test_a_daemon_does_not_outlive_its_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: tuple[code_runs.Layer, ...]
) -> None:
    """Forked twice and in a session of its own, it is found and ended all the same."""
    code = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(0.7311)
    os._exit(0)
os.wait()
"""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ran = run([code], QUICK, without=without)
    assert ran.exit_code == (0 if "seccomp" in without else 1), ran
    assert not [p for p in psutil.process_iter() if _home(p).startswith(str(tmp_path))]


def _home(process: psutil.Process) -> str:
    """Where its folder is: the sandbox puts it into the environment of all that it starts."""
    try:
        return str(process.environ().get("HOME", ""))
    except psutil.Error:
        return ""


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key reaches the code."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary-7f3a")
    code = "import os\nassert 'canary' not in str(dict(os.environ)), 'leaked'"
    assert graded(fenced(code)).value == 1


def test_its_folder_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it ended or was ended."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for code in ("open('x', 'w')", "open('x', 'w')\nwhile True: pass"):
        graded(fenced(code), SandboxLimits(seconds=0.5))
    assert not list(tmp_path.iterdir())


@LINUX
def test_it_ends_with_its_caller() -> None:
    """A kernel that is killed while it grades leaves no code behind."""
    program = (
        "from assistants.scoring.sandbox import SandboxLimits, run\n"
        "run(['import time\\nwhile True: time.sleep(1)  # ends-with-caller'], "
        "SandboxLimits(seconds=60))"
    )
    caller = subprocess.Popen([sys.executable, "-c", program])
    try:
        inside = _wait_for(lambda: _answering(caller.pid))
        assert inside, "it never began"
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    assert _wait_for(lambda: not any(psutil.pid_exists(pid) for pid in inside))


def _answering(pid: int) -> set[int]:
    below = psutil.Process(pid).children(recursive=True)
    return {p.pid for p in below if any("answer.py" in part for part in _command(p))}


def _wait_for(found: object, seconds: float = 60) -> object:
    assert callable(found)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := found():
            return result
        time.sleep(0.05)
    return None


def test_what_cannot_be_enforced_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that this system lacks is named, and one that it has says how."""
    bare = run(["pass"], QUICK, without=("namespaces", "landlock", "seccomp"))
    assert bare.exit_code == 0
    assert not {"network", "files", "disk"} & set(bare.enforced)
    monkeypatch.setattr(
        code_runs, "limits_enforced", lambda: {n: bare.enforced.get(n) for n in worker.LIMITS}
    )
    assert "no limit on" in code_runs.not_enforced()
    assert "network" in code_runs.not_enforced()


def test_versions_differ_with_the_limits() -> None:
    """Code that timed out at one second may run in ten, so those scores are not shared."""
    made = [
        code_runs.code_runs(allow_code=True, limits=limits).version
        for limits in (
            SandboxLimits(),
            SandboxLimits(seconds=1),
            SandboxLimits(memory_mib=99),
            SandboxLimits(disk_mib=2),
        )
    ]
    assert len(set(made)) == 4
    assert made[0] == code_runs.code_runs(allow_code=True).version


def test_a_cell_that_cannot_start_is_no_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of this machine is not a fault of the answer."""
    scorer = code_runs.code_runs(allow_code=True)
    monkeypatch.setattr(worker, "__file__", "/nowhere/worker.py")
    score = apply_scorer(scorer, ScorerInput("?", fenced("pass")))
    assert score.value is None
    assert "isolated" in str(score.reason)
