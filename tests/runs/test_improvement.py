"""An improved persona is worth what cases say that neither proposals nor the choice have seen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pandas.testing import assert_frame_equal

from assistants import (
    Case,
    Experiment,
    Improvement,
    Library,
    Limits,
    Message,
    Results,
    Sampling,
    ScriptedClient,
    improve,
)
from assistants.errors import (
    BudgetExceededError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from assistants.runs.improvement import ImprovementPlan, copied_text, split_cases
from assistants.runs.improvement.proposals import longest_proposal
from support.experiments import quiet
from support.improvement_worlds import PARAPHRASE, PERSONA, PLANTED, World


@pytest.fixture(autouse=True)
def folder(here: Path) -> None:
    """Work in an empty folder, with the results of this test alone."""


async def improved(world: World, experiment: Experiment | None = None, **more: Any) -> Improvement:
    experiment = experiment or world.experiment()
    return await improve("judge", experiment, on_progress=quiet, **more)


async def test_the_sentence_that_helps_is_found_and_proven() -> None:
    """On cases held out, over the original and over a paraphrase, with all that goes with it."""
    found = await improved(World())
    assert (found.outcome, found.has_helped) == ("helped", True)
    assert found.improved is not None
    assert PLANTED in (found.improved.text or "")
    assert found.paraphrase is not None
    assert found.paraphrase.text == PARAPHRASE
    assert found.names == ("judge", "judge-improved", "judge.p1")
    assert list(found.held_out["persona"]) == ["judge-improved", "judge.p1", "judge-improved"]
    assert list(found.held_out["baseline"]) == ["judge", "judge", "judge.p1"]
    assert found.held_out["low"][0] <= 40 <= found.held_out["high"][0]
    assert found.unit == "percentage points"
    assert found.summary.startswith("It helped: on ")
    assert found.shrinkage == pytest.approx(1 - found.gain / found.gain_on_choice)
    old, new = found.words
    assert (old, new) == (9, len((found.improved.text or "").split()))
    assert f"+{PLANTED}" in found.diff.split("\n")
    assert " You judge statements." in found.diff.split("\n")
    assert set(found.audit["persona"]) == set(found.names)


async def test_the_held_out_effect_is_that_of_the_run() -> None:
    """The first row is the ordinary effect table of an ordinary run, which anybody can read."""
    found = await improved(World())
    table = Results().get(found.run).effects("exact")
    assert_frame_equal(found.held_out.iloc[[0]].drop(columns="baseline"), table)


async def test_no_case_is_on_two_sides() -> None:
    """The editor sees answers to the cases to work on; the held-out ones are asked three times."""
    world = World()
    found = await improved(world, rounds=1)
    held_out = {case.question for case in found.split.held_out}
    choose = {case.question for case in found.split.choose}
    shown = "\n".join(world.edited)
    assert not any(f"<question>{question}</question>" in shown for question in held_out | choose)
    assert sum(question in held_out for _, question in world.answered) == 3 * len(held_out)
    prompts = {system for system, question in world.answered if question in held_out}
    assert found.improved is not None
    assert prompts == {PERSONA, PARAPHRASE, found.improved.text}


async def test_a_flat_landscape_is_no_gain() -> None:
    """Nothing matters, and nothing is claimed; nothing is written either."""
    found = await improved(World(effect=0.0))
    assert not found.has_helped
    assert "judge is left as it is." in found.summary
    assert not Path("personas").exists()


async def test_without_a_better_candidate_nobody_looks_at_the_held_out_cases() -> None:
    """They are asked only for a winner, and stay unseen for the next try."""
    world = World(always=1.0)
    found = await improved(world)
    assert found.outcome == "no candidate"
    assert found.improved is None
    held_out = {case.question for case in found.split.held_out}
    assert not any(question in held_out for _, question in world.answered)
    assert "so the held-out cases were not asked" in found.summary
    assert found.diff == ""
    with pytest.raises(ValueError, match="No candidate"):
        found.save()


async def test_a_gain_that_a_paraphrase_has_too_is_not_claimed() -> None:
    """Any other wording would do: that is no improvement."""
    found = await improved(World(paraphrase=f"{PARAPHRASE} {PLANTED}"))
    assert found.outcome == "rewording"
    assert not found.has_helped
    assert found.summary.startswith("It is not proven to help more than other words do")


async def test_less_may_be_better() -> None:
    """Of a scorer without a direction it has to be said; the smaller gain is then none."""
    world = World()
    experiment = world.experiment(scorers=["words"])
    with pytest.raises(UsageError, match="neither higher nor lower"):
        await improved(world, experiment)
    long = World(texts=(f"{PERSONA} {PLANTED}",))
    client = ScriptedClient(lambda m, s: "x " * (2 if PLANTED in m[0].content else 4), "lengths")
    shorter = replace(experiment.assistants[0], client=client)
    experiment = replace(experiment, assistants=(shorter,))
    found = await improved(long, experiment, model=long.client, better="lower")
    assert found.sign == -1
    assert found.gain == 2
    assert found.held_out["effect"][0] == -2
    assert found.outcome == "helped"


async def test_the_same_again_asks_nothing() -> None:
    """Every answer is in the store, proposals and the paraphrase too; it is no second look."""
    world = World()
    first = await improved(world)
    asked = len(world.asked)
    second = await improved(world)
    assert len(world.asked) == asked
    assert second.summary == first.summary
    assert (first.earlier_looks, second.earlier_looks) == (0, 0)


async def test_another_look_at_held_out_cases_is_counted_and_said() -> None:
    """Another winner, on the same cases or on some of them."""

    async def edited_by(name: str, cases: int = 80) -> Improvement:
        world = World(texts=(f"{PERSONA} {PLANTED} Be {name}.",))
        editor = ScriptedClient(world.answer, name)
        return await improved(world, world.experiment(cases=cases), model=editor)

    first = await edited_by("kind")
    second = await edited_by("quick")
    assert (first.earlier_looks, second.earlier_looks) == (0, 1)
    assert any("look number 2" in note for note in second.notes)
    assert (await edited_by("sure", cases=100)).earlier_looks == 2


@pytest.mark.parametrize("after", [5, 45, 70, 130])
async def test_an_interrupt_costs_nothing_twice(after: int) -> None:
    """Cancelled at any stage, the next call asks exactly for the rest."""
    whole = World()
    found = await improved(whole, results="whole")
    world = World()

    async def interrupted() -> None:
        await improve(
            "judge", world.experiment(), results="parts",
            on_progress=lambda _: task.cancel() if len(world.asked) >= after else None,
        )  # fmt: skip

    task = asyncio.create_task(interrupted())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert after <= len(world.asked) < len(whole.asked)
    resumed = await improved(world, results="parts")
    assert sorted(world.asked) == sorted(whole.asked)
    assert resumed.summary == found.summary


async def test_a_cap_stops_it_and_a_higher_one_goes_on() -> None:
    """The experiment's limits hold for all stages together."""
    world = World()
    capped = replace(world.experiment(), limits=Limits(tokens=2_000))
    with pytest.raises(BudgetExceededError, match="A limit stopped the improvement"):
        await improved(world, capped)
    whole = World()
    await improved(whole, results="whole")
    assert 0 < len(world.asked) < len(whole.asked)
    await improved(world)
    assert sorted(world.asked) == sorted(whole.asked)


