"""Imports go down the list of layers, never up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import assistants

ROOT = Path(assistants.__file__).parent

LAYERS = """
    text messages errors keys address files templates personas models prices clients techniques
    assistant trial scoring case_files experiment_file schema database store limits attempts
    runner tables transcripts analysis scores votes judging embeddings delivery leaving_out
    regeneration attribution findings run results forecast planning manifest progress asking
    experiment controls case_keeping servers widgets kernel report doctor magics cli
""".split()
"""From the bottom to the top. A folder is one layer."""

FREE = {"__init__", "__main__", "_version"}
"""The package itself, which names what it offers and imports it when asked; the entry point."""


def modules() -> list[Path]:
    return sorted(p for p in ROOT.rglob("*.py") if "__pycache__" not in p.parts)


def layer_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The layers a module imports, in functions too.

    Not those under ``TYPE_CHECKING``: they are gone at run time, and an annotation may name what
    uses it (the manifest describes an experiment, which writes the manifest).
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("assistants.")}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides its layer"
            package, _, rest = (node.module or "").partition(".")
            if package == "assistants":
                found |= {rest.split(".")[0]} if rest else {a.name for a in node.names}
    return found - {"__version__"}


def test_every_module_has_its_layer() -> None:
    """A new module says where it stands before it is imported."""
    assert {layer_of(path) for path in modules()} - FREE <= set(LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    """A module imports what stands below it, or beside it in the same folder."""
    layer = layer_of(path)
    if layer in FREE:
        return
    allowed = set(LAYERS[: LAYERS.index(layer) + 1])
    assert imported(path) <= allowed
