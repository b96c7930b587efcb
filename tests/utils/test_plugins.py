"""Plug-ins are taken from installed packages only, one by one, and none can break a command."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from assistants.errors import PluginError
from assistants.utils import PluginGroup, PluginWarning, without_plugins
from support.plugins import install

GROUP = PluginGroup("persona", "assistants.personas", built_in=lambda: ["art"])


def entry(value: str, name: str = "gardener") -> str:
    return f"[assistants.personas]\n{name} = {value}\n"


def marked(folder: Path) -> str:
    """A module that leaves a file behind when it is imported."""
    mark = f"open({str(folder / 'imported')!r}, 'w').close()"
    return f"{mark}\n\n\ndef persona(name):\n    return name\n"


def reasons() -> dict[str, str]:
    """Why each plug-in is left out, by name."""
    return {plugin.name: reason for plugin, reason in GROUP.sort_out()[1]}


def test_a_list_imports_nothing(packages: Path) -> None:
    """Names, packages and versions are known from metadata; only what is loaded is imported."""
    install(packages, "a-garden", entry("a_garden:persona"), {"a_garden.py": marked(packages)})
    plugin = GROUP.find("gardener")
    assert plugin is not None
    assert str(plugin) == "persona 'gardener' of a-garden 1.0"
    assert plugin.source == "a-garden 1.0 (plug-in)"
    assert not (packages / "imported").exists()
    assert plugin.call(str, ["x"]) == "x"
    assert (packages / "imported").exists()


def test_a_package_that_is_installed_meanwhile(packages: Path) -> None:
    """It is there without a new process, as in a notebook after ``%pip install``."""
    assert GROUP.usable() == {}
    install(packages, "later", entry("later:persona"))
    os.utime(packages, ns=(1, 1))
    assert list(GROUP.usable()) == ["gardener"]


def test_of_a_package_that_is_there_twice_the_first_counts(
    packages: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an import: it is not a name that is taken twice."""
    install(packages, "a-garden", entry("old:persona"))
    first = tmp_path_factory.mktemp("first")
    install(first, "A_Garden", entry("new:persona"), version="2.0")
    monkeypatch.syspath_prepend(str(first))
    assert [plugin.version for plugin in GROUP.usable().values()] == ["2.0"]


def test_names_that_cannot_be_used(packages: Path) -> None:
    """Hostile ones, those of the package itself, and those of two packages: each is named."""
    hostile = "\x1b[2J\u202egnirts"
    lines = ("art = m:f", "../up = m:f", "UPPER = m:f", f"{hostile} = m:f", f"{'a' * 65} = m:f",
             "both = m:f", "fine = m:f", "no value")  # fmt: skip
    install(packages, "one", "[assistants.personas]\n" + "\n".join(lines))
    install(packages, "two", entry("m:f", name="both"))
    with pytest.warns(PluginWarning) as caught:
        assert list(GROUP.usable()) == ["fine"]
    said = [str(warning.message) for warning in caught]
    assert len(said) == 8
    assert all(line.isprintable() and len(line) < 250 for line in said)
    assert "built in" in reasons()["art"]
    assert "by one and two" in reasons()["both"]
    assert "persona 'both' of two 1.0 is left out" in "\n".join(said)


