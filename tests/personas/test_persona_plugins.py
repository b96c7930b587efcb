"""Personas of other packages stand beside those of files, and a broken one is only left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.errors import PluginError, UnknownNameError
from assistants.personas import Library
from assistants.utils import PluginWarning
from support.plugins import install, persona_module

ENTRIES = "[assistants.personas]\ngardener = a_garden:persona\nart = a_garden:persona\n"


@pytest.fixture
def garden(packages: Path) -> None:
    install(packages, "a-garden", ENTRIES.replace("art =", "rose ="), {
        "a_garden.py": persona_module("You garden."),
    })  # fmt: skip


def test_a_persona_of_a_plugin(garden: None, here: Path) -> None:
    """It is found by its name and by patterns, and says which package it is of."""
    library = Library.default()
    found = library.find("gardener")
    assert (found.text, found.source) == ("You garden.", "a-garden 1.0 (plug-in)")
    assert found.plugin is not None
    assert {"gardener", "rose", "art"} <= set(library.names())
    assert [p.name for p in library.select("*rose*", folder=here)] == ["rose"]
    assert [p.source for p in library.all() if p.plugin] == ["a-garden 1.0 (plug-in)"] * 2
    with pytest.raises(UnknownNameError, match="Did you mean 'gardener'"):
        library.find("gardner")


def test_files_go_before_plugins(packages: Path, here: Path) -> None:
    """One of the package cannot be replaced by a plug-in; a project's own replaces a plug-in's."""
    install(packages, "a-garden", ENTRIES, {"a_garden.py": persona_module("You garden.")})
    (here / "personas").mkdir()
    (here / "personas" / "gardener.md").write_text("Mine.", encoding="utf-8")
    library = Library.default()
    assert library.find("art").plugin is None
    assert library.find("gardener").text == "Mine."
    with pytest.warns(PluginWarning, match="'art' of a-garden 1.0 is left out: the name is taken"):
        assert not [p for p in library.all() if p.plugin]


def test_a_library_of_folders_has_no_plugins(garden: None, here: Path) -> None:
    """Such as the one that a plug-in reads its own files with."""
    (here / "own").mkdir()
    assert Library([here / "own"]).names() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 'You garden.'", "returned str, not Persona"),
        ("return Persona('other', 'x')", "a persona called 'other'"),
        ("return Persona(name, 5)", "the text of its persona is int"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_broken_one(body: str, reason: str, packages: Path) -> None:
    """Among others it is named and left out; asked for by its name, it is an error."""
    source = f"from assistants.personas import Persona\n\n\ndef broken(name):\n    {body}\n"
    text = "[assistants.personas]\nweed = a_garden:broken\nrose = rose:persona\n"
    modules = {"a_garden.py": source, "rose.py": persona_module("x")}
    install(packages, "a-garden", text, modules)
    library = Library.default()
    with pytest.raises(PluginError, match=reason):
        library.find("weed")
    with pytest.warns(PluginWarning, match=f"'weed' of a-garden 1.0 is left out: .*{reason}"):
        names = [persona.name for persona in library.all()]
    assert "rose" in names
    assert "weed" not in names
