"""A run keeps to the rate limits of a model, uses them up, and loses nothing to a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from assistants.clients import OpenAIClient, Quota, RateLimits
from assistants.design.limits import Limits as RunLimits
from assistants.messages import Sampling
from assistants.results import Results
from assistants.runs.pacing import Pace
from assistants.runs.store import Store
from assistants.utils.urls import Address
from support.experiments import PRELOADED, QUICK, experiment_at, quiet
from support.faulty_server import FaultyServer
from support.openai_server import Limits, OpenAIServer

MINUTE_S = 6.0
MAX_TOKENS = 400
SAMPLING = Sampling(max_tokens=MAX_TOKENS, reasoning_effort="none")


def limited_client(url: str, key: str, **more: Any) -> OpenAIClient:
    async def endpoint() -> Address:
        return Address(url, key)

    options = {"max_concurrency": 1000, "start_concurrency": 16} | more
    return OpenAIClient("openai:gpt-6-luna", endpoint=endpoint, **options)


async def run_limited(url: str, key: str, results: str, cases: range, **more: Any) -> None:
    from assistants.trial import Case

    experiment = experiment_at(
        url,
        [Case(str(i), (f"Question {i}?",)) for i in cases],
        personas=["none"],
        client=limited_client(url, key, **more),
        sampling=SAMPLING,
    )
    await experiment.run(results, on_progress=quiet)


def run_limited_in_child(url: str, key: str, results: str, first: int, cases: int) -> None:
    asyncio.run(run_limited(url, key, results, range(first, first + cases)))


# How much of what is allowed gets through is measured by bench/rate_limits.py: here the machine may
# be too busy to use it.


@pytest.mark.parametrize(
    "limits",
    [Limits(150, 10**6, MINUTE_S), Limits(5000, 150 * MAX_TOKENS, MINUTE_S)],
    ids=["requests", "tokens"],
)
async def test_hardly_a_call_is_refused_and_no_trial_is_lost(here: Path, limits: Limits) -> None:
    """By a limit of requests, or of tokens."""
    with OpenAIServer(limits=limits) as server:
        await run_limited(server.url, server.key, "results", range(240))
        assert server.count(status=200) == 240
        assert server.count(status=429) <= 0.05 * server.count()
    assert Results().latest().statuses() == {"ok": 240}


def test_two_processes_keep_one_limit_together(here: Path) -> None:
    """Side by side on one store hardly a call is refused: they do not take the limit twice.

    How few it is on a machine with time to spare is measured in ``bench/rate_limits.py``.
    """
    with OpenAIServer(limits=Limits(150, 10**6, MINUTE_S)) as server:
        processes = [
            PRELOADED.Process(
                target=run_limited_in_child, args=(server.url, server.key, "results", first, 120)
            )
            for first in (0, 120)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert server.count(status=200) == 240
        assert server.count(status=429) <= 0.05 * server.count()


def past(wait: float) -> Mapping[str, str]:
    return {"retry-after": format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)}


@pytest.mark.parametrize(
    "retry_after",
    [lambda wait: {"retry-after": "0"}, past, lambda wait: {"retry-after-ms": "20"}],
    ids=["zero", "past", "milliseconds"],
)
async def test_a_refusal_is_no_try(
    here: Path, retry_after: Callable[[float], Mapping[str, str]]
) -> None:
    """However often a server says "come back", each trial is answered, and counts one attempt."""
    with OpenAIServer(limits=Limits(5, 10**6, 0.2), retry_after=retry_after) as server:
        experiment = experiment_at(
            server.url,
            40,
            personas=["none"],
            client=_without_limit_headers(server),
            sampling=SAMPLING,
        )
        run = await experiment.run(on_progress=quiet, retry=replace(QUICK, most=2))
        assert server.count(status=429) > 2
    assert run.statuses() == {"ok": 40}
    assert set(run.trials()["attempts"]) == {1}


def _without_limit_headers(server: OpenAIServer) -> OpenAIClient:
    """Return a client that cannot know its limits beforehand, as behind many other servers."""
    client = limited_client(server.url, server.key, max_concurrency=8, start_concurrency=8)
    client._note_rate_limits = lambda request: None  # type: ignore[method-assign]
    return client


async def test_patience_ends(here: Path) -> None:
    """A server that refuses everybody is given up after a while; each failure is on record."""
    with FaultyServer() as server:
        experiment = experiment_at(server.url_of("429"), 5, personas=["none"])
        run = await experiment.run(on_progress=quiet, retry=replace(QUICK, patience_s=0.05))
    assert run.statuses() == {"error": 5}
    assert run.trials()["error"].str.contains("429").all()


async def test_a_wait_beyond_the_patience_is_not_begun(here: Path) -> None:
    """A server that says to come back tomorrow ends the run today, with the reason in each row."""
    with FaultyServer() as server:
        experiment = experiment_at(server.url_of("429"), 5, personas=["none"])
        run = await experiment.run(on_progress=quiet, retry=replace(QUICK, patience_s=0.0))
    assert run.statuses() == {"error": 5}


async def test_minutes_end_a_wait_for_a_limit(here: Path) -> None:
    """Trials that no limit has room for in the time of the run stay open."""
    with OpenAIServer(limits=Limits(5, 10**6, 3600)) as server:
        experiment = experiment_at(
            server.url,
            20,
            personas=["none"],
            client=limited_client(server.url, server.key),
            sampling=SAMPLING,
            limits=RunLimits(minutes=2 / 60),
        )
        run = await experiment.run(on_progress=quiet)
    assert run.outcome == "limit"
    assert run.statuses()["open"] >= 15


async def test_caps_of_the_models_file_are_kept_without_a_word_of_the_server(here: Path) -> None:
    """60 requests a minute are one a second, whatever the server would take."""
    with OpenAIServer() as server:
        experiment = experiment_at(
            server.url,
            20,
            personas=["none"],
            client=limited_client(
                server.url, server.key, rate_caps=RateLimits(requests=Quota(60, 60.0))
            ),
            sampling=SAMPLING,
            limits=RunLimits(minutes=2.5 / 60),
        )
        await experiment.run(on_progress=quiet)
        assert 1 <= server.count(status=200) <= 5


async def test_without_limits_nothing_is_counted(here: Path) -> None:
    """No headers, no caps: the store has no row of limits, and no transaction was made for any."""
    with FaultyServer() as server:
        await experiment_at(server.url, 5).run(on_progress=quiet)
    with Store("results") as store:
        assert store.rate_limits("test:m") == {}


async def test_blocks_cost_fewer_transactions_than_there_are_trials(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that wait together take their quota together."""
    blocks = 0
    update = Store.update_rate_limits

    def counted(*args: Any) -> Any:
        nonlocal blocks
        blocks += 1
        return update(*args)

    monkeypatch.setattr(Store, "update_rate_limits", counted)
    with OpenAIServer(limits=Limits(6000, 10**8, 60)) as server:
        await run_limited(server.url, server.key, "results", range(200))
    assert 0 < blocks < 100


async def test_limits_that_nobody_states_any_more_are_forgotten(here: Path) -> None:
    """A cap that was taken out of the file does not hold from the store."""
    caps = RateLimits(requests=Quota(60, 60.0))
    with OpenAIServer() as server:
        await run_limited(server.url, server.key, "results", range(3), rate_caps=caps)
        began = server.count()
        await run_limited(server.url, server.key, "results", range(60))
        assert server.count() - began >= 57


async def test_a_large_call_takes_all_of_its_tokens(here: Path) -> None:
    """One that is larger than what may be spent at once makes the next ones wait for it."""
    with Store("results") as store:
        client = limited_client(
            "http://127.0.0.1:1/v1", "", rate_caps=RateLimits(tokens=Quota(6000))
        )
        pace = Pace(store, client)
        await pace.admit(60)
        await pace.admit(100)
        assert store.rate_limits(client.model)["tokens"].taken == 160
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await pace.admit(600)
        assert store.rate_limits(client.model)["tokens"].taken == 760
