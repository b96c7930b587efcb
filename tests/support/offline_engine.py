"""A machine whose vLLM is a stand-in, for tests of the offline client, and its processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest

from assistants.clients.vllm import offline_client
from assistants.clients.vllm.interpreter import VARIABLE
from assistants.clients.vllm.private_server import PrivateServer
from assistants.messages import Message, Sampling
from support.fake_vllm import fake_python

HI = [Message("system", "Be."), Message("user", "Hi.")]
PLAIN = Sampling()


@contextmanager
def machine_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Python is named whose vLLM is a stand-in, and what it starts is ended."""
    monkeypatch.setenv(VARIABLE, fake_python(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    offline_client.stop()


Open = Callable[[str], offline_client.OfflineClient]
"""Builds a client of an offline model, which is closed for the test."""


@asynccontextmanager
async def clients_closed_after() -> AsyncIterator[Open]:
    """Build clients of offline models, and close them at the end."""
    clients = []

    def build(model: str) -> offline_client.OfflineClient:
        clients.append(offline_client.offline_client(model))
        return clients[-1]

    yield build
    for client in clients:
        await client.aclose()


def running() -> PrivateServer:
    """The one that was started."""
    (shared,) = offline_client._running.values()
    return shared.server


def family(process: PrivateServer) -> list[psutil.Process]:
    """The process and all that it started."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def gone(processes: list[psutil.Process], seconds: float = 30.0) -> bool:
    """Whether they all end within so many seconds."""
    end = time.monotonic() + seconds
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
