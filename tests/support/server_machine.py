"""A machine on which no server runs, for tests of ``assistants serve`` and what follows it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from assistants.clients import ServerRecord, connect, registry
from assistants.messages import Message, Sampling
from assistants.servers import processes, startup
from support.commands import Done, call
from support.fake_vllm_python import python_with_vllm

STAND_IN = (
    "vllm.entrypoints.openai.api_server",
    "time.sleep(600)",
    str(Path(processes.__file__).with_name("supervisor.py")),
)
"""What stands in the command line of the stand-in, its worker and its supervisor."""


@contextmanager
def machine_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No server runs, a Python is named whose vLLM is a stand-in, and nothing may stay behind."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("ASSISTANTS_VLLM_PYTHON", str(python_with_vllm(folder)))
    monkeypatch.setattr(startup, "FIRST_PORT", first_port())
    yield folder
    for entry in registry.records():
        processes.stop_server(entry)
    until("the end of all processes of the test", lambda: not children())


def first_port() -> int:
    """Return the first of a thousand ports for this worker of pytest-xdist alone."""
    return 10_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def children() -> list[int]:
    """List processes of this test's stand-ins and their supervisors, wherever they hang now.

    They run in the test's own folder, so tests that run beside this one do not count.
    """
    here, found = Path.cwd(), []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            is_ours = any(word in line for word in STAND_IN) and Path(process.cwd()) == here
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def served(model: str = "good", *more: str) -> tuple[Done, ServerRecord]:
    """Start a server that stays, and return what its start showed."""
    done = call("serve", model, "--detach", *more)
    assert done.code == 0, done.err
    return done, registry.records()[-1]


def said_by(model: str) -> str:
    """Return what a model answers."""

    async def ask() -> str:
        client = connect(model)
        try:
            return (await client.complete([Message("user", "Hello")], Sampling())).text
        finally:
            await client.aclose()

    return asyncio.run(ask())


def until(what: str, seen: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < ends, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)
