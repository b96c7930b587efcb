"""What README and CONTRIBUTING say is true: their commands are run, their files exist."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistants import Experiment, Results
from assistants.models import Catalogue
from assistants.utils.config_files import parse_yaml
from support.fake_vllm_python import python_with_vllm

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


COMMANDS = [
    line.partition("#")[0].strip() for block in blocks(README, "sh") for line in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Experiments in an empty folder, and in it the README's persona and experiment."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "experiments", made / "experiments")
    (made / "personas").mkdir()
    (made / "personas" / "gardener.md").write_text(blocks(README, "markdown")[0])
    (made / "experiments" / "yours.yaml").write_text(blocks(README, "yaml")[0])
    python_with_vllm(made)
    yield made
    run("assistants stop --all", made)


def servers_of(folder: Path) -> dict[str, str]:
    """A list of running servers of this test's own, and a Python whose vLLM is a stand-in."""
    return {
        "ASSISTANTS_CACHE": str(folder / "cache"),
        "ASSISTANTS_VLLM_PYTHON": str(folder / "python-with-vllm"),
    }


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as the reader would, with the environment of this Python."""
    more = servers_of(folder) if re.search(r"serve|stop|vllm:", command) else {}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command), cwd=folder, text=True, capture_output=True, timeout=300,
        input="What is a tree?\n\n", env={**os.environ, "PATH": path, **more},
    )  # fmt: skip


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("assistants ")])
def test_every_command_of_the_readme_works(command: str, folder: Path) -> None:
    """In the order of the page, in a folder that has the experiments and nothing else."""
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "--out" in command


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_target_of_the_readme_is_there(command: str) -> None:
    """``make -n`` knows it."""
    assert run(f"{command} -n", ROOT).returncode == 0


def test_no_command_of_the_readme_goes_untested() -> None:
    """A new kind of command has to be added above."""
    known = ("assistants ", "make ", ". .venv/bin/activate", "export ASSISTANTS_VLLM_PYTHON=")
    assert [c for c in COMMANDS if not c.startswith(known)] == []


def test_the_persona_and_the_experiment_of_the_readme_load(folder: Path) -> None:
    """The gardener answers, with the text that the page shows."""
    done = run("assistants run experiments/yours.yaml -m echo --yes --no-report", folder)
    assert done.returncode == 0, done.stderr
    answers = Results(folder / "results").latest("yours").trials()["answer"]
    assert answers.str.contains("You are a gardener").any()


def test_the_python_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell, with await at the top as in a notebook; and CONTRIBUTING's goes on from it."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"Experiment": Experiment}
    for source in [*blocks(README, "python"), *blocks(CONTRIBUTING, "python")]:
        code = compile(source, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            asyncio.run(waiting)
    assert set(names["frame"]["scorer"]) == {"questions"}  # type: ignore[index]


def test_the_models_of_the_readme_load(tmp_path: Path) -> None:
    """The entry for another server is one that the program takes."""
    path = tmp_path / "models.toml"
    path.write_text(blocks(README, "toml")[0])
    assert Catalogue.read([path]).find("big").name == "tgi:mistral-large"


def test_the_file_tree_of_the_readme_exists() -> None:
    """Every file that the page explains is where it says."""
    tree = README.split("## Where things are")[1].split("```")[1]
    folder = ROOT
    for line in tree.strip("\n").splitlines():
        name = line.split()[0]
        place = (folder if line.startswith(" ") else ROOT) / name
        assert place.exists(), line
        if not line.startswith(" ") and name.endswith("/"):
            folder = ROOT / name


def test_links_and_pictures_exist() -> None:
    """Nothing on the pages leads nowhere."""
    for page in (README, CONTRIBUTING):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert (ROOT / target).exists(), target


def test_the_judges_of_the_readme_are_judges() -> None:
    """The lines load as the scorers of an experiment, and cost nothing before it is run."""
    (listed,) = re.findall(r"^  ```yaml\n(.*?)^  ```", README, flags=re.M | re.S)
    content = parse_yaml(textwrap.dedent(listed), "README.md").data
    experiment = Experiment.define(
        "judged", personas=["none", "art"], models=["echo"], cases=["?"], **content
    )
    assert [judge.name for judge in experiment.judges] == ["quality", "better"]
    assert experiment.forecast().judging == 4
