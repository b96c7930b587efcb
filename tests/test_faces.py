"""Folders are entered by their face, so that what stands inside can move freely."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import assistants

PACKAGE = Path(assistants.__file__).parent
ROOT = PACKAGE.parent


def is_folder(module: str) -> bool:
    """Return whether a dotted name of the package is a folder, or a module of the root."""
    parts = module.split(".")[1:]
    return len(parts) < 2 or PACKAGE.joinpath(*parts).is_dir()


def imported_modules(source: str) -> Iterator[str]:
    """Yield the modules of the package that a source imports, in functions and annotations too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("assistants."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("assistants."):
            yield str(node.module)


def inner_modules(source: str, folder: str = "") -> list[str]:
    """Return the imported modules that stand inside a folder other than ``folder``."""
    return sorted(
        module
        for module in set(imported_modules(source))
        if not is_folder(module) and module.split(".")[1] != folder
    )


FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_other_folders_import_faces_only(folder: str) -> None:
    """An import from outside a folder names the folder, or a folder in it, and no module."""
    found = {
        str(path.relative_to(ROOT)): modules
        for path in (PACKAGE / folder).rglob("*.py")
        if (modules := inner_modules(path.read_text(encoding="utf-8"), folder))
    }
    assert found == {}


def test_modules_at_the_root_import_faces_only() -> None:
    """The same holds for the modules beside the folders."""
    found = {
        path.name: modules
        for path in PACKAGE.glob("*.py")
        if (modules := inner_modules(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_notebooks_and_readme_import_faces_only() -> None:
    """A reader copies what stands there, so that it has to last."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
        if modules := [module for source in sources for module in inner_modules(_plain(source))]:
            found[path.name] = modules
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S)
        if modules := [module for block in blocks for module in inner_modules(block)]:
            found[name] = modules
    assert found == {}


def _plain(source: str) -> str:
    """Return a cell's Python, without the lines that only IPython reads."""
    lines = source.splitlines()
    if lines and lines[0].startswith("%%"):
        return ""
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def test_the_root_is_small() -> None:
    """At most twelve folders and nine modules stand at the root."""
    assert len(FOLDERS) <= 12
    assert len([*PACKAGE.glob("*.py")]) <= 9
