"""A machine on which no server runs, for tests of ``assistants serve`` and what follows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from assistants.clients import ServerRecord, connect, registry
from assistants.messages import Message, Sampling
from assistants.servers import processes, shutdown
from support.commands import Done, call
from support.fake_vllm_python import python_with_vllm

KINDS = ("good", "slow", "never", "dies", "deaf", "beaten")
others: set[int] = set()
"""Processes that were there before the test began: somebody's own servers, perhaps."""


@contextmanager
def machine_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No server runs, a Python is named whose vLLM is a stand-in, and nothing may stay behind."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("ASSISTANTS_VLLM_PYTHON", str(python_with_vllm(folder)))
    others.clear()
    others.update(children())
    yield folder
    for entry in registry.records():
        shutdown.end(entry)
    assert children() == [], "a test left processes behind"


def children() -> list[int]:
    """Processes of the stand-in and their supervisors, wherever they hang now."""
    words = [f"api_server --model {kind} " for kind in KINDS]
    words += ["signal.signal(15, 1)", str(Path(processes.__file__).with_name("supervisor.py"))]
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.pid not in others and any(word in line for word in words):
                found.append(process.pid)
    return found


def served(model: str = "good", *more: str) -> tuple[Done, ServerRecord]:
    """A server that stays, and what its start showed."""
    done = call("serve", model, "--detach", *more)
    assert done.code == 0, done.err
    return done, registry.records()[-1]


def said_by(model: str) -> str:
    """What a model answers."""

    async def ask() -> str:
        client = connect(model)
        try:
            return (await client.complete([Message("user", "Hello")], Sampling())).text
        finally:
            await client.aclose()

    return asyncio.run(ask())


def until(what: str, seen: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    ends = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < ends, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)
