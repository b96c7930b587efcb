"""The words of an experiment file become techniques, and mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistants.clients import Client, ScriptedClient, default_model, echo
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import Sampling
from assistants.techniques import (
    BUILDERS,
    BuildContext,
    Enrich,
    Memory,
    Technique,
    read_techniques,
)
from assistants.utils import parse_yaml


def read(text: str, folder: Path = Path(), **options: Any) -> tuple[Technique, ...]:
    """Return the techniques of one line of YAML; a client is called like its model."""

    def connect(model: str) -> Client:
        return ScriptedClient(echo, model)

    return read_techniques(parse_yaml(text, "x.yaml").data, connect, folder, **options)


def test_entries_of_the_documentation() -> None:
    memory, enrich = read(
        "{enrich: {model: qwen, style: rephrase, send: both},"
        " memory: {keep: 2, summary: {model: qwen, words: 120}}}"
    )
    assert isinstance(memory, Memory)
    assert (memory.keep, memory.mode, memory.words, memory.label) == (2, "summary", 120, "summary")
    assert isinstance(enrich, Enrich)
    assert (enrich.style, enrich.send, enrich.label) == ("rephrase", "both", "on")
    assert [s.client.model for t in (memory, enrich) for s in t.sidecars] == ["scripted:qwen"] * 2


@pytest.mark.parametrize(
    ("text", "label", "model"),
    [
        ("enrich: true", "on", default_model()),
        ("enrich: rewrite", "rewrite", default_model()),
        ("enrich: {style: expand}", "expand", default_model()),
        ("enrich: echo", "echo", None),
        ("enrich: {model: qwen, label: by-qwen}", "by-qwen", "qwen"),
        ("memory: true", "summary", default_model()),
        ("memory: {keep: 1, summary: qwen}", "summary", "qwen"),
        ("memory: {keep: 1, summary: true}", "summary", default_model()),
        ("memory: {keep: 1}", "window", None),
        ("memory: extract", "extract", None),
        ("memory: {extract: {words: 40}}", "extract", None),
        ("memory: {extract: {}}", "extract", None),
        ("memory: full", "full", None),
        ("memory: window", "window", None),
    ],
)
def test_short_forms(text: str, label: str, model: str | None) -> None:
    (technique,) = read(text)
    assert technique.label == label
    models = [sidecar.client.model for sidecar in technique.sidecars]
    assert models == ([] if model is None else [f"scripted:{model}"])


def test_settings_reach_the_technique() -> None:
    memory, enrich = read(
        "{memory: {keep: 3, summary: {turns: 4, words: 50, sampling: {temperature: 0}}},"
        " enrich: {sampling: {seed: 1}}}"
    )
    assert isinstance(memory, Memory)
    assert (memory.keep, memory.turns, memory.words) == (3, 4, 50)
    assert memory.sidecars[0].sampling == Sampling(temperature=0)
    assert enrich.sidecars[0].sampling == Sampling(seed=1)


def test_false_and_nothing_are_no_technique() -> None:
    assert read("{enrich: false, memory: null}") == ()


def test_prompt_file(tmp_path: Path) -> None:
    """A text of one's own is the sidecar's system prompt, and its name the label."""
    (tmp_path / "terse.md").write_text("Shorten the question.\n")
    (technique,) = read("enrich: {style: terse.md}", tmp_path)
    assert technique.label == "terse"
    assert technique.sidecars[0].system_prompt == "Shorten the question.\n"


def test_prompt_file_stays_within_the_folder(tmp_path: Path) -> None:
    """A stranger's experiment cannot send a private file to a model of its choice."""
    (tmp_path / "diary.md").write_text("private")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link.md").symlink_to(tmp_path / "diary.md")
    for style in ("../diary.md", str(tmp_path / "diary.md"), "link.md"):
        with pytest.raises(UsageError, match="outside the experiment's folder"):
            read(f"enrich: {{style: {style}}}", tmp_path / "inside")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enrich: {stile: rewrite}", "enrich: unknown key 'stile'. Did you mean 'style'?"),
        ("enrich: rewrit", "enrich: unknown style 'rewrit'. Did you mean 'rewrite'?"),
        ("enrich: {send: all}", "enrich: send"),
        ("enrich: {model: 3}", "enrich: model has to be text"),
        ("enrich: {sampling: {temprature: 0}}", "enrich: unknown setting 'temprature'"),
        ("enrich: {label: 'a b'}", "'a b' cannot name"),
        ("enrich: 7", "enrich: expected"),
        ("memory: {keep: two}", "memory: keep has to be a whole number"),
        ("memory: {keep: -1}", "memory: keep"),
        (
            "memory: {summary: {word: 9}}",
            "memory.summary: unknown key 'word'. Did you mean",
        ),
        ("memory: {summary: true, extract: true}", "memory: `summary` and `extract`"),
        ("memory: summry", "memory: unknown mode 'summry'. Did you mean 'summary'?"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(text, where="x.yaml:7")
    assert str(caught.value).startswith(f"x.yaml:7: {message}")


def test_unknown_technique_has_a_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match=r"x\.yaml:7: unknown technique 'enrch'.*'enrich'"):
        read("enrch: true", where="x.yaml:7")


def test_plugins_bring_their_own_builders() -> None:
    """Those of other packages come after the package's own, in their order."""

    def build(entry: Any, context: BuildContext) -> Technique:
        return Enrich(context.connect(entry), label="theirs")

    techniques = read("{theirs: m, memory: window}", builders={**BUILDERS, "theirs": build})
    assert [technique.label for technique in techniques] == ["window", "theirs"]
