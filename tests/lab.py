"""Notebooks in a real JupyterLab, as the tests of the widgets drive them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nbformat
from browser import Lab
from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of code cells."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(made, path)


def open_notebook(page: Page, lab: Lab, path: str) -> None:
    """Open a notebook, and wait for its cells and its kernel."""
    page.goto(lab.notebook(path), timeout=60_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=60_000)


def menu(page: Page, *path: str) -> None:
    """Choose from the menus."""
    for name in path:
        page.get_by_role("menuitem", name=name).first.click()


def run_all(page: Page) -> None:
    """Run every cell."""
    menu(page, "Run", "Run All Cells")


def save(page: Page) -> None:
    """Save the notebook, and wait until it is saved."""
    page.locator("[data-command='docmanager:save']").first.click()
    page.wait_for_timeout(1500)


def outputs(path: Path) -> list[dict[str, object]]:
    """Every output of a saved notebook."""
    return [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]


def dark(page: Page) -> None:
    """Switch to the dark theme, through the command palette as a person would."""
    page.keyboard.press("Control+Shift+C")
    page.get_by_role("searchbox", name="Command Palette Section").or_(
        page.locator(".lm-CommandPalette-input")
    ).first.fill("Use Theme: JupyterLab Dark")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    page.keyboard.press("Escape")
