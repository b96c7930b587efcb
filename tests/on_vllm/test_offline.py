"""Offline models on a real vLLM: what only the real one can show of a private server.

The conformance tests ask it as well. How it is shared, lingers and starts again is shown with a
stand-in, in ``tests/clients``.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from assistants.clients import OpenAIClient, read_metrics
from assistants.clients.vllm import offline_client as offline
from assistants.clients.vllm.offline_client import OfflineClient, offline_client
from assistants.errors import AuthenticationError, ServerError, ServerUnreachableError
from assistants.messages import Completion, Delta, Sampling
from support.conformance import said
from support.faulty_server import at
from support.offline_engine import family, gone, running

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import offline as batching

GREEDY = Sampling(temperature=0, max_tokens=16)
LONG = Sampling(temperature=0, max_tokens=1500)
HELLO = said("You are a pirate.", "Hello there!")


@pytest.fixture
async def client(private: Path) -> AsyncIterator[OfflineClient]:
    client = offline_client(str(private))
    yield client
    await client.aclose()


async def test_its_server_is_private(client: OfflineClient) -> None:
    """It listens on loopback, asks for a key that no argument shows, and names no path."""
    completion = await client.complete(HELLO, GREEDY)
    assert completion.served_model == "smollm2"
    server = running()
    stranger = OpenAIClient("vllm:smollm2", endpoint=at(server.address.url, None))
    with pytest.raises(AuthenticationError):
        await stranger.complete(HELLO, GREEDY)
    await stranger.aclose()
    processes = family(server)
    assert server.address.key is not None
    assert not any(server.address.key in word for p in processes for word in p.cmdline())
    assert server.address.key not in server.log.read_text()
    sockets = [socket for p in processes for socket in p.net_connections("tcp")]
    assert {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


async def test_many_at_once_are_batched(client: OfflineClient) -> None:
    """The engine works on many calls together; how much that saves, `bench/offline.py` says."""
    sampling = Sampling(temperature=0, max_tokens=48)
    conversations = [said("Be.", f"Write {i + 3} words on rain and wind.") for i in range(32)]
    together = asyncio.gather(*(client.complete(c, sampling) for c in conversations))
    most = 0.0
    while not together.done():
        most = max(most, (await read_metrics(client)).running or 0)
        await asyncio.sleep(0.1)
    assert most > 16
    assert len(await together) == 32


async def test_the_benchmark_of_that(
    client: OfflineClient, private: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench/offline.py` asks both ways, and shows them beside each other."""
    chosen = Namespace(model=f"vllm-offline:{private}", questions=4, tokens=8, check=False)
    await batching.main(chosen)
    shown = capsys.readouterr().out
    rows = re.findall(r"^([a-z ]+?) +([\d.]+) +([\d.]+)x +(\d+)$", shown, re.MULTILINE)
    assert [name for name, *_ in rows] == ["one after the other", "all at once"]
    assert all(4 <= int(tokens) <= 32 for *_, tokens in rows)
    assert rows[0][2] == "1.00"


async def test_a_start_that_fails(
    client: OfflineClient, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has vLLM's own reason, from the end of its log; what runs goes on."""
    await client.complete(HELLO, GREEDY)
    before = dict(offline._running)
    monkeypatch.setenv("VLLM_OFFLINE_ARGS", "--max-model-len 9999999")
    with pytest.raises(ServerUnreachableError, match="max_model_len") as caught:
        await offline_client(str(private)).complete(HELLO, GREEDY)
    assert offline._running == before
    (log,) = re.findall(r"is (\S+\.log)\.", caught.value.fix)
    Path(log).unlink()


def test_nothing_survives_a_killed_program(private: Path) -> None:
    """After `kill -9` of a program whose engine starts, all processes of vLLM are gone."""
    code = f"""
        import asyncio
        from assistants.clients import connect
        from assistants.messages import Message, Sampling
        client = connect({f"vllm-offline:{private}"!r})
        asyncio.run(client.complete([Message("user", "Tell a story.")], Sampling()))
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)]) as process:
        parent = psutil.Process(process.pid)
        end = time.monotonic() + 300
        while not any("EngineCore" in " ".join(p.cmdline()) for p in children_of(parent)):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.2)
        processes = children_of(parent)
        os.kill(process.pid, signal.SIGKILL)
        assert len(processes) >= 2
        assert gone(processes, 30)


async def test_the_engine_killed_while_it_answers(client: OfflineClient) -> None:
    """The calls in flight hear of it, what had arrived is kept, and nothing is left. Ends it."""
    calls = [asyncio.ensure_future(client.complete(HELLO, LONG)) for _ in range(3)]
    parts = client.stream(HELLO, LONG)
    assert isinstance(await anext(parts), Delta)
    processes = family(running())
    next(p for p in processes if any("EngineCore" in word for word in p.cmdline())).kill()
    with pytest.raises(ServerError, match="vLLM has ended") as caught:
        [part async for part in parts]
    assert caught.value.retryable
    assert caught.value.partial is not None
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, ServerError | Completion) for outcome in outcomes), outcomes
    assert any(isinstance(outcome, ServerError) for outcome in outcomes)
    assert gone(processes, 30)


def children_of(parent: psutil.Process) -> list[psutil.Process]:
    return [p for p in parent.children(recursive=True) if p.is_running() and p.status() != "zombie"]
