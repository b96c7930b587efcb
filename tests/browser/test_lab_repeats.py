"""Several answers to one question, set on the page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from assistants import Results
from support.browser import Lab
from support.jupyterlab import NotebookPage, notebook_page
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

REACHED = """() => [...document.querySelectorAll('.assistants-live .answer')].indexOf(
    document.activeElement.closest('.answer'))"""
"""Which answer the focus is in; -1 if it is in none."""


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext, folder: Path) -> Iterator[NotebookPage]:
    """Behind ``vllm:`` a server that numbers its answers."""
    count = itertools.count(1)
    with (
        SlowServer(lambda request: f"This is draw {next(count)}.", every=0.005) as server,
        notebook_page(lab, context, folder / "repeats.ipynb", VLLM_BASE_URL=server.url) as opened,
    ):
        yield opened


def test_three_answers_each(notebook: NotebookPage) -> None:
    """Set, asked, unfolded and gone through by the keyboard alone; each is one row in the store."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    page = notebook.page
    page.get_by_label("How many answers each").focus()
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    assert page.get_by_label("How many answers each").input_value() == "3"
    notebook.ask("Which draw is this?")
    columns = page.locator(".assistants-live .column")
    assert [each.locator(".answer").count() for each in columns.all()] == [3, 3]
    assert page.locator(".answer:visible").count() == 2  # the others are folded away
    folds = page.locator("details.others > summary")
    assert folds.all_inner_texts() == ["2 more answers"] * 2
    for fold in folds.all():
        fold.press("Enter")
    assert page.locator(".answer:visible").count() == 6
    page.get_by_label("Question to all").focus()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        reached.add(page.evaluate(REACHED))
    assert reached == {-1, *range(6)}
    told = page.locator(".answer .markdown").all_inner_texts()
    assert sorted(told) == [f"This is draw {n}." for n in range(1, 7)]
    notebook.screenshot("compare-repeats")
    *_, run = Results(notebook.folder / "results").runs("compare")
    assert sorted(zip(run.trials()["persona"], run.trials()["repeat"], strict=True)) == [
        (persona, repeat) for persona in ("art", "none") for repeat in range(3)
    ]


def test_a_follow_up_goes_on_from_the_first_of_them(notebook: NotebookPage) -> None:
    """The number stays for the next question; as many answers come again, in each column."""
    page = notebook.page
    notebook.ask("And now?")
    columns = page.locator(".assistants-live .column")
    assert [each.locator(".answer").count() for each in columns.all()] == [6, 6]
    assert page.locator("details.others > summary").all_inner_texts() == ["2 more answers"] * 4
