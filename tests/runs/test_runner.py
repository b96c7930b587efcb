"""A run ends with every trial answered or its failure on record, whatever the server does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from assistants.design.limits import Limits
from assistants.errors import RateLimitError, ServerError
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.results import Results
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import Progress
from assistants.trial import Case
from support import faulty_replies
from support.experiments import QUICK, client_at, experiment_at, quiet, turns
from support.faulty_replies import Rude, http, reply, status
from support.faulty_server import FaultyServer


async def test_half_the_calls_fail_and_no_row_is_missing(here: Path) -> None:
    """50% faults over 1,000 trials: 1,000 outcomes, and a re-run asks only for the failures."""
    with FaultyServer(fault_rate=0.5) as server:
        experiment = experiment_at(server.url, 500, max_concurrency=32)
        run = await experiment.run(on_progress=quiet, retry=replace(QUICK, most=3))
        frame = run.trials()
        assert len(frame) == 1000
        assert set(frame["status"]) == {"ok", "error"}
        failed = frame[frame["status"] == "error"]
        assert 40 < len(failed) < 260  # one in eight; the draw is the server's
        assert failed["error"].notna().all()
        assert (failed["attempts"] == 3).all()
        assert run.outcome == "failures"
        asked = len(server.requests)
        server.fault_rate = 0
        again = await experiment.run(on_progress=quiet, retry=QUICK)
        assert len(server.requests) - asked == len(failed)
        assert again.statuses() == {"ok": 1000}
        assert again.outcome == "complete"


async def test_a_finished_experiment_asks_nothing(here: Path, server: FaultyServer) -> None:
    """The second run is done without a request, and tells that all was there."""
    seen: list[Progress] = []
    experiment = experiment_at(server.url, 5)
    await experiment.run(on_progress=quiet)
    asked = len(server.requests)
    run = await experiment.run(on_progress=seen.append)
    assert asked == len(server.requests) == 10
    assert (seen[-1].reused, seen[-1].answered, seen[-1].done) == (10, 0, 10)
    assert run.outcome == "complete"


async def test_the_time_left_is_known_from_the_second_answer_on(
    here: Path, server: FaultyServer
) -> None:
    """The first call goes alone, and says nothing of those that are answered together."""
    seen: list[Progress] = []
    await experiment_at(server.url, 5).run(on_progress=seen.append)
    known = {each.done: each.left_s for each in seen}
    assert known[1] is None
    assert all((known[n] or 0) > 0 for n in range(2, 10))
    assert known[10] == 0


def test_calls_in_flight_are_half_done() -> None:
    """The first of four that are answered together promises no run of four times its length."""
    one_of_four = Progress(total=41, answered=2, timed=1, elapsed_s=30, in_flight=4)
    assert one_of_four.left_s == (39 - 2) * 30 / 3
    assert Progress(total=40, reused=30, timed=5, answered=5, elapsed_s=10).left_s == 10


async def test_two_experiments_share_answers(here: Path, server: FaultyServer) -> None:
    """An equal request is paid for once, whichever experiment, case id or label it came from."""
    await experiment_at(server.url, 5).run(on_progress=quiet)
    other = experiment_at(server.url, [Case("x", ("Question 3?",), "ref")])
    run = await replace(other, name="other").run(on_progress=quiet)
    assert len(server.requests) == 10
    assert run.statuses() == {"ok": 2}


async def test_an_edited_persona_is_asked_again(here: Path, server: FaultyServer) -> None:
    """A changed text is a new question to the model; the untouched persona costs nothing."""
    experiment = experiment_at(server.url, 3)
    await experiment.run(on_progress=quiet)
    none, terse = experiment.assistants
    edited = replace(terse, persona=Persona("terse", "Be very terse."))
    await replace(experiment, assistants=(none, edited)).run(on_progress=quiet)
    assert len(server.requests) == 9


async def test_repeats_are_draws_of_their_own(here: Path, server: FaultyServer) -> None:
    """Each repeat is asked, with a seed of its own."""
    experiment = experiment_at(
        server.url, 1, personas=["none"], repeats=3, sampling=Sampling(seed=7)
    )
    await experiment.run(on_progress=quiet)
    assert sorted(r.json["seed"] for r in server.requests) == [7, 8, 9]


async def test_each_turn_is_sent_with_the_whole_history(here: Path) -> None:
    """Every user turn follows the system message, all turns before it and their answers."""
    with FaultyServer(lambda request: f"Answer {len(request['messages'])}.") as server:
        run = await experiment_at(server.url, turns(3, 1), personas=["terse"]).run(
            on_progress=quiet
        )
        sent = [[m["content"] for m in r.json["messages"]] for r in server.requests]
        assert sent[-1] == [
            "Be terse.", "Case 0 turn 0?", "Answer 2.", "Case 0 turn 1?", "Answer 4.",
            "Case 0 turn 2?",
        ]  # fmt: skip
        assert [len(s) for s in sent] == [2, 4, 6]
        row = run.trials().iloc[0]
        assert row["answer"] == "Answer 6."
        assert row["attempts"] == 3


async def test_a_conversation_goes_on_where_it_failed(here: Path) -> None:
    """A turn that is stored is not asked again when a later one failed."""
    with FaultyServer() as server:
        server.answer = lambda request: "x" if len(request["messages"]) < 3 else 1 / 0  # type: ignore[arg-type, return-value]
        experiment = experiment_at(server.url, turns(3, 2), personas=["none"])
        failed = await experiment.run(on_progress=quiet, retry=replace(QUICK, most=1))
        assert failed.statuses() == {"error": 2}
        assert failed.trials()["answer"].isna().all()
        assert list(failed.transcripts()) == []
        before = len(server.requests)
        server.answer = lambda request: "y"
        run = await experiment.run(on_progress=quiet)
        assert len(server.requests) - before == 4
        assert run.statuses() == {"ok": 2}


async def test_the_same_key_is_asked_once(here: Path) -> None:
    """Two cells of one run that are one request share the answer, even when asked together."""
    with FaultyServer(latency=0.05) as server:
        cases = [Case(str(i), ("The same?",)) for i in range(20)]
        run = await experiment_at(server.url, cases, personas=["none"]).run(on_progress=quiet)
        assert len(server.requests) == 1
        assert run.statuses() == {"ok": 20}


@pytest.mark.parametrize(("fault", "most"), [("400", 1), ("400 context openai", 1), ("500", 6)])
async def test_only_what_may_succeed_is_tried_again(
    here: Path, server: FaultyServer, fault: str, most: int
) -> None:
    """A request that the server rejects is sent once, a server's fault until attempts run out."""
    experiment = experiment_at(server.url_of(fault), 3, personas=["none"])
    run = await experiment.run(on_progress=quiet, retry=QUICK)
    assert len(server.requests) == 3 * most
    assert (run.trials()["attempts"] == most).all()


