"""Experiments that go by batch to a loopback server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from assistants.clients import OpenAIClient
from assistants.experiment import Experiment
from assistants.models import Model, Provider
from assistants.trial import Case
from support.experiments import PRICES, experiment_at
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
