"""The parent's side of an embedded model: start its child process, know it, end it."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from assistants.clients.llamacpp import weights
from assistants.errors import MissingDependencyError, ServerUnreachableError
from assistants.utils import Address, api_keys

SLOTS = 4
"""Requests a child works on together. About as fast as one at a time with one thread, and
between that and 3.5 times as fast with two; temperature-0 answers were the same each way."""

CONTEXT_TOKENS = 4096
"""Tokens of question and answer in each slot. The model knows twice as many, but memory is set
aside for all of them when the child starts: 90 MiB a slot as it is."""

MAX_TOKENS = 1024
"""Tokens after which an answer is cut when a request sets no limit: small models ramble."""

START_TIMEOUT_S = 120.0


class LlamaProcess:
    """A child process serving one model on loopback, ready when the constructor returns.

    The key goes through the pipe, never into arguments or environment, where others can read it.

    Raises
    ------
    MissingDependencyError
        If xllamacpp or the weights are not installed.
    ServerUnreachableError
        If the child does not come up.
    """

    def __init__(self, name: str, *, threads: int) -> None:
        gguf = weights.weights_path(name)
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingDependencyError(
                f"local:{name} runs on xllamacpp, which is not installed.",
                fix="Run `pip install 'assistants[local]'`.",
            )
        key = secrets.token_urlsafe(32)
        api_keys.remember(key)
        order = {"name": name, "gguf": str(gguf), "threads": threads, "slots": SLOTS}
        order |= {
            "context": CONTEXT_TOKENS,
            "longest": MAX_TOKENS,
            "key": key,
            "parent": os.getpid(),
        }
        # As a file and with -P, it neither imports this package nor anything in the user's
        # folder. A session of its own keeps it out of reach of Ctrl-C even while it starts.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.address = Address(f"{self._ask(order, name)}/v1", key)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the child and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Close our ends of its pipes; the child ends by itself when nobody else holds them."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _ask(self, order: dict[str, object], name: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = threading.Timer(START_TIMEOUT_S, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            timer.cancel()
        said = json.loads(line or b'{"error": "its process ended without a word"}')
        if "error" in said:
            raise ServerUnreachableError(
                f"local:{name} did not start: {api_keys.redact(said['error'])}.",
                fix=f"Run `assistants fetch {name}`, which checks the weights, and try again.",
            )
        return str(said["url"])
