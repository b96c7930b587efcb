"""A wheel, installed far from the clone, does what the clone does."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from assistants.cli.init import TEMPLATES, template_files
from support.commands import Done

ROOT = Path(__file__).parent.parent

WATCH = """
import os, sys

log = os.open(os.environ["OPENED_IN_CLONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def watch(event, args):
    if event not in ("open", "os.listdir", "os.scandir") or not isinstance(args[0], (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(args[0]))
    if path.startswith({clone!r} + os.sep) and not path.startswith({dependencies!r} + os.sep):
        os.write(log, os.fsencode(path) + b"\\n")


sys.addaudithook(watch)
"""
"""Writes down every file and folder of the clone that any Python of an environment opens."""


@dataclass(frozen=True)
class Installation:
    """An environment that holds the wheel; its dependencies are those of this Python."""

    home: Path
    wheel: Path

    @property
    def opened_in_clone(self) -> Path:
        """The file that lists what was opened in the clone."""
        return self.home / "opened"

    def python(self, *args: str, cwd: Path) -> Done:
        """Run its Python."""
        ours = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "COLUMNS", "LINES")
        more = {
            "OPENED_IN_CLONE": str(self.opened_in_clone),
            "PYTHONNOUSERSITE": "1",
            "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
            **{f"XDG_{kind}_HOME": str(self.home / kind) for kind in ("CONFIG", "STATE", "DATA")},
        }
        done = subprocess.run(
            [self.home / "bin" / "python", *args], cwd=cwd, encoding="utf-8", capture_output=True,
            timeout=280, env={k: v for k, v in os.environ.items() if k not in ours} | more,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def assistants(self, line: str, cwd: Path) -> Done:
        """Run its command."""
        return self.python(str(self.home / "bin" / "assistants"), *line.split(), cwd=cwd)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The wheel of this clone in an environment of its own, made without a network."""
    made = tmp_path_factory.mktemp("wheel")
    hatch = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    subprocess.run(hatch, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = made.glob("*.whl")
    home = made / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "--quiet"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "install", "--no-deps", "--no-index", str(wheel)],
        check=True,
    )
    (packages,) = home.glob("lib/python*/site-packages")
    # A folder that a .pth file names is searched, and the .pth files in it (the clone's) are not.
    dependencies = sysconfig.get_path("purelib")
    (packages / "dependencies.pth").write_text(f"{dependencies}\nimport watch_opened\n")
    watch = WATCH.format(clone=str(ROOT), dependencies=sys.prefix)
    (packages / "watch_opened.py").write_text(watch)
    yield Installation(home, wheel)
    opened = home / "opened"
    assert opened.read_text().splitlines() == [], "the clone was read"


def test_the_clone_is_watched(installation: Installation, tmp_path: Path) -> None:
    """The package comes from the environment, and a look into the clone would be noticed."""
    code = "import assistants; print(assistants.__file__)"
    assert installation.python("-c", code, cwd=tmp_path).out.startswith(str(installation.home))
    seen = installation.opened_in_clone.read_text()
    installation.python("-c", f"open({str(ROOT / 'README.md')!r})", cwd=tmp_path)
    assert installation.opened_in_clone.read_text() == f"{seen}{ROOT / 'README.md'}\n"
    installation.opened_in_clone.write_text(seen)


def test_from_init_to_a_report(installation: Installation, tmp_path: Path) -> None:
    """A new project runs and is reported, with nothing read from the clone."""
    done = installation.assistants("init demo", tmp_path)
    assert done.code == 0, done.err
    demo = tmp_path / "demo"
    done = installation.assistants("run experiment.yaml -m echo --cases 2", demo)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    page = installation.assistants("view --no-open", demo).out.strip()
    assert "<html" in (demo / page).read_text(encoding="utf-8")
    assert installation.assistants("doctor", demo).code == 0
    assert installation.opened_in_clone.read_text() == ""


def test_the_tour_comes_with_it(installation: Installation, tmp_path: Path) -> None:
    """The experiments and notebooks of the clone are handed out, and run from their tapes."""
    assert installation.assistants("init . --template tour", tmp_path).code == 0
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.name for path in (tmp_path / "notebooks").iterdir()} == notebooks
    done = installation.assistants("run experiments/start-here.yaml --no-report", tmp_path)
    assert done.code == 0, done.err


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_whole(template: str, installation: Installation, tmp_path: Path) -> None:
    """A project from the wheel has the same files as one from the clone."""
    assert installation.assistants(f"init . --template {template}", tmp_path).code == 0
    for name, source in template_files(template).items():
        assert (tmp_path / name).read_bytes() == source.read_bytes(), name


def test_a_wheel_holds_every_file_of_the_package(installation: Installation) -> None:
    """Code, personas, styles, scripts, templates: all that git knows below ``assistants/``."""
    listed = subprocess.run(
        ["git", "ls-files", "assistants"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    with zipfile.ZipFile(installation.wheel) as archive:
        assert set(listed) - set(archive.namelist()) == set()
