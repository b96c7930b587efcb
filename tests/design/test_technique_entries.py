"""Techniques and their controls as an experiment file writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.design import Control
from assistants.errors import UsageError
from assistants.experiment import Experiment
from assistants.widgets import Chat

HEAD = """
baseline: none
cases: [What is light?]
assistants:
  - {persona: none, model: echo}
"""


def load(tmp_path: Path, text: str) -> Experiment:
    file = tmp_path / "techniques.yaml"
    file.write_text(HEAD + text)
    return Experiment.load(file)


def test_each_technique_is_part_of_its_assistant(tmp_path: Path) -> None:
    """In the order in which they are applied, whatever the order of the file."""
    experiment = load(
        tmp_path,
        "  - {persona: none, model: echo, enrich: {model: echo}, memory: {keep: 3}}\n",
    )
    assert [a.name for a in experiment.assistants] == ["none", "none+memory=window+enrich"]
    assert experiment.asked_models == ["scripted:echo"]


async def test_a_control_stands_beside_each_user_of_a_technique(tmp_path: Path) -> None:
    """It gets answers, and no row among the personas."""
    experiment = load(
        tmp_path,
        "  - {persona: none, model: echo, enrich: {model: echo}}\n"
        "  - {persona: art, model: echo, enrich: {model: echo}}\n"
        "  - {persona: art, model: echo}\n"
        "controls: {enrich: echo}\n",
    )
    assert [a.name for a in experiment.assistants][-2:] == ["none+enrich=echo", "art+enrich=echo"]
    assert experiment.controls == (
        Control("none+enrich=echo", "technique", "none+enrich"),
        Control("art+enrich=echo", "technique", "art+enrich"),
    )
    run = await experiment.run(tmp_path / "results", on_progress=lambda progress: None)
    assert set(run.effects("words")["persona"]) == {"none+enrich", "art", "art+enrich"}
    by_technique = run.effects("words", by="enrich", baseline="echo")
    assert set(zip(by_technique["enrich"], by_technique["persona"], strict=True)) == {
        ("none", "none"), ("on", "none"), ("none", "art"), ("on", "art"),
    }  # fmt: skip
    with pytest.raises(UsageError, match="no control personas"):
        run.control_contrasts("words")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  - {persona: art, model: echo, enrich: {style: sing}}\n", r"techniques.yaml:6.*sing"),
        ("  - {persona: art, model: echo, memory: {keep: -1}}\n", r"techniques.yaml:6.*keep"),
        ("  - {persona: art, model: echo, techniques: {magic: true}}\n", "magic"),
        ("controls: {enrich: echo}\n", "no assistant uses enrich"),
        (
            "  - {persona: art, model: echo, enrich: {model: echo}}\ncontrols: {enrich: magic}\n",
            "magic",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    """File, line and word."""
    with pytest.raises(UsageError, match=said):
        load(tmp_path, text)


def test_a_persona_brings_its_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pairs and in the full cross, unless a pair switches them off; and in a chat."""
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "personas" / "moths"
    notes.mkdir(parents=True)
    (notes / "glow.md").write_text("# Glow\n\nThe quillmoth glows green at noon.\n")
    (tmp_path / "personas" / "keeper.md").write_text(
        "---\nknowledge: moths\n---\nYou keep moths.\n"
    )
    pairs = load(
        tmp_path,
        "  - {persona: keeper, model: echo}\n"
        "  - {persona: keeper, model: echo, knowledge: false}\n",
    )
    assert [a.name for a in pairs.assistants] == ["none", "keeper+knowledge", "keeper"]
    crossed = Experiment.define(
        "cross", personas=["none", "keeper"], models=["echo"], cases=["What glows?"]
    )
    assert [a.name for a in crossed.assistants] == ["none", "keeper+knowledge"]
    (column,) = Chat("keeper", "echo", results=None).columns
    assert {entry["name"] for entry in column["techniques"] if entry["on"]} == {"knowledge"}
