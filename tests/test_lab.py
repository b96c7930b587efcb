"""The first notebook, as a newcomer meets it: in JupyterLab, in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser import Lab, chromium, jupyter_lab
from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
FIRST = "notebooks/01-start-here.ipynb"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notebooks and experiments, as a clone has them."""
    made = tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "experiments"):
        shutil.copytree(ROOT / name, made / name)
    return made


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Lab]:
    """One JupyterLab for all tests of this file."""
    with jupyter_lab(folder) as running:
        yield running


@pytest.fixture
def page() -> Iterator[Page]:
    """A page as wide as a small laptop's."""
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1200, "height": 900})


def open_notebook(page: Page, lab: Lab, path: str) -> None:
    """Open a notebook and wait until its cells are on the page and its kernel is there."""
    page.goto(lab.notebook(path), timeout=60_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=60_000)


def side_by_side(page: Page) -> bool:
    """Whether the first two answers stand beside each other."""
    boxes = [page.locator("td article").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]
    assert boxes[1]
    return boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"] - 1


def test_a_notebook_from_a_stranger_shows_the_answers_side_by_side(page: Page, lab: Lab) -> None:
    """Before anything is run nothing is trusted and every style is taken away."""
    open_notebook(page, lab, FIRST)
    page.wait_for_selector("td article")
    page.locator("td article").first.scroll_into_view_if_needed()
    assert side_by_side(page)
    page.screenshot(path=SCREENSHOTS / "start-here-untrusted.png")


def test_the_first_notebook_runs_in_jupyterlab(folder: Path, page: Page, lab: Lab) -> None:
    """Every cell of it, without an error; and the answers stand side by side on the page."""
    notebook = nbformat.read(folder / FIRST, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, folder / "notebooks" / "cleared.ipynb")
    open_notebook(page, lab, "notebooks/cleared.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(
        "count => document.body.innerText.includes(`[${count}]:`)", arg=len(cells), timeout=90_000
    )
    assert page.locator("[data-mime-type*='error']").count() == 0
    assert page.locator(".assistants .card").count() == 8
    page.locator(".assistants .card").first.scroll_into_view_if_needed()
    assert side_by_side(page)
    page.screenshot(path=SCREENSHOTS / "start-here.png")