async def test_a_server_may_say_how_long_to_wait(here: Path, server: FaultyServer) -> None:
    """Retry-After goes before our own, much shorter, waits."""
    began = asyncio.get_running_loop().time()
    experiment = experiment_at(server.url_of("503"), 1, personas=["none"])
    await experiment.run(on_progress=quiet, retry=replace(QUICK, most=2))
    assert asyncio.get_running_loop().time() - began >= 2


def test_waits_grow_with_jitter_and_end() -> None:
    """Waits double up to a longest one, differ, and stop after the last attempt."""
    attempts = RetryPolicy(most=4, first_wait_s=1, longest_wait_s=3, jitter_s=0.5)
    error = RateLimitError("x")
    waits = [attempts.wait_s(tried, error) for tried in (1, 2, 3, 4)]
    assert waits[0] is not None
    assert 1 <= waits[0] <= 1.5
    assert waits[2:] == [3, None]
    assert len({attempts.wait_s(1, error) for _ in range(9)}) > 1
    assert 40 <= (attempts.wait_s(1, RateLimitError("x", retry_after=40)) or 0) <= 40.5
    assert RetryPolicy(most=5000).wait_s(4000, error) == 30


def test_a_refusal_waits_as_long_as_it_says_and_never_not_at_all() -> None:
    """``Retry-After: 0`` has a floor and jitter; an account without credit is no matter of time."""
    policy = RetryPolicy(first_wait_s=0.5, jitter_s=0.5)
    waits = {policy.refusal_wait_s(RateLimitError("x", retry_after=0)) for _ in range(9)}
    assert len(waits) > 1
    assert all(wait is not None and 0.5 <= wait <= 1 for wait in waits)
    assert policy.refusal_wait_s(RateLimitError("x")) is None
    assert policy.refusal_wait_s(ServerError("x", retry_after=1)) is None
    no_credit = RateLimitError("x", retry_after=1)
    no_credit.retryable = False
    assert policy.refusal_wait_s(no_credit) is None


async def test_a_dead_server_does_not_cost_every_trial_its_attempts(here: Path) -> None:
    """After a few failures the rest is recorded unasked; the next run repairs all of it."""
    with FaultyServer() as server:
        url = server.url
    experiment = experiment_at(url, 200, personas=["none"], max_concurrency=4)
    run = await experiment.run(on_progress=quiet, retry=QUICK)
    frame = run.trials()
    assert run.statuses() == {"error": 200}
    assert frame["attempts"].sum() <= 9 * QUICK.most
    assert frame["error"].iloc[-1].startswith("none on test:m was given up")
    with FaultyServer() as server:
        alive = replace(
            experiment,
            assistants=tuple(
                replace(a, client=client_at(server.url)) for a in experiment.assistants
            ),
        )
        assert (await alive.run(on_progress=quiet)).statuses() == {"ok": 200}


