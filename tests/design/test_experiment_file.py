"""An experiment file says what it means, and is refused where it does not."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient, echo
from assistants.design.limits import Limits
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.messages import Sampling
from assistants.personas import Persona
from assistants.trial import Case, Trial

HEAD = "personas: [none, art]\nmodels: [echo]\n"


def load(text: str, name: str = "exp", **more: Any) -> Experiment:
    Path(f"{name}.yaml").write_text(text, encoding="utf-8")
    return Experiment.load(f"{name}.yaml", **more)


def names(experiment: Experiment) -> list[str]:
    return [assistant.name for assistant in experiment.assistants]


def test_the_founding_experiment_reads(here: Path) -> None:
    """Six personas, one model, eight cases: 48 trials against the baseline none."""
    path = Path(__file__).parents[2] / "experiments" / "inverse-square-law.yaml"
    experiment = Experiment.load(path)
    assert (experiment.name, len(experiment), experiment.baseline) == (path.stem, 48, "none")
    assert experiment.limits == Limits(usd=0.5, tokens=200_000, minutes=30)
    assert experiment.assistants[0].effective_sampling == Sampling(
        temperature=0.7, max_tokens=400, seed=7
    )


def test_personas_by_name_path_pattern_and_inline(here: Path) -> None:
    """Every way to name a persona works in one list; paths are relative to the file."""
    Path("sub/mine").mkdir(parents=True)
    Path("sub/mine/one.md").write_text("One.")
    Path("sub/exp.yaml").write_text(
        "personas:\n- none\n- m*\n- mine/*.md\n- {name: two, system_prompt: Two., "
        "sampling: {temperature: 1}}\n- {name: inert, match: art, label: Inert}\n"
        "models: [echo]\ncases: [Hi]"
    )
    experiment = Experiment.load("sub/exp.yaml")
    assert names(experiment) == ["none", "math", "music", "one", "two", "inert"]
    two, inert = experiment.assistants[4:]
    assert two.effective_sampling.temperature == 1
    assert inert.persona.label == "Inert"
    assert len((inert.system_prompt or "").split()) > 50


def test_cases_as_strings_mappings_and_files(here: Path) -> None:
    """Text, mappings, CSV, JSON lines and Parquet, mixed, in order, each with its id."""
    Path("a.csv").write_text('id,question,reference,vars.x\nc1,"Two\nlines?",ref,7\nc2,Plain?,,\n')
    lines = (
        '{"id": "j1", "turns": ["One?", "Two?"], "vars": {"v": 1}, "vars.w": 2}\n'
        '\n{"question": "No id?"}\n'
    )
    Path("b.jsonl").write_text(lines)
    rows = [{"id": "p1", "question": "Parquet?", "reference": None, "vars.y": 3}]
    pd.DataFrame(rows).to_parquet("c.parquet")
    experiment = load(
        HEAD + "cases:\n- Plain text?\n- {id: m, question: 'Hi {{ who }}?', vars: {who: you}}\n"
        "- a.csv\n- b.jsonl\n- c.parquet\n- NO\n"
    )
    cases = {case.id: case for case in experiment.cases}
    assert list(cases) == ["1", "m", "c1", "c2", "j1", "6", "p1", "8"]
    assert cases["m"].questions == ("Hi you?",)
    assert cases["c1"].turns == ("Two\nlines?",)
    assert (cases["c1"].reference, cases["c2"].reference) == ("ref", None)
    assert cases["c1"].variables == {"x": "7"}
    assert cases["j1"].turns == ("One?", "Two?")
    assert cases["j1"].variables == {"v": 1, "w": 2}
    assert cases["p1"].variables == {"y": 3}
    assert cases["8"].turns == ("NO",)


WRONG = [
    (HEAD + "cases: [a]\nrepaets: 3", "exp.yaml:4", "'repeats'"),
    ("personas: [none,\n  phisics]\nmodels: [echo]\ncases: [a]", "exp.yaml:2", "'physics'"),
    ("personas: [none]\nmodels:\n- ecoh\ncases: [a]", "exp.yaml:3", "'echo'"),
    ("personas: [none]\nmodels: ['opnai:x']\ncases: [a]", "exp.yaml:2", "'openai'"),
    (HEAD + "cases:\n- a\n- {id: x, qestion: a}", "exp.yaml:5", "'question'"),
    (HEAD + "cases:\n- {id: x, question: a}\n- {id: x, question: b}", "exp.yaml:5", "twice"),
    (HEAD + "cases:\n- a\n- b\n- {id: x, question: a}", "exp.yaml:6", "there already, as case '1'"),
    (HEAD + "cases:\n- {id: x}", "exp.yaml:4", "either"),
    (HEAD + "cases:\n- {question: a, turns: [b]}", "exp.yaml:4", "either"),
    (HEAD + "cases:\n- {turns: []}", "exp.yaml:4", "empty"),
    (HEAD + "cases:\n- ' '", "exp.yaml:4", "empty"),
    (HEAD + "cases:\n- {question: '{{ x }}', vars: {y: 1}}", "exp.yaml:4", "no value for x"),
    (HEAD + "cases:\n- 7", "exp.yaml:4", "cases.0"),
    (HEAD + "cases: []", "exp.yaml:3", "no cases"),
    (HEAD + "cases: qestions.csv", "exp.yaml:3", "'questions.csv'"),
    (HEAD + "cases: bad.csv", "bad.csv:3", "2 columns"),
    (HEAD + "cases: keys.csv", "keys.csv:2", "'question'"),
    (HEAD + "cases: bad.jsonl", "bad.jsonl:2", "not JSON"),
    (HEAD + "cases: list.jsonl", "list.jsonl:1", "JSON object"),
    (HEAD + "cases: bad.parquet", "bad.parquet", "not Parquet"),
    (HEAD + "cases: [a]\nbaseline: arts", "exp.yaml:4", "'art'"),
    (HEAD + "cases: [a]\nsampling:\n  temprature: 1", "exp.yaml:4", "'temperature'"),
    (HEAD + "cases: [a]\nlimits: {usd: -1}", "exp.yaml:4", "limits.usd"),
    (HEAD + "cases: [a]\nlimits: {dollars: 1}", "exp.yaml:4", "unknown key 'dollars'"),
    (HEAD + "cases: [a]\nrepeats: 0", "exp.yaml:4", "repeats"),
    (HEAD + "cases: [a]\nvars: {audience: x}", "exp.yaml:4", "no persona has a place"),
    ("personas: [none, none]\nmodels: [echo]\ncases: [a]", "exp.yaml:1", "twice"),
    ("personas: [{name: A, system_prompt: x}]\nmodels: [echo]\ncases: [a]", "exp.yaml:1", "name a"),
    ("personas: [{name: a}]\nmodels: [echo]\ncases: [a]", "exp.yaml:1", "system_prompt"),
    ("personas: [{name: a, match: non}]\nmodels: [echo]\ncases: [a]", "exp.yaml:1", "'none'"),
    ("personas: [{name: A, match: art}]\nmodels: [echo]\ncases: [a]", "exp.yaml:1", "name a"),
    (HEAD + "assistants: [{persona: art, model: echo}]\ncases: [a]", "exp.yaml:3", "exact pairs"),
    ("assistants:\n- {persona: art, modle: echo}\ncases: [a]", "exp.yaml:2", "'model'"),
    ("assistants: [{persona: a, model: echo}]\ncases: [a]", "exp.yaml:1", "unknown persona"),
    ("models: [echo]\ncases: [a]", "exp.yaml", "no personas"),
    ("personas: [{name: p, system_prompt: '{{ a }}'}]\nmodels: [echo]\ncases: [q]", "exp.yaml",
     "no value for a"),
    ("personas: [{name: p, system_prompt: '{{ a.b }}'}]\nmodels: [echo]\ncases: [q]", "exp.yaml:1",
     "not allowed"),
    ("- a", "exp.yaml", "key: value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "where", "said"), WRONG)
def test_a_mistake_is_named_before_anything_is_asked(
    here: Path, text: str, where: str, said: str
) -> None:
    """Unknown keys, personas and models, bad cases: file, line and the nearest known word."""
    Path("questions.csv").write_text("question\nHi?\n")
    Path("bad.csv").write_text("id,question\na,b\nc\n")
    Path("keys.csv").write_text("id,qestion\na,b\n")
    Path("bad.jsonl").write_text('{"question": "a"}\n{"question": \n')
    Path("list.jsonl").write_text("[1]\n")
    Path("bad.parquet").write_text("PAR1 not")
    with pytest.raises(UsageError) as caught:
        load(text)
    assert where in str(caught.value)
    assert said in str(caught.value)
    assert not Path("results").exists()


def test_a_change_from_outside_is_checked_like_the_file(here: Path) -> None:
    """An option replaces what the file says, and an unknown one is refused."""
    assert len(load(HEAD + "cases: [a]\nrepeats: 3", repeats=2)) == 4
    with pytest.raises(UsageError, match=r"exp\.yaml: unknown key 'repaets'"):
        load(HEAD + "cases: [a]", repaets=2)
    with pytest.raises(UsageError, match=r"exp\.yaml: unknown model 'ecoh'"):
        load(HEAD + "cases: [a]", models=["ecoh"])


def test_variables_are_swept_and_filled_in(here: Path) -> None:
    """Every combination of values is an assistant of its own; a case may bring values too."""
    text = "personas: [none, {name: p, system_prompt: 'For {{ who }}, {{ how|default(\"x\") }}'}]\n"
    text += "models: [echo]\ncases: [{question: 'Hi', vars: {how: well}}, Ho]\n"
    experiment = load(text + "vars: {who: [kids, all]}")
    assert names(experiment) == ["none", "p[who=kids]", "p[who=all]"]
    sent = {t.resolved_assistant.system_prompt for t in experiment.trials()}
    assert sent == {None, "For kids, well", "For kids, x", "For all, well", "For all, x"}


def test_exact_pairs(here: Path) -> None:
    """``assistants`` names the pairs that are asked, and no others."""
    experiment = load(
        "assistants:\n- {persona: art, model: echo}\n- {persona: none, model: smollm2}\n"
        "- {persona: math, model: echo, sampling: {temperature: 0}}\ncases: [a]"
    )
    assert [str(a) for a in experiment.assistants] == [
        "art on scripted:echo", "math on scripted:echo", "none on local:smollm2",
    ]  # fmt: skip
    assert experiment.assistants[1].effective_sampling.temperature == 0


def test_the_order_is_model_persona_case_repeat(here: Path) -> None:
    """Persona-major within a model; a seed shuffles the cases, for every persona alike."""
    text = "personas: [none, art]\nmodels: [echo, smollm2]\nrepeats: 2\ncases: [a, b, c, d, e]"
    trials = load(text).trials()
    cells = [(t.assistant.model, t.assistant.name, t.case.id, t.repeat) for t in trials]
    models, personas = ["scripted:echo", "local:smollm2"], ["none", "art"]
    assert cells == list(itertools.product(models, personas, "12345", range(2)))
    shuffled = [t.case.id for t in load(text, shuffle=3).trials()]
    assert shuffled[:10] == shuffled[10:20]
    assert shuffled == [t.case.id for t in load(text, shuffle=3).trials()]
    assert shuffled != [c for _, _, c, _ in cells]
    assert sorted(shuffled) == sorted(c for _, _, c, _ in cells)


def test_twins_are_refused_in_python_too() -> None:
    """Two cases of one id, or two assistants of one name, would share a row of the table."""
    one = Assistant(Persona("p", "x"), ScriptedClient(echo, "echo"))
    with pytest.raises(UsageError, match="case id '1' is used twice"):
        Experiment("e", (one,), (Case("1", ("a",)), Case("1", ("b",))))
    with pytest.raises(UsageError, match="twice"):
        Experiment("e", (one, one), (Case("1", ("a",)),))


async def test_cases_that_ask_the_same_have_answers_of_their_own(here: Path) -> None:
    """Where only a persona's variables differ, the baseline without any is drawn for each case.

    One draw for all would be counted as many cases in which the baseline happened to be low.
    """
    hears = {"name": "hears", "system_prompt": "You speak with {{ who }}."}
    cases = [
        {"question": "Who am I?", "vars": {"who": who}} for who in ("Ann", "Ben", "Cleo")
    ]  # fmt: skip
    experiment = Experiment.define(
        "same", personas=["none", hears], cases=cases, repeats=2, shuffle=3,
        models=[ScriptedClient(lambda messages, sampling: f"draw {sampling.repeat}")],
    )  # fmt: skip
    keys = [trial.key for trial in experiment.trials()]
    assert len(set(keys)) == len(keys) == 12
    frame = (await experiment.run(on_progress=lambda progress: None)).trials()
    assert frame[frame["persona"] == "none"]["answer"].nunique() == 6
    more = {trial.key for trial in replace(experiment, repeats=3).trials()}
    assert more > set(keys)  # what is answered stays answered


def test_millions_of_trials_expand_in_bounded_memory() -> None:
    """162 personas x 2,457 cases x 4 models x 3 repeats: one trial at a time, not 4.8 million."""
    clients = [ScriptedClient(echo, f"m{i}") for i in range(4)]
    personas = [Persona(f"p{i}", f"Text {i}.") for i in range(162)]
    cases = tuple(Case(str(i), (f"Question {i}?",)) for i in range(2457))
    assistants = tuple(Assistant(p, c) for c in clients for p in personas)
    experiment = Experiment("big", assistants, cases, repeats=3, shuffle=1)
    assert len(experiment) == 4_776_408
    trials = experiment.trials()
    tracemalloc.start()
    try:
        first = sum(1 for _ in itertools.islice(trials, 50_000))
        _, early = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        more = sum(1 for _ in itertools.islice(trials, 150_000))
        _, late = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (first, more) == (50_000, 150_000)
    assert late < early + 100_000
    assert late < 5_000_000
    assert isinstance(next(trials), Trial)


async def test_a_client_that_the_user_built_may_stand_among_the_models(here: Path) -> None:
    """``models`` takes names and clients: an SDK object for Azure needs no entry anywhere."""
    client = ScriptedClient(lambda messages, sampling: "From Azure.", "azure")
    experiment = Experiment.define(
        "mixed", personas=["none", "art"], models=["echo", client], cases=["?"]
    )
    run = await experiment.run(on_progress=lambda progress: None)
    answers = run.trials().pivot(index="model", columns="persona", values="answer")
    assert set(answers.loc["scripted:azure"]) == {"From Azure."}
    assert answers.loc["scripted:echo"].str.contains("user: ?", regex=False).all()


def test_a_script_lies_beside_its_experiment(here: Path) -> None:
    """Paths in an experiment are relative to it, that of a script too."""
    (here / "deep").mkdir()
    (here / "deep" / "answers.yaml").write_text('"*": Yes.\n')
    (here / "deep" / "e.yaml").write_text(
        "personas: [none]\nmodels: ['scripted:answers.yaml']\ncases: ['?']\n"
    )
    assert len(Experiment.load("deep/e.yaml")) == 1


def test_a_replay_is_forecast_to_cost_nothing(here: Path) -> None:
    """Nobody is asked to confirm money that no call can spend."""
    (here / "t.jsonl").write_text("")
    content = {"personas": ["none"], "models": ["chatgpt"], "cases": ["?"]}
    assert Experiment.define("e", **content).forecast().usd
    assert Experiment.define("e", **content, tape="t.jsonl").forecast().usd == 0
