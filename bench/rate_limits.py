"""Calls under a rate limit: our pace against the SDK's own retries and a plain semaphore.

    python bench/rate_limits.py [--trials 1500] [--minute 60] [--check]

A loopback server counts as OpenAI does for a user of tier 1: 500 requests and 200,000 tokens a
minute, in two token buckets that are full at first; a call takes its ``max_tokens`` of the tokens.
A call above that is refused (429) and told when to come back. Each way to ask has a server and a
process of its own:

- **assistants**: ``Experiment.run``
- **assistants x 2**: two processes on one results folder, each with half of the trials
- **sdk, retries**: a bare ``gather`` over ``AsyncOpenAI(max_retries=5)``
- **sdk, semaphore**: the same, 16 at a time, with the SDK's default of two retries

``got through`` is the share of what the server's buckets held and got back between the first and
the last call that it took, ``refused`` the share of calls that it refused, ``lost`` the trials
that ended without an answer. ``--minute`` makes the server's minute shorter, so that the limits
stay and all goes faster. The promise, which ``--check`` makes the exit code: at least 95% gets
through, under 1% is refused, nothing is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.openai_server import Limits, OpenAIServer

MODEL = "gpt-6-luna"
REQUESTS, TOKENS = 500, 200_000
MAX_TOKENS = 460


def question(i: int) -> str:
    return f"Write a simple Python script explaining the inverse square law, number {i}."


async def ask_assistants(url: str, key: str, folder: str, numbers: range) -> None:
    from assistants.assistant import Assistant
    from assistants.clients import OpenAIClient
    from assistants.experiment import Experiment
    from assistants.messages import Sampling
    from assistants.models import Model, Prices
    from assistants.personas import Persona
    from assistants.trial import Case
    from assistants.utils import Address

    async def endpoint() -> Address:
        return Address(url, key)

    name = f"openai:{MODEL}"
    client = OpenAIClient(
        name,
        endpoint=endpoint,
        max_concurrency=1000,
        start_concurrency=16,
        max_tokens_field="max_completion_tokens",
    )
    sampling = Sampling(max_tokens=MAX_TOKENS, reasoning_effort="none")
    experiment = Experiment(
        name="bench",
        assistants=(Assistant(Persona("none", None), client, sampling),),
        cases=tuple(Case(str(i), (question(i),)) for i in numbers),
        models={name: Model(name, prices=Prices(input=1, output=1))},
    )
    await experiment.run(folder, on_progress=lambda progress: None)


async def ask_sdk(url: str, key: str, numbers: range, retries: int, at_once: int) -> None:
    import openai

    gate = asyncio.Semaphore(at_once)
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=retries) as sdk:

        async def ask(i: int) -> Any:
            async with gate:
                return await sdk.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "user", "content": question(i)}],
                    max_completion_tokens=MAX_TOKENS,
                    reasoning_effort="none",
                )

        await asyncio.gather(*(ask(i) for i in numbers), return_exceptions=True)


def assistants(url: str, key: str, folder: str, numbers: range) -> None:
    asyncio.run(ask_assistants(url, key, folder, numbers))


def sdk_with_retries(url: str, key: str, folder: str, numbers: range) -> None:
    asyncio.run(ask_sdk(url, key, numbers, 5, len(numbers)))


def sdk_with_semaphore(url: str, key: str, folder: str, numbers: range) -> None:
    asyncio.run(ask_sdk(url, key, numbers, 2, 16))


Way = Callable[[str, str, str, range], None]
WAYS: dict[str, tuple[Way, int]] = {
    "assistants": (assistants, 1),
    "assistants x 2": (assistants, 2),
    "sdk, retries": (sdk_with_retries, 1),
    "sdk, semaphore": (sdk_with_semaphore, 1),
}
"""What runs, and in how many processes."""


def measure(way: Way, processes: int, trials: int, minute_s: float, latency: float) -> list[float]:
    """Return the share that got through, the share that was refused, lost trials, and seconds."""
    taken: list[float] = []

    def answer(body: dict[str, Any]) -> str:
        taken.append(time.monotonic())
        return "It falls off with the square. " * 4

    spawn = multiprocessing.get_context("spawn")
    limits = Limits(REQUESTS, TOKENS, minute_s)
    with (
        tempfile.TemporaryDirectory() as folder,
        OpenAIServer(answer, limits=limits, latency=latency) as server,
    ):
        started = [
            spawn.Process(
                target=way, args=(server.url, server.key, folder, range(i, trials, processes))
            )
            for i in range(processes)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        refused = server.count(status=429)
        calls = server.count()
    span = taken[-1] - taken[0]
    a_minute = min(REQUESTS, TOKENS / MAX_TOKENS)
    allowed = a_minute * (1 + span / minute_s)
    return [len(taken) / allowed, refused / calls, trials - len(taken), span]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--trials", type=int, default=1500)
    options.add_argument("--minute", type=float, default=60.0, help="seconds of a minute")
    options.add_argument("--latency", type=float, default=1.0, help="seconds before each answer")
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    print(
        f"{chosen.trials:,} calls, {REQUESTS:,} requests and {TOKENS:,} tokens a minute of "
        f"{chosen.minute:g} s, {MAX_TOKENS} tokens a call, {chosen.latency:g} s each"
    )
    print(f"{'':16}{'got through':>12}{'refused':>10}{'lost':>7}{'s':>7}")
    kept = True
    for name, (way, processes) in WAYS.items():
        through, refused, lost, span = measure(
            way, processes, chosen.trials, chosen.minute, chosen.latency
        )
        print(f"{name:16}{through:12.1%}{refused:10.2%}{lost:7.0f}{span:7.1f}", flush=True)
        if way is assistants:
            kept = kept and through >= 0.95 and refused < 0.01 and not lost
    print(f"promise (>= 95% through, < 1% refused, none lost): {'kept' if kept else 'BROKEN'}")
    return 0 if kept or not chosen.check else 1


if __name__ == "__main__":
    sys.exit(main())
