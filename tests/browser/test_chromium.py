"""Which browser the tests drive, and how a machine without one gets it; with stand-ins for all."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from support.browser import NAMES, find_browser

SUPPORT = Path(__file__).parents[1] / "support"
TOOLS = ("sh", "dirname", "env", "mkdir", "touch", "chmod")


def program(path: Path, says: str = "exit 0") -> Path:
    """An executable of one shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Playwright would have its own browser: nothing is there yet, nor on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


@pytest.fixture
def machine(tmp_path: Path, own: Path) -> Path:
    """A machine with a checkout, whose commands write down what they were asked for.

    Its user is not root; ``apt-get`` and ``playwright install`` are there, and both work.
    """
    commands = tmp_path / "bin"
    for name in TOOLS:
        program(commands / name, f'exec {shutil.which(name, path="/usr/bin:/bin")} "$@"')
    log = tmp_path / "log"
    program(commands / "id", "echo 1000")
    program(commands / "apt-get", f'echo "apt-get $*" >>{log}')
    program(commands / "sudo", 'shift; exec "$@"')
    program(
        tmp_path / ".venv" / "bin" / "python",
        f'if [ "$*" != "-m playwright install chromium" ]; then exec {sys.executable} "$@"; fi\n'
        f'echo "playwright" >>{log}; mkdir -p {own.parent}; touch {own}; chmod +x {own}',
    )
    support = tmp_path / "tests" / "support"
    support.mkdir(parents=True)
    for name in ("install-browser.sh", "browser.py"):
        shutil.copy(SUPPORT / name, support / name)
    log.touch()
    return tmp_path


def install(machine: Path) -> tuple[int, list[str], str]:
    """The exit code, what was asked to install something, and what was said."""
    script = machine / "tests" / "support" / "install-browser.sh"
    done = subprocess.run(["/bin/sh", script], capture_output=True, text=True, timeout=60)
    return done.returncode, (machine / "log").read_text().splitlines(), done.stderr


def found() -> Path:
    with sync_playwright() as playwright:
        return Path(find_browser(playwright))


def test_the_one_on_path_comes_first(tmp_path: Path, own: Path) -> None:
    """Under each of its names, whether Playwright has one or not."""
    program(own)
    with sync_playwright() as playwright:
        for name in NAMES:
            there = program(tmp_path / "bin" / name)
            assert Path(find_browser(playwright)) == there
            there.unlink()


def test_playwrights_own_will_do(own: Path) -> None:
    """Whoever ran ``playwright install chromium`` needs nothing on PATH, and no root."""
    program(own)
    assert found() == own


@pytest.mark.usefixtures("own")
def test_without_any_the_run_fails() -> None:
    """And says what to do; a test that skips would pass for one that ran."""
    with pytest.raises(AssertionError, match=r"run `sh tests/support/install-browser\.sh`"):
        found()


def test_what_is_there_is_not_installed_again(machine: Path, own: Path) -> None:
    """Neither over one on PATH, nor over Playwright's own."""
    on_path = program(machine / "bin" / NAMES[-1])
    assert install(machine)[:2] == (0, [])
    on_path.unlink()
    program(own)
    assert install(machine)[:2] == (0, [])


def test_the_systems_package_is_tried_first(machine: Path) -> None:
    """It brings the libraries that a browser needs; ``sudo`` where the user is not root."""
    code, asked, _ = install(machine)
    assert (code, asked) == (0, ["apt-get update -qq", "apt-get install -y -qq chromium"])


@pytest.mark.parametrize("lacks", ["root", "package", "package manager"])
def test_without_root_or_package_playwrights_own_is_fetched(
    machine: Path, own: Path, lacks: str
) -> None:
    """And then it is found; nobody is asked for a password."""
    if lacks == "root":
        program(machine / "bin" / "sudo", '[ "$1" = -n ] && exit 1; sleep 60')
    elif lacks == "package":
        program(machine / "bin" / "apt-get", '[ "$1" = update ]')
    else:
        (machine / "bin" / "apt-get").unlink()
    code, asked, told = install(machine)
    assert (code, asked[-1]) == (0, "playwright")
    assert "trying Playwright's own" in told
    assert found() == own


def test_where_nothing_helps_it_says_so(machine: Path) -> None:
    """With an exit code that stops ``make test``."""
    program(machine / "bin" / "apt-get", "exit 1")
    program(machine / ".venv" / "bin" / "python", "exit 1")
    code, _, told = install(machine)
    assert code == 1
    assert "No Chromium could be had" in told
