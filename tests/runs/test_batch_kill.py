"""kill -9 at any step of a run by batch costs no answer, and nothing twice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from assistants.runs.store import Store
from support.batches import batch_experiment, batch_server, run_and_die, run_by_batch, run_large
from support.experiments import PRELOADED, quiet, turns
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

CASES, TURNS = 4, 2
TRIALS = CASES * 2  # two personas
STEPS = ("upload", "create", "retrieve", "content")


class Killer:
    """Kills a child when the server gets the ``number``-th request of a kind.

    ``before`` the request is carried out, which then does not happen, or ``after`` it was, so that
    the child never gets the reply.
    """

    def __init__(self, when: str, step: str, number: int = 1) -> None:
        self.point = (when, step)
        self.left = number
        self.pid: int | None = None
        self.started = threading.Event()

    def __call__(self, when: str, step: str) -> bool:
        if (when, step) != self.point or not self.left:
            return False
        self.left -= 1
        if self.left:
            return False
        self.started.wait(10)
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        return True

    def run(self, server: OpenAIServer, results: str) -> None:
        """Run an experiment in a child that is killed."""
        child = PRELOADED.Process(
            target=run_by_batch, args=(server.url, server.key, results, CASES, TURNS)
        )
        child.start()
        self.pid = child.pid
        self.started.set()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL


def sent_twice(batches: OpenAIBatches) -> set[str]:
    asked = batches.asked
    return {name for name in asked if asked.count(name) > 1}


async def check_the_rest(server: OpenAIServer, batches: OpenAIBatches, results: str) -> None:
    """The next run ends with every answer, and no request was paid for twice."""
    run = await batch_experiment(server, turns(TURNS, CASES)).run(
        results, batch=True, on_progress=quiet
    )
    assert run.statuses() == {"ok": TRIALS}
    assert sent_twice(batches) == set()
    alone = sum(request.path.endswith("/chat/completions") for request in server.requests)
    assert alone + len(batches.asked) == TRIALS * TURNS
    with Store(results) as store:
        assert all(batch.ended_at for batch in store.batches())
        assert list(store.read("SELECT * FROM batch_requests")) == []


@pytest.mark.kill
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_kill_at_any_step_costs_nothing_twice(
    here: Path, when: str, step: str, number: int
) -> None:
    """The first batch, and the second, which is the next turn's."""
    batches = OpenAIBatches()
    with batch_server(batches) as server:
        batches.on_request = killer = Killer(when, step, number)
        killer.run(server, "r")
        await check_the_rest(server, batches, "r")


@pytest.mark.kill
async def test_a_kill_while_answers_are_stored(here: Path) -> None:
    """The answers that were stored by then are kept, the rest is read again."""
    batches = OpenAIBatches()
    with batch_server(batches) as server:
        child = PRELOADED.Process(
            target=run_and_die, args=(server.url, server.key, "r", CASES, TURNS)
        )
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
        with Store("r") as store:
            ((stored,),) = store.read("SELECT COUNT(*) FROM answers WHERE final")
        assert 0 < stored < TRIALS
        await check_the_rest(server, batches, "r")


@pytest.mark.kill
@pytest.mark.parametrize(
    "points",
    [
        [("after", "create"), ("after", "list"), ("after", "content")],
        [("before", "create"), ("after", "create"), ("before", "retrieve")],
        [("after", "content"), ("after", "content"), ("after", "upload")],
    ],
)
async def test_kills_one_after_the_other(here: Path, points: Sequence[tuple[str, str]]) -> None:
    """A run that goes on after a kill may be killed as well."""
    batches = OpenAIBatches()
    with batch_server(batches) as server:
        for point in points:
            batches.on_request = killer = Killer(*point)
            killer.run(server, "r")
        await check_the_rest(server, batches, "r")


@pytest.mark.kill
@pytest.mark.timeout(900)
async def test_a_large_batch_needs_little_memory(here: Path) -> None:
    """50,000 requests in one batch under 300 MB: files are streamed out and in."""
    batches = OpenAIBatches()
    with batch_server(batches) as server:
        ours, theirs = PRELOADED.Pipe(duplex=False)
        child = PRELOADED.Process(
            target=run_large, args=(server.url, server.key, "r", 16_667, theirs)
        )
        child.start()
        theirs.close()
        peak_mb = ours.recv()
        child.join(60)
        print(f"peak memory: {peak_mb:.0f} MB")
        assert peak_mb < 300
        assert batches.created == 1
        with Store("r") as store:
            count = "SELECT COUNT(*) FROM answers WHERE final"
            assert list(store.read(count)) == [(50_001,)]  # the first call goes alone
