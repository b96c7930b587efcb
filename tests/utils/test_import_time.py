"""Importing the package costs next to nothing and does nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HEAVY = {
    "openai", "pandas", "ipywidgets", "pydantic", "jinja2", "ruamel", "pyarrow", "numpy", "tqdm",
    "typer", "aiohttp", "httpx2", "IPython", "papermill", "asyncio", "sqlite3",
}  # fmt: skip

PROBE = """
import json, sys, threading
opened = []
sys.addaudithook(lambda event, args: event in ("open", "socket.__new__", "subprocess.Popen")
                 and opened.append([event, str(args[0])]))
before = set(sys.modules)
import {module}
print(json.dumps([sorted(set(sys.modules) - before), threading.active_count(), opened]))
"""


def probe(module: str, folder: Path) -> tuple[set[str], int, list[list[str]]]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module)],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded, threads, opened = json.loads(done.stdout)
    return {name.split(".")[0] for name in loaded}, threads, opened


def test_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    """`import assistants` loads no SDK, no tables, no widgets, and not even asyncio."""
    loaded, _, _ = probe("assistants", tmp_path)
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "module", ["assistants", "assistants.experiment", "assistants.clients.openai.client"]
)
def test_an_import_does_nothing(tmp_path: Path, module: str) -> None:
    """No thread, no process, no connection, and no file but the code itself."""
    _, threads, opened = probe(module, tmp_path)
    assert threads == 1
    assert not [what for what in opened if _is_an_action(*what)]
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_needs_neither_sdk_nor_tables_to_be_read(tmp_path: Path) -> None:
    """What only some commands need is imported by those."""
    loaded, _, _ = probe("assistants.experiment", tmp_path)
    assert not loaded & {"openai", "pandas", "pyarrow", "ipywidgets", "tqdm", "aiohttp"}


def _is_an_action(event: str, what: Any) -> bool:
    if event != "open":
        return True
    code = what.endswith((".py", ".pyi", ".pyc", ".so")) or "__pycache__" in what
    listed = ".dist-info" in what  # read by pydantic, which looks for plug-ins of its own
    return "assistants" in what and not code and not listed
