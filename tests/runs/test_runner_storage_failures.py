"""What a run pays for and cannot keep, and who is given up for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from assistants import Completion, Message, Sampling, ScriptedClient
from assistants.design.limits import Limits
from assistants.errors import ServerError
from assistants.runs.runner import Progress
from assistants.runs.store import Store
from support.experiments import QUICK, experiment_at, quiet, turns
from support.faulty_server import FaultyServer


@pytest.mark.parametrize("fault", ["no finish", "no message", "finish unknown"])
async def test_replies_that_are_no_answers_count_towards_the_cap(here: Path, fault: str) -> None:
    """They are billed like others: a provider's new word must not cost five times the cap."""
    with FaultyServer() as server:
        cap = Limits(tokens=60)
        experiment = experiment_at(server.url_of(fault), 200, max_concurrency=2, limits=cap)
        seen: list[Progress] = []
        run = await experiment.run(on_progress=seen.append, retry=QUICK)
        asked = len(server.requests)
        if fault == "finish unknown":  # nor is it asked again and again
            assert asked <= 2 * (5 + 2)
            assert run.trials()["attempts"].sum() == asked
        else:
            assert run.outcome == "limit"
            assert asked <= 60 / 4 + 2  # "Question 1?" is three tokens, and what came at least one
            assert seen[-1].usd > 0


async def test_an_address_that_nobody_answers_costs_nothing(here: Path) -> None:
    """A cap is not used up by calls that no model has seen."""
    with FaultyServer() as server:
        url = server.url
    seen: list[Progress] = []
    experiment = experiment_at(url, 5, limits=Limits(tokens=10))
    run = await experiment.run(on_progress=seen.append, retry=QUICK)
    assert (run.outcome, seen[-1].tokens) == ("failures", 0)


async def test_one_prompt_that_fails_does_not_lock_the_others_out(here: Path) -> None:
    """A server that stumbles over one persona is asked for the next; one that is down is not."""
    bad = {"terse"}

    def say(messages: Sequence[Message], sampling: Sampling) -> str:
        if any(f"Be {name}." == messages[0].content for name in bad):
            raise ServerError("the template broke")
        return "Yes."

    client = ScriptedClient(say, "test:m")
    names = ["terse", "kind", "none"]
    experiment = experiment_at("", 20, personas=names, client=client)
    frame = (await experiment.run(on_progress=quiet, retry=QUICK)).trials()
    assert set(frame[frame["persona"] == "terse"]["status"]) == {"error"}
    assert set(frame[frame["persona"] != "terse"]["status"]) == {"ok"}
    assert "terse on scripted:test:m was given up" in frame["error"].dropna().iloc[-1]
    bad |= {"kind", "curt"}
    later = experiment_at("", 30, personas=["terse", "kind", "curt"], client=client)
    frame = (await later.run(on_progress=quiet, retry=QUICK)).trials()
    last = frame[frame["persona"] == "curt"]
    assert set(last["status"]) == {"error"}
    assert last["error"].str.startswith("scripted:test:m was given up").all()


async def test_a_conversation_goes_on_from_what_is_stored(here: Path) -> None:
    """Where another process answered a turn first, its answer is the one that is built on."""
    (case,) = turns(3, 1)
    keys: list[str] = []

    def say(messages: Sequence[Message], sampling: Sampling) -> str:
        if len(messages) == 1:  # meanwhile, in another process
            with Store("results") as store:
                other = Completion("theirs")
                store.add_answer(
                    keys[0], 0, other, final=False, run="r", cost_usd=None, attempts=1
                )  # fmt: skip
            return "mine"
        return "after " + ", ".join(m.content for m in messages if m.role == "assistant")

    experiment = experiment_at(
        "", [case], personas=["none"], client=ScriptedClient(say, "test:m"), prices=None
    )
    keys += [trial.key for trial in experiment.trials()]
    await experiment.run(on_progress=quiet)
    with Store("results") as store:
        said = [completion.text for completion in store.completions(keys[0])]
    assert said == ["theirs", "after theirs", "after theirs, after theirs"]
    assert replace(experiment).forecast().to_ask == 0
