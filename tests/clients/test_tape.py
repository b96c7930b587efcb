"""A tape replays what was recorded, all of it, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.clients.scripted import ScriptedClient, echo
from assistants.clients.tape import Tape, TapedClient
from assistants.errors import FileError, TapeMissError
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, Sampling
from support.completions import COMPLETION
from support.experiments import QUICK, experiment_at, quiet, turns
from support.faulty_server import FaultyServer

HI = [Message("user", "Hi")]
TAPE = Path("tape.jsonl")


@pytest.fixture
def dead_url() -> str:
    """Where a server was a moment ago."""
    with FaultyServer() as gone:
        return gone.url


def answers(run: object) -> list[str]:
    return list(run.trials()["answer"])  # type: ignore[attr-defined]


async def recorded(url: str, **more: object) -> Experiment:
    experiment = experiment_at(url, turns(2, 3), tape=TAPE, **more)  # type: ignore[arg-type]
    await experiment.run("first", on_progress=quiet, retry=QUICK)
    return experiment


async def test_a_replay_asks_nothing(here: Path, server: FaultyServer, dead_url: str) -> None:
    """The same answers come back in an empty folder, from a machine without the server."""
    await recorded(server.url)
    assert len(TAPE.read_text().splitlines()) == 12
    replay = experiment_at(dead_url, turns(2, 3), tape=TAPE)
    run = await replay.run("second", on_progress=quiet)
    assert run.outcome == "complete"
    with FaultyServer() as plain:
        live = await experiment_at(plain.url, turns(2, 3)).run("third", on_progress=quiet)
    assert answers(run) == answers(live)
    assert len(server.requests) == 12


async def test_a_missing_answer_is_a_clear_error(here: Path, server: FaultyServer) -> None:
    """A replay never asks the model: what is not on the tape fails, and says what to do."""
    experiment = await recorded(server.url)
    asked = len(server.requests)
    more = replace(experiment, cases=(*experiment.cases, *turns(1, 9)[8:]))
    run = await more.run("second", on_progress=quiet)
    assert run.statuses() == {"ok": 6, "error": 2}
    error = run.trials()["error"].dropna().iloc[0]
    assert "tape.jsonl has no answer to 'Case 8 turn 0?'" in error
    assert "Delete the tape" in error
    assert len(server.requests) == asked


async def test_an_interrupted_recording_does_not_pass_for_a_whole_one(here: Path) -> None:
    """A recording with failures has no tape's name; the next run makes it whole."""
    with FaultyServer(fault_rate=0.4, seed=3) as server:
        experiment = experiment_at(server.url, turns(2, 8), tape=TAPE)
        run = await experiment.run("r", on_progress=quiet, retry=replace(QUICK, most=1))
        assert run.outcome == "failures"
        assert not TAPE.exists()
        server.fault_rate = 0
        await experiment.run("r", on_progress=quiet)
        assert len(TAPE.read_text().splitlines()) == 32
    assert (await experiment.run("elsewhere", on_progress=quiet)).statuses() == {"ok": 16}


async def test_answers_that_were_stored_before_are_recorded(
    here: Path, server: FaultyServer, dead_url: str
) -> None:
    """A tape made of a finished experiment asks nothing, and holds every answer."""
    await experiment_at(server.url, turns(2, 3)).run("r", on_progress=quiet)
    experiment = experiment_at(server.url, turns(2, 3), tape=TAPE)
    await experiment.run("r", on_progress=quiet)
    assert len(server.requests) == 12
    assert (await experiment.run("other", on_progress=quiet)).statuses() == {"ok": 6}
    assert len(server.requests) == 12


@given(COMPLETION, st.lists(st.text(st.characters(), max_size=9), min_size=1, max_size=3))
def test_any_completion_comes_back(
    tmp_path_factory: pytest.TempPathFactory, completion: Completion, turns_: list[str]
) -> None:
    """Surrogates, line separators and all, in question and answer."""
    path = tmp_path_factory.mktemp("tape") / "t.jsonl"
    client = ScriptedClient(echo, "m\u2028")
    messages = [Message("user", turn) for turn in turns_]
    tape = Tape(path)
    tape.record(client, messages, Sampling(stop=("\u2028",)), completion)
    tape.finish()
    again = Tape(path).get(client, messages, Sampling(stop=("\u2028",)))
    assert again is not None
    assert json.dumps(again.as_dict()) == json.dumps(_joined(completion).as_dict())


def _joined(completion: Completion) -> Completion:
    """JSON knows no two halves of a pair, only the character."""

    def joined(text: str | None) -> str | None:
        return text and text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

    return replace(
        completion,
        text=joined(completion.text) or "",
        reasoning=joined(completion.reasoning),
        finish_reason=joined(completion.finish_reason),
        served_model=joined(completion.served_model),
    )


async def test_a_stream_replays_too(here: Path) -> None:
    """What was recorded of a whole reply can be replayed as a stream, and the other way round."""
    tape = Tape(TAPE)
    client = TapedClient(ScriptedClient(lambda m, s: "a b  a\n b", "m"), tape)
    pieces = [piece async for piece in client.stream(HI, Sampling())]
    assert "".join(p.text for p in pieces[:-1]) == pieces[-1].text == "a b  a\n b"
    tape.finish()
    assert (await TapedClient(ScriptedClient(echo, "m"), Tape(TAPE)).complete(HI, Sampling())).text
    with pytest.raises(TapeMissError):
        await TapedClient(ScriptedClient(echo, "m"), Tape(TAPE)).complete(HI, Sampling(seed=1))


async def test_a_person_may_edit_a_tape(here: Path) -> None:
    """The lines are what counts: a reworded answer, or question, is replayed as it stands."""
    tape = Tape(TAPE)
    client = ScriptedClient(lambda m, s: "Tea.", "m")
    await TapedClient(client, tape).complete(HI, Sampling())
    tape.finish()
    text = TAPE.read_text().replace("Tea.", "Coffee.").replace('"Hi"', '"Ho"')
    TAPE.write_text(text + "\n")
    found = Tape(TAPE).get(client, [Message("user", "Ho")], Sampling())
    assert found is not None
    assert found.text == "Coffee."


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "{}", "null", "[" * 9999, '{"model": 1}',
     '{"model":"m","messages":[],"sampling":{},"repeat":0,"completion":{"text":"a","tex":"b"}}',
     '{"model":"m","messages":[],"sampling":{},"repeat":0,"completion":{"text":5}}',
     '{"model":"m","messages":[],"sampling":{},"repeat":0,"completion":{"text":"a","status":"x"}}',
     '{"model":"m","messages":[],"sampling":{},"repeat":0,"completion":[]}',
     '{"model":"m","messages":[],"sampling":{},"repeat":0,"completion":{"text":"a",'
     '"status":"ok","usage":5}}'],
)  # fmt: skip
def test_a_broken_line_is_named(here: Path, line: str) -> None:
    """A tape that cannot be read says in which line."""
    good = {"model": "m", "messages": [], "sampling": {}, "repeat": 0}
    good["completion"] = {"text": "a\u2028", "status": "ok"}
    TAPE.write_text(f"{json.dumps(good, ensure_ascii=False)}\n\n{line}\n")
    with pytest.raises(FileError, match=r"tape\.jsonl:3: is not a line of a tape"):
        Tape(TAPE)
