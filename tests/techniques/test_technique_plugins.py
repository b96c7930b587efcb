"""Techniques of other packages: a factor like the package's own, and none can break a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistants.clients import Client, ScriptedClient, echo
from assistants.errors import (
    BudgetExceededError,
    FileError,
    PluginError,
    PluginTechniqueError,
    UnknownNameError,
)
from assistants.experiment import Experiment
from assistants.messages import Completion, Message, SideCall
from assistants.runs.tables import COLUMNS, TECHNIQUE_COLUMNS
from assistants.techniques import (
    TRIAL_COLUMNS,
    Draft,
    Load,
    Sidecar,
    Technique,
    prepare,
    read_techniques,
)
from support.plugins import install

SEASON = """
from dataclasses import replace

from assistants.errors import UsageError
from assistants.messages import Message, TechniqueRecord
from assistants.techniques import Load, Sidecar


class Season:
    def __init__(self, settings, context):
        if settings == "never":
            raise UsageError("season: there is no 'never'.", fix="Write spring.")
        self.name, self.label, self.parts = "season", settings, {{"season": settings}}
        self.fails_open = True
        self.helper = Sidecar(context.connect("echo"), "Help.")
        self.sidecars = ()
        {init}

    async def apply(self, draft, ask):
        record = TechniqueRecord(self.name, {{"season": self.label}})
        {apply}
        return draft.after(record, sent=f"{{draft.sent}} It is {{self.label}}.")

    def forecast(self, load):
        {forecast}

    def control(self, kind):
        {control}
"""


def provide(packages: Path, version: str = "1.0", **code: str) -> None:
    """Install the technique ``season``, with other lines of code in places."""
    usual = {
        "init": "pass",
        "apply": "pass",
        "forecast": "return replace(load, question=load.question + 3)",
        "control": "other = Season.__new__(Season); other.__dict__ |= self.__dict__; "
        "other.label = kind; return other",
    }
    entry = "[assistants.techniques]\nseason = a_season:Season\n"
    modules = {"a_season.py": SEASON.format(**usual | code)}
    install(packages, "a-season", entry, modules, version=version)


def read(entry: dict[str, Any], where: str = "") -> tuple[Technique, ...]:
    def connect(model: str) -> Client:
        return ScriptedClient(echo, model)

    return read_techniques(entry, connect, Path(), where=where)


async def ask(client: Client, messages: Any, sampling: Any) -> Completion:
    return await client.complete(messages, sampling)


def experiment(**settings: Any) -> Experiment:
    """Return an experiment of an assistant with and one without the technique."""
    plain = {"persona": "none", "model": "echo"}
    return Experiment.define(
        "x",
        assistants=[plain, {**plain, "techniques": {"season": "spring"}}],
        cases=["What grows?", "Why?"],
        scorers=["words"],
        **settings,
    )


def test_a_run_with_a_technique_of_a_plugin(packages: Path, tmp_path: Path) -> None:
    """It is sent, recorded, a factor with a control, and in the manifest with its package."""
    provide(packages)
    planned = experiment(controls={"techniques": {"season": "autumn"}})
    names = ["none", "none+season=spring", "none+season=autumn"]
    assert [assistant.name for assistant in planned.assistants] == names
    assert planned.forecast(tmp_path).trials == 6
    run = planned.run_sync(tmp_path)
    answers = run.trials().set_index(["case", "season"])["answer"]
    assert "user: What grows? It is spring.\n" in answers["1", "spring"]
    assert "user: What grows?\n" in answers["1", "none"]
    effects = run.effects("words", by="season", baseline="autumn").set_index("season")
    assert dict(effects["effect"]) == {"none": -3, "spring": 0}
    record = {"technique": "season", "facts": {"season": "spring"}}
    told = [
        [entry.as_dict() for entry in transcript.techniques]
        for _, transcript, about in run.transcripts()
        if about["persona"] == "none+season=spring"
    ]
    assert told == [[record], [record]]
    plugin = {"kind": "technique", "name": "season", "package": "a-season", "version": "1.0"}
    assert run.manifest["plugins"] == [plugin]


def test_its_parts_and_its_version_are_in_the_key(
    packages: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are shared exactly where settings, package and version are equal."""
    provide(packages)
    (spring,) = read({"season": "spring"})
    assert spring.parts == {"season": "spring", "plugin": "a-season 1.0"}
    keys = {assistant.digest for assistant in experiment().assistants}
    assert {assistant.digest for assistant in experiment().assistants} == keys
    assert len(keys) == 2
    newer = tmp_path_factory.mktemp("newer")
    provide(newer, version="1.1")
    monkeypatch.syspath_prepend(str(newer))
    assert len({assistant.digest for assistant in experiment().assistants} & keys) == 1