async def test_the_forecast_is_no_less_than_what_is_asked() -> None:
    """Every call is in it, editor and paraphraser too, and nothing is written for it."""
    world = World()
    plan = ImprovementPlan.make("judge", world.experiment())
    forecast = plan.forecast()
    assert not Path("results").exists()
    await improved(world)
    assert len(world.asked) <= forecast.trials <= 1.5 * len(world.asked)
    assert plan.forecast().answered > 0


async def test_too_few_cases_are_refused_with_the_number_that_would_do() -> None:
    """Before anything is asked."""
    world = World()
    with pytest.raises(UsageError, match=r"15 held-out cases show it in 80%: .* 30 cases") as error:
        await improved(world, world.experiment(cases=12))
    assert "held out" in str(error.value)
    assert world.asked == []


def test_a_case_never_changes_sides() -> None:
    """More cases, or another order, move none of those that were there."""
    cases = [Case(str(i), (f"Question {i}?",)) for i in range(400)]
    few, many = split_cases(cases[:150]), split_cases(cases[::-1])
    for side in ("work", "choose", "held_out"):
        assert {c.id for c in getattr(few, side)} <= {c.id for c in getattr(many, side)}
    sizes = [len(many.work), len(many.choose), len(many.held_out)]
    assert sum(sizes) == 400
    assert all(abs(n - m) < 40 for n, m in zip(sizes, (100, 100, 200), strict=True))


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("", "no whole text: empty"),
        (" \n ", "empty"),
        ("x" * (longest_proposal(PERSONA) + 1), "far more than the original"),
        (f"{PERSONA}\x1b[2J", "control characters"),
        (PERSONA, "said before"),
    ],
)
async def test_a_text_that_is_no_candidate_is_refused_with_a_reason(
    text: str, refusal: str
) -> None:
    """It is counted, and nobody is asked with it."""
    found = await improved(World(texts=(text,)))
    assert found.outcome == "no candidate"
    assert len(found.candidates) == 6
    assert found.candidates["persona"].isna().all()
    assert found.candidates["refusal"].str.contains(refusal, regex=False).all()


