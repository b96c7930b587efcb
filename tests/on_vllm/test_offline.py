"""The offline client on a real vLLM: what a server does with the same weights, without one."""

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
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from assistants.clients import OpenAIClient
from assistants.clients.vllm import offline_client as offline
from assistants.clients.vllm.offline_client import OfflineClient, offline_client
from assistants.errors import BadRequestError, ServerError, ServerUnreachableError
from assistants.messages import Completion, Delta, Sampling
from support.conformance import said
from support.faulty_server import at
from support.offline_engine import family, gone, running

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import offline as batching

pytestmark = pytest.mark.timeout(900)  # a start takes minutes where two cores do all the work

OPTIONS = "--max-model-len 2048 --dtype bfloat16 --enforce-eager"
GREEDY = Sampling(temperature=0, max_tokens=16)
LONG = Sampling(temperature=0, max_tokens=1500)
CONVERSATIONS = [
    said("You are a pirate.", "Hello there!"),
    said("Answer in one word.", "What is the capital of France?"),
    said("Be kind.", "I lost my keys.", "Oh no!", "What shall I do?"),
    said(" spaces \n and <|im_end|> \x00 é 👩‍👩‍👧", "Hi."),
    said("", "An empty persona."),
    said("Be.", "No persona at all.")[1:],
]


@pytest.fixture(scope="session", autouse=True)
def options() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_OFFLINE_ARGS", OPTIONS)
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setattr(offline, "LINGER_S", 600.0)
        yield
    offline.stop()


@pytest.fixture
async def client(weights: Path) -> AsyncIterator[OfflineClient]:
    client = offline_client(str(weights))
    yield client
    await client.aclose()


@pytest.fixture
async def served(server: Any) -> AsyncIterator[OpenAIClient]:
    client = OpenAIClient(f"vllm:{server.model}", endpoint=at(server.url, server.key))
    yield client
    await client.aclose()


async def in_flight(client: OfflineClient) -> float:
    """Requests that vLLM works on, as it says itself."""
    lines = (await client.get("../metrics")).decode().splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{")
    )


def titled(processes: list[psutil.Process], title: str) -> psutil.Process:
    return next(p for p in processes if any(title in word for word in p.cmdline()))


async def test_the_prompt_is_the_servers(client: OfflineClient, served: OpenAIClient) -> None:
    """The model reads the very tokens that the server makes of the same messages."""
    for messages in CONVERSATIONS:
        body = {"messages": client.request_messages(messages)}
        theirs = (await served.post("../tokenize", body))["tokens"]
        reply = await client.post(
            "/chat/completions", {**body, "max_tokens": 1, "return_token_ids": True}
        )
        assert reply["prompt_token_ids"] == theirs


async def test_the_answers_are_the_servers(client: OfflineClient, served: OpenAIClient) -> None:
    """The same weights give the same greedy answers, as a whole and as a stream."""
    for messages in CONVERSATIONS:
        theirs = await served.complete(messages, GREEDY)
        ours = await client.complete(messages, GREEDY)
        *_, streamed = [part async for part in client.stream(messages, GREEDY)]
        assert isinstance(streamed, Completion)
        assert ours.text == theirs.text == streamed.text
        assert ours.usage == theirs.usage == streamed.usage
        assert ours.finish_reason == theirs.finish_reason == streamed.finish_reason


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(seed=7, max_tokens=12),
        Sampling(seed=7, max_tokens=12, top_p=0.5),
        Sampling(seed=7, max_tokens=12, temperature=0.7, presence_penalty=1.5),
        Sampling(temperature=0, max_tokens=40, stop=(".", "!")),
    ],
    ids=["defaults", "top_p", "penalty", "stop"],
)
async def test_settings_mean_the_same(
    client: OfflineClient, served: OpenAIClient, sampling: Sampling
) -> None:
    """Each setting, and each that is left out, means what it means to the server."""
    messages = CONVERSATIONS[0]
    ours, again = [await client.complete(messages, sampling) for _ in range(2)]
    theirs = await served.complete(messages, sampling)
    assert (ours.text, ours.finish_reason) == (theirs.text, theirs.finish_reason)
    assert ours.text == again.text
    if sampling.seed is not None:
        other = await client.complete(messages, sampling.drawn(1))
        assert other.text != ours.text


async def test_ends(client: OfflineClient) -> None:
    """A stop text and a cap end the answer, and say so."""
    cut = await client.complete(CONVERSATIONS[0], Sampling(temperature=0, max_tokens=3))
    assert (cut.status, cut.usage.output_tokens) == ("length", 3)
    stop = cut.text.split()[-1]
    stopped = await client.complete(CONVERSATIONS[0], Sampling(temperature=0, stop=(stop,)))
    assert (stopped.status, stopped.finish_reason) == ("ok", "stop")
    assert stop not in stopped.text


