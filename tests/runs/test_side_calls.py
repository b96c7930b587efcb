"""Techniques in a run: what is asked, what is stored, and that nothing is paid for twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
from assistants.design import Limits
from assistants.errors import BadRequestError, ServerError, UsageError
from assistants.experiment import Experiment
from assistants.messages import Message, Sampling, TechniqueRecord
from assistants.personas import Persona
from assistants.runs import Forecast
from assistants.techniques import Ask, Draft, Load, Sidecar
from assistants.trial import Case


@dataclass(frozen=True)
class Shout:
    """A technique that has each question rewritten, and sends the rewrite alone."""

    sidecar: Sidecar
    label: str = "on"
    name: str = "shout"
    fails_open: bool = True

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        return (self.sidecar,)

    @property
    def parts(self) -> Mapping[str, Any]:
        return {"sidecar": self.sidecar.parts, "label": self.label}

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        call = await ask(self.sidecar, draft.question)
        rewrite = call.completion.text
        return draft.after(TechniqueRecord(self.name, {"rewrite": rewrite}, (call,)), sent=rewrite)

    def forecast(self, load: Load) -> Load:
        return replace(load, calls=(*load.calls, (self.sidecar, load.question, load.question)))

    def control(self, kind: str) -> Shout:
        if kind != "quiet":
            raise UsageError(f"{kind!r} is no control of shout.")
        return replace(self, label="quiet")


class Script:
    """A scripted model that keeps what it was asked."""

    def __init__(self, name: str, answer: Any = None) -> None:
        self.asked: list[str] = []
        self.answer = answer or (lambda text: f"{name}: {text}")
        self.client = ScriptedClient(self._reply, name)

    def _reply(self, messages: Sequence[Message], sampling: Sampling) -> str:
        self.asked.append(messages[-1].content)
        found = self.answer(messages[-1].content)
        assert isinstance(found, str)
        return found


def design(main: Script, side: Script, **more: Any) -> Experiment:
    shout = Shout(Sidecar(side.client, "Shout."))
    personas = [Persona("none", None), Persona("kind", "Be kind.")]
    plain = [Assistant(persona, main.client) for persona in personas]
    assistants = [*plain, *(replace(a, techniques=(shout,)) for a in plain)]
    cases = more.pop("cases", (Case("1", ("one two",)), Case("2", ("three", "four"))))
    return Experiment("shouting", tuple(assistants), cases, baseline="none", **more)


def upper(text: str) -> str:
    return text.upper()


async def test_equal_questions_are_rewritten_once(tmp_path: Path) -> None:
    """For both personas, each of three questions; and again nothing is asked."""
    main, side = Script("main"), Script("side", upper)
    run = await design(main, side).run(tmp_path, on_progress=lambda p: None)
    assert sorted(side.asked) == ["four", "one two", "three"]
    assert main.asked.count("ONE TWO") == main.asked.count("one two") == 2
    assert len(main.asked) == 12
    again = await design(main, side).run(tmp_path, on_progress=lambda p: None)
    assert (len(main.asked), len(side.asked)) == (12, 3)
    assert list(again.trials()["answer"]) == list(run.trials()["answer"])


async def test_the_table_has_a_column_for_each_technique(tmp_path: Path) -> None:
    """With its label, what its calls took, and the persona without it."""
    run = await design(Script("main"), Script("side", upper)).run(
        tmp_path, on_progress=lambda p: None
    )
    trials = run.trials()
    assert set(trials["persona"]) == {"none", "kind", "none+shout", "kind+shout"}
    with_it = trials[trials["persona"] == "kind+shout"]
    assert set(with_it["base_persona"]) == {"kind"}
    assert list(with_it["shout"]) == ["on", "on"]
    # Words count as tokens: "Shout." and the question, and the rewrite; over all turns.
    assert list(with_it["technique_tokens"]) == [5, 6]
    assert trials[trials["persona"] == "kind"]["technique_tokens"].isna().all()
    transcripts = {name: transcript for name, transcript, _ in run.transcripts()}
    (found,) = (t for name, t in transcripts.items() if "kind-shout-2" in name)
    assert [m.content for m in found.messages] == ["Be kind.", "three", "main: THREE", "FOUR"]
    assert found.techniques[0].facts == {"rewrite": "FOUR"}


async def test_a_run_without_techniques_has_no_such_columns(tmp_path: Path) -> None:
    """Nobody who does not use them has to read about them."""
    run = await Experiment.define("plain", personas=["none"], models=["echo"], cases=["Tea?"]).run(
        tmp_path, on_progress=lambda p: None
    )
    assert "base_persona" not in run.trials().columns
    assert "No assistant has a technique" in repr(run.show("techniques"))


async def test_a_failing_sidecar_is_told_and_not_hidden(tmp_path: Path) -> None:
    """The question goes as it was asked, and the table says why."""

    def refuse(text: str) -> str:
        raise BadRequestError("no rewriting today")

    main = Script("main")
    run = await design(main, Script("side", refuse)).run(tmp_path, on_progress=lambda p: None)
    trials = run.trials()
    assert set(trials["status"]) == {"ok"}
    told = trials[trials["shout"] == "on"]["technique_failure"]
    assert told.str.contains("no rewriting today").all()
    assert main.asked.count("one two") == 4


async def test_transient_failures_are_tried_again(tmp_path: Path) -> None:
    """A sidecar that stumbles once is asked again, and its rewrite is used."""
    stumbles = iter([True])

    def shaky(text: str) -> str:
        if next(stumbles, False):
            raise ServerError("busy")
        return upper(text)

    main, side = Script("main"), Script("side", shaky)
    run = await design(main, side).run(tmp_path, on_progress=lambda p: None)
    assert run.trials()["technique_failure"].isna().all()
    assert len(side.asked) == 4


async def test_a_cap_counts_sidecars_too(tmp_path: Path) -> None:
    """And what is missing is asked by the next run, the rewrites that are there used again."""
    main, side = Script("main"), Script("side", upper)
    one = design(main, side, cases=(Case("1", ("one two three",)),))
    capped = replace(one, limits=Limits(tokens=14), concurrency=1)
    run = await capped.run(tmp_path, on_progress=lambda p: None)
    assert run.record.outcome == "limit"
    done = len(main.asked)
    await one.run(tmp_path, on_progress=lambda p: None)
    assert side.asked == ["one two three"]
    assert done < len(main.asked) == 4


async def test_a_tape_holds_the_sidecars_too(tmp_path: Path) -> None:
    """Recorded, a run is replayed with neither model."""
    tape = tmp_path / "shouting.tape.jsonl"
    recorded = replace(design(Script("main"), Script("side", upper)), tape=tape)
    first = await recorded.run(tmp_path / "a", on_progress=lambda p: None)

    def never(text: str) -> str:
        raise AssertionError("a replay asks nobody")

    replayed = replace(design(Script("main", never), Script("side", never)), tape=tape)
    second = await replayed.run(tmp_path / "b", on_progress=lambda p: None)
    assert list(first.trials()["answer"]) == list(second.trials()["answer"])


async def test_stored_answers_come_onto_a_tape(tmp_path: Path) -> None:
    """A tape that is made of a finished run holds what the techniques asked."""
    main, side = Script("main"), Script("side", upper)
    await design(main, side).run(tmp_path, on_progress=lambda p: None)
    tape = tmp_path / "late.tape.jsonl"
    await replace(design(main, side), tape=tape).run(tmp_path, on_progress=lambda p: None)
    assert (len(main.asked), len(side.asked)) == (12, 3)
    replayed = await replace(design(main, side), tape=tape).run(
        tmp_path / "b", on_progress=lambda p: None
    )
    assert set(replayed.trials()["status"]) == {"ok"}
    assert (len(main.asked), len(side.asked)) == (12, 3)


async def test_a_forecast_counts_every_call(tmp_path: Path) -> None:
    """Four assistants, three turns, and three rewrites."""
    forecast = design(Script("main"), Script("side", upper)).forecast(tmp_path)
    assert isinstance(forecast, Forecast)
    assert forecast.trials == 8
    plain = replace(design(Script("main"), Script("side")), assistants=())
    assert forecast.input_tokens > 0
    assert plain.asked_models == []
    assert design(Script("main"), Script("side")).asked_models == ["scripted:main", "scripted:side"]


async def test_the_effect_of_a_technique(tmp_path: Path) -> None:
    """By persona: assistants with it are compared with the same ones without it."""
    main = Script("main", lambda text: "loud indeed" if text.isupper() else "quiet")
    cases = tuple(Case(str(n), (f"question {n}",)) for n in range(12))
    run = await design(main, Script("side", upper), cases=cases).run(
        tmp_path, on_progress=lambda p: None
    )
    table = run.effects("words", by="shout")
    assert list(
        table[["shout", "persona", "model", "effect"]].itertuples(index=False, name=None)
    ) == [
        ("on", "none", "scripted:main", 1.0),
        ("on", "kind", "scripted:main", 1.0),
    ]
    assert list(table["verdict"]) == ["more", "more"]
    shown = repr(run.show("techniques"))
    for said in ("tokens of its own calls", "against shout: none", "more"):
        assert said in shown
    assert run.statistics.techniques == ["shout"]
    assert set(run.effects("words")["persona"]) == {"kind", "none+shout", "kind+shout"}
    with pytest.raises(UsageError, match="shout"):
        run.effects("words", by="whisper")


def test_keys_of_assistants_without_techniques_stay(tmp_path: Path) -> None:
    """And those with one differ by all that decides what it does."""
    side = Script("side").client
    plain = Assistant(Persona("kind", "Be kind."), Script("main").client)
    loud = replace(plain, techniques=(Shout(Sidecar(side, "Shout.")),))
    louder = replace(plain, techniques=(Shout(Sidecar(side, "SHOUT!")),))
    assert len({plain.digest, loud.digest, louder.digest}) == 3
    with pytest.raises(UsageError, match="twice"):
        replace(plain, techniques=(*loud.techniques, *louder.techniques))