async def test_template_syntax_of_a_model_is_text() -> None:
    """A persona without variables gets none: braces are sent as they stand, and run nothing."""
    hostile = f"{PERSONA} {PLANTED} {{{{ ''.__class__ }}}} {{% for x in y %}}"
    world = World(texts=(hostile,))
    found = await improved(world)
    assert found.has_helped
    assert hostile in {system for system, _ in world.answered}
    saved = found.save()
    assert Library.default().find(saved.stem).system_prompt() == hostile


async def test_a_template_keeps_its_variables() -> None:
    """One that asks for others, or that the sandbox refuses, is no candidate."""
    persona = "You judge {{ what }}. Say whether each one is true."
    good = f"{persona} {PLANTED}"
    texts = (good, f"{PERSONA} {PLANTED}", f"{good} {{{{ secret }}}}", f"{good} {{{{ what() }}}}")
    world = World(texts=texts, paraphrase="{{ what }}: tell whether each holds.")
    experiment = world.experiment(persona=persona, vars={"what": "claims"})
    found = await improve("judge", experiment, on_progress=quiet, rounds=1, candidates=4)
    assert found.has_helped
    assert found.names[1] == "judge-improved[what=claims]"
    refusals = list(found.candidates["refusal"])
    assert refusals[0] == ""
    assert refusals[1:3] == ["other variables than the original's"] * 2
    assert refusals[3].startswith("no template: ")
    assert found.improved is not None
    assert found.improved.text == good


async def test_no_paraphrase_is_no_proof() -> None:
    """Without the control nothing is held against the held-out cases."""
    world = World(paraphrase="")
    with pytest.raises(UsageError, match="gave no paraphrase of 'judge'"):
        await improved(world)
    held_out = {case.question for case in split_cases(world.experiment().cases).held_out}
    assert not any(question in held_out for _, question in world.answered)


async def test_the_new_persona_is_a_file_of_its_own() -> None:
    """Beside the old one, which stays byte for byte; a second one gets a number."""
    folder = Path("mine")
    folder.mkdir()
    file = folder / "judge.md"
    file.write_text(f"---\nlabel: Judge\nsampling: {{temperature: 0}}\n---\n\n{PERSONA}\n")
    before = file.read_bytes()
    world = World()
    experiment = world.experiment(personas=["mine/judge.md"])
    found = await improved(world, experiment)
    saved = found.save()
    assert saved == folder / "judge-improved.md"
    assert file.read_bytes() == before
    read = Library([folder]).find("judge-improved")
    assert found.improved is not None
    assert (read.text, read.sampling) == (found.improved.text, found.original.sampling)
    assert read.label == "Judge (improved)"
    assert found.save() == folder / "judge-improved-2.md"


