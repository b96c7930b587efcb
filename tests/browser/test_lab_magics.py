"""``%%ask`` as people meet it: in a real JupyterLab, and in a notebook that papermill runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import pytest

from support.jupyterlab import Desk, desk, outputs, save, write_notebook
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

ANSWER = "Light **spreads**, and what spreads becomes thin. " * 20 + "That is all."
RUNNING = ".jp-InputPrompt >> text=[*]:"


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(lambda request: ANSWER) as running:
        yield running


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, server: SlowServer) -> Iterator[Desk]:
    """A notebook with the extension loaded."""
    with desk(tmp_path_factory.mktemp("lab"), VLLM_BASE_URL=server.url) as opened:
        opened.run("%load_ext assistants")
        opened.page.wait_for_selector(".jp-InputPrompt >> text=[1]:")
        yield opened


def test_a_cell_asks_and_shows_columns(at: Desk, server: SlowServer) -> None:
    """They stream while it runs; it ends with the answers, which stay in the notebook."""
    server.every = 0.01
    at.run("%%ask -p none -p art -m vllm:m --into answers\nWhy does light fade?")
    at.page.wait_for_selector("[data-state=streaming] .tail:not(:empty)")
    assert at.page.locator(RUNNING).count() == 1
    at.page.wait_for_selector(RUNNING, state="detached")
    at.rest()
    assert at.page.locator(".assistants-live .column h3").all_inner_texts() == ["No prompt", "Art"]
    told = at.columns()
    assert all("Why does light fade?" in text and "That is all." in text for text in told)
    assert at.page.locator(".assistants-live strong").count() == 40
    at.shot("magic-ask")
    save(at.page)
    assert str(outputs(at.folder / at.path)).count("That is all.") == 2
    at.run("print(list(answers['persona']), list(answers['state']))")
    at.page.wait_for_selector(".jp-RenderedText >> text=['none', 'art'] ['done', 'done']")


def test_the_columns_go_on_as_a_conversation(at: Desk, server: SlowServer) -> None:
    """What a cell asked can be asked further on the page."""
    server.every = 0.001
    at.run("%%ask -m vllm:m\nOne?")
    at.page.wait_for_selector(".assistants-live >> text=That is all.")
    at.ask("Two?")
    assert at.columns()[0].count("That is all.") == 2


def test_an_interrupt_brings_the_prompt_back(at: Desk, server: SlowServer) -> None:
    """Within two seconds of the button; the text so far is kept, and marked."""
    server.every = 0.2
    at.run("%%ask -p none -p art -m vllm:m --into answers\nWhy?")
    at.page.wait_for_selector("[data-state=streaming] .tail:not(:empty) >> nth=1")
    at.page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    began = time.monotonic()
    at.page.wait_for_selector(RUNNING, state="detached")
    assert time.monotonic() - began < 2
    at.rest()
    assert all("Stopped here" in text and "Light" in text for text in at.columns())
    at.page.wait_for_selector(".jp-RenderedText >> text=The answers were stopped")
    assert server.in_flight == 0
    at.shot("magic-interrupted")
    at.run("print(list(answers['state']))")
    at.page.wait_for_selector(".jp-RenderedText >> text=['stopped', 'stopped']")


def test_names_are_completed_with_tab(at: Desk) -> None:
    """Personas after -p, as JupyterLab asks the kernel for them."""
    at.run("%%ask -p mus")
    at.page.keyboard.press("Escape")
    at.page.locator(".jp-CodeCell .cm-content").first.click()
    at.page.keyboard.press("Control+A")
    at.page.keyboard.insert_text("%%ask -p hist")
    at.page.keyboard.press("Tab")
    at.page.wait_for_function(
        "document.querySelector('.jp-CodeCell .cm-content').innerText.includes('-p history')"
        " || [...document.querySelectorAll('.jp-Completer-match')]"
        ".some(e => e.textContent.includes('history'))"
    )


def test_papermill_leaves_the_answers_to_read(tmp_path: Path) -> None:
    """Of the embedded model and of a scripted one, whole, as HTML and in the next cell."""
    cells = [
        "%load_ext assistants",
        "%%ask -p none -p art -m smollm2 --max-tokens 12 --temperature 0 --into real\nWhy?",
        "%%ask -p art -m echo\nTea with <b>milk</b>?",
        "print(list(real['state']), all(real['answer']))",
    ]
    write_notebook(tmp_path / "input.ipynb", cells)
    papermill.execute_notebook(
        str(tmp_path / "input.ipynb"), str(tmp_path / "done.ipynb"), cwd=str(tmp_path),
        progress_bar=False,
    )  # fmt: skip
    *_, asked, echoed, printed = nbformat.read(tmp_path / "done.ipynb", 4).cells
    real, echo = (
        "".join("".join(out["data"].get("text/html", "")) for out in cell.outputs)
        for cell in (asked, echoed)
    )
    assert "No prompt" in real
    assert "12 tokens" in real
    assert real.count("<td") == 3
    assert "Tea with &lt;b&gt;milk&lt;/b&gt;?" in echo
    assert "You are a painter" in echo
    assert printed.outputs[0]["text"] == "['done', 'done'] True\n"
