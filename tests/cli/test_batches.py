"""``assistants run --batch`` and ``assistants batches`` from outside."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants.results import Results
from support.batches import MODEL, batch_server
from support.commands import call, start, write_experiment
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

CASES = ["one?", "two?", "three?"]


@pytest.fixture
def batches() -> OpenAIBatches:
    return OpenAIBatches()


@pytest.fixture(autouse=True)
def server(
    here: Path, batches: OpenAIBatches, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenAIServer]:
    """``openai:`` is the loopback server."""
    with batch_server(batches) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", running.key)
        yield running


def alone(server: OpenAIServer) -> int:
    return server.count()


def run_by_batch(*options: str, **content: object) -> tuple[str, ...]:
    values = {"models": [MODEL], "cases": CASES, "limits": {"usd": 1}, **content}
    return ("run", write_experiment(**values), "--no-report", *options)


def test_half_the_price_from_forecast_to_table(batches: OpenAIBatches) -> None:
    """The forecast says it, the screen says what is waited for, and the table has it."""
    dry = call(*run_by_batch("--dry-run", "--batch"))
    usual = call(*run_by_batch("--dry-run", "--json"))
    halved = call(*run_by_batch("--dry-run", "--json", "--batch"))
    assert "half price by batch" in dry.err
    assert json.loads(halved.out)["usd"] == pytest.approx(json.loads(usual.out)["usd"] / 2)
    done = call(*run_by_batch("--batch"))
    assert done.code == 0, done.err
    assert "waiting for batch_" in done.err
    assert "5 of 5 requests done" in done.err
    assert len(batches.asked) == 5
    assert Results().latest("exp").trials()["status"].eq("ok").all()


def test_a_file_may_say_it(batches: OpenAIBatches) -> None:
    """``batch: true`` in the file, and ``--no-batch`` against it."""
    assert call(*run_by_batch("--no-batch", batch=True)).code == 0
    assert batches.created == 0
    assert call(*run_by_batch("--repeats", "2", batch=True)).code == 0
    assert batches.created == 1
    wrong = call(*run_by_batch(batch="yes"))
    assert wrong.code == 2
    assert "exp.yaml" in wrong.err


def test_judges_go_by_batch(server: OpenAIServer, batches: OpenAIBatches) -> None:
    """What a judge is asked goes in a batch of its own, and its grades are there."""
    server.answer = lambda request: "clear: 4 - it is"
    judge = {"judge": {"model": MODEL, "criteria": {"clear": "Is it clear?"}}}
    done = call(*run_by_batch("--batch", scorers=[judge], cases=["one?", "two?"]))
    assert done.code == 0, done.err
    assert batches.created == 2
    scores = Results().latest("exp").scores()
    assert scores["value"].eq(4).all()
    assert len(scores) == 4


def test_a_provider_without_batches(server: OpenAIServer) -> None:
    """It is refused by name, with what to do, and nothing is sent."""
    done = call(*run_by_batch("--batch", "-m", "echo", "-m", MODEL))
    assert done.code == 2
    assert "scripted:echo cannot be asked by batch" in done.err
    assert "--batch" in done.err
    assert server.requests == []


def test_batches_are_listed_and_cancelled(server: OpenAIServer, batches: OpenAIBatches) -> None:
    """A batch that is out is in the list; cancelled, the next run keeps what it had."""
    none = call("batches")
    assert none.code == 2
    batches.per_look = 1
    batches.held = True
    done = call(*run_by_batch("--batch", limits={"usd": 1, "minutes": 0.02}))
    assert done.code == 3, done.err
    assert "run again to collect it" in done.err
    (name,) = batches.batches
    batches.held = False
    listed = call("batches")
    assert listed.code == 0
    assert name in listed.out
    assert "Out: 1. The next run" in listed.err
    call("batches")  # two looks: one request is answered
    wrong = call("batches", "cancel", "batch_0")
    assert wrong.code == 2
    assert name in wrong.err
    cancelled = call("batches", "cancel", name)
    assert cancelled.code == 0
    assert f"{name} is cancelling" in cancelled.out
    done = call(*run_by_batch("--no-batch"))
    assert done.code == 0, done.err
    assert Results().latest("exp").statuses() == {"ok": 6}
    assert alone(server) == 6
    assert "cancelled" in call("batches").out
    assert batches.created == 1


def test_a_batch_that_is_gone_is_given_up(server: OpenAIServer, batches: OpenAIBatches) -> None:
    """The provider no longer knows it: the run says so, and a person may give it up."""
    batches.held = True
    call(*run_by_batch("--batch", limits={"usd": 1, "minutes": 0.02}))
    (name,) = batches.batches
    batches.batches.clear()
    batches.held = False
    done = call(*run_by_batch("--batch"))
    assert done.code == 1
    assert f"assistants batches cancel {name}" in done.err
    assert call("batches").code == 1
    assert "given up" in call("batches", "cancel", name).out
    assert call(*run_by_batch("--batch")).code == 0


def test_ctrl_c_leaves_the_batch_out(batches: OpenAIBatches) -> None:
    """The screen says that it goes on, and the next run collects it."""
    batches.held = True
    process = start(*run_by_batch("--batch"))
    end = time.monotonic() + 60
    while batches.steps.count("retrieve") < 2:
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on without us" in err
    batches.held = False
    assert call(*run_by_batch("--batch")).code == 0
    assert batches.created == 1


def test_no_key_is_stored_or_sent_on(server: OpenAIServer, batches: OpenAIBatches) -> None:
    """The key is in no file that is uploaded, and in nothing that a run leaves."""
    server.answer = lambda request: f"The key is {server.key}"
    assert call(*run_by_batch("--batch")).code == 0
    uploaded = [content for entry, content in batches.files.values() if entry["purpose"] == "batch"]
    assert uploaded
    assert not any(server.key.encode() in content for content in uploaded)
    for path in Path("results").rglob("*"):
        assert path.is_dir() or server.key.encode() not in path.read_bytes(), path
