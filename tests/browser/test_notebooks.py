"""The notebooks, as a newcomer meets them: in JupyterLab, in a browser, run from top to bottom."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect

from support.browser import Lab
from support.jupyterlab import (
    ALL_HAVE_RUN,
    SCREENSHOTS,
    lab_page,
    open_notebook,
    run_all,
    set_theme,
)

ROOT = Path(__file__).parents[2]
FIRST = "01-start-here"

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Shown:
    """What has to be on the page when every cell of a notebook has run.

    ``selector`` finds it, ``count`` times; the picture begins with the cell of the first one.
    """

    name: str
    selector: str
    count: int


TABLES = ".jp-RenderedHTMLCommon table:visible"
NOTEBOOKS = [
    Shown("01-start-here", ".assistants .card", 8),
    Shown("02-run-experiment", "td article", 8),
    Shown("03-judge-differences", TABLES, 9),
    Shown("04-read-results", TABLES, 5),
    Shown("05-chat-with-a-persona", ".assistants-live.chat > .main-part > .grid > .column", 1),
    Shown("06-compare-personas", ".assistants-live.compare .column", 3),
    Shown("07-rate-answers", ".assistants-live.rate .tally table", 1),
    Shown("08-browse-a-run", ".assistants-live.browse td[data-trial]", 2),
    Shown("09-plan-gpus", TABLES, 4),
]


@pytest.fixture(scope="module")
def folder(folder: Path) -> Path:
    """Notebooks and experiments, as a clone has them."""
    for name in ("notebooks", "experiments"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture
def page(context: BrowserContext, lab: Lab) -> Iterator[Page]:
    """A page as wide as a laptop's."""
    with lab_page(lab, context, width=1280, height=960) as opened:
        yield opened


def side_by_side(page: Page) -> bool:
    """Return whether the first two answers stand beside each other."""
    boxes = [page.locator("td article").nth(i).bounding_box() for i in (0, 1)]
    assert boxes[0]
    assert boxes[1]
    return boxes[1]["x"] > boxes[0]["x"] + boxes[0]["width"] - 1


def test_a_notebook_from_a_stranger_shows_the_answers_side_by_side(
    folder: Path, page: Page, lab: Lab
) -> None:
    """Before anything is run nothing is trusted and every style is taken away."""
    open_notebook(page, lab, folder / "notebooks" / f"{FIRST}.ipynb")
    page.wait_for_selector("td article")
    page.locator("td article").first.scroll_into_view_if_needed()
    assert side_by_side(page)
    page.screenshot(path=SCREENSHOTS / "start-here-untrusted.png")


def clear_outputs(folder: Path, name: str) -> Path:
    """Remove the outputs of a notebook, so that what is seen afterwards comes from this run."""
    file = folder / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(file, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    nbformat.write(notebook, file)
    return file


@pytest.mark.timeout(900)  # a real model answers, perhaps beside other tests
@pytest.mark.parametrize("shown", NOTEBOOKS, ids=lambda shown: shown.name)
def test_a_notebook_runs_in_jupyterlab(folder: Path, page: Page, lab: Lab, shown: Shown) -> None:
    """Every cell of it, without an error; and what it is about is on the page, live.

    Leaves ``build/screenshots/notebook-NN.png``; the sixth is the picture of the README.
    """
    thrown: list[str] = []

    def on_error(error: Error) -> None:
        thrown.append(str(error))

    page.on("pageerror", on_error)
    open_notebook(page, lab, clear_outputs(folder, shown.name))
    set_theme(page, "Light")
    page.keyboard.press("Control+b")  # the file browser goes away
    run_all(page)
    page.wait_for_function(ALL_HAVE_RUN, timeout=600_000)
    failed = page.locator("[data-mime-type$='jupyter.error']").all_inner_texts()
    assert failed == []
    there = page.locator(shown.selector)
    there.first.wait_for(timeout=120_000)
    expect(there).to_have_count(shown.count, timeout=60_000)
    assert all(part.is_visible() for part in there.all())
    assert page.locator(".assistants-live .problem:visible, .notice:visible").count() == 0
    assert page.get_by_text("Error displaying widget").count() == 0
    page.remove_listener("pageerror", on_error)
    assert thrown == []
    if shown.name == FIRST:
        assert side_by_side(page)
    there.first.evaluate("e => (e.closest('.jp-Cell') ?? e).scrollIntoView()")
    page.mouse.move(0, 0)
    page.screenshot(path=SCREENSHOTS / f"notebook-{shown.name[:2]}.png")
