"""A private vLLM server: started once, shared, and gone when nobody needs it.

It is a stand-in here (``fake_vllm``); ``tests/on_vllm`` has the real one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from assistants.clients.vllm import offline_client as offline
from assistants.clients.vllm.offline_client import offline_client
from assistants.clients.vllm.private_server import PrivateServer
from assistants.errors import ServerError
from assistants.messages import Delta
from support.conformance import until
from support.fake_vllm import fake_weights
from support.faulty_server import FaultyServer
from support.offline_engine import (
    HI,
    PLAIN,
    Open,
    clients_closed_after,
    family,
    gone,
    machine_at,
    running,
)


@pytest.fixture(autouse=True)
def machine(here: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with machine_at(here, monkeypatch) as folder:
        yield folder


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    async with clients_closed_after() as build:
        yield build


@pytest.fixture
def smol(machine: Path, server: FaultyServer) -> Path:
    return fake_weights(machine / "smol", forward=server.url, engine=True)


def ended_processes(monkeypatch: pytest.MonkeyPatch) -> list[PrivateServer]:
    """Those that are stopped from now on."""
    ended: list[PrivateServer] = []
    stop = PrivateServer.stop

    def noted(process: PrivateServer) -> None:
        stop(process)
        ended.append(process)

    monkeypatch.setattr(PrivateServer, "stop", noted)
    return ended


async def test_clients_share_a_process(
    smol: Path, here: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """Clients of the same weights share one process, which ends with the last of them."""
    monkeypatch.setattr(offline, "LINGER_S", 0)
    one, two = opened("smol"), opened(str(here / "smol"))
    assert one.identity == two.identity
    await asyncio.gather(*(client.complete(HI, PLAIN) for client in (one, two) * 4))
    processes = family(running())
    assert len(processes) == 2
    await one.aclose()
    assert (await two.complete(HI, PLAIN)).status == "ok"
    assert family(running()) == processes
    await two.aclose()
    assert gone(processes)


async def test_it_lingers(smol: Path, opened: Open) -> None:
    """What follows a run finds the model still loaded."""
    client = opened("smol")
    await client.complete(HI, PLAIN)
    pid = running().pid
    await client.aclose()
    await client.complete(HI, PLAIN)
    assert running().pid == pid
    processes = family(running())
    offline.stop()
    assert gone(processes)


async def test_each_use_makes_it_linger_anew(
    smol: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """Time that had begun to run out for it does not count after another use."""
    client = opened("smol")
    await client.complete(HI, PLAIN)
    monkeypatch.setattr(offline, "LINGER_S", 0.5)
    await client.aclose()
    await client.complete(HI, PLAIN)
    monkeypatch.setattr(offline, "LINGER_S", 60)
    await client.aclose()
    await asyncio.sleep(0.7)
    assert running().is_alive


async def test_its_time_runs_out(smol: Path, monkeypatch: pytest.MonkeyPatch, opened: Open) -> None:
    """A model that nobody uses any more ends by itself."""
    monkeypatch.setattr(offline, "LINGER_S", 0.1)
    client = opened("smol")
    await client.complete(HI, PLAIN)
    processes = family(running())
    await client.aclose()
    await until(lambda: not offline._running)
    assert gone(processes)


@pytest.mark.parametrize("victim", [0, 1], ids=["process", "engine"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_killed_while_it_answers(
    smol: Path, server: FaultyServer, victim: int, streamed: bool, opened: Open
) -> None:
    """The calls in flight hear of it within seconds, nothing is left, and the next call works."""
    server.latency = 30
    client = opened("smol")

    async def ask() -> None:
        if streamed:
            [part async for part in client.stream(HI, PLAIN)]
        else:
            await client.complete(HI, PLAIN)

    calls = [asyncio.ensure_future(ask()) for _ in range(3)]
    await until(lambda: server.in_flight == 3, 60)
    processes = family(running())
    processes[victim].kill()
    if victim:  # real vLLM notices that its engine is gone, and ends
        processes[0].kill()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, ServerError) for outcome in outcomes), outcomes
    assert gone(processes)
    server.latency = 0
    assert (await client.complete(HI, PLAIN)).status == "ok"


async def test_a_start_may_be_left(smol: Path, opened: Open) -> None:
    """Whoever stops waiting for a start is free at once; the start itself goes on."""
    client = opened("smol")
    task = asyncio.ensure_future(client.complete(HI, PLAIN))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not offline._running  # the start has not ended yet
    await until(lambda: bool(offline._running), 60)
    assert (await client.complete(HI, PLAIN)).status == "ok"


async def test_a_start_that_nobody_waits_for(
    smol: Path, monkeypatch: pytest.MonkeyPatch, opened: Open
) -> None:
    """A client that was closed meanwhile keeps no model loaded; one that still calls does."""
    monkeypatch.setattr(offline, "LINGER_S", 0.0)
    client, ended = opened("smol"), ended_processes(monkeypatch)
    task = asyncio.ensure_future(client.complete(HI, PLAIN))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await client.aclose()
    await until(lambda: len(ended) == 1)
    assert offline._running == {}

    left, kept = (asyncio.ensure_future(client.complete(HI, PLAIN)) for _ in range(2))
    await asyncio.sleep(0.01)
    left.cancel()
    assert (await kept).status == "ok"
    assert len(ended) == 1


def test_a_start_that_outlives_its_loop(smol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is ended as well: nobody is left who could close its client."""
    monkeypatch.setattr(offline, "LINGER_S", 0.0)
    client, ended = offline_client("smol"), ended_processes(monkeypatch)

    async def leave() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.complete(HI, PLAIN)

    asyncio.run(leave())
    asyncio.run(until(lambda: len(ended) == 1))
    assert offline._running == {}


