"""A real server: started, asked, measured against the plan, and ended with nothing left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from assistants.clients import OpenAIClient, connect, read_metrics, registry
from assistants.errors import AuthenticationError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.results import Results
from assistants.servers import GIB, kv_cache, read_model, server_status, token_bytes
from support.commands import start, write_experiment
from support.faulty_server import at
from support.vllm_serving import CONTEXT, Machine, Served, processes

GREEDY = Sampling(temperature=0, max_tokens=12)
HELLO = [
    Message("system", "Answer in one word."),
    Message("user", "What is the capital of France?"),
]


def test_the_card_says_what_the_server_reports(machine: Machine, server: Served) -> None:
    """Address, name, cache tokens, conversations; and what it took is what a process holds."""
    assert server.url in server.shown
    assert "vllm:SmolLM2" in server.shown
    said = asyncio.run(server_status(registry.find_by_model("SmolLM2")))
    assert said.context == CONTEXT
    assert f"{said.metrics.cache_tokens:,} tokens" in server.shown
    assert f"{said.holds(CONTEXT)} of {CONTEXT:,} tokens" in server.shown
    log = server.log.read_text()
    assert f"KV cache size: {said.metrics.cache_tokens:,} tokens" in log


def test_cache_tokens_are_as_planned_within_one_block(server: Served, weights: Path) -> None:
    """Bytes a token from the config, times the tokens that the server reports, are what it had."""
    told = asyncio.run(server_status(registry.find_by_model("SmolLM2"))).metrics
    facts = read_model(weights)
    assert token_bytes(facts) == 2 * 30 * 3 * 64 * 2
    one_block = told.block_size * token_bytes(facts)
    assert abs(told.cache_tokens * token_bytes(facts) - GIB) <= one_block
    kept = kv_cache(facts, block=told.block_size)
    assert abs(kept.capacity(GIB, CONTEXT) - told.cache_tokens) <= told.block_size


def test_weights_are_predicted_within_three_percent(weights: Path) -> None:
    """Counted from the config alone, and read from the files: both are what lies on the disk."""
    size = (weights / "model.safetensors").stat().st_size
    counted = read_model(json.loads((weights / "config.json").read_text()))
    for facts in (counted, read_model(weights)):
        assert abs(facts.weights.on_each(1) / size - 1) < 0.03


async def test_it_answers_whole_and_in_pieces(server: Served) -> None:
    """Found by name, with its key; whole and in pieces, with tokens as it counts them."""
    client = connect("vllm:SmolLM2")
    whole = await client.complete(HELLO, GREEDY)
    pieces = [part async for part in client.stream(HELLO, GREEDY)]
    await client.aclose()
    assert isinstance(pieces[-1], Completion)
    assert "".join(part.text for part in pieces if isinstance(part, Delta)) == pieces[-1].text
    assert whole.usage.input_tokens == pieces[-1].usage.input_tokens
    assert whole.text
    assert whole.usage.output_tokens
    assert pieces[-1].first_token_s is not None


async def test_it_tells_its_metrics(server: Served) -> None:
    """How many requests run, and what the prefix cache found."""
    client = connect("vllm:SmolLM2")
    before = await read_metrics(client)
    long = [Message("system", "Be kind. " * 200), Message("user", "Hello")]
    for _ in range(2):
        await client.complete(long, GREEDY)
    after = await read_metrics(client)
    await client.aclose()
    assert after.running == 0
    asked = after.prefix_cache.since(before.prefix_cache)
    assert asked.queries > 800
    assert 0.3 < asked.rate < 0.6  # the second time, all but the last block


async def test_without_its_key_nobody_is_answered(server: Served) -> None:
    """The key that was made for it is needed, and stands in no argument of any process."""
    for key in (None, f"{server.key}x"):
        stranger = OpenAIClient(f"vllm:{server.model}", endpoint=at(server.url, key))
        with pytest.raises(AuthenticationError, match="401"):
            await stranger.complete(HELLO, GREEDY)
        await stranger.aclose()
    machine_wide = "\n".join(" ".join(process.cmdline()) for process in processes(server.group))
    assert server.key not in machine_wide
    assert server.key not in server.log.read_text()
    sockets = [each for process in processes(server.group) for each in process.net_connections()]
    listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_the_smoke_test_shows_an_answer(machine: Machine, server: Served) -> None:
    """``servers`` lists it, ``servers test`` asks it."""
    row = _row(machine.run("servers", "--json").out)
    assert (row["health"], row["host"]) == ("ok", "127.0.0.1")
    done = machine.run("servers", "test", "--json")
    assert done.code == 0
    assert _row(done.out)["answer"].strip()


@pytest.mark.kill
def test_the_starter_is_killed(machine: Machine) -> None:
    """While its server starts: nothing of it is left seconds later."""
    starter = machine.begin("orphan")
    entry = _entry(machine, "orphan")
    _until(lambda: len(processes(entry["group"])) > 1, 300)
    starter.kill()
    starter.communicate()
    _until(lambda: not processes(entry["group"]), 30)


@pytest.mark.kill
def test_killed_while_answering(machine: Machine, exact: Served) -> None:
    """The run ends in recorded failures, and nothing is left of the server."""
    file = write_experiment(
        machine.folder / "mortal.yaml",
        models=["vllm:exact"],
        personas=["history", "art"],
        sampling={"temperature": 0, "max_tokens": 150},
        cases=[{"id": f"c{n}", "question": f"Tell a story about {n} birds."} for n in range(4)],
    )
    running = start("run", file, "--no-report", cwd=machine.folder, env=machine.environment)
    _until(lambda: _answering("exact"), 120)
    os.kill(_engine(exact), signal.SIGKILL)
    _, words = running.communicate(timeout=300)
    assert running.returncode == 1, words
    run = Results(machine.folder / "results").latest("mortal")
    assert run.statuses()["error"] > 0
    assert sum(run.statuses().values()) == 8
    _until(lambda: not processes(exact.group), 30)
    _until(lambda: registry.find_by_model("exact") is None, 30)


def _row(shown: str) -> dict[str, Any]:
    """The row of the server that all tests share."""
    return next(row for row in json.loads(shown)["servers"] if row["server"] == "smollm2")


def _entry(machine: Machine, name: str) -> dict[str, Any]:
    """What is written down of a server that starts."""

    def found() -> list[dict[str, Any]]:
        return [each for each in machine.entries() if each["name"] == name]

    _until(found, 60)
    return found()[0]


def _answering(model: str) -> bool:
    entry = registry.find_by_model(model)
    return entry is not None and bool(asyncio.run(server_status(entry)).metrics.running)


def _engine(served: Served) -> int:
    """The process in which the model runs."""
    return max(processes(served.group), key=lambda each: each.memory_info().rss).pid


def _until(seen: Callable[[], object], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < ends, f"not seen within {seconds:g} s"
        time.sleep(0.2)
