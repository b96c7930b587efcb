"""The embedded model answers, listens on loopback only, and ends with its parent."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import psutil
import pytest

from assistants.clients.llamacpp import client as local
from assistants.clients.llamacpp import thread_benchmark, weights
from assistants.clients.llamacpp.client import build_local_client
from assistants.clients.llamacpp.download import fetch_weights
from assistants.clients.llamacpp.process import SLOTS, LlamaProcess
from assistants.clients.openai.client import OpenAIClient
from assistants.errors import (
    ContextLengthError,
    MissingDependencyError,
    ServerUnreachableError,
    UnknownNameError,
)
from assistants.messages import Message, Sampling

pytestmark = pytest.mark.slow  # starts real model processes

PIRATE = Message("system", "You are a pirate. Answer as a pirate would, gruffly.")
HELLO = Message("user", "Hello there!")
SHORT = Sampling(temperature=0, max_tokens=8)
LONG = Sampling(temperature=0, max_tokens=1000)
STORY = Message("user", "Write a very long story about a lighthouse, in many chapters.")


@pytest.fixture(scope="session", autouse=True)
def fetched() -> None:
    """Fetch the weights and measure the threads, unless an earlier session did."""
    fetch_weights("smollm2")
    if thread_benchmark.stored_thread_benchmark("smollm2") is None:
        thread_benchmark.measure_threads("smollm2")


@pytest.fixture(scope="module", autouse=True)
def stopped_after() -> Iterator[None]:
    yield
    local.stop_all()


@pytest.fixture
async def client() -> AsyncIterator[OpenAIClient]:
    client = build_local_client("smollm2")
    yield client
    await client.aclose()


def child() -> LlamaProcess:
    return local._running["smollm2"]


def ask(path: str, key: str | None) -> int:
    """Return the status of a plain GET, with or without a key."""
    where = urlsplit(child().address.url)
    connection = http.client.HTTPConnection(where.netloc, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    status = connection.getresponse().status
    connection.close()
    return status


async def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


def program(body: str) -> subprocess.Popen[str]:
    """Start a Python program that asks once, prints the child's pid, and then does ``body``."""
    start = """
        import asyncio, os, signal, subprocess, sys, threading, time
        from assistants.clients.llamacpp import client as local
        from assistants.messages import Message, Sampling
        async def ask():
            client = local.build_local_client("smollm2")
            reply = await client.complete([Message("user", "Hi")], Sampling(max_tokens=2))
            await client.aclose()
            return reply
        def pid():
            return local._running["smollm2"].pid
        def pipe():
            return local._running["smollm2"]._process.stdin.fileno()
        asyncio.run(ask())
        print(pid(), flush=True)
    """
    code = textwrap.dedent(start) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def close(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


async def test_it_answers_without_a_key_or_a_network(client: OpenAIClient) -> None:
    """A conversation comes back answered, with usage and the model's own name, not a path."""
    reply = await client.complete([PIRATE, HELLO], Sampling(temperature=0, max_tokens=24))
    assert reply.text
    assert reply.status in ("ok", "length")
    assert reply.served_model == "smollm2"
    assert reply.usage.output_tokens
    assert client.model == "local:smollm2"
    assert client.max_concurrency == SLOTS


async def test_the_persona_reaches_the_model(client: OpenAIClient) -> None:
    """A system prompt lengthens the prompt, and changes the answer."""
    sampling = replace(SHORT, max_tokens=16)
    plain = await client.complete([HELLO], sampling)
    pirate = await client.complete([PIRATE, HELLO], sampling)
    assert pirate.usage.input_tokens is not None
    assert plain.usage.input_tokens is not None
    assert pirate.usage.input_tokens >= plain.usage.input_tokens + 10
    assert pirate.text != plain.text


async def test_no_system_prompt_means_none(client: OpenAIClient) -> None:
    """The template's own "helpful AI assistant" stays out of a conversation without a persona."""
    bare = await client.complete([HELLO], SHORT)
    empty = await client.complete([Message("system", ""), HELLO], SHORT)
    assert bare.usage.input_tokens == empty.usage.input_tokens
    assert bare.text == empty.text


async def test_requests_in_flight_are_not_mixed(client: OpenAIClient) -> None:
    """Asked at once, each question is read as long as it is alone, and has an answer of its own.

    Their words may differ: sums are rounded otherwise in a batch.
    """
    questions = [Message("user", f"Why is {what}?") for what in ("the sky blue", "ice cold", "art")]
    sampling = Sampling(temperature=0, max_tokens=16)
    alone = [await client.complete([PIRATE, q], sampling) for q in questions]
    together = await asyncio.gather(*(client.complete([PIRATE, q], sampling) for q in questions))
    read = [reply.usage.input_tokens for reply in alone]
    assert [reply.usage.input_tokens for reply in together] == read
    assert len(set(read)) > 1
    assert len({reply.text for reply in together}) == len(questions)


async def test_the_seed_decides_the_draw(client: OpenAIClient) -> None:
    """Above temperature 0 one seed gives one answer, and another seed another."""

    async def draw(seed: int) -> str:
        sampling = Sampling(temperature=0.9, max_tokens=16, seed=seed)
        return (await client.complete([STORY], sampling)).text

    first, again, other = [await draw(seed) for seed in (1, 1, 2)]
    assert first == again
    assert first != other


async def test_a_conversation_too_long_is_typed(client: OpenAIClient) -> None:
    """What does not fit the context is the caller's error, not the server's."""
    with pytest.raises(ContextLengthError):
        await client.complete([Message("user", "word " * 6000)], SHORT)


async def test_the_key_is_required_and_only_loopback_listens(client: OpenAIClient) -> None:
    """Without the key nothing but the health check answers; no other interface is open."""
    await client.complete([HELLO], SHORT)
    for path in ("/v1/models", "/props", "/slots", "/metrics", "/v1/chat/completions"):
        assert ask(path, None) == 401
        assert ask(path, "wrong") == 401
    assert ask("/v1/models", child().address.key) == 200
    sockets = psutil.Process(child().pid).net_connections("inet")
    listening = [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


async def test_the_key_is_nowhere_to_be_read(client: OpenAIClient) -> None:
    """Neither the child's arguments nor its environment hold the key, nor does any repr."""
    await client.complete([HELLO], SHORT)
    key = child().address.key
    assert key
    process = psutil.Process(child().pid)
    shown = [*process.cmdline(), *process.environ().values(), repr(client), repr(child().address)]
    assert not [text for text in shown if key in text]


async def test_streams_follow_each_other_at_once(client: OpenAIClient) -> None:
    """Its server closes the connection behind a stream, having promised to keep it."""
    for _ in range(6):
        pieces = [piece async for piece in client.stream([HELLO], SHORT)]
        assert pieces[-1].text


async def test_clients_share_one_child(client: OpenAIClient) -> None:
    """Two clients asked at once before anything runs start one child between them."""
    local.stop_all()
    other = build_local_client("smollm2")
    await asyncio.gather(client.complete([HELLO], SHORT), other.complete([HELLO], SHORT))
    await other.aclose()
    children = psutil.Process().children()
    assert [c.pid for c in children if "llamacpp/worker" in " ".join(c.cmdline())] == [child().pid]


async def test_a_killed_child_is_replaced(client: OpenAIClient) -> None:
    """A call after a crash works again."""
    await client.complete([HELLO], SHORT)
    before = child().pid
    os.kill(before, signal.SIGKILL)
    assert await until(lambda: not child().is_alive, 60)
    assert (await client.complete([HELLO], SHORT)).text
    assert child().pid != before


async def test_cancelling_a_call_stops_its_work(client: OpenAIClient) -> None:
    """Cancelled calls end before their answers, and calls after them find every slot free."""
    await client.complete([HELLO], SHORT)
    calls = [asyncio.create_task(client.complete([STORY], LONG)) for _ in range(SLOTS)]
    await asyncio.sleep(1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert all(call.cancelled() for call in calls)
    assert (await client.complete([HELLO], SHORT)).text


async def test_cancelling_the_first_call_does_not_wait_for_the_start(client: OpenAIClient) -> None:
    """While the child starts the event loop runs on, and a cancelled call returns at once."""
    local.stop_all()
    call = asyncio.create_task(client.complete([HELLO], SHORT))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not local._running  # the start is still under way
    assert (await client.complete([HELLO], SHORT)).text


def test_two_event_loops_one_after_the_other() -> None:
    """A client outlives the event loop it was first used in."""
    client = build_local_client("smollm2")

    async def once() -> str:
        reply = await client.complete([HELLO], SHORT)
        await client.aclose()
        return reply.text

    assert asyncio.run(once()) == asyncio.run(once())


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(3)",
        "raise RuntimeError",
        "sys.exit(0)",
        # Another process holds the pipe open and lives on.
        "subprocess.Popen(['sleep', '90'], pass_fds=[pipe()]); os.kill(os.getpid(), 9)",
    ],
)
async def test_the_child_goes_with_its_parent(end: str) -> None:
    """However the parent ends, its child ends soon after."""
    parent = program(f"sys.stdin.readline()\n{end}")
    pid = int(read_line(parent))
    assert psutil.pid_exists(pid)
    assert parent.stdin is not None
    parent.stdin.write("\n")
    parent.stdin.flush()
    assert await until(lambda: not _runs(pid), 60)
    close(parent)


def test_a_fork_gets_a_child_of_its_own() -> None:
    """A forked process starts its own child, and its end leaves the parent's child alone."""
    body = """
        import warnings
        warnings.simplefilter("ignore")
        local._starting.acquire()  # as if another thread were starting a child just now
        forked = os.fork()
        if forked:
            local._starting.release()
        else:
            signal.alarm(120)
        asyncio.run(ask())
        if not forked:
            print(pid(), flush=True)
            os._exit(0)
        os.waitpid(forked, 0)
        time.sleep(2)
        asyncio.run(ask())
        print(pid(), flush=True)
    """
    process = program(body)
    parents, forks, parents_after = (int(read_line(process)) for _ in range(3))
    close(process)
    assert parents == parents_after
    assert forks != parents


def test_an_interrupt_gives_the_prompt_back() -> None:
    """Ctrl-C in the middle of an answer interrupts it, and the next call uses the same child."""
    body = """
        async def long():
            client = local.build_local_client("smollm2")
            await client.complete(
                [Message("user", "Write a long story.")], Sampling(temperature=0, max_tokens=1000)
            )
        threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            asyncio.run(long())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        before = pid()
        asyncio.run(ask())
        print(pid() == before, flush=True)
    """
    process = program(body)
    read_line(process)
    assert read_line(process) == "interrupted"
    assert read_line(process) == "True"
    close(process)


def test_the_child_ignores_ctrl_c() -> None:
    """A SIGINT that reaches the child itself does not end it."""
    running = LlamaProcess("smollm2", threads=1)
    os.kill(running.pid, signal.SIGINT)
    time.sleep(0.3)
    assert running.is_alive
    running.stop()
    assert not running.is_alive


def test_weights_llama_cannot_read_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """A file of the right size that is not a model is refused, with a fix."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    path = weights.find_weights("smollm2").path
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(weights.find_weights("smollm2").size)
    with pytest.raises(ServerUnreachableError, match="assistants fetch smollm2"):
        LlamaProcess("smollm2", threads=1)


async def test_building_a_client_needs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """Without weights a client can be built (a tape may hold its answers); a call names the fix."""
    local.stop_all()
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    client = build_local_client("smollm2")
    assert client.identity.startswith("local:smollm2@b179c952")
    with pytest.raises(MissingDependencyError, match="`assistants fetch smollm2`"):
        await client.complete([HELLO], SHORT)
    with pytest.raises(UnknownNameError, match="'smollm2'"):
        build_local_client("smolm")


def test_the_thread_benchmark_is_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """A measurement is read back; a damaged file counts as none."""
    measured = thread_benchmark.stored_thread_benchmark("smollm2")
    assert measured is not None
    assert measured.threads >= 1
    assert measured.tokens_per_second > 0
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    assert thread_benchmark.stored_thread_benchmark("smollm2") is None
    thread_benchmark._store("smollm2", measured)
    assert thread_benchmark.stored_thread_benchmark("smollm2") == measured
    thread_benchmark._cache_file("smollm2").write_text(json.dumps({"threads": "many"}))
    assert thread_benchmark.stored_thread_benchmark("smollm2") is None


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
