"""Experiments that go by batch to a loopback server."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from assistants.clients import OpenAIClient
from assistants.experiment import Experiment
from assistants.models import Model, Provider
from assistants.runs import Progress
from assistants.trial import Case
from support.experiments import PRICES, QUICK, experiment_at, quiet, turns
from support.faulty_server import at
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

MODEL = "openai:gpt-6-luna"


@contextmanager
def batch_server(batches: OpenAIBatches, **more: Any) -> Iterator[OpenAIServer]:
    """Serve models, files and batches."""
    with OpenAIServer(routes=[batches], **more) as server:
        batches.attach(server)
        yield server


def batch_experiment(
    server: OpenAIServer, cases: int | Sequence[Case], *, key: str = "", **more: Any
) -> Experiment:
    """Return an experiment on a model that takes batches; a thousand tokens cost a dollar."""
    return batch_experiment_at(server.url, cases, key=key or server.key, **more)


def batch_experiment_at(
    url: str, cases: int | Sequence[Case], *, key: str, **more: Any
) -> Experiment:
    client = OpenAIClient(MODEL, endpoint=at(url, key), max_tokens_field="max_completion_tokens")
    provider = Provider(address=url, batch_discount=0.5)
    models = {MODEL: Model(MODEL, provider, prices=PRICES)}
    return replace(experiment_at(url, cases, client=client, **more), models=models)


def run_by_batch(url: str, key: str, results: str, cases: int, turn_count: int) -> None:
    """Run an experiment by batch; for a child process that is killed."""
    experiment = batch_experiment_at(url, turns(turn_count, cases), key=key)
    asyncio.run(experiment.run(results, batch=True, on_progress=quiet, retry=QUICK))


def run_and_die(url: str, key: str, results: str, cases: int, turn_count: int) -> None:
    """Run an experiment by batch in a process that kills itself at the third answer."""

    def die(progress: Progress) -> None:
        if progress.answered == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    experiment = batch_experiment_at(url, turns(turn_count, cases), key=key)
    asyncio.run(experiment.run(results, batch=True, on_progress=die, retry=QUICK))


def run_large(url: str, key: str, results: str, cases: int, pipe: Connection) -> None:
    """Run a large experiment by batch, and say how the memory of this process peaked, in MB."""
    words = "The intensity of light falls off with the square of the distance. " * 10
    experiment = batch_experiment_at(
        url, [Case(str(i), (f"{words} {i}?",)) for i in range(cases)], key=key,
        personas=[f"p{i}" for i in range(3)],
    )  # fmt: skip
    asyncio.run(experiment.run(results, batch=True, on_progress=quiet))
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
