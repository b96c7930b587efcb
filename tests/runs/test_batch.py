"""Runs by batch: half the price, any order, and whatever a provider may do to a batch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
from assistants.design import Limits
from assistants.errors import CallError, UsageError
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.runs.runner import Progress
from assistants.runs.store import Store
from support.batches import batch_experiment, batch_server
from support.experiments import QUICK, quiet, turns
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer


@pytest.fixture
def batches() -> OpenAIBatches:
    return OpenAIBatches()


@pytest.fixture
def server(batches: OpenAIBatches) -> Iterator[OpenAIServer]:
    with batch_server(batches) as running:
        yield running


def asked_alone(server: OpenAIServer) -> int:
    """Calls that went alone: the first to a model, which tells what it refuses."""
    return sum(request.path.endswith("/chat/completions") for request in server.requests)


async def test_every_trial_goes_by_batch(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """One batch holds all but a first call; each answer is its own question's, at half price."""
    experiment = batch_experiment(server, 20)
    run = await experiment.run("r", batch=True, on_progress=quiet)
    frame = run.trials()
    assert run.outcome == "complete", frame["error"].iloc[0]
    assert (frame["answer"] == frame["question"]).all()
    assert frame["status"].eq("ok").all()
    assert batches.created == 1
    assert len(batches.asked) == len(set(batches.asked)) == 39
    assert asked_alone(server) == 1
    tokens = frame["input_tokens"] + frame["output_tokens"]
    assert list(frame["cost_usd"][1:]) == pytest.approx(list(tokens[1:] * 500 / 1e6))

    again = await experiment.run("r", batch=True, on_progress=quiet)
    assert again.outcome == "complete"
    assert batches.created == 1


async def test_turns_go_one_batch_each(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """A second question is asked with the answer to the first before it."""
    server.answer = lambda request: f"{len(request['messages'])} messages"
    run = await batch_experiment(server, turns(3, 2), personas=["none"]).run(
        "r", batch=True, on_progress=quiet
    )
    assert run.statuses() == {"ok": 2}
    assert batches.created == 3
    assert list(run.trials()["answer"]) == ["5 messages"] * 2
    assert asked_alone(server) == 1


async def test_a_refused_request_is_a_failure_with_its_reason(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """The others are answered; the next run asks for that one again."""
    count = iter(range(100))
    server.complete = _refusing(server, lambda: next(count) == 2)  # type: ignore[method-assign]
    experiment = batch_experiment(server, 3, personas=["none"])
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.outcome == "failures"
    assert run.statuses() == {"ok": 2, "error": 1}
    assert run.trials()["error"].dropna().str.contains("HTTP 400").all()
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"ok": 3}
    assert len(batches.asked) == 3  # one of them again


def _refusing(server: OpenAIServer, refuses: Any) -> Any:
    original = server.complete

    def complete(body: dict[str, Any]) -> Any:
        return original({**body, "nonsense": 1} if refuses() else body)

    return complete


@pytest.mark.parametrize("ending", ["expired", "failed"])
async def test_what_a_batch_leaves_open_is_asked_by_the_next_run(
    here: Path, server: OpenAIServer, batches: OpenAIBatches, ending: str
) -> None:
    """An expired batch keeps its answers, a failed one has none; each open trial has a reason."""
    batches.ending, batches.per_look = ending, 4
    experiment = batch_experiment(server, 10, personas=["none"])
    run = await experiment.run("r", batch=True, on_progress=quiet)
    answered = 1 + (4 if ending == "expired" else 0)
    assert run.outcome == "failures"
    assert run.statuses().get("ok", 0) == answered
    reasons = run.trials()["error"].dropna()
    assert len(reasons) == 10 - answered
    assert reasons.str.contains("expired|not parseable").all()
    batches.ending = "completed"
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"ok": 10}
    assert len(batches.asked) == (9 if ending == "expired" else 0) + 10 - answered


async def test_a_queue_without_room_is_sent_less(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """A provider that lets few requests wait gets smaller batches, and every trial is answered."""
    batches.enqueued_requests = 7
    run = await batch_experiment(server, 10).run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"ok": 20}
    assert len(batches.asked) == 19


