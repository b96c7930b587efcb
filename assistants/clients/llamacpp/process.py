"""The process of an embedded model, as its parent starts and ends it."""

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
from assistants.clients.llamacpp.memory import check_memory
from assistants.errors import MissingDependencyError, ServerUnreachableError
from assistants.utils import Address, api_keys

SLOTS = 4
"""Requests that are processed together. With one thread this is about as fast as one at a time,
with two up to 3.5 times as fast."""

CONTEXT_TOKENS = 4096
"""Context length of each slot. The models support more, but the memory for all of it, 90 MiB per
slot for smollm2 and 112 MiB for qwen, is allocated when the child starts."""

MAX_TOKENS = 1024
"""Limit of an answer when a request sets none: small models may never stop by themselves."""

PROMPT_CACHE_MIB = 256
"""Memory for prompts that were read before, taken as they come; 0 keeps none beside the slots.

A conversation finds its own beginning again when others had its slot meanwhile: six personas that
are asked in turn, three questions each, read a tenth of the tokens (`python bench/prefixes.py`).
With and without it, a prompt whose beginning is found is computed in other pieces, whose rounding
differs: at temperature 0 its answer may take another turn than alone."""

START_TIMEOUT_S = 120.0


class LlamaProcess:
    """A child process that serves one model on loopback, ready when the constructor returns.

    The API key goes through a pipe: others can read arguments and environment.

    Parameters
    ----------
    name
        As after ``local:``; a path is absolute.
    threads
        Number of threads that compute.
    prompt_cache_mib
        As ``PROMPT_CACHE_MIB``.

    Raises
    ------
    MissingDependencyError
        If xllamacpp or the weights are not installed, or memory is short.
    ServerUnreachableError
        If the child does not come up.
    """

    def __init__(
        self, name: str, *, threads: int, prompt_cache_mib: int = PROMPT_CACHE_MIB
    ) -> None:
        gguf = weights.weights_path(name)
        label = weights.find_weights(name).name
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingDependencyError(
                f"local:{name} runs on xllamacpp, which is not installed.",
                fix="Run `pip install 'assistants[local]'`.",
            )
        key = secrets.token_urlsafe(32)
        api_keys.remember(key)
        check_memory(label, gguf.stat().st_size)
        order = {"name": label, "gguf": str(gguf), "threads": threads, "slots": SLOTS}
        order |= {
            "context": CONTEXT_TOKENS,
            "prompt_cache_mib": prompt_cache_mib,
            "longest": MAX_TOKENS,
            "key": key,
            "parent": os.getpid(),
        }
        # Run as a file and with -P, it imports neither this package nor anything in the user's
        # folder. Its own session keeps Ctrl-C away from it, even while it starts.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-P", str(Path(__file__).with_name("worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Weights are a stranger's file, read by native code: no keys beside it.
            env=api_keys.without_secrets(os.environ),
            start_new_session=True,
        )
        try:
            self.address = Address(f"{self._send_order(order, name)}/v1", key)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """True while the child runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the child and wait for its end."""
        self._process.kill()
        self._process.wait()
        self.close_pipes()

    def close_pipes(self) -> None:
        """Close this side of the pipes; the child ends when no other process holds them."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _send_order(self, order: dict[str, object], name: str) -> str:
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
        reply = json.loads(line or b'{"error": "its process ended without a message"}')
        if "error" in reply:
            fix = f"Run `assistants fetch {name}`, which checks the weights, and try again."
            if weights.is_path(name):
                fix = "Is it a language model, and whole? Download it again, or try another one."
            raise ServerUnreachableError(
                f"local:{name} did not start: {api_keys.redact(reply['error'])}.", fix=fix
            )
        return str(reply["url"])
