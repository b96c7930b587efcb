"""What the stories of tests/features share: a folder, a server, and a command that was run."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd

from support.commands import Done, call, run, start, write_experiment
from support.faulty_server import FaultyServer


class Teller:
    """One person at one terminal, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: FaultyServer | None = None
        self.port = 0
        self.more: dict[str, str] = {}
        self.done: Done | None = None
        self.process: subprocess.Popen[str] | None = None
        self.went_s = 0.0
        self.asked_before = 0
        self.kept: pd.DataFrame | None = None

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        if self.server is not None:
            self.server.__exit__(None, None, None)
        if self.more:
            run("stop", "--all", cwd=self.folder, **self.environment)

    # -- the server --------------------------------------------------------------------------------

    def serve(self, latency: float = 0.0) -> None:
        """A server that answers who it was told to be."""
        self.server = FaultyServer(_who, latency=latency).__enter__()
        self.port = self.server.port

    def reserve_port(self) -> None:
        """An address at which nobody answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def stop_serving(self) -> None:
        assert self.server is not None
        self.server.__exit__(None, None, None)
        self.server = None

    @property
    def asked(self) -> int:
        """Requests that came since the last command began."""
        return self._questions() - self.asked_before

    def _questions(self) -> int:
        asked = list(self.server.requests) if self.server else []
        return sum(request.path.endswith("/chat/completions") for request in asked)

    # -- the command -------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        own = {"XDG_CONFIG_HOME": str(self.folder / ".config"), **self.more}
        return own | ({"VLLM_BASE_URL": f"http://127.0.0.1:{self.port}/v1"} if self.port else {})

    def run(self, line: list[str], stdin: str = "") -> None:
        """Run ``assistants ...`` to its end."""
        self.asked_before = self._questions()
        self.done = run(*line, stdin=stdin, cwd=self.folder, **self.environment)

    def start(self, line: list[str]) -> None:
        """Start ``assistants ...``, and wait until it has five answers."""
        self.asked_before = self._questions()
        self.process = start(*line, cwd=self.folder, env=self.environment)
        end = time.monotonic() + 60
        while self.asked < 9:  # four at a time: with nine asked, five are answered
            assert time.monotonic() < end, "the run asked nothing"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def stop(self, how: int) -> None:
        """Send a signal, and measure how long it took to have an effect."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=30)
        self.went_s = time.monotonic() - began
        self.done = Done(self.process.returncode, out, err)

    # -- what is left ------------------------------------------------------------------------------

    def experiment(self, name: str = "exp.yaml", **content: Any) -> None:
        write_experiment(self.folder / name, **content)

    def rows(self, results: str = "results") -> pd.DataFrame:
        """The newest run, as the command line tells it."""
        done = call("results", "--format", "json", "--results", str(self.folder / results))
        assert done.code == 0, done.err
        return pd.DataFrame(json.loads(done.out))

    def said(self) -> str:
        assert self.done is not None
        return self.done.out + self.done.err


def _who(request: dict[str, Any]) -> str:
    """What a persona, a judge and a paraphraser would say."""
    first, last = request["messages"][0], request["messages"][-1]
    if first["content"].startswith("You grade"):
        return "kind: 4 - it answers"
    if first["content"].startswith("You rewrite"):
        return f"In other words: {last['content']}"
    who = first["content"] if first["role"] == "system" else "nobody"
    return f"As {who[:40]}: {last['content'][:40]}"