@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize("cap", [Limits(tokens=200), Limits(usd=0.2)])
async def test_spending_stops_at_the_cap(here: Path, cap: Limits, reported: bool) -> None:
    """Spent <= cap + one call a worker, also when the server counts nothing; the rest is open."""
    with FaultyServer(lambda request: "one two three four five six") as server:
        url = server.url if reported else server.url_of("no length")  # that reply has no usage
        cases = [Case(str(i), (f"Why is it {i} and then not?",)) for i in range(300)]
        experiment = experiment_at(url, cases, personas=["none"], max_concurrency=4, limits=cap)
        seen: list[Progress] = []
        run = await experiment.run(on_progress=seen.append)
        asked = len(server.requests)
        a_call = seen[-1].tokens / asked
        assert run.outcome == "limit"
        assert seen[-1].tokens <= 200 + 4 * a_call
        assert seen[-1].usd <= 0.2 + 4 * a_call / 1000 + 1e-9
        assert run.statuses() == {"open": 300 - asked, "ok": asked}
        rest = await replace(experiment, limits=Limits()).run(on_progress=quiet)
        assert len(server.requests) == 300
        assert rest.statuses() == {"ok": 300}


@pytest.mark.parametrize("fault", ["", "503 for an hour"])
async def test_time_stops_at_the_cap(
    here: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is over after its minutes, even when the server asks for an hour's wait."""
    monkeypatch.setitem(
        faulty_replies.WHOLE,
        "503 for an hour",
        Rude(status("503 Unavailable", None, "retry-after: 3600"), ServerError),
    )
    with FaultyServer(latency=0.05) as server:
        url = server.url_of(fault) if fault else server.url
        experiment = experiment_at(url, 500, max_concurrency=2, limits=Limits(minutes=0.5 / 60))
        run = await experiment.run(on_progress=quiet)
        assert run.outcome == "limit"
        assert run.statuses()["open"] > 900


async def test_calls_in_flight_never_exceed_the_cap(here: Path) -> None:
    """A client's own cap holds for it, and ``concurrency`` over all models together."""
    with FaultyServer(latency=0.02) as server:
        await experiment_at(server.url, 40, max_concurrency=5).run(on_progress=quiet)
        assert server.peak == 5
        server.peak = 0
        one = experiment_at(server.url, 20, client=client_at(server.url, "test:a"), concurrency=3)
        two = experiment_at(server.url, 20, client=client_at(server.url, "test:b"))
        await replace(one, assistants=(*one.assistants, *two.assistants)).run(on_progress=quiet)
        assert server.peak == 3


@pytest.mark.parametrize("after", [0.05, 0.3])
async def test_an_interrupt_returns_at_once_and_keeps_what_is_complete(
    here: Path, after: float
) -> None:
    """Cancelled at any moment, a run waits for no answer; the next asks exactly the rest."""
    with FaultyServer(latency=0.03) as server:
        experiment = experiment_at(server.url, 200)
        task = asyncio.create_task(experiment.run(on_progress=quiet))
        await asyncio.sleep(after)
        server.latency = 3600
        await asyncio.sleep(0.1)  # what is in flight now is not answered within this test
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.latency = 0
        cut = Results().latest()
        assert cut.outcome == "interrupted"
        kept = cut.statuses().get("ok", 0)
        assert cut.statuses() == {"open": 400 - kept} | ({"ok": kept} if kept else {})
        before = len(server.requests)
        run = await experiment.run(on_progress=quiet)
        assert len(server.requests) - before == 400 - kept
        assert run.statuses() == {"ok": 400}


async def test_order_is_model_then_persona(here: Path, server: FaultyServer) -> None:
    """One call at a time arrives persona by persona, so that a prefix cache is hit."""
    experiment = experiment_at(server.url, 5, personas=["none", "terse", "kind"], max_concurrency=1)
    await experiment.run(on_progress=quiet)
    systems = [json.dumps(r.json["messages"][:-1]) for r in server.requests]
    assert len(set(systems)) == 3
    assert systems == sorted(systems, key=systems.index)


async def test_an_empty_answer_is_an_answer(here: Path, server: FaultyServer) -> None:
    """Nothing said is a status of its own: stored, shown, and not asked for again."""
    experiment = experiment_at(server.url_of("content empty"), turns(2, 3), personas=["none"])
    assert (await experiment.run(on_progress=quiet)).statuses() == {"empty": 3}
    await experiment.run(on_progress=quiet)
    assert len(server.requests) == 3


async def test_an_absurd_count_does_not_lose_the_answer(here: Path) -> None:
    """A token count that no database can hold is unknown; the answer stays."""
    with FaultyServer() as server:
        server._steps = lambda request: [_absurd()]  # type: ignore[method-assign]
        run = await experiment_at(server.url, 1, personas=["none"]).run(on_progress=quiet)
        assert run.statuses() == {"ok": 1}


def _absurd() -> bytes:
    return http(json.dumps(reply(usage={"prompt_tokens": 10**30, "completion_tokens": 1})).encode())
