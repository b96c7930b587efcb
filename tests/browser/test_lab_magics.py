"""``%%ask`` as people meet it: in a real JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from support.browser import Lab
from support.jupyterlab import NotebookPage, notebook_page, save, saved_outputs
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

ANSWER = "Light **spreads**, and what spreads becomes thin. " * 20 + "That is all."
RUNNING = ".jp-InputPrompt >> text=[*]:"


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(lambda request: ANSWER) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(
    lab: Lab, context: BrowserContext, folder: Path, server: SlowServer
) -> Iterator[NotebookPage]:
    """A notebook with the extension loaded."""
    path = folder / "magics.ipynb"
    with notebook_page(lab, context, path, VLLM_BASE_URL=server.url) as opened:
        opened.run("%load_ext assistants")
        opened.page.wait_for_selector(".jp-InputPrompt >> text=[1]:")
        yield opened


def test_a_cell_asks_and_shows_columns(notebook: NotebookPage, server: SlowServer) -> None:
    """They stream while it runs; it ends with the answers, which stay in the notebook."""
    server.every = 0.3
    notebook.run("%%ask -p none -p art -m vllm:m --into answers\nWhy does light fade?")
    notebook.page.wait_for_selector("[data-state=streaming] .tail:not(:empty)")
    assert notebook.page.locator(RUNNING).count() == 1
    server.every = 0.001
    notebook.page.wait_for_selector(RUNNING, state="detached")
    notebook.wait_for_answers()
    assert notebook.page.locator(".assistants-live .column h3").all_inner_texts() == [
        "No prompt",
        "Art",
    ]
    told = notebook.column_texts()
    assert all("Why does light fade?" in text and "That is all." in text for text in told)
    assert notebook.page.locator(".assistants-live strong").count() == 40
    notebook.screenshot("magic-ask")
    save(notebook.page)
    assert str(saved_outputs(notebook.path)).count("That is all.") == 2
    notebook.run("print(list(answers['persona']), list(answers['state']))")
    notebook.page.wait_for_selector(".jp-RenderedText >> text=['none', 'art'] ['done', 'done']")


def test_the_columns_go_on_as_a_conversation(notebook: NotebookPage, server: SlowServer) -> None:
    """What a cell asked can be asked further on the page."""
    server.every = 0.001
    notebook.run("%%ask -m vllm:m\nOne?")
    notebook.page.wait_for_selector(".assistants-live >> text=That is all.")
    notebook.ask("Two?")
    assert notebook.column_texts()[0].count("That is all.") == 2


def test_an_interrupt_brings_the_prompt_back(notebook: NotebookPage, server: SlowServer) -> None:
    """The text so far is kept, and marked."""
    server.every = 0.2
    notebook.run("%%ask -p none -p art -m vllm:m --into answers\nWhy?")
    notebook.page.wait_for_selector("[data-state=streaming] .tail:not(:empty) >> nth=1")
    notebook.interrupt()
    notebook.page.wait_for_selector(RUNNING, state="detached")
    notebook.wait_for_answers()
    assert all("Stopped here" in text and "Light" in text for text in notebook.column_texts())
    notebook.page.wait_for_selector(".jp-RenderedText >> text=The answers were stopped")
    assert server.in_flight == 0
    notebook.screenshot("magic-interrupted")
    notebook.run("print(list(answers['state']))")
    notebook.page.wait_for_selector(".jp-RenderedText >> text=['stopped', 'stopped']")


def test_names_are_completed_with_tab(notebook: NotebookPage) -> None:
    """Personas after -p, as JupyterLab asks the kernel for them."""
    notebook.run("%%ask -p mus")
    notebook.page.keyboard.press("Escape")
    notebook.page.locator(".jp-CodeCell .cm-content").first.click()
    notebook.page.keyboard.press("Control+A")
    notebook.page.keyboard.insert_text("%%ask -p hist")
    notebook.page.keyboard.press("Tab")
    notebook.page.wait_for_function(
        "document.querySelector('.jp-CodeCell .cm-content').innerText.includes('-p history')"
        " || [...document.querySelectorAll('.jp-Completer-match')]"
        ".some(e => e.textContent.includes('history'))"
    )
