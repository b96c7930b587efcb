"""Leaving in the middle of an answer: the tab is closed, the kernel restarted, or dead."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from assistants import Results
from support.browser import Lab
from support.jupyterlab import NotebookPage, notebook_page, open_notebook, save
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

END = "That is the whole answer."
STREAMING = "[data-state=streaming] .tail:not(:empty)"
FIRST, SECOND = "How does light fall off?", "And how does sound?"


def answer(request: dict[str, Any]) -> str:
    """Answer with the question, and an end to wait for."""
    asked = request["messages"][-1]["content"]
    return f"You asked: {asked} {'Light spreads and becomes thin. ' * 8}\n\n{END}"


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer) as running:
        yield running


@pytest.fixture
def notebook(
    lab: Lab,
    context: BrowserContext,
    folder: Path,
    server: SlowServer,
    request: pytest.FixtureRequest,
) -> Iterator[NotebookPage]:
    """Two columns in the middle of the answers to a second question."""
    path = folder / (re.sub(r"\W+", "-", request.node.name) + ".ipynb")
    with notebook_page(lab, context, path, VLLM_BASE_URL=server.url) as opened:
        server.every = 0.005
        opened.show("Compare(['none', 'art'], ['vllm:m'])")
        opened.ask(FIRST)
        save(opened.page)
        server.every = 0.3
        opened.ask(SECOND, wait=False)
        opened.page.wait_for_selector(f"{STREAMING} >> nth=1")
        yield opened


def until(true: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until it is true; return whether it became so in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def stored(notebook: NotebookPage) -> list[tuple[str, str, str]]:
    """Return case, persona and status of every stored answer of the newest conversation."""
    *_, run = Results(notebook.folder / "results").runs("compare")
    assert all(
        text.endswith(END) for text in run.trials()["answer"][run.trials()["status"] == "ok"]
    )
    columns = (run.trials()[name] for name in ("case", "persona", "status"))
    return sorted(zip(*columns, strict=True))


def both(case: str) -> list[tuple[str, str, str]]:
    return [(case, "art", "ok"), (case, "none", "ok")]


def test_a_closed_tab_loses_nothing(notebook: NotebookPage, server: SlowServer) -> None:
    """The answers go on to their end, are stored as whole, and stand there when it is reopened."""
    notebook.page.close()
    assert server.in_flight == 2
    server.every = 0.005
    assert until(lambda: server.in_flight == 0)
    until(lambda: stored(notebook) == [*both("question-1"), *both("question-2")])
    assert stored(notebook) == [*both("question-1"), *both("question-2")]
    page = notebook.page.context.new_page()
    page.set_viewport_size({"width": 1400, "height": 1000})
    there = replace(notebook, page=page)
    open_notebook(page, notebook.lab, notebook.path)
    page.wait_for_function(
        "document.querySelectorAll('.assistants-live .answer').length === 4", timeout=60_000
    )
    there.wait_for_answers()
    assert [text.count(END) for text in there.column_texts()] == [2, 2]
    server.every = 0.005
    there.ask("And what of both?")
    assert [text.count(END) for text in there.column_texts()] == [3, 3]
    there.screenshot("compare-reopened")
    page.close()


@pytest.mark.parametrize("how", ["restarted", "dead"])
def test_a_kernel_that_goes_leaves_what_was_whole(
    notebook: NotebookPage, server: SlowServer, how: str
) -> None:
    """The first answers are stored as whole; of those in the middle none says that it is."""
    if how == "restarted":
        notebook.restart()
    else:
        notebook.signal_kernel(signal.SIGKILL)
    assert until(lambda: server.in_flight == 0)
    whole = [row for row in stored(notebook) if row[-1] == "ok"]
    assert whole == both("question-1")
