"""The number of calls in flight is what an experiment says, or finds its level by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from assistants.clients import ScriptedClient
from assistants.errors import CallError, CallTimeoutError, RateLimitError, ServerError
from assistants.messages import Completion, Usage
from assistants.runs.concurrency import MOST_BY_ITSELF, Concurrency
from support.experiments import client_at, experiment_at, quiet
from support.faulty_server import FaultyServer


def client(start: int = 4, most: int = 1000) -> ScriptedClient:
    client = ScriptedClient(lambda messages, sampling: "x", max_concurrency=most)
    client.start_concurrency = start  # type: ignore[attr-defined]
    return client


def a_round(concurrency: Concurrency, seconds: float = 1.0, tokens: int = 100) -> int:
    """Have as many calls in flight as may be, let all be answered, and return the new level."""
    level = concurrency.level
    with ExitStack() as calls:
        for _ in range(level):
            calls.enter_context(concurrency.call())
    for _ in range(level):
        concurrency.answered(Completion("x", usage=Usage(1, tokens), total_s=seconds))
    return concurrency.level


def fail(concurrency: Concurrency, error: CallError, calls: int = 1) -> int:
    """Let so many calls that are in flight at once fail, and return the new level."""
    with ExitStack() as held:
        for _ in range(calls):
            held.enter_context(pytest.raises(CallError))
            held.enter_context(concurrency.call())
            held.push(_raise(error))
    return concurrency.level


def _raise(error: CallError) -> Callable[..., None]:
    def leave(*_: object) -> None:
        raise error

    return leave


def test_it_doubles_until_calls_take_longer_and_then_goes_step_by_step() -> None:
    """While all goes well it grows; slower calls take one away, never below the usual number."""
    concurrency = Concurrency(client())
    assert [a_round(concurrency) for _ in range(3)] == [8, 16, 32]
    assert a_round(concurrency, seconds=2.0) == 31
    assert a_round(concurrency) == 32
    assert a_round(concurrency) == 33
    for _ in range(50):
        a_round(concurrency, seconds=3.0)
    assert concurrency.level == 4


def test_longer_answers_are_not_slower_ones() -> None:
    """Time counts for a token: ten times the answer in ten times the time is no trouble."""
    concurrency = Concurrency(client())
    assert a_round(concurrency, seconds=1, tokens=100) == 8
    assert a_round(concurrency, seconds=10, tokens=1000) == 16


@pytest.mark.parametrize("error", [RateLimitError("x"), CallTimeoutError("x")])
def test_a_refusal_or_a_timeout_halves_it_once_a_round(error: CallError) -> None:
    """Calls that were in flight together fail together, which is one sign and not many."""
    concurrency = Concurrency(client(16))
    assert fail(concurrency, error, calls=16) == 8
    assert a_round(concurrency) == 9  # by one from now on
    for _ in range(9):
        fail(concurrency, error)
    assert concurrency.level == 1


def test_other_failures_say_nothing_about_the_load() -> None:
    """A broken server is the circuit breaker's business."""
    concurrency = Concurrency(client(16))
    assert fail(concurrency, ServerError("x"), calls=16) == 16


def test_it_does_not_grow_where_it_was_not_needed() -> None:
    """Calls that a rate limit holds back show nothing of what the model could take."""
    concurrency = Concurrency(client(4))
    for _ in range(20):
        with concurrency.call():
            pass
        concurrency.answered(Completion("x", usage=Usage(1, 100), total_s=1.0))
    assert concurrency.level == 4


def test_bounds() -> None:
    """A bound that the client knows holds always; by itself it grows to a sensible number."""
    assert Concurrency(client(4, most=4), fixed=64).level == 4
    assert Concurrency(client(4), fixed=640).level == 640
    concurrency = Concurrency(client(4))
    for _ in range(20):
        a_round(concurrency)
    assert concurrency.level == MOST_BY_ITSELF
    fixed = Concurrency(client(4), fixed=64)
    assert a_round(fixed) == 64
    assert fail(fixed, RateLimitError("x")) == 64


@pytest.fixture
def slow() -> Iterator[FaultyServer]:
    with FaultyServer(latency=0.05) as server:
        yield server


async def test_concurrency_of_an_experiment_means_what_it_says(
    here: Path, slow: FaultyServer
) -> None:
    """64 are 64, though the provider begins with 4; two models share them."""
    usual = client_at(slow.url, max_concurrency=1000, start_concurrency=4)
    experiment = experiment_at(slow.url, 150, personas=["none"], client=usual, concurrency=64)
    await experiment.run(on_progress=quiet)
    assert slow.peak == 64


async def test_without_it_a_run_finds_more_than_it_began_with(
    here: Path, slow: FaultyServer
) -> None:
    """A server that is as quick with more calls in flight gets more of them."""
    usual = client_at(slow.url, max_concurrency=12, start_concurrency=2)
    await experiment_at(slow.url, 150, personas=["none"], client=usual).run(on_progress=quiet)
    assert 2 < slow.peak <= 12