async def test_many_at_once_are_batched(client: OfflineClient) -> None:
    """The engine works on many calls together; how much that saves, `bench/offline.py` says."""
    sampling = Sampling(temperature=0, max_tokens=24)
    conversations = [said("Be.", f"Write {i + 3} words on rain and wind.") for i in range(32)]
    together = asyncio.gather(*(client.complete(c, sampling) for c in conversations))
    most = 0.0
    while not together.done():
        most = max(most, await in_flight(client))
        await asyncio.sleep(0.2)
    assert most > 16
    assert len(await together) == 32


async def test_the_benchmark_of_that(
    client: OfflineClient, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench/offline.py` asks both ways, and shows them beside each other."""
    chosen = Namespace(model=f"vllm-offline:{weights}", questions=8, tokens=16, check=False)
    await batching.main(chosen)
    shown = capsys.readouterr().out
    rows = re.findall(r"^([a-z ]+?) +([\d.]+) +([\d.]+)x +(\d+)$", shown, re.MULTILINE)
    assert [name for name, *_ in rows] == ["one after the other", "all at once"]
    assert all(8 <= int(tokens) <= 128 for *_, tokens in rows)
    assert rows[0][2] == "1.00"


async def test_the_first_token_comes_early(client: OfflineClient) -> None:
    """A stream begins long before its answer is complete."""
    parts = [p async for p in client.stream(CONVERSATIONS[0], Sampling(max_tokens=40))]
    assert sum(isinstance(part, Delta) for part in parts) > 10
    last = parts[-1]
    assert isinstance(last, Completion)
    assert last.first_token_s is not None
    assert last.total_s is not None
    assert last.first_token_s < last.total_s / 2


async def test_the_engine_killed_while_it_answers(client: OfflineClient) -> None:
    """The calls in flight hear of it within seconds, nothing is left, and the next call works."""
    calls = [asyncio.ensure_future(client.complete(c, LONG)) for c in CONVERSATIONS]
    parts = client.stream(CONVERSATIONS[0], LONG)
    assert isinstance(await anext(parts), Delta)
    processes = family(running())
    titled(processes, "EngineCore").kill()
    start = time.monotonic()
    with pytest.raises(ServerError) as caught:
        [part async for part in parts]
    assert caught.value.retryable
    assert caught.value.partial is not None
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - start < 5
    assert all(isinstance(outcome, ServerError | Completion) for outcome in outcomes), outcomes
    assert any(isinstance(outcome, ServerError) for outcome in outcomes)
    assert gone(processes)
    assert (await client.complete(CONVERSATIONS[0], GREEDY)).text


async def test_closed_is_gone(client: OfflineClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the last client is closed and its time is up, no process is left."""
    await client.complete(CONVERSATIONS[0], GREEDY)
    processes = family(running())
    assert len(processes) > 1
    monkeypatch.setattr(offline, "LINGER_S", 0.0)
    await client.aclose()
    assert gone(processes)


async def test_a_template_that_refuses_a_persona(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that takes no system message is a rejected request, as from a server."""
    template = Path(__file__).with_name("templates") / "gemma2.jinja"
    monkeypatch.setenv("VLLM_OFFLINE_ARGS", f"{OPTIONS} --chat-template {template}")
    monkeypatch.setattr(offline, "LINGER_S", 0.0)
    client = offline_client(str(weights))
    with pytest.raises(BadRequestError):
        await client.complete(CONVERSATIONS[0], GREEDY)
    assert (await client.complete(CONVERSATIONS[0][1:], GREEDY)).text
    await client.aclose()


@pytest.mark.parametrize(
    ("options", "words"),
    [("--max-model-len 9999999", "max_model_len"), ("--no-such-option", "no-such-option")],
)
async def test_a_start_that_fails(
    weights: Path, monkeypatch: pytest.MonkeyPatch, options: str, words: str
) -> None:
    """The error has vLLM's own reason, from the end of its log."""
    monkeypatch.setenv("VLLM_OFFLINE_ARGS", options)
    before = dict(offline._running)
    with pytest.raises(ServerUnreachableError) as caught:
        await offline_client(str(weights)).complete(CONVERSATIONS[0], GREEDY)
    assert words in caught.value.message
    assert offline._running == before


@pytest.mark.parametrize("when", ["starting", "answering"])
def test_nothing_survives_a_killed_program(weights: Path, when: str) -> None:
    """After `kill -9` of the program, every process of vLLM is gone within five seconds."""
    code = f"""
        import asyncio, os, threading
        from assistants.clients import offline
        from assistants.messages import Message, Sampling
        client = offline.offline_client({str(weights)!r})
        async def ask():
            async for part in client.stream([Message("user", "Tell a story.")], Sampling()):
                print("answering", flush=True)
        asyncio.run(ask())
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        if when == "answering":
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "answering"
        parent = psutil.Process(process.pid)
        end = time.monotonic() + 200
        while not any("EngineCore" in " ".join(p.cmdline()) for p in children_of(parent)):
            assert time.monotonic() < end
            time.sleep(0.2)
        processes = children_of(parent)
        os.kill(process.pid, signal.SIGKILL)
        assert len(processes) >= 2
        assert gone(processes)


def children_of(parent: psutil.Process) -> list[psutil.Process]:
    return [p for p in parent.children(recursive=True) if p.is_running() and p.status() != "zombie"]