@pytest.mark.parametrize(
    ("value", "source", "reason"),
    [
        ("broken:f", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("broken:f", "raise SystemExit(3)", "SystemExit"),
        ("broken:f", "class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E"),
        ("broken:f", "f = 'text'", "no function, but str"),
        ("broken:g", "f = print", "AttributeError"),
        ("broken", "f = print", "no function, but module"),
        ("", "", "AttributeError"),
        ("missing:f", "", "ModuleNotFoundError"),
        ("broken:f", "def f(name): raise KeyError('\x1b[2J')", "KeyError"),
        ("broken:f", "def f(name): raise SystemExit", "SystemExit"),
        ("broken:f", "def f(name): return 5", "returned int, not str"),
        ("broken:f", "def f(): return ''", "TypeError"),
    ],
)  # fmt: skip
def test_whatever_a_plugin_does_is_its_own_error(
    value: str, source: str, reason: str, packages: Path
) -> None:
    """With its kind, name, package, version and the reason; what to do is said too."""
    install(packages, "broken", entry(value), {"broken.py": source})
    plugin = GROUP.find("gardener")
    assert plugin is not None
    with pytest.raises(PluginError) as raised:
        plugin.call(str, ["x"])
    assert str(raised.value).startswith("persona 'gardener' of broken 1.0 cannot be used: ")
    assert reason in raised.value.reason
    assert raised.value.message.isprintable()
    assert "uninstall broken" in raised.value.fix


@pytest.mark.parametrize("place", ["", ".", "here", "below", "script"])
def test_metadata_of_the_folder_worked_in_are_no_plugins(
    place: str, packages: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clone may hold any; it is on the import path of notebooks, of ``-c`` and of scripts."""
    folder = {"below": here / "src", "script": packages / "scripts"}.get(place, here)
    install(folder, "evil", entry("evil:persona"), {"evil.py": marked(here)})
    (folder / "more.egg-info").mkdir()
    (folder / "more.egg-info" / "entry_points.txt").write_text(entry("evil:persona", "other"))
    os.mkfifo(folder / "more.egg-info" / "PKG-INFO")
    (folder / "odd-1.dist-info").mkdir()
    os.mkfifo(folder / "odd-1.dist-info" / "entry_points.txt")  # reading it would never end
    monkeypatch.syspath_prepend(place if place in ("", ".") else str(folder))
    if place == "script":
        monkeypatch.setattr(
            sys.modules["__main__"], "__file__", str(folder / "run.py"), raising=False
        )
    assert GROUP.usable() == {}
    listed = {plugin.name: reason for plugin, reason in GROUP.of_project()}
    assert set(listed) == {"gardener", "other"}
    assert "not installed" in listed["other"]
    assert not (here / "imported").exists()


@pytest.mark.parametrize("kind", ["module", "package", "namespace", "imported"])
def test_a_module_of_the_folder_worked_in_is_not_taken_for_a_plugin(
    kind: str, packages: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would find it first; it is refused before anything of it runs."""
    inside = "a_garden/inner.py" if kind == "namespace" else "a_garden/__init__.py"
    value = "a_garden.inner:persona" if kind == "namespace" else "a_garden:persona"
    install(packages, "a-garden", entry(value), {inside: "def persona(name): return 'installed'"})
    theirs = here / ("a_garden.py" if kind == "module" else inside)
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text(marked(here))
    monkeypatch.syspath_prepend("")
    if kind == "imported":  # by a cell of a notebook, say
        __import__("a_garden")
        (here / "imported").unlink()
    plugin = GROUP.find("gardener")
    assert plugin is not None
    with pytest.raises(PluginError, match="has a module 'a_garden' of its own"):
        plugin.load()
    assert not (here / "imported").exists()
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    if kind != "imported":
        assert plugin.call(str, ["x"]) == "installed"


def test_a_package_in_editable_mode_is_used_in_its_own_folder(
    packages: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its author works there; another package's clone is no more than a clone there."""
    source = {"a_garden.py": "def persona(name): return 'edited'"}
    install(packages, "a-garden", entry("a_garden:persona"), source, source_folder=here)
    install(here, "a-garden", entry("a_garden:persona"))
    monkeypatch.syspath_prepend("")
    plugin = GROUP.find("gardener")
    assert plugin is not None
    assert plugin.call(str, ["x"]) == "edited"
    assert GROUP.of_project() == []
    (here / "clone").mkdir()
    monkeypatch.chdir(here / "clone")
    assert plugin.call(str, ["x"]) == "edited"


def test_an_environment_below_the_folder_worked_in_is_installed(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``.venv`` of a project is where Python installs packages, and no part of the project."""
    install(packages, "a-garden", entry("a_garden:persona"))
    monkeypatch.chdir(packages.parent)
    assert GROUP.usable() == {}
    monkeypatch.setattr(
        "assistants.utils.plugins._site_folders", lambda: frozenset({packages.resolve()})
    )
    assert list(GROUP.usable()) == ["gardener"]


@pytest.mark.parametrize("name", ["METADATA", "entry_points.txt", "direct_url.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[[[", b"{}"])
def test_broken_metadata_break_nothing(name: str, content: bytes, packages: Path) -> None:
    """Not UTF-8, empty, or something else: the other packages' plug-ins are still there."""
    install(packages, "broken", entry("broken:f", "other"))
    (packages / "broken-1.0.dist-info" / name).write_bytes(content)
    install(packages, "a-garden", entry("a_garden:persona"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "gardener" in GROUP.usable()


def test_a_working_directory_that_is_gone(
    packages: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed packages stay as they are."""
    install(packages, "a-garden", entry("a_garden:persona"))
    (here / "gone").mkdir()
    monkeypatch.chdir(here / "gone")
    monkeypatch.syspath_prepend("")
    (here / "gone").rmdir()
    assert list(GROUP.usable()) == ["gardener"]


@pytest.mark.parametrize(("value", "there"), [("1", False), ("yes", False), ("0", True)])
def test_a_variable_leaves_all_out(
    value: str, there: bool, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a context does for a while, for child processes as well."""
    install(packages, "a-garden", entry("a_garden:persona"))
    with without_plugins():
        assert GROUP.usable() == {}
        assert os.environ["ASSISTANTS_NO_PLUGINS"] == "1"
    monkeypatch.setenv("ASSISTANTS_NO_PLUGINS", value)
    assert bool(GROUP.usable()) is there
    with without_plugins():
        assert GROUP.usable() == {}
    assert os.environ["ASSISTANTS_NO_PLUGINS"] == value


PROBE = """
import sys
sys.argv = ["assistants", *{args!r}]
try:
    from assistants.cli import main
    main()
except SystemExit:
    pass
from assistants.utils import plugins
looked = plugins._installed.cache_info().misses
print("looked", looked, "a_garden" in sys.modules, "a_client" in sys.modules)
"""


@pytest.mark.parametrize(
    ("args", "looked", "imported"),
    [
        (["--version"], False, "False False"),
        (["personas", "art"], False, "False False"),
        (["ask", "-m", "echo", "-p", "none", "--no-record", "?"], False, "False False"),
        (["personas", "gardener"], True, "True False"),
    ],
)
def test_nothing_is_looked_for_or_imported_unasked(
    args: list[str], looked: bool, imported: str, packages: Path
) -> None:
    """What is built in is used without a look at the installed packages."""
    text = entry("a_garden:persona") + "[assistants.clients]\nfast = a_client:connect\n"
    source = "from assistants import Persona\n\n\ndef persona(name): return Persona(name, 'x')"
    install(packages, "a-garden", text, {"a_garden.py": source, "a_client.py": ""})
    path = os.pathsep.join([str(packages), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(args=args)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    *_, last = done.stdout.splitlines()
    assert last.split()[0] == "looked", done.stderr
    assert (int(last.split()[1]) > 0) is looked
    assert last.split(maxsplit=2)[2] == imported
