"""README, CONTRIBUTING, docs/ and the notebooks are true: commands run, files and names exist."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import assistants
from assistants import Browse, Chat, Compare, Experiment, Rate, Results, Run, Sampling, Server
from assistants.analysis.plots import Figure
from assistants.cli.init import template_files
from assistants.design.case_files import CaseEntry
from assistants.design.schema import (
    ControlsEntry,
    ExperimentFile,
    JudgeEntry,
    LimitsEntry,
    PairEntry,
    PersonaEntry,
)
from assistants.models import Catalogue, ModelEntry, Prices, Provider
from assistants.scoring.registry import _BUILDERS as SCORER_SETTINGS
from assistants.scoring.registry import SCORER_NAMES
from assistants.utils.config_files import parse_yaml
from support.commands import Done, call
from support.fake_vllm_python import python_with_vllm
from support.openai_server import OpenAIServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


DOCS = sorted((ROOT / "docs").glob("*.md"))


def commands(page: str) -> list[str]:
    """The lines of a page's shell blocks, without their comments."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    return [command for line in lines if (command := line.partition("#")[0].strip())]


COMMANDS = list(
    dict.fromkeys(
        command for text in (README, *(p.read_text() for p in DOCS)) for command in commands(text)
    )
)
PLACEHOLDER = re.compile(r"\b[A-Z]{2,}\b")
"""What a reader replaces, as in ``-m MODEL``."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Experiments in an empty folder, and in it the README's persona and experiment."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "experiments", made / "experiments")
    (made / "personas").mkdir()
    (made / "personas" / "gardener.md").write_text(blocks(README, "markdown")[0])
    (made / "experiments" / "yours.yaml").write_text(blocks(README, "yaml")[0])
    for page, block in (("prompt-engineers", "support"), ("tutorial", "class")):
        text = (ROOT / "docs" / f"{page}.md").read_text()
        (made / f"{block}.yaml").write_text(blocks(text, "yaml")[0])
    # The embedded model says as much as it likes; what it is asked is tested with its client.
    (made / "models.toml").write_text(
        '[models]\nqwen = "scripted:echo"\nsmollm2 = "scripted:echo"\n'
    )
    config = ROOT / "tests" / "design" / "promptfoo" / "text-and-variables" / "promptfooconfig.yaml"
    shutil.copy(config, made)
    python_with_vllm(made)
    yield made
    run("assistants stop --all", made)


@pytest.fixture(scope="module")
def openai() -> Iterator[dict[str, str]]:
    """The environment of somebody with a key, and an OpenAI of this test's own."""
    with OpenAIServer() as server:
        yield {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": server.key}


def servers_of(folder: Path) -> dict[str, str]:
    """A list of running servers of this test's own, and a Python whose vLLM is a stand-in."""
    return {
        "ASSISTANTS_CACHE": str(folder / "cache"),
        "ASSISTANTS_VLLM_PYTHON": str(folder / "python-with-vllm"),
    }


OUTSIDE = re.compile("make|assistants (view|serve|servers|stop)")
"""Commands that open a page or have servers run on; the others show the same in this process."""


def run(command: str, folder: Path, **more: str) -> Done:
    """Run a command as the reader would, with the environment of this Python."""
    more |= servers_of(folder) if re.search(r"serve|stop|vllm:", command) else {}
    words, entered = shlex.split(command), "What is a tree?\n\n"
    if not OUTSIDE.match(command):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for name, value in more.items():
                patch.setenv(name, value)
            return call(*words[1:], stdin=entered)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    more["BROWSER"] = "true"  # a program that is everywhere, and opens nothing
    done = subprocess.run(
        words, cwd=folder, text=True, capture_output=True, timeout=300,
        input=entered, env={**os.environ, "PATH": path, **more},
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "command",
    [c for c in COMMANDS if c.startswith("assistants ") and not PLACEHOLDER.search(c)],
)
def test_every_command_of_the_pages_works(
    command: str, folder: Path, openai: dict[str, str]
) -> None:
    """In the order of the pages, in a folder that has the experiments and nothing else."""
    done = run(command, folder, **openai)
    assert done.code == 0, done.err
    assert done.out or re.search(r"--out|--dry-run", command)  # a forecast goes to stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_every_make_target_of_the_pages_is_there(command: str) -> None:
    """``make -n`` knows it."""
    assert run(f"{command} -n", ROOT).code == 0


def test_no_command_of_the_pages_goes_untested() -> None:
    """A new kind of command has to be added above."""
    known = ("assistants ", "make ", ". .venv/bin/activate", "export ASSISTANTS_VLLM_PYTHON=",
             "export OPENAI_API_KEY=")  # fmt: skip
    assert [c for c in COMMANDS if not c.startswith(known)] == []


def test_the_persona_and_the_experiment_of_the_readme_load(folder: Path) -> None:
    """The gardener answers, with the text that the page shows."""
    done = run("assistants run experiments/yours.yaml -m echo --yes --no-report", folder)
    assert done.code == 0, done.err
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


def test_the_models_of_the_docs_load(tmp_path: Path) -> None:
    """The entry for another server is one that the program takes."""
    path = tmp_path / "models.toml"
    path.write_text(blocks((ROOT / "docs" / "models-file.md").read_text(), "toml")[0])
    assert Catalogue.read([path]).find("big").name == "tgi:mistral-large"


def test_the_file_tree_of_the_architecture_exists() -> None:
    """Every file that the page explains is where it says."""
    (tree,) = blocks(section("architecture.md", "Where things are"), "text")
    folder = ROOT
    for line in tree.strip("\n").splitlines():
        name = line.split()[0]
        place = (folder if line.startswith(" ") else ROOT) / name
        assert place.exists(), line
        if not line.startswith(" ") and name.endswith("/"):
            folder = ROOT / name


TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_links_and_pictures_exist(page: Path) -> None:
    """Nothing on the pages leads nowhere; ``make docs`` checks anchors too."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_paths_on_the_pages_exist(page: Path) -> None:
    """A path of the package, its tests or its benchmarks is where the page says."""
    text = page.read_text()
    paths = re.findall(r"`((?:assistants|tests|bench|notebooks|docs)/[\w./-]+)`", text)
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *DOCS,
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
    *sorted((ROOT / "assistants" / "cli" / "templates").glob("*/notebook.ipynb")),
]
FILE_NAME = re.compile(r"[\w./-]+\.(py|md|toml|yaml|json|ipynb|sqlite)")


def sources(page: Path) -> Iterator[str]:
    """Yield the code of a page: the cells of a notebook, and inline spans of its text."""
    text = page.read_text()
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        yield from ("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    yield from (s for s in re.findall(r"`([^`]+)`", prose) if not FILE_NAME.fullmatch(s))


def missing_names(source: str, known: dict[str, Any]) -> Iterator[str]:
    """Yield what a piece of Python calls by a name that is not there; other text has none."""
    try:
        tree = compile(
            source, "page", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("assistants"):
            module = importlib.import_module(str(node.module))
            yield from (a.name for a in node.names if not hasattr(module, a.name))
        elif isinstance(node, ast.Attribute) and not node.attr.isupper():
            owner = resolve(node.value, known)
            if owner is not None and not has(owner, node.attr):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            function = resolve(node.func, known)
            if inspect.isroutine(function):
                parameters = inspect.signature(function).parameters
                if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
                    given = [k.arg for k in node.keywords if k.arg and k.arg not in parameters]
                    yield from (f"{ast.unparse(node.func)}({name}=)" for name in given)


def resolve(node: ast.expr, known: dict[str, Any]) -> Any:
    """Return what an expression stands for: a class for its objects, ``None`` if unknown."""
    match node:
        case ast.Name(name):
            return known.get(name)
        case ast.Attribute(value, name):
            owner = resolve(value, known)
            found = None if owner is None else getattr(owner, name, None)
            return found if callable(found) or name == "plot" else None
        case ast.Call(function):
            made = resolve(function, known)
            return made if inspect.isclass(made) else None
    return None


def has(owner: Any, name: str) -> bool:
    """Return whether an object, or the objects of a class, have an attribute."""
    if inspect.isclass(owner):
        fields = {field for cls in owner.__mro__ for field in getattr(cls, "__annotations__", {})}
        return name in fields or hasattr(owner, name)
    return hasattr(owner, name)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that the pages use, with a real run, whose statistics are set when it is made."""
    experiment = Experiment.define("docs", personas=["none", "art"], models=["echo"], cases=["?"])
    run = experiment.run_sync(tmp_path_factory.mktemp("run"))
    classes = {name: getattr(assistants, name) for name in assistants.__all__}
    return classes | {
        "assistants": assistants, "run": run, "experiment": Experiment, "chat": Chat,
        "compare": Compare, "browse": Browse, "rate": Rate, "figure": Figure, "server": Server,
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_python_on_a_page_names_what_is_there(page: Path, known: dict[str, Any]) -> None:
    """Spans such as ``run.effects("words")``, and every cell, call real names and keywords."""
    assert [name for source in sources(page) for name in missing_names(source, known)] == []


def test_an_invented_name_is_found(known: dict[str, Any]) -> None:
    """The test above can fail: at a method, a chain, a keyword, an import."""
    assert isinstance(known["run"], Run)
    wrong = ["await run.embed(model)", "run.plot.forest()", "Results().run(id)",
             "run.effects(counted=...)", "from assistants import keep_case"]  # fmt: skip
    found = [list(missing_names(source, known)) for source in wrong]
    assert found == [
        ["run.embed"], ["run.plot.forest"], ["Results().run"], ["run.effects(counted=)"],
        ["keep_case"],
    ]  # fmt: skip


def test_the_judges_of_the_docs_are_judges() -> None:
    """The lines load as the scorers of an experiment, and cost nothing before it is run."""
    (listed,) = blocks(section("experiment-file.md", "Judges"), "yaml")
    content = parse_yaml(listed, "experiment-file.md").data
    experiment = Experiment.define(
        "judged", personas=["none", "art"], models=["echo"], cases=["?"], **content
    )
    assert [judge.name for judge in experiment.judges] == ["quality", "better"]
    assert experiment.forecast().judging == 4


def section(page: str, title: str) -> str:
    """The text below a heading of a page of docs/, up to the next one."""
    text = (ROOT / "docs" / page).read_text()
    return re.split(r"^#+ ", text.split(f"# {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def rows(page: str, title: str) -> dict[str, str]:
    """The rows of the table below a heading, by each name in their first cells."""
    found = re.findall(r"^\| (`[^|]*?) \| (.*) \|$", section(page, title), flags=re.M)
    return {name: rest for first, rest in found for name in re.findall(r"`([^`]+)`", first)}


@pytest.mark.parametrize(
    ("page", "title", "keys"),
    [
        ("experiment-file.md", "Keys", ExperimentFile.model_fields),
        ("experiment-file.md", "Personas", PersonaEntry.model_fields),
        ("experiment-file.md", "Assistants", PairEntry.model_fields),
        ("experiment-file.md", "Cases", CaseEntry.model_fields),
        ("experiment-file.md", "Sampling", {f.name for f in fields(Sampling)} - {"repeat"}),
        ("experiment-file.md", "Limits", LimitsEntry.model_fields),
        ("experiment-file.md", "Scorers", {*SCORER_NAMES, "judge"}),
        ("experiment-file.md", "Judges", JudgeEntry.model_fields),
        ("experiment-file.md", "Controls", ControlsEntry.model_fields),
        ("models-file.md", "`[providers.NAME]`", Provider.model_fields),
        ("models-file.md", "`[models]`", ModelEntry.model_fields),
        ("models-file.md", "Prices", Prices.model_fields),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_key_of_a_file_is_explained(page: str, title: str, keys: Collection[str]) -> None:
    """And no key that is not there."""
    assert set(rows(page, title)) == set(keys)


@pytest.mark.parametrize("scorer", SCORER_NAMES)
def test_every_setting_of_a_scorer_is_explained(scorer: str) -> None:
    """In the row of the scorer; ``name``, which all of them take, is explained above."""
    settings = SCORER_SETTINGS[scorer][0].model_fields
    names = {field.alias or name for name, field in settings.items()} - {"name"}
    assert names <= set(re.findall(r"`(\w+)`", rows("experiment-file.md", "Scorers")[scorer]))


def test_the_experiments_of_the_docs_load(folder: Path) -> None:
    """Every YAML block of the guides is an experiment file; the judges' are its scorers."""
    for page in DOCS:
        for number, block in enumerate(blocks(page.read_text(), "yaml")):
            if block.startswith("scorers:"):
                block = "personas: [none, art]\nmodels: [echo]\ncases: [Why?]\n" + block
            path = folder / f"{page.stem}-{number}.yaml"
            path.write_text(block)
            assert len(Experiment.load(path, personas=[folder / "personas"])) > 1


@pytest.mark.parametrize("page", ["recipes", "prompt-engineers", "talk", "techniques"])
def test_the_python_of_a_guide_runs(
    page: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cell by cell, with await at the top as in a notebook."""
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for source in blocks((ROOT / "docs" / f"{page}.md").read_text(), "python"):
        code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            asyncio.run(waiting)


def test_the_reference_has_every_public_name() -> None:
    """What ``import assistants`` offers is on the first page of the reference, with a link."""
    page = (ROOT / "docs" / "reference" / "index.md").read_text()
    listed = re.findall(r"\[`(\w+)`\]\[assistants\.", page)
    assert sorted(listed) == sorted(assistants.__all__)


def titled_blocks(page: str) -> list[tuple[str, str]]:
    """The names of files on a page of docs/, and the text that it shows of each."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', text, flags=re.M | re.S)


def test_the_plugins_of_the_docs_are_those_of_the_template() -> None:
    """Which are installed and used by ``tests/cli/test_plugins.py``; each kind in twenty lines."""
    files = template_files("plugin")
    shown = dict.fromkeys(name for name, _ in titled_blocks("plugins.md"))
    code = [name for name in files if name.startswith("assistants_garden/") and "__" not in name]
    assert set(code) <= set(shown)
    for name, block in titled_blocks("plugins.md"):
        text = files[name].read_text()
        if "GREENHOUSE" not in block:  # the server that there is not: loaded below
            assert block == text if name != "pyproject.toml" else block in text
        assert len([line for line in block.splitlines() if line.strip()]) <= 20, name
    (server,) = [block for _, block in titled_blocks("plugins.md") if "GREENHOUSE" in block]
    names: dict[str, Any] = {}
    exec(server, names)
    assert isinstance(names["GREENHOUSE"], Provider)