async def test_an_interrupted_run_is_picked_up(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """A run left while its batch is out costs nothing twice, also without `batch` afterwards."""
    batches.held = True
    experiment = batch_experiment(server, 5)
    sent = asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(when: str, step: str) -> None:
        if (when, step) == ("after", "retrieve"):
            loop.call_soon_threadsafe(sent.set)

    batches.on_request = note
    running = asyncio.ensure_future(experiment.run("r", batch=True, on_progress=quiet))
    await sent.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    batches.held = False
    seen: list[Progress] = []
    run = await experiment.run("r", on_progress=seen.append)
    assert run.statuses() == {"ok": 10}
    assert batches.created == 1
    assert asked_alone(server) == 1
    assert any("batch_" in progress.waiting for progress in seen)


async def test_other_lines_are_no_answers(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """Lines of a stranger, broken ones and repeated ones change nothing."""

    def mangle(content: bytes) -> bytes:
        lines = content.splitlines()
        first = json.loads(lines[0])
        stranger = {**first, "custom_id": "0" * 32 + "-0"}
        other = {**first, "response": None}
        more = [b"{", b"[]", b"\xff\xfe", json.dumps(stranger).encode(), json.dumps(other).encode()]
        return b"\n\n".join([*lines[:-1], *more, b'{"custom_id": 3}'])

    batches.mangle = mangle
    run = await batch_experiment(server, 6, personas=["none"]).run(
        "r", batch=True, on_progress=quiet
    )
    assert run.statuses() == {"ok": 5, "error": 1}
    assert "holds no reply" in run.trials()["error"].dropna().iloc[0]
    with Store("r") as store:
        assert len(list(store.read("SELECT key FROM answers"))) == 5


async def test_a_cap_holds(here: Path, server: OpenAIServer, batches: OpenAIBatches) -> None:
    """What could go over the cap is not sent; what costs less than feared makes room for more."""
    sampling = Sampling(max_tokens=700)
    experiment = batch_experiment(
        server, 300, personas=["none"], sampling=sampling, limits=Limits(tokens=8000)
    )
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.outcome == "limit"
    frame = run.trials()
    spent = frame["input_tokens"].sum() + frame["output_tokens"].sum()
    assert 0 < spent <= 8000
    assert len(batches.asked) + 1 > 8000 // 705
    assert len(batches.asked) + 1 == (frame["status"] == "ok").sum() < 300


async def test_a_provider_without_batches_is_refused(here: Path, server: OpenAIServer) -> None:
    """By name, before anything is sent."""
    experiment = batch_experiment(server, 2)
    echo = ScriptedClient(lambda messages, sampling: "x", "x")
    mixed = replace(
        experiment,
        assistants=(*experiment.assistants, Assistant(Persona("none", None), echo)),
    )
    with pytest.raises(UsageError, match="scripted:x cannot be asked by batch"):
        await mixed.run("r", batch=True, on_progress=quiet)
    assert server.requests == []


async def test_a_wrong_key_is_a_failure_of_each_trial(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """Nothing was sent, so the next run sends it."""
    right, server.key = server.key, "sk-other"
    experiment = batch_experiment(server, 2, key=right)
    run = await experiment.run("r", batch=True, on_progress=quiet, retry=QUICK)
    assert run.outcome == "failures"
    assert run.trials()["error"].str.contains("401").all()
    server.key = right
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"ok": 4}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["upload", "create", "retrieve", "content"])
async def test_a_failure_on_the_way_costs_nothing_twice(
    here: Path, server: OpenAIServer, batches: OpenAIBatches, when: str, step: str
) -> None:
    """A request that the server carried out, or not, and answered with an error, is mended."""
    left = 2

    def fail(at: str, of: str) -> bool:
        nonlocal left
        left -= (at, of) == (when, step)
        return (at, of) == (when, step) and left >= 0

    batches.on_request = fail
    run = await batch_experiment(server, 3).run("r", batch=True, on_progress=quiet, retry=QUICK)
    assert run.statuses() == {"ok": 6}
    assert batches.created == 1
    assert len(batches.asked) == 5


async def test_files_that_are_gone_are_failures(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """A provider keeps files for some weeks; after that, the trials are open."""
    batches.on_request = lambda when, step: (
        batches.files.clear() if (when, step) == ("before", "content") else None
    )
    run = await batch_experiment(server, 3).run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"error": 5, "ok": 1}
    assert run.trials()["error"].dropna().str.contains("holds no reply").all()


async def test_a_full_queue_stops_the_run(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """Where not even one request may wait, nothing was paid, and the reason is told."""
    batches.enqueued_requests = 0
    with pytest.raises(CallError, match="Enqueued token limit"):
        await batch_experiment(server, 3).run("r", batch=True, on_progress=quiet)
    batches.enqueued_requests = None
    run = await batch_experiment(server, 3).run("r", batch=True, on_progress=quiet)
    assert run.statuses() == {"ok": 6}


async def test_a_batch_that_the_provider_does_not_know_stops_the_run(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """It was perhaps paid, under another key: a person decides."""
    batches.held = True
    experiment = batch_experiment(server, 2, limits=Limits(minutes=0.01))
    run = await experiment.run("r", batch=True, on_progress=quiet)
    assert run.outcome == "limit"
    batches.batches.clear()
    with pytest.raises(CallError, match="knows no batch"):
        await replace(experiment, limits=Limits()).run("r", batch=True, on_progress=quiet)
    assert batches.created == 1


async def test_two_processes_send_nothing_twice(
    here: Path, server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """Both end with every answer, and each request was in one batch."""
    runs = await asyncio.gather(
        *(batch_experiment(server, 10).run("r", batch=True, on_progress=quiet) for _ in range(2))
    )
    assert [run.statuses() for run in runs] == [{"ok": 20}] * 2
    assert len(batches.asked) == len(set(batches.asked))
    assert len(batches.asked) + asked_alone(server) <= 21  # both may have begun with the first


async def test_the_forecast_says_half_price(here: Path, server: OpenAIServer) -> None:
    experiment = batch_experiment(server, 10)
    usual, by_batch = experiment.forecast(), replace(experiment, batch=True).forecast()
    assert usual.usd is not None
    assert by_batch.usd == pytest.approx(usual.usd / 2)
    assert "half price by batch" in str(by_batch)
    assert "batch" not in str(usual)
