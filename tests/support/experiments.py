"""What the tests of the engine share: experiments on a loopback server, with quick attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

from assistants.assistant import Assistant
from assistants.clients import OpenAIClient
from assistants.experiment import Experiment
from assistants.messages import Completion, Sampling
from assistants.models import Model, Prices
from assistants.personas import Persona
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import Progress
from assistants.runs.store import Store
from assistants.trial import Case
from assistants.utils.urls import Address

QUICK = RetryPolicy(most=6, first_wait_s=0.001, longest_wait_s=0.01, jitter_s=0.001)
PRICES = Prices(input=1000, output=1000)  # a thousand tokens, a dollar


def client_at(url: str, model: str = "test:m", **more: Any) -> OpenAIClient:
    async def endpoint() -> Address:
        return Address(url)

    return OpenAIClient(model, endpoint=endpoint, **more)


def experiment_at(
    url: str,
    cases: int | Sequence[Case],
    *,
    personas: Sequence[str] = ("none", "terse"),
    client: Any = None,
    max_concurrency: int = 8,
    prices: Prices | None = PRICES,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    **more: Any,
) -> Experiment:
    """Every persona on one model behind ``url``; ``cases`` is how many, or the cases."""
    client = client or client_at(url, max_concurrency=max_concurrency)
    if isinstance(cases, int):
        cases = [Case(str(i), (f"Question {i}?",)) for i in range(cases)]
    return Experiment(
        name="exp",
        assistants=tuple(
            Assistant(Persona(name, None if name == "none" else f"Be {name}."), client, sampling)
            for name in personas
        ),
        cases=tuple(cases),
        models={client.model: Model(client.model, prices=prices)},
        **more,
    )


def quiet(progress: Progress) -> None:
    """No progress bar."""


def turns(count: int, cases: int) -> list[Case]:
    """Cases of several turns each."""
    return [Case(f"c{i}", tuple(f"Case {i} turn {t}?" for t in range(count))) for i in range(cases)]


PRELOADED = get_context("forkserver")
"""Child processes that start in milliseconds: what they import is loaded once for all."""
PRELOADED.set_forkserver_preload(
    ["assistants.experiment", "assistants.runs.tables", "openai", "aiohttp"]
)


def run_in_child(url: str, results: str, cases: int, turn_count: int, pipe: Connection) -> None:
    """Run an experiment, and say after each answer how many have been acknowledged."""
    experiment = experiment_at(url, turns(turn_count, cases))
    asyncio.run(experiment.run(results, on_progress=lambda p: pipe.send_bytes(b"%d" % p.answered)))


def write_rows(results: str, start: Barrier, process: int, rows: int) -> None:
    """Store so many answers, beginning together with all others."""
    start.wait()
    with Store(results) as store:
        for row in range(rows):
            store.add_answer(
                f"{process}-{row}", 0, Completion("x"), final=True, run="r", cost_usd=None,
                attempts=1,
            )  # fmt: skip