def test_text_out_of_the_cases_is_measured() -> None:
    """Only what the edit added, without case and punctuation."""
    original = "Be kind. The tallest tree is the redwood of California."
    case = "What is the tallest tree in Europe, and where does it stand?"
    copied = copied_text(
        f"{original} Say where THE TALLEST TREE IN EUROPE stands!", original, [case]
    )
    assert (copied.words, copied.passage) == (5, "the tallest tree in europe")
    assert copied.share == pytest.approx(5 / 18)
    assert copied_text(f"{original} Be brief.", original, [case]).words == 0
    assert copied_text(original, original, [original]).words == 0


async def test_copied_text_is_said() -> None:
    """A persona that has learnt a case by heart is told from one that has learnt to answer."""
    found = await improved(World())
    assert "No 5 words in a row were copied out of the cases." in found.notes
    text = f"{PERSONA} {PLANTED} If asked: is statement seven of them really true?"
    cases = [f"Is statement seven of them really true, or number {n}?" for n in range(80)]
    world = World(texts=(text,))
    experiment = Experiment.define(
        "alike", cases=cases, personas=[{"name": "judge", "system_prompt": PERSONA}],
        models=[world.client], scorers=[{"contains": {"text": "True"}}],
    )  # fmt: skip
    found = await improved(world, experiment)
    assert (found.copied.words, round(found.copied.share, 2)) == (7, 0.28)
    assert any(note.startswith("Much of the new text was copied") for note in found.notes)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"persona": "jugde"}, UnknownNameError, "Did you mean 'judge'"),
        ({"score": "exakt"}, UnknownNameError, "Did you mean 'exact'"),
        ({"optimizer": "gpa"}, UnknownNameError, "Did you mean 'gepa'"),
        ({"rounds": 0}, UsageError, "at least one of each"),
    ],
)
async def test_mistakes_are_refused_before_anything_is_asked(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    """With the nearest name."""
    world = World()
    given = {"persona": "judge", "experiment": world.experiment()} | change
    with pytest.raises(error) as refused:
        await improve(**given)
    assert words in str(refused.value)
    assert world.asked == []


async def test_what_cannot_be_improved_is_refused() -> None:
    """A persona on two models, one without text, and a score that only compares."""
    world = World()
    two = world.experiment(models=[world.client, "scripted:echo"])
    with pytest.raises(UsageError, match="asked 2 times over"):
        await improved(world, two)
    with pytest.raises(UsageError, match="sends no text"):
        await improve("none", world.experiment(personas=["none"]))
    judge = {"judge": {"model": "scripted:echo", "compare": "Which is better?"}}
    compared = world.experiment(personas=["none", {"name": "judge", "system_prompt": PERSONA}],
                                scorers=[judge])  # fmt: skip
    with pytest.raises(UsageError, match="compares answers"):
        await improved(world, compared, score="judge")


async def test_helper_runs_are_not_the_latest_run() -> None:
    """Whoever asks for the latest run means an experiment."""
    world = World()
    run = await world.experiment().run(on_progress=quiet)
    await improved(world)
    assert Results().latest().id == run.id


async def test_a_tape_holds_every_stage() -> None:
    """A class replays the improvement without a model."""
    world = World()
    experiment = replace(world.experiment(), tape=Path("world.jsonl"))
    first = await improved(world, experiment)
    silent = World()
    replayed = await improved(
        silent, replace(silent.experiment(), tape=Path("world.jsonl")), results="other"
    )
    assert silent.asked == []
    assert replayed.summary == first.summary


def test_a_missing_gepa_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is asked."""
    monkeypatch.setitem(__import__("sys").modules, "gepa", None)
    with pytest.raises(MissingDependencyError) as error:
        ImprovementPlan.make("judge", World().experiment(), optimizer="gepa")
    assert error.value.fix == "pip install 'assistants[improve]'"


async def test_gepa_searches_under_the_same_discipline() -> None:
    """It finds the sentence, sees no held-out case, and costs nothing a second time."""
    pytest.importorskip("gepa")
    world = World()
    found = await improved(world, optimizer="gepa")
    assert found.has_helped
    held_out = {case.question for case in found.split.held_out}
    assert sum(question in held_out for _, question in world.answered) == 3 * len(held_out)
    work = {case.question for case in found.split.work}
    shown = [q for text in world.edited for q in text.split("<question>")[1:]]
    assert shown
    assert {q.partition("</question>")[0] for q in shown} <= work
    plan = ImprovementPlan.make("judge", world.experiment(), optimizer="gepa")
    assert len(world.asked) <= plan.forecast("elsewhere").trials
    asked = len(world.asked)
    again = await improved(world, optimizer="gepa")
    assert (len(world.asked), again.summary) == (asked, found.summary)


@pytest.mark.parametrize("after", [5, 40, 60])
async def test_gepa_is_interrupted_like_any_other(after: int) -> None:
    """A cancelled search leaves nothing behind that asks, and the next one asks for the rest."""
    pytest.importorskip("gepa")
    whole = World()
    await improved(whole, results="whole", optimizer="gepa")
    world = World()

    async def interrupted() -> None:
        await improve(
            "judge", world.experiment(), results="parts", optimizer="gepa",
            on_progress=lambda _: task.cancel() if len(world.asked) >= after else None,
        )  # fmt: skip

    task = asyncio.create_task(interrupted())
    with pytest.raises(asyncio.CancelledError):
        await task
    asked = len(world.asked)
    await asyncio.sleep(0.1)
    assert len(world.asked) == asked
    await improved(world, results="parts", optimizer="gepa")
    assert sorted(world.asked) == sorted(whole.asked)


async def test_gepa_stops_at_a_cap() -> None:
    """The error of a limit comes out as it went in, also where gepa would try again."""
    pytest.importorskip("gepa")
    for tokens in (700, 1_500, 3_000):
        world = World()
        capped = replace(world.experiment(), limits=Limits(tokens=tokens))
        with pytest.raises(BudgetExceededError, match="A limit stopped the improvement"):
            await improved(world, capped, results=f"at-{tokens}", optimizer="gepa")


async def test_it_is_shown_as_safe_html() -> None:
    """Whatever a model wrote: the text of a persona is a stranger's."""
    world = World(texts=(f"{PERSONA} {PLANTED} <script>alert(1)</script>",))
    found = await improved(world)
    html = found._repr_html_()
    assert "<script>alert" not in html
    assert "It helped" in html
    assert "<ins>" in html
    assert repr(found).startswith("Improvement('judge': It helped")
    assert "It did not help" in (await improved(World(always=1.0), results="r"))._repr_html_()


async def test_a_persona_is_improved_by_a_judge() -> None:
    """Its answers are asked for and paid for like all others, and of that judge alone."""
    world = World()
    graded = []

    def grade(messages: Sequence[Message], sampling: Sampling) -> str:
        graded.append(messages[-1].content)
        return "5" if "True." in messages[-1].content else "2"

    judges = [
        {"judge": {"model": ScriptedClient(grade, name), "criteria": {"sure": "?"}, "name": name}}
        for name in ("one", "two")
    ]
    experiment = world.experiment(scorers=["exact", *judges])
    found = await improved(world, experiment, score="one")
    assert found.has_helped
    assert found.unit == "points, 1 to 5"
    asked = len(graded)
    await improved(world, experiment, score="one")
    assert len(graded) == asked
    names = {run.experiment for run in Results().runs()}
    assert "world.improve-held-out.one" in names
    assert not any(name.endswith(".two") for name in names)