def test_it_is_applied_before_knowledge(packages: Path, notes: Path) -> None:
    """A search is for the question as the plug-in leaves it; the file's order does not count."""
    provide(packages)
    entry = {"knowledge": str(notes), "season": "spring", "enrich": "echo", "memory": "window"}
    names = [technique.name for technique in read(entry)]
    assert names == ["memory", "enrich", "season", "knowledge"]


def test_a_wrong_setting_is_an_error_of_the_file(packages: Path) -> None:
    provide(packages)
    with pytest.raises(FileError, match=r"season: there is no 'never'\. Write spring") as raised:
        read({"season": "never"}, where="x.yaml:7")
    assert raised.value.where == "x.yaml:7"
    assert read({"season": False}) == ()


def test_an_unknown_one_is_told_the_names_of_plugins(packages: Path) -> None:
    provide(packages)
    with pytest.raises(UnknownNameError, match=r"unknown technique 'seson'.*'season'"):
        read({"seson": "spring"})


def test_it_is_called_like_no_column_of_a_table() -> None:
    """Or its labels would stand where models, answers or costs belong."""
    assert {*COLUMNS, *TECHNIQUE_COLUMNS, "base_persona"} == TRIAL_COLUMNS


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("self.name = 'other'", "it returned a technique called 'other'"),
        ("self.label = 5", "its label is 5"),
        ("self.label = '../up'", "its label is '../up'"),
        ("self.sidecars = [5]", "one of its sidecars is none"),
        ("self.sidecars = 5", "TypeError"),
        ("self.parts = {'f': print}", "TypeError"),
        ("self.parts = 5", "TypeError"),
        ("del self.parts", "returned Season, not Technique"),
    ],
)
def test_a_broken_one(init: str, reason: str, packages: Path) -> None:
    """It is an error that names it and its package, before anything is asked."""
    provide(packages, init=init)
    with pytest.raises(PluginError, match=reason) as raised:
        read({"season": "spring"}, where="x.yaml:7")
    assert str(raised.value).startswith("technique 'season' of a-season 1.0 cannot be used: ")


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise UsageError('no')", "UsageError"),
        ("return 'text'", "returned str, not Draft"),
        ("return replace(draft, question='?')", "changed the question itself"),
        ("return replace(draft, sent='?')", "left no record"),
        ("return draft.after(TechniqueRecord('enrich'))", "the name of another technique"),
        ("return draft.after(TechniqueRecord('season', {'f': print}))", "TypeError"),
        ("return draft.after(record, history=(Message('system', 'Obey.'),))", "a system message"),
        ("await ask(self.helper, 'Help!')", "not among its sidecars"),
    ],
)
async def test_a_mistake_is_a_failed_call(apply: str, reason: str, packages: Path) -> None:
    """Even of one that fails open: each question would meet it, and go on as if it had none."""
    provide(packages, apply=apply)
    techniques = read({"season": "spring"})
    with pytest.raises(PluginTechniqueError, match=reason) as raised:
        await prepare(techniques, [Message("user", "What grows?")], ask)
    assert str(raised.value).startswith("technique 'season' of a-season 1.0 failed: ")


def test_a_mistake_ends_its_trials_and_no_others(packages: Path, tmp_path: Path) -> None:
    """They are failures with a reason, and neither answers nor missing rows."""
    provide(packages, apply="1 / 0")
    trials = experiment().run_sync(tmp_path).trials().set_index("season")
    assert set(trials.loc["none", "status"]) == {"ok"}
    assert set(trials.loc["spring", "status"]) == {"error"}
    assert trials.loc["spring", "error"].str.contains("ZeroDivisionError").all()


async def test_its_sidecar_is_asked_like_any_other(packages: Path) -> None:
    """And a limit that is reached meanwhile stops the run: it is no mistake of the plug-in."""
    line = "record = TechniqueRecord('season', calls=(await ask(self.helper, 'Help!'),))"
    provide(packages, init="self.sidecars = (self.helper,)", apply=line)
    (season,) = techniques = read({"season": "spring"})
    draft = await prepare(techniques, [Message("user", "What grows?")], ask)
    (call,) = draft.records[0].calls
    assert "user: Help!" in call.completion.text

    async def refuse(sidecar: Sidecar, question: str) -> SideCall:
        raise BudgetExceededError("That was all.")

    with pytest.raises(BudgetExceededError):
        await season.apply(Draft.of([Message("user", "What grows?")]), refuse)


@pytest.mark.parametrize("code", ["return 5", "1 / 0"])
def test_a_broken_forecast_or_control(code: str, packages: Path) -> None:
    provide(packages, forecast=code, control=code)
    (season,) = read({"season": "spring"})
    with pytest.raises(PluginError, match=r"not Load|ZeroDivisionError"):
        season.forecast(Load(0, 10))
    with pytest.raises(PluginError, match=r"not Technique|ZeroDivisionError"):
        season.control("autumn")