async def test_a_left_stream_ends(here: Path, server: FaultyServer, opened: Open) -> None:
    """The model stops working on an answer that nobody reads."""
    fake_weights(here / "slow", forward=server.url_of("stall in content"))
    parts = opened("slow").stream(HI, PLAIN)
    assert isinstance(await anext(parts), Delta)
    assert server.in_flight == 1
    await parts.aclose()  # type: ignore[attr-defined]
    await until(lambda: server.in_flight == 0)
    assert server.disconnects == 1


def program(smol: Path, body: str) -> subprocess.Popen[str]:
    """A program that prints the processes of its model, then what ``body`` says."""
    start = f"""
        import asyncio, os, sys, time, psutil
        from assistants.clients.vllm import offline_client as offline
        from assistants.messages import Message, Sampling
        client = offline.offline_client({str(smol)!r})
        def ask():
            return client.complete([Message("user", "Hi")], Sampling())
        asyncio.run(ask())
        first = next(iter(offline._running.values())).server.pid
        print(first, *(p.pid for p in psutil.Process(first).children()), flush=True)
    """
    code = textwrap.dedent(start) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    "end", ["time.sleep(60)", "os._exit(3)", "sys.exit(0)"], ids=["kill -9", "_exit", "exit"]
)
def test_nothing_survives_its_parent(smol: Path, here: Path, end: str) -> None:
    """However a program ends, the model's processes end with it."""
    with program(smol, end) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
        if "sleep" in end:
            process.kill()
        assert gone(processes)
        process.wait(60)
    assert not list(here.glob("*.log"))


def test_a_fork_leaves_the_model_alone(smol: Path) -> None:
    """A forked process neither hangs nor takes its parent's model along."""
    body = """
        if (child := os.fork()) == 0:
            sys.exit(0)
        print(os.waitpid(child, 0)[1], flush=True)
        print(asyncio.run(ask()).status, flush=True)
    """
    with program(smol, body) as process:
        said, _ = process.communicate(timeout=60)
        assert said.split()[2:] == ["0", "ok"]


def chats(server: FaultyServer) -> int:
    """Count the questions; whether the model is well is asked too."""
    return sum(request.path.endswith("/chat/completions") for request in list(server.requests))


def test_ctrl_c_gives_the_prompt_back(smol: Path, server: FaultyServer) -> None:
    """Ctrl-C ends the call at once and leaves the model as it is."""
    body = """
        sys.stdin.readline()
        try:
            asyncio.run(ask())
        except KeyboardInterrupt:
            print("prompt", flush=True)
        print((time.sleep(0.3), client._server.is_alive)[1], flush=True)
    """
    with program(smol, body) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        server.latency = 120
        asked = chats(server)
        process.stdin.write("\n")
        process.stdin.flush()
        end = time.monotonic() + 60
        while chats(server) == asked:
            assert time.monotonic() < end
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)  # a terminal and Jupyter signal the whole group
        assert process.stdout.readline().strip() == "prompt"
        assert process.stdout.readline().strip() == "True"
