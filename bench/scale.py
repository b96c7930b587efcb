"""A hundred thousand trials: memory of the run, time to load its table.

    python bench/scale.py [--trials 100000]

Trials go through the scripted client, so that all that is measured is ours. The promise: peak
memory below 500 MB, and the table of trials in less than 3 seconds. Each is measured in a process
of its own. ``--check`` makes a broken promise the exit code.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection

ANSWER = "The intensity falls off with the square of the distance. " * 8


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(folder: str, trials: int, pipe: Connection) -> None:
    from assistants.assistant import Assistant
    from assistants.clients import ScriptedClient
    from assistants.experiment import Experiment
    from assistants.models import Model, Prices
    from assistants.personas import Persona
    from assistants.trial import Case

    client = ScriptedClient(lambda messages, sampling: ANSWER, "bench", max_concurrency=64)
    personas = [Persona(f"p{i}", f"You are expert number {i}. " * 20) for i in range(20)]
    experiment = Experiment(
        name="scale",
        assistants=tuple(Assistant(persona, client) for persona in personas),
        cases=tuple(Case(str(i), (f"Question {i}?",)) for i in range(trials // 20)),
        models={client.model: Model(client.model, prices=Prices(input=0, output=0))},
    )
    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(experiment.run(folder, on_progress=lambda progress: None))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    again = time.perf_counter()
    asyncio.run(experiment.run(folder, on_progress=lambda progress: None))
    pipe.send((cpu / trials * 1000, wall, time.perf_counter() - again, peak_mb()))


def load(folder: str, trials: int, pipe: Connection) -> None:
    import pandas  # noqa: F401 - its import is not what is measured
    import pyarrow  # noqa: F401

    from assistants.results import Results

    latest = Results(folder).latest()
    wall = time.perf_counter()
    frame = latest.trials()
    wall = time.perf_counter() - wall
    assert len(frame) == trials
    pipe.send((wall, peak_mb()))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--trials", type=int, default=100_000)
    options.add_argument("--check", action="store_true")
    chosen = options.parse_args()
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for step in (run, load):
            child = spawn.Process(target=step, args=(folder, chosen.trials, theirs))
            child.start()
            found.append(ours.recv())
            child.join()
    (cpu, wall, again, peak), (seconds, loading) = found
    print(f"{chosen.trials:,} trials: {wall:.1f} s, {cpu:.2f} ms of CPU each, peak {peak:.0f} MB")
    print(f"run again, all answered: {again:.1f} s")
    print(f"table of trials: {seconds:.2f} s, peak {loading:.0f} MB")
    kept = peak < 500 and seconds < 3
    print(f"promise (< 500 MB, table < 3 s): {'kept' if kept else 'BROKEN'}")
    return 0 if kept or not chosen.check else 1


if __name__ == "__main__":
    sys.exit(main())
