"""Leaving in the middle of an answer: the tab is closed, the kernel restarted, or dead."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from assistants import Results
from support.jupyterlab import Desk, desk, open_notebook, save, write_notebook
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

END = "That is the whole answer."
STREAMING = "[data-state=streaming] .tail:not(:empty)"
FIRST, SECOND = "How does light fall off?", "And how does sound?"


def answer(request: dict[str, Any]) -> str:
    """Which question it was, and an end to be waited for."""
    asked = request["messages"][-1]["content"]
    return f"You asked: {asked} {'Light spreads and becomes thin. ' * 8}\n\n{END}"


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory, server: SlowServer) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("lab"), VLLM_BASE_URL=server.url) as opened:
        yield opened


@pytest.fixture
def at(notebook: Desk, server: SlowServer, request: pytest.FixtureRequest) -> Desk:
    """Two columns, in a tab of their own, in the middle of the answers to a second question."""
    path = re.sub(r"\W+", "-", request.node.name) + ".ipynb"
    write_notebook(notebook.folder / path, [""])
    page = notebook.browser.new_page(viewport={"width": 1400, "height": 1000})
    open_notebook(page, notebook.lab, path)
    opened = replace(notebook, page=page, path=path)
    server.every = 0.005
    for question in ("What else is there?", FIRST):  # a kernel's first one waits for imports
        opened.show("Compare(['none', 'art'], ['vllm:m'])")
        opened.ask(question)
    save(page)
    server.every = 0.08
    opened.ask(SECOND, wait=False)
    page.wait_for_selector(f"{STREAMING} >> nth=1")
    return opened


def until(true: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.1)
    return true()


def stored(at: Desk) -> list[tuple[str, str, str]]:
    """Case, persona and status of every answer of the newest conversation, as it is stored."""
    *_, run = Results(at.folder / "results").runs("compare")
    assert all(
        text.endswith(END) for text in run.trials()["answer"][run.trials()["status"] == "ok"]
    )
    columns = (run.trials()[name] for name in ("case", "persona", "status"))
    return sorted(zip(*columns, strict=True))


def both(case: str) -> list[tuple[str, str, str]]:
    return [(case, "art", "ok"), (case, "none", "ok")]


def test_a_closed_tab_loses_nothing(at: Desk, server: SlowServer) -> None:
    """The answers go on to their end, are stored as whole, and stand there when it is reopened."""
    at.page.close()
    assert server.in_flight == 2
    assert until(lambda: server.in_flight == 0)
    until(lambda: stored(at) == [*both("question-1"), *both("question-2")], 5)
    assert stored(at) == [*both("question-1"), *both("question-2")]
    page = at.browser.new_page(viewport={"width": 1400, "height": 1000})
    there = replace(at, page=page)
    open_notebook(page, at.lab, at.path)
    page.wait_for_function(
        "document.querySelectorAll('.assistants-live .answer').length === 4", timeout=60_000
    )
    there.rest()
    assert [text.count(END) for text in there.columns()] == [2, 2]
    server.every = 0.005
    there.ask("And what of both?")
    assert [text.count(END) for text in there.columns()] == [3, 3]
    there.shot("compare-reopened")
    page.close()


@pytest.mark.parametrize("how", ["restarted", "dead"])
def test_a_kernel_that_goes_leaves_what_was_whole(at: Desk, server: SlowServer, how: str) -> None:
    """The first answers are stored as whole; of those in the middle none says that it is."""
    if how == "restarted":
        at.restart()
    else:
        at.run("import os; os._exit(1)")
    assert until(lambda: server.in_flight == 0, 20)
    whole = [each for each in stored(at) if each[-1] == "ok"]
    assert whole == both("question-1")
    at.page.close()
