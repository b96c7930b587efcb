"""``assistants plugins``, and the package of ``assistants init --template plugin``, installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assistants import Results
from support.commands import CONTROL, Done, call, run, write_experiment
from support.plugins import install, persona_module

GARDEN = [
    ("persona", "gardener"),
    ("provider", "parrot"),
    ("scorer", "mentions"),
    ("rubric", "clarity"),
]


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the template's project, whose package pip has installed beside it."""
    made = tmp_path_factory.mktemp("garden")
    assert call("init", str(made / "source"), "--template", "plugin").code == 0
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index"]
    target = ["--target", str(made / "packages"), str(made / "source")]
    subprocess.run([*pip, *offline, *target], check=True)
    return made / "source"


@pytest.fixture
def project(garden: Path, here: Path) -> Path:
    """A folder with the experiment of the template, and nothing of its code."""
    for name in ("experiment.yaml", "judge.yaml", "models.toml"):
        shutil.copy(garden / name, here)
    return here


def environment(garden: Path) -> dict[str, str]:
    """Return the variables of somebody who has the package."""
    places = [str(garden.parent / "packages"), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, places))
    return {"PYTHONPATH": path, "ASSISTANTS_NO_PLUGINS": "", "COLUMNS": "150"}


def with_plugins(garden: Path, *args: str) -> Done:
    """Run a command where the package is installed."""
    return run(*args, **environment(garden))


def test_an_experiment_with_one_of_each(garden: Path, project: Path) -> None:
    """Persona, provider, scorer and rubric of the package answer, score and judge."""
    done = with_plugins(garden, "run", "experiment.yaml", "--no-report")
    assert done.code == 0, done.err
    assert "warning" not in done.err
    found = Results().latest("experiment")
    trials = found.trials().set_index("persona")
    assert set(trials["model"]) == {"parrot:loud"}
    assert trials.loc["gardener", "answer"].str.startswith("YOU ARE A GARDENER").all()
    assert found.scores("mentions").groupby("persona")["value"].mean()["gardener"] == 1
    assert set(found.scores("judge.kind")["value"]) == {3.0}
    listed = [(p["kind"], p["name"]) for p in found.manifest["plugins"]]
    assert sorted(listed) == sorted(GARDEN)
    assert {(p["package"], p["version"]) for p in found.manifest["plugins"]} == {
        ("assistants-garden", "0.1.0")
    }
    (scorer,) = [s for s in found.manifest["scorers"] if s["name"] == "mentions"]
    assert scorer["version"].startswith("assistants-garden/0.1.0 mentions mentions/1 ")


def test_they_are_listed(garden: Path, here: Path) -> None:
    """With kind, name, package and version; and beside what is built in."""
    done = with_plugins(garden, "plugins")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    for kind, name in GARDEN:
        assert [kind, name, "assistants-garden", "0.1.0"] in rows
    assert "left out" not in done.out
    personas = with_plugins(garden, "personas").out.splitlines()
    (row,) = [line for line in personas if "Thinks in seasons" in line]
    assert "assistants-garden 0.1.0 (plug-in)" in row
    assert "parrot:" in with_plugins(garden, "models").out


@pytest.mark.parametrize("switch", ["option", "variable"])
def test_without_plugins(switch: str, garden: Path, project: Path) -> None:
    """An option, or a variable, leaves all of them out, for the processes of a report as well."""
    env = environment(garden) | {"ASSISTANTS_NO_PLUGINS": "1" if switch == "variable" else "0"}
    options = ["--no-plugins"] if switch == "option" else []
    done = run(*options, "run", "experiment.yaml", "--no-report", **env)
    assert done.code == 2
    assert "unknown persona 'gardener'" in done.err
    assert "switched off" in run(*options, "plugins", **env).out
    assert "gardener" not in run(*options, "personas", **env).out


def test_the_tests_of_the_template_pass(garden: Path, project: Path) -> None:
    """Those that come with the package, where it is installed."""
    shutil.copytree(garden / "tests", project / "tests")
    shutil.copy(garden / "pyproject.toml", project)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        env=os.environ | environment(garden), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


BROKEN = """
[assistants.personas]
rose = rose:persona
weed = no_module_of_that_name:persona
art = rose:persona
\x1b[2J\u202eevil = rose:persona

[assistants.clients]
acme = rose:NOTHING

[assistants.scorers]
words = rose:persona

[assistants.rubrics]
thorn = rose:persona
"""


def test_broken_ones_break_no_command(packages: Path, here: Path) -> None:
    """They are named on stderr, once each, and listed with their reasons; the others are used."""
    install(packages, "a-garden", BROKEN, {"rose.py": persona_module("You are a rose.")})
    install(here, "evil", "[assistants.personas]\nidea = os:system\n")
    write_experiment(personas=["*o*e"], models=["echo"])
    for line in (["personas"], ["personas", "rose"], ["models"], ["doctor"],
                 ["ask", "-m", "echo", "-p", "rose", "--no-record", "?"],
                 ["run", "exp.yaml", "--dry-run"]):  # fmt: skip
        done = call(*line)
        assert done.code == 0 or line == ["doctor"], done.err  # where something is not installed
        assert not CONTROL.search(done.out + done.err)
        warned = [text for text in done.err.splitlines() if text.startswith("warning:")]
        assert len(warned) == len(set(warned))
        if line == ["personas"]:
            assert len(warned) == 3
            assert "persona 'weed' of a-garden 1.0 is left out: ModuleNotFoundError" in done.err
            assert "You are a rose." not in done.out
    listed = call("plugins")
    assert listed.code == 0
    used, _, left_out = listed.out.partition("left out")
    assert [line.split()[:2] for line in used.splitlines()[2:] if line] == [["persona", "rose"]]
    for name in ("weed", "art", "evil", "acme", "words", "thorn", "idea"):
        assert name in left_out
    assert not CONTROL.search(listed.out)


def test_a_broken_one_that_is_asked_for(packages: Path) -> None:
    """The command ends with an error that names the package, and what to do."""
    install(packages, "a-garden", BROKEN, {"rose.py": persona_module("You are a rose.")})
    done = call("ask", "-m", "echo", "-p", "weed", "--no-record", "?")
    assert done.code == 2
    assert "error: persona 'weed' of a-garden 1.0 cannot be used: ModuleNotFoundError" in done.err
    assert "--no-plugins" in done.err
    done = call("ask", "-m", "acme:m", "--no-record", "?")
    assert (done.code, "provider 'acme' of a-garden 1.0" in done.err) == (2, True)


def test_the_option_ends_with_its_command(packages: Path) -> None:
    """What it sets for its own processes does not stay."""
    install(packages, "a-garden", BROKEN, {"rose.py": persona_module("You are a rose.")})
    assert "rose" not in call("--no-plugins", "personas").out
    assert "rose" in call("personas").out
