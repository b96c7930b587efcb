"""The order of an experiment's trials on a server that caches prefixes: what it costs to ignore it.

    python bench/order.py vllm:NAME [--personas 40] [--cases 4] [--words 900] [--in-flight 4]

The same trials (long personas, short questions, short answers) in three orders:

- **persona-major**: as ``Experiment`` asks them: all cases of a persona, then the next persona
- **shuffled**: at random, over all of them
- **case-major**: all personas of a case, then the next case

Each order has personas of its own, so that none finds what another left in the cache. Queries are
the tokens that were looked up in the cache, hits those that were found, as the server's
``/metrics`` has them: exact only while nobody else uses it.
Where all personas fit into the cache at once, no order matters much: without ``--personas`` there
are so many that about two thirds of them fit. The promise, for ``--check``: persona-major is at
least as fast as either other order.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from assistants import Assistant, Case, Experiment, Limits, Persona, Sampling, Trial, connect
from assistants.clients import Client, PrefixCache, count_tokens, read_metrics, read_prefix_cache
from assistants.runs.budget import Budget
from assistants.runs.runner import Runner
from assistants.runs.store import Store

ORDERS = ("persona-major", "shuffled", "case-major")
WORDS = (
    "archive river lesson number garden winter letter market silver engine harbour method "
    "captain window journey answer kitchen planet reason village"
).split()
FITTING = 1.5
"""Times what the cache holds: two thirds of the personas fit."""


@dataclass(frozen=True)
class Result:
    order: str
    seconds: float
    cache: PrefixCache | None
    failed: int

    def row(self, best: float) -> str:
        """A line of the table; what the server does not tell is a question mark."""
        told = ("?", "?", "?")
        if self.cache is not None:
            rate = "?" if self.cache.rate is None else f"{self.cache.rate:.0%}"
            told = (f"{self.cache.queries:,}", f"{self.cache.hits:,}", rate)
        queries, hits, rate = told
        failed = f"   {self.failed} FAILED" if self.failed else ""
        times = f"{self.seconds:10.1f}{self.seconds / best:8.2f}x"
        return f"{self.order:15}{times}{queries:>14}{hits:>14}{rate:>7}{failed}"


def text(seed: str, words: int) -> str:
    """A persona that shares no prefix with any other."""
    draw = random.Random(seed)
    return f"You are number {seed}. " + " ".join(draw.choices(WORDS, k=words)) + ". Be brief."


def experiment(client: Client, order: str, personas: int, cases: int, words: int) -> Experiment:
    run = secrets.token_hex(4)
    return Experiment(
        name="order",
        assistants=tuple(
            Assistant(
                Persona(f"p{i}", text(f"{run}-{order}-{i}", words)),
                client,
                Sampling(temperature=0, max_tokens=4),
            )
            for i in range(personas)
        ),
        cases=tuple(Case(str(i), (f"Question {i}: what comes next?",)) for i in range(cases)),
    )


def ordered(trials: Sequence[Trial], order: str) -> list[Trial]:
    """The trials of an experiment, which come persona by persona, in another order."""
    if order == "shuffled":
        return random.Random(0).sample(trials, len(trials))
    if order == "case-major":
        return sorted(trials, key=lambda trial: int(trial.case.id))
    return list(trials)


async def measured(client: Client, order: str, design: Experiment, in_flight: int) -> Result:
    trials = ordered(list(design.trials()), order)
    before = await read_prefix_cache(client)
    with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
        store.add_run("order", "order", {})
        store.add_trials("order", 0, trials)
        runner = Runner(
            store,
            "order",
            price=lambda client, usage: None,
            budget=Budget(Limits()),
            concurrency=in_flight,
        )
        start = time.perf_counter()
        await runner.ask({client: trials}, len(trials))
        seconds = time.perf_counter() - start
    after = await read_prefix_cache(client)
    between = after.since(before) if before is not None and after is not None else None
    return Result(order, seconds, between, runner.progress.failed)


async def main(chosen: argparse.Namespace) -> int:
    client = connect(chosen.model)
    try:
        holds = (await read_metrics(client)).cache_tokens
        length = await count_tokens(client, text("00000000-case-major-00", chosen.words))
        personas = chosen.personas
        if personas is None:
            if not holds or not length:
                print("The server does not tell how much its cache holds: give --personas.")
                return 2
            personas = max(4, round(FITTING * holds / length))
        known = f"{holds:,}" if holds else "an unknown number of"
        print(
            f"{chosen.model}: {personas} personas of {length or '?'} tokens x {chosen.cases} cases,"
            f" {chosen.in_flight} in flight; the cache holds {known} tokens."
        )
        await measured(client, "warm-up", experiment(client, "warm-up", 1, 2, 50), 1)
        print(f"{'':15}{'seconds':>10}{'':9}{'queries':>14}{'hits':>14}{'rate':>7}")
        found = []
        for order in ORDERS:
            design = experiment(client, order, personas, chosen.cases, chosen.words)
            found.append(await measured(client, order, design, chosen.in_flight))
            print(found[-1].row(found[0].seconds), flush=True)
    finally:
        await client.aclose()
    slower = [each.order for each in found[1:] if each.seconds < found[0].seconds]
    broken = bool(slower) or any(each.failed for each in found)
    return int(chosen.check and broken)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("model", help="vllm:NAME, of a server that runs")
    options.add_argument("--personas", type=int)
    options.add_argument("--cases", type=int, default=4)
    options.add_argument("--words", type=int, default=900, help="of each persona")
    options.add_argument("--in-flight", type=int, default=4)
    options.add_argument("--check", action="store_true")
    sys.exit(asyncio.run(main(options.parse_args())))
