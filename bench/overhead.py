"""What a trial costs besides the model: ours against the bare SDK and bare aiohttp.

    python bench/overhead.py [--trials 2000] [--in-flight 64]

A loopback server in a process of its own answers at once. Each way to ask runs in a child process
of its own, after a warm-up of 100 calls, so that imports are not counted and memory is its own:

- **assistants**: ``Experiment.run``: build, send, validate, store in SQLite, read back the run
- **sdk**: a bare ``gather`` over ``AsyncOpenAI.chat.completions.create``; checks and stores nothing
- **aiohttp**: raw POST and ``json.loads``; checks and stores nothing

The promise: less than 2 ms of CPU a trial, and at most half of what the SDK costs. ``--check``
makes a broken promise the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

REPLY = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "It falls off with the square. " * 4},
        }],
        "usage": {"prompt_tokens": 30, "completion_tokens": 28, "total_tokens": 58},
    }
).encode()  # fmt: skip
RAW = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(REPLY),
    REPLY,
)
SYSTEM = "You are a patient physics teacher. " * 12
WARM_UP = 100


class Answering(asyncio.Protocol):
    """Answers each request the moment its body is complete."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.index(b"content-length:") + 15
            length = int(head[at:].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(RAW)  # type: ignore[attr-defined]


def serve(pipe: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    asyncio.run(run())


def question(i: int) -> str:
    return f"Write a simple Python script explaining the inverse square law, number {i}."


async def ask_assistants(url: str, first: int, trials: int, in_flight: int) -> None:
    from assistants.assistant import Assistant
    from assistants.clients import OpenAIClient
    from assistants.experiment import Experiment
    from assistants.models import Model, Prices
    from assistants.personas import Persona
    from assistants.trial import Case
    from assistants.utils.urls import Address

    async def endpoint() -> Address:
        return Address(url)

    client = OpenAIClient("bench:m", endpoint=endpoint, max_concurrency=in_flight)
    experiment = Experiment(
        name="bench",
        assistants=(Assistant(Persona("teacher", SYSTEM), client),),
        cases=tuple(Case(str(i), (question(i),)) for i in range(first, first + trials)),
        models={"bench:m": Model("bench:m", prices=Prices(input=1, output=1))},
    )
    with tempfile.TemporaryDirectory() as folder:
        run = await experiment.run(folder, on_progress=lambda progress: None)
        assert run.outcome == "complete"


def messages(i: int) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question(i)}]


async def gathered(
    ask: Callable[[int], Awaitable[Any]], first: int, trials: int, in_flight: int
) -> None:
    gate = asyncio.Semaphore(in_flight)

    async def one(i: int) -> None:
        async with gate:
            await ask(i)

    await asyncio.gather(*(one(i) for i in range(first, first + trials)))


async def ask_sdk(url: str, first: int, trials: int, in_flight: int) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as sdk:
        await gathered(
            lambda i: sdk.chat.completions.create(model="m", messages=messages(i)),  # type: ignore[arg-type]
            first, trials, in_flight,
        )  # fmt: skip


async def ask_aiohttp(url: str, first: int, trials: int, in_flight: int) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def ask(i: int) -> Any:
            body = {"model": "m", "messages": messages(i)}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                return json.loads(await response.read())

        await gathered(ask, first, trials, in_flight)


WAYS = {"assistants": ask_assistants, "sdk": ask_sdk, "aiohttp": ask_aiohttp}


def measure(way: str, url: str, trials: int, in_flight: int, pipe: Connection) -> None:
    ask = WAYS[way]
    asyncio.run(ask(url, 0, WARM_UP, in_flight))
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(ask(url, WARM_UP, trials, in_flight))
    pipe.send(
        {
            "cpu_ms": (time.process_time() - cpu) / trials * 1000,
            "wall_s": time.perf_counter() - wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--trials", type=int, default=2000)
    options.add_argument("--in-flight", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3, help="the best of so many is shown")
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    best: dict[str, dict[str, float]] = {}
    for _ in range(chosen.rounds):
        for way in WAYS:
            child = spawn.Process(
                target=measure, args=(way, url, chosen.trials, chosen.in_flight, theirs)
            )
            child.start()
            found = ours.recv()
            child.join()
            if way not in best or found["cpu_ms"] < best[way]["cpu_ms"]:
                best[way] = found
    server.kill()

    print(
        f"{chosen.trials:,} one-question trials, {chosen.in_flight} in flight, "
        f"best of {chosen.rounds}"
    )
    print(f"{'':12}{'CPU ms/trial':>14}{'of the SDK':>12}{'wall s':>9}{'peak MB':>9}")
    for way, found in best.items():
        share = found["cpu_ms"] / best["sdk"]["cpu_ms"]
        print(
            f"{way:12}{found['cpu_ms']:14.2f}{share:12.2f}{found['wall_s']:9.2f}"
            f"{found['peak_mb']:9.0f}"
        )
    cpu = best["assistants"]["cpu_ms"]
    kept = cpu < 2 and cpu <= best["sdk"]["cpu_ms"] / 2
    print(f"promise (< 2 ms and <= 0.5 of the SDK): {'kept' if kept else 'BROKEN'}")
    return 0 if kept or not chosen.check else 1


if __name__ == "__main__":
    sys.exit(main())
