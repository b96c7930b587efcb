"""The world of the stories in tests/features: a folder, a server, and a command that was run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from support.commands import Done, call, start, write_experiment
from support.faulty_server import Answer, FaultyServer
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

HOMES = ("CONFIG", "STATE")
"""Folders of a person: of settings, and of what was learnt of models."""


class World:
    """One person at one terminal, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: FaultyServer | OpenAIServer | None = None
        self.port = 0
        self.extra_environment: dict[str, str] = {}
        self.done: Done | None = None
        self.process: subprocess.Popen[str] | None = None
        self.asked_before = 0
        self.table: pd.DataFrame | None = None

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        if self.server is not None:
            self.server.__exit__(None, None, None)
        if "ASSISTANTS_CACHE" in self.extra_environment:  # its servers, and nobody else's
            self.run(["stop", "--all"])

    # -- the server --------------------------------------------------------------------------------

    def serve(self, latency: float = 0.0, answer: Answer | None = None) -> None:
        """Start a server that answers with the persona that it was given, or as ``answer`` does."""
        self.server = FaultyServer(answer or _answer, latency=latency).__enter__()
        self.port = self.server.port

    def serve_openai(self, key: str | None = None) -> None:
        """Start an OpenAI to which the person's organisation is new; by default with a good key."""
        self.batches = OpenAIBatches()
        self.server = OpenAIServer(_answer, verified=False, routes=[self.batches]).__enter__()
        self.batches.attach(self.server)
        self.extra_environment |= {
            "OPENAI_BASE_URL": self.server.url,
            "OPENAI_API_KEY": key or self.server.key,
        }

    def reserve_port(self) -> None:
        """Choose an address at which nobody answers."""
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
        return self._count_requests() - self.asked_before

    def _count_requests(self) -> int:
        requests = list(self.server.requests) if self.server else []
        return sum(request.path.endswith("/chat/completions") for request in requests)

    # -- the command -------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        homes = {f"XDG_{kind}_HOME": str(self.folder / f".{kind.lower()}") for kind in HOMES}
        own = {**homes, **self.extra_environment}
        return own | ({"VLLM_BASE_URL": f"http://127.0.0.1:{self.port}/v1"} if self.port else {})

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Work in the person's folder, with the person's environment."""
        folder, environment = Path.cwd(), dict(os.environ)
        os.chdir(self.folder)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)

    def run(self, line: list[str], stdin: str = "") -> None:
        """Run ``assistants ...`` to its end, in this process."""
        self.asked_before = self._count_requests()
        with self.at_home():
            self.done = call(*line, stdin=stdin)

    def start(self, line: list[str], *, wait: bool = True) -> None:
        """Start ``assistants ...`` in a process, and wait until it has five answers."""
        self.asked_before = self._count_requests()
        self.process = start(*line, cwd=self.folder, env=self.environment)
        end = time.monotonic() + 60
        while wait and self.asked < 9:  # four at a time: with nine asked, five are answered
            assert time.monotonic() < end, "the run asked nothing"
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def stop(self, signal: int) -> None:
        """Send a signal, and wait for the end of the process."""
        assert self.process is not None
        self.process.send_signal(signal)
        out, err = self.process.communicate(timeout=60)
        self.done = Done(self.process.returncode, out, err)

    # -- what is left ------------------------------------------------------------------------------

    def experiment(self, name: str = "exp.yaml", **content: Any) -> None:
        """Write an experiment file."""
        write_experiment(self.folder / name, **content)

    def rows(self, results: str = "results") -> pd.DataFrame:
        """Return the newest run, as the command line prints it."""
        done = call("results", "--format", "json", "--results", str(self.folder / results))
        assert done.code == 0, done.err
        return pd.DataFrame(json.loads(done.out))

    def output(self) -> str:
        """Return all that the last command printed."""
        assert self.done is not None
        return self.done.out + self.done.err


def _answer(request: dict[str, Any]) -> str:
    """Answer as a persona, a judge or a paraphraser would."""
    first, last = request["messages"][0], request["messages"][-1]
    if first["content"].startswith("You grade"):
        return "kind: 4 - it answers"
    if first["content"].startswith("You rewrite"):
        return f"In other words: {last['content']}"
    persona = first["content"] if first["role"] in ("system", "developer") else "nobody"
    answer = f"As {persona[:40]}: {last['content'][:40]}"
    if request["model"] == "wordy":
        answer += " and more" * (2 + len(last["content"]) // 20)
    return answer
