"""One source of truth for the dependencies: pyproject.toml, from which the locks are made."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from assistants.utils.config_files import parse_yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LOCKS = ["requirements.lock", "requirements-test.lock"]


def locked(name: str) -> dict[str, list[str]]:
    """Versions of each package in a lock; a universal lock may hold one for each platform."""
    found: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([\w.+!]+)", (ROOT / name).read_text(), re.M):
        found.setdefault(canonicalize_name(package), []).append(version)
    return found


def locked_extras(lock: str) -> list[str]:
    """The extras that `make lock` puts into a lock."""
    recipe = (ROOT / "Makefile").read_text().partition("\nlock:")[2].partition("\nlock-vllm:")[0]
    (command,) = [c for c in recipe.split("uv pip compile") if c.rstrip().endswith(f"-o {lock}")]
    return re.findall(r"--extra (\w+)", command)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_packages_with_hashes_and_nothing_else(lock: str) -> None:
    """No address of any registry, and no package that could be swapped for another."""
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--index" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.M)[1:]
    assert len(entries) > 100
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_the_project(lock: str) -> None:
    """Every dependency of the package and its locked extras is there, at a version it accepts."""
    extras = locked_extras(lock)
    assert {"analysis", "local", "notebooks", "serve"} <= set(extras)
    wanted = [*PROJECT["project"]["dependencies"], *(r for e in extras for r in EXTRAS[e])]
    if "test" in lock:
        wanted += PROJECT["dependency-groups"]["test"]
    versions = locked(lock)
    for requirement in map(Requirement, wanted):
        if requirement.name == "assistants":  # an extra that brings another
            continue
        have = versions.get(canonicalize_name(requirement.name), [])
        assert any(requirement.specifier.contains(version) for version in have), requirement


def test_the_two_locks_agree() -> None:
    """What is tested is what is installed."""
    tested = locked("requirements-test.lock")
    for name, versions in locked("requirements.lock").items():
        assert tested[name] == versions


def test_conda_gives_the_same_installation() -> None:
    """environment.yml has the project's Python and takes every package from the lock."""
    environment = parse_yaml((ROOT / "environment.yml").read_text(), "environment.yml").data
    *conda, pip = environment["dependencies"]
    assert f"python {PROJECT['project']['requires-python']}" in conda
    assert {entry.split()[0] for entry in conda} == {"python", "make", "pip"}
    assert pip == {"pip": ["-r requirements.lock"]}


def test_ci_runs_the_command_of_the_readme() -> None:
    """What a reader is told to run is what decides whether a change lands."""
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert "make test" in (ROOT / "README.md").read_text()
