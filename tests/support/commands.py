"""The command line as the tests use it: in this process where that is enough, else in its own."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from typer import testing

from assistants.cli import app

COMMAND = [sys.executable, "-c", "from assistants.cli import main; main()"]

# For each call it would build all commands anew, a third of the time of a short one.
testing._get_command = cache(testing._get_command)

CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""What may not reach a terminal from outside."""


@dataclass(frozen=True)
class Done:
    """What a command left on the screen, and its exit code."""

    code: int
    out: str
    err: str


def call(*args: str, stdin: str = "") -> Done:
    """Run a command in this process."""
    done = testing.CliRunner().invoke(app, args, input=stdin, prog_name="assistants")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def run(
    *args: str, stdin: str = "", cwd: Path | None = None, timeout: float = 120, **env: str
) -> Done:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [*COMMAND, *args],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env=_environment(env),
        timeout=timeout,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start(*args: str, cwd: Path | None = None, env: Mapping[str, str] = {}) -> subprocess.Popen:
    """Start a command in a process of its own, and do not wait for it."""
    return subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=cwd,
        env=_environment(env),
    )


def on_terminal(*args: str, columns: int = 80, **env: str) -> tuple[int, str]:
    """Run a command on a new terminal; return its exit code and every character it wrote."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [*COMMAND, *args],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=_environment({"TERM": "xterm-256color", **env}),
    )
    os.close(theirs)
    written = b""
    try:
        while piece := os.read(ours, 65_536):
            written += piece
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    return process.wait(60), written.decode("utf-8", "replace")


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as a person has it, with the variables ``more``.

    Bytecode is allowed, or every command would take seconds to start. The width that xdist gives
    its workers is left out, so that a terminal has its own.
    """
    dropped = {"PYTHONDONTWRITEBYTECODE", "COLUMNS", "LINES"}
    return {k: v for k, v in os.environ.items() if k not in dropped} | dict(more)


def write_experiment(path: Path | str = "exp.yaml", **content: object) -> str:
    """Write an experiment file of two personas and one question on the loopback server."""
    values = {
        "personas": ["none", "art"],
        "models": ["vllm:m"],
        "cases": [{"id": "sky", "question": "Why is the sky blue?"}],
        **content,
    }
    # JSON is YAML, and so no text in it needs care.
    lines = (f"{json.dumps(key)}: {json.dumps(value)}\n" for key, value in values.items())
    Path(path).write_text("".join(lines), encoding="utf-8")
    return str(path)
