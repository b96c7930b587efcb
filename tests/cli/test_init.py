"""``assistants init``: what it writes, what it leaves alone, and that it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assistants import Experiment, Results
from assistants.cli.init import FOLDER, TEMPLATES
from assistants.report import execute
from support.commands import Done, call

OWN = [name for name in TEMPLATES if name not in ("tour", "plugin")]
"""Templates of one experiment.

The tour is the notebooks of the repository, tested there; a plug-in has to be installed first:
``test_plugins.py``.
"""

JUDGE = '"*": |\n  A\n  clear: 4 - it is\n  correct: 3 - it is\n'


def project(template: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start a project and go there; the models are a script."""
    assert call("init", "demo", "--template", template).code == 0
    monkeypatch.chdir("demo")
    names = ("qwen", "chatgpt")
    entries = "".join(f'{name} = "scripted:judge.yaml"\n' for name in names)
    Path("models.toml").write_text(f"[models]\n{entries}", encoding="utf-8")
    Path("judge.yaml").write_text(JUDGE, encoding="utf-8")
    return Path.cwd()


def commands(readme: Path) -> list[str]:
    """Return the commands that a project's README begins with."""
    block = re.search(r"^```sh\n(.*?)^```", readme.read_text("utf-8"), flags=re.M | re.S)
    assert block is not None
    return [line.partition("#")[0].strip() for line in block[1].splitlines()]


@pytest.mark.parametrize("template", OWN)
def test_a_template_loads_runs_and_replays(
    template: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ``echo``: a dry run, a run, and a second one that asks nothing. A script is scored."""
    project(template, monkeypatch)
    assert len(Experiment.load("experiment.yaml")) > 0
    dry = call("run", "experiment.yaml", "-m", "echo", "--dry-run")
    assert dry.code == 0, dry.err
    assert "warning" not in dry.err
    done = call("run", "experiment.yaml", "-m", "echo", "--no-report")
    assert done.code == 0, done.err
    again = call("run", "experiment.yaml", "-m", "echo", "--no-report")
    assert "nothing to ask" in again.err
    personas = {path.stem for path in Path("personas").glob("*.md")}
    assert set(Results().latest("experiment").trials()["persona"]) == {"none", *personas}
    elsewhere = ("--tape", "scripted.jsonl", "--results", "scripted")
    scored = call("run", "experiment.yaml", "-m", "qwen", "--no-report", *elsewhere)
    assert scored.code == 0, scored.err
    assert "no score" not in scored.err


@pytest.mark.parametrize("template", OWN)
def test_a_notebook_of_a_template_runs(
    template: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From top to bottom, on ``echo``; it comes without outputs of somebody else's."""
    folder = project(template, monkeypatch)
    cells = json.loads((folder / "notebook.ipynb").read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells)
    execute(folder / "notebook.ipynb", folder / "out.ipynb", {"model": "echo"})


def test_a_class_needs_no_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with its tape, handed out without its results, answers from the tape alone."""
    folder = project("classroom", monkeypatch)
    assert call("run", "experiment.yaml", "--no-report").code == 0
    assert (folder / "class.tape.jsonl").is_file()
    (folder / "judge.yaml").write_text('"Another question?": No.\n', encoding="utf-8")
    done = call("run", "experiment.yaml", "--no-report", "--results", "pupil")
    assert done.code == 1  # the tape is of another model: a script is its text
    (folder / "judge.yaml").write_text(JUDGE, encoding="utf-8")
    done = call("run", "experiment.yaml", "--no-report", "--results", "pupil")
    assert done.code == 0, done.err


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_says_what_comes_next(template: str, here: Path) -> None:
    """The three commands of its README are printed, after the way there; they are ours."""
    done = call("init", "demo", "--template", template)
    assert done.code == 0, done.err
    said = [line.partition("#")[0].strip() for line in done.out.splitlines()]
    assert said == ["cd demo", *commands(here / "demo" / "README.md")]
    assert len(said) == 4
    assert "results/" in (here / "demo" / ".gitignore").read_text("utf-8").splitlines()
    for line in said[1:]:
        if line.startswith("assistants "):
            assert call(line.split()[1], "--help").code == 0
    assert not re.search(r"\]\(", (here / "demo" / "README.md").read_text("utf-8"))


def test_the_folder_one_is_in(here: Path) -> None:
    """Without a folder it is this one, whatever its name, beside what is there already."""
    Path("notes.txt").write_text("mine", encoding="utf-8")
    done = call("init")
    assert done.code == 0, done.err
    assert not done.out.startswith("cd ")
    assert Path("experiment.yaml").is_file()
    assert Path("notes.txt").read_text("utf-8") == "mine"
    Path("a b").mkdir()
    assert call("init", "a b").out.startswith("cd 'a b'\n")


@pytest.mark.parametrize("kind", ["file", "link"])
def test_nothing_is_overwritten(kind: str, here: Path) -> None:
    """A file, or a link to nowhere, at the place of one of its own: nothing is written."""
    Path("demo").mkdir()
    if kind == "file":
        Path("demo/cases.csv").write_text("mine", encoding="utf-8")
    else:
        Path("demo/cases.csv").symlink_to("../elsewhere.csv")
    done = call("init", "demo")
    assert (done.code, done.out) == (2, "")
    assert "cases.csv" in done.err
    assert [path.name for path in Path("demo").iterdir()] == ["cases.csv"]
    assert not Path("elsewhere.csv").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["init", "demo", "--template", "compair"], "'compare'"),
        (["init", "demo", "--template", "../common"], "unknown template"),
        (["init", "demo", "--template", "common"], "unknown template"),
        (["init", "A project"], "cannot name a project"),
        (["init", "a/..\x1b[2J"], "cannot name a project"),
        (["init", "notes"], "is a file"),
    ],
)
def test_wrong_names_are_refused(line: list[str], words: str, here: Path) -> None:
    """Of a template, of a folder: wrong usage, with the reason, and nothing is written."""
    Path("notes").write_text("mine", encoding="utf-8")
    done: Done = call(*line)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert "\x1b" not in done.err
    assert [path.name for path in here.iterdir()] == ["notes"]


def test_every_folder_of_the_templates_is_used() -> None:
    """No template is left out of the list, and none is missing."""
    layers = {layer for made_of in TEMPLATES.values() for layer in made_of}
    assert layers == {path.name for path in FOLDER.iterdir()}
