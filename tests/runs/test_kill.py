"""kill -9 at any moment costs no answer that was acknowledged, and doubles none."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from assistants.runs.store import Store
from support.experiments import PRELOADED, experiment_at, quiet, run_in_child, turns
from support.faulty_server import FaultyServer

# A store that commits one answer late is found in the third or fourth round.
ROUNDS = int(os.environ.get("ASSISTANTS_KILL_ROUNDS", "15"))
CASES, TURNS = 10, 2
CALLS = CASES * TURNS * 2  # two personas


def answers(results: Path) -> dict[tuple[str, int], str]:
    if not results.exists():
        return {}  # killed before it began
    with Store(results) as store:
        return {(k, t): a for k, t, a in store.read("SELECT key, turn, answer FROM answers")}


def killed_run(url: str, results: Path, after: int, delay: float) -> int:
    """Run in a child, kill it so long after so many answers; how many it had acknowledged."""
    ours, theirs = PRELOADED.Pipe(duplex=False)
    child = PRELOADED.Process(target=run_in_child, args=(url, str(results), CASES, TURNS, theirs))
    child.start()
    theirs.close()
    acknowledged = 0
    try:
        while acknowledged < after:
            acknowledged = int(ours.recv_bytes())
        time.sleep(delay)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        while True:  # what it said before it died
            acknowledged = int(ours.recv_bytes())
    except (EOFError, OSError):
        pass
    finally:
        child.kill()
        child.join()
        ours.close()
    return acknowledged


def read_all(server: FaultyServer) -> None:
    """Wait until the server has read what a dead child sent: it takes turns."""
    for _ in range(2):
        urllib.request.urlopen(f"{server.url}/models").close()


@pytest.mark.kill
async def test_a_killed_run_loses_and_doubles_nothing(here: Path) -> None:
    """At random moments: every acknowledged answer is there, and the next run asks the rest."""
    draw = random.Random(os.environ.get("ASSISTANTS_KILL_SEED", "7"))
    number = itertools.count()
    cut = 0
    with FaultyServer(lambda request: f"answer {next(number)}", latency=0.01) as server:
        for round_ in range(ROUNDS):
            results = here / str(round_)
            acknowledged = killed_run(
                server.url, results, draw.randint(0, CALLS // TURNS - 2), draw.uniform(0, 0.02)
            )
            kept = answers(results)
            finished = sum(turn == TURNS - 1 for _, turn in kept)
            assert acknowledged <= finished
            cut += 0 < len(kept) < CALLS

            read_all(server)
            before = len(server.requests)
            run = await experiment_at(server.url, turns(TURNS, CASES)).run(
                results, on_progress=quiet
            )
            assert len(server.requests) - before == CALLS - len(kept)
            assert run.statuses() == {"ok": CALLS // TURNS}
            after = answers(results)
            assert len(after) == len(set(after.values())) == CALLS
            assert kept.items() <= after.items()
    assert cut > ROUNDS / 4  # most kills came in the middle, or this has tested nothing
