"""``Compare`` as people meet it: in a real JupyterLab, in a real browser."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from support.accessibility import LOW_CONTRAST
from support.browser import Lab
from support.jupyterlab import (
    NotebookPage,
    notebook_page,
    open_notebook,
    save,
    saved_outputs,
    set_theme,
)
from support.slow_server import SlowServer

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import streaming

pytestmark = pytest.mark.browser

CODE = (
    "```python\ndef intensity(power, distance):\n    return power / (4 * 3.14159 * distance ** 2)"
    "  # a long line, as models write them, far beyond the column\n```\n\n"
)
TABLE = "| distance | intensity | what it is like to look at |\n|---|---|---|\n| 1 | 1.00 | x |\n\n"
END = "That is the whole answer."
STREAMING = "[data-state=streaming] .tail:not(:empty)"


def answer(request: dict[str, Any]) -> str:
    """Long, with all that an answer is made of."""
    system = [m["content"] for m in request["messages"] if m["role"] == "system"]
    who = " ".join(system[0].split()[:6]) if system else "Nobody"
    light = "Light spreads, and what spreads becomes thin. " * 12
    return (
        f"{who}.\n\n## The law\n\n{CODE}{TABLE}{light}\n\nhttps://example.org/{'a' * 90}\n\n{END}"
    )


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer) as running:
        yield running


@pytest.fixture(scope="module")
def opened(
    lab: Lab, context: BrowserContext, folder: Path, server: SlowServer
) -> Iterator[NotebookPage]:
    """A page with a slow server behind ``vllm:``, and a broken one behind ``ollama:``."""
    addresses = {"VLLM_BASE_URL": server.url, "OLLAMA_BASE_URL": server.url_of("500")}
    with notebook_page(lab, context, folder / "compare.ipynb", **addresses) as page:
        yield page


@pytest.fixture
def notebook(opened: NotebookPage, server: SlowServer) -> NotebookPage:
    """The page as after opening it: quick answers, wide."""
    server.every, server.at_once, server.answer = 0.005, 1, answer
    opened.page.set_viewport_size({"width": 1400, "height": 1000})
    return opened


def has_no_call(server: SlowServer) -> bool:
    """Wait until no call is left on the server's side; return whether that came."""
    end = time.monotonic() + 30  # an answer of that pace takes longer
    while server.in_flight and time.monotonic() < end:
        time.sleep(0.05)
    return server.in_flight == 0


def test_columns_stream_at_the_same_time(notebook: NotebookPage, server: SlowServer) -> None:
    """All of them grow; one that fails says why, and the others go on to their end."""
    server.every = 0.2
    notebook.show("Compare(['none', 'art'], ['vllm:m', 'ollama:m'])")
    notebook.ask("How does light fall off?", wait=False)
    notebook.page.wait_for_function(
        "document.querySelectorAll('.problem:not([hidden])').length === 2"
    )
    notebook.page.wait_for_function(
        "document.querySelectorAll('[data-state=streaming] .tail').length === 2"
    )
    early = [len(text) for text in notebook.column_texts()[:2]]
    notebook.page.wait_for_function(
        "early => [...document.querySelectorAll('.column')].slice(0, 2)"
        ".every((e, n) => e.innerText.length > early[n] + 20)", arg=early,
    )  # fmt: skip
    notebook.screenshot("compare-streaming")
    server.every = 0.005
    notebook.wait_for_answers()
    told = notebook.column_texts()
    assert all(END in text and "tokens/s" in text for text in told[:2])
    assert "You are a painter" in told[1]
    assert all("HTTP 500" in text for text in told[2:])
    notebook.page.wait_for_function(
        "document.querySelector('.assistants-live [aria-live=polite]').innerText"
        ".includes('answer complete')"
    )


def test_stop_keeps_what_was_said(notebook: NotebookPage, server: SlowServer) -> None:
    """Escape stops; one column can be stopped alone; the server sees the calls go."""
    server.every = 0.2
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("How does light fall off?", wait=False)
    notebook.page.wait_for_selector(STREAMING)
    notebook.page.get_by_label("Stop this column").first.click()
    notebook.page.wait_for_selector("text=Stopped here")
    assert notebook.page.locator(".go").inner_text() == "Stop"
    notebook.page.get_by_label("Question to all").press("Escape")
    notebook.wait_for_answers()
    assert all("Stopped here" in text and END not in text for text in notebook.column_texts())
    assert has_no_call(server)


def test_a_reload_in_the_middle_loses_nothing(notebook: NotebookPage, server: SlowServer) -> None:
    """Nor does a second tab: both show the whole answer, and both save it."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    save(notebook.page)
    server.every = 0.5
    notebook.ask("How does light fall off?", wait=False)
    notebook.page.wait_for_selector(STREAMING)
    notebook.reopen()
    notebook.page.wait_for_selector(STREAMING, timeout=60_000)
    other = notebook.page.context.new_page()
    other.set_viewport_size({"width": 1400, "height": 1000})
    open_notebook(other, notebook.lab, notebook.path)
    there = replace(notebook, page=other)
    other.wait_for_selector(".assistants-live .entry", timeout=60_000)
    server.every = 0.005
    for tab in (notebook, there):
        tab.page.bring_to_front()
        tab.wait_for_answers()
        assert all(END in text for text in tab.column_texts())
    there.ask("From the other tab?")
    notebook.page.bring_to_front()
    notebook.page.wait_for_function(
        "document.querySelectorAll('.assistants-live .answer').length === 4"
    )
    notebook.wait_for_answers()
    assert all("From the other tab?" in text for text in notebook.column_texts())
    other.close()
    # The page that was reloaded no longer hears of updates: it writes the copy itself.
    notebook.page.wait_for_function(
        "document.querySelector('.assistants-still')?.textContent.includes('From the other tab?')"
    )
    save(notebook.page)
    left = json.dumps(saved_outputs(notebook.path))
    assert "From the other tab?" in left
    assert left.count(END) == 4


def test_the_keyboard_is_enough(notebook: NotebookPage) -> None:
    """Every control can be reached; nothing typed here reaches the notebook."""
    notebook.show("Compare(['none', 'art', 'history'], ['vllm:m'])")
    notebook.ask("How does light fall off?")
    page = notebook.page
    page.get_by_label("Question to all").focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.get_by_label("Question to all").input_value() == "one\ntwo"
    order = set()
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        order.add(
            page.evaluate("document.activeElement.dataset.act ?? document.activeElement.ariaLabel")
        )
    assert {"fold", "pin", "left", "prompt"} <= order
    page.locator(".column").first.locator("[data-act=right]").press("Enter")
    page.wait_for_function("document.querySelector('.column h3').textContent === 'Art'")
    assert page.evaluate("document.activeElement.dataset.act") == "right"
    for key in ("d", "d", "b"):
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1
    page.locator(".column").first.locator("[data-act=fold]").press("Enter")
    page.wait_for_selector(".column.collapsed")
    page.locator(".column").nth(2).locator("[data-act=pin]").press("Enter")
    page.wait_for_selector(".column.pinned")
    page.locator(".column").first.locator("[data-act=prompt]").press("Enter")
    page.keyboard.type("Be brief. ")
    page.get_by_role("button", name="Use this prompt").press("Enter")
    page.wait_for_selector("text=edited prompt")
    notebook.screenshot("compare-keyboard")


def test_every_control_has_a_role_and_a_name(notebook: NotebookPage) -> None:
    """As a screen reader tells them; each column and each answer is a landmark with a name."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("How does light fall off?")
    region = notebook.page.get_by_role("region", name="Compare", exact=True)
    for role, name in [
        ("textbox", "Question to all"), ("spinbutton", "How many answers each"),
        ("combobox", "Show differences from"), ("button", "Clear"), ("button", "Send"),
        ("group", "Answers"), ("region", "Art on vllm:m"), ("region", "No prompt on vllm:m"),
    ]:  # fmt: skip
        assert region.get_by_role(role, name=name, exact=True).count() == 1, (role, name)
    column = region.get_by_role("region", name="Art on vllm:m")
    for role, name in [
        ("button", "Move left"), ("button", "Keep this column in sight"),
        ("button", "Fold this column away"), ("button", "Read or edit the system prompt"),
        ("heading", "Art"), ("article", "Answer 1"), ("button", "Copy the answer"),
        ("button", "Copy the code"), ("button", "Regenerate"), ("button", "Edit this question"),
        ("button", "Keep as case"),
    ]:  # fmt: skip
        assert column.get_by_role(role, name=name, exact=True).count() == 1, (role, name)
    unnamed = region.locator(":is(button, select, input, textarea, [role=group])").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.innerText.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_a_prompt_that_is_being_edited_outlives_its_head(notebook: NotebookPage) -> None:
    """Pin, fold, move, an answer: what was typed is there until it is used or closed."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    column = notebook.page.locator(".column", has=notebook.page.locator("h3 >> text=Art"))
    column.locator("[data-act=prompt]").click()
    text = notebook.page.get_by_role("textbox", name="System prompt")
    assert text.input_value().startswith("You are a painter")
    text.fill("You are a sculp")
    for act in ("pin", "fold", "fold", "pin", "right"):
        column.locator(f"[data-act={act}]").click()
    notebook.page.wait_for_function("document.querySelector('.column h3').textContent !== 'Art'")
    notebook.ask("How does light fall off?")
    assert text.input_value() == "You are a sculp"
    text.press("End")
    notebook.page.keyboard.type("tor.")
    notebook.page.get_by_role("button", name="Use this prompt").click()
    notebook.page.wait_for_selector(".badge >> text=edited prompt")
    assert text.count() == 0
    column.locator("[data-act=prompt]").press("Enter")
    assert text.input_value() == "You are a sculptor."
    notebook.page.get_by_role("button", name="Undo edits").click()
    notebook.page.wait_for_selector(".badge >> text=edited prompt", state="detached")
    notebook.ask(
        "And in water?"
    )  # beside the same question to the other, which has changed nothing
    first, second = (
        [box["y"] for each in part.locator(".question").all() if (box := each.bounding_box())]
        for part in notebook.page.locator(".column").all()
    )
    assert len(first) == 2
    assert first == second


def test_a_head_says_what_its_answers_come_to(notebook: NotebookPage) -> None:
    """One quiet line: not below one answer that says it itself, but where a column is folded."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("How does light fall off?")
    lines = notebook.page.locator(".head .sums")
    assert [line.is_visible() for line in lines.all()] == [False, False]
    notebook.page.locator("[data-act=fold]").first.click()
    notebook.page.wait_for_selector(".collapsed .sums >> text=1 answer ·")
    notebook.page.get_by_label("How many answers each").fill("2")
    notebook.ask("And in water?")
    notebook.page.wait_for_function(
        "[...document.querySelectorAll('.sums')].every(e => e.innerText.startsWith('3 answers ·'))"
    )
    said = lines.all_inner_texts()
    assert all("tokens · $0 · first token" in line and "tokens/s" in line for line in said), said
    notebook.screenshot("compare-sums")


def test_differences_are_told_by_signs(notebook: NotebookPage) -> None:
    """Added and left out words carry a sign; the answers come back when it is switched off."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("How does light fall off?")
    notebook.page.get_by_label("Show differences from").select_option(index=1)
    notebook.page.wait_for_selector(".column ins")
    sign = notebook.page.locator("ins").first.evaluate(
        "e => getComputedStyle(e, '::before').content"
    )
    assert sign == '"+"'
    assert "words added" in notebook.column_texts()[1]
    notebook.screenshot("compare-differences")
    notebook.page.get_by_label("Show differences from").select_option(index=0)
    notebook.page.wait_for_function("!document.querySelector('.column ins')")
    assert notebook.page.locator(".column").nth(1).locator("table").count() == 1


@pytest.mark.parametrize("name", ["Dark", "Light"])
def test_eight_columns_fit_a_small_screen(notebook: NotebookPage, name: str) -> None:
    """At 1,000 px nothing breaks out of its column, and every text can be read on its ground."""
    notebook.page.set_viewport_size({"width": 1000, "height": 800})
    set_theme(notebook.page, name)
    notebook.show("Compare(['none', 'art', 'history', 'music'], ['vllm:a', 'vllm:b'])")
    notebook.ask("How does light fall off? " + "x" * 200)
    assert notebook.page.locator(".column").count() == 8
    out = notebook.page.locator(".column").evaluate_all(
        "all => all.filter(c => [...c.querySelectorAll('p, .question, .code, .wide, h3')].some("
        "e => e.getBoundingClientRect().right > c.getBoundingClientRect().right + 1)).length"
    )
    assert out == 0
    assert notebook.page.evaluate("document.documentElement.scrollWidth") <= 1000
    notebook.screenshot(f"compare-1000-{name.lower()}")
    assert notebook.page.evaluate(LOW_CONTRAST) == []


def test_a_busy_kernel_does_not_hold_up_the_answers(notebook: NotebookPage) -> None:
    """A cell that computes for long: questions are asked and answered meanwhile."""
    notebook.show("Compare(['none', 'art'], ['vllm:m'])", "import time; time.sleep(600)")
    notebook.ask("How does light fall off?")
    assert all(END in text for text in notebook.column_texts())
    assert notebook.page.locator(".jp-InputPrompt", has_text="[*]:").count() == 1
    notebook.interrupt()
    notebook.page.wait_for_selector(".jp-RenderedText >> text=KeyboardInterrupt")
    notebook.page.wait_for_selector("#jp-main-statusbar >> text=| Idle")


def test_an_interrupt_gives_the_prompt_back_at_once(
    notebook: NotebookPage, server: SlowServer
) -> None:
    """What was said is kept and marked, and no call or task is left over."""
    server.every = 0.2
    notebook.show("Compare(['none', 'art'], ['vllm:m'])", "await widget.ask('From a cell?')")
    notebook.page.wait_for_selector(f"{STREAMING} >> nth=1")
    notebook.interrupt()
    notebook.page.wait_for_selector(".jp-InputPrompt >> text=[*]:", state="detached")
    assert has_no_call(server)
    notebook.wait_for_answers()
    assert all("Stopped here" in text for text in notebook.column_texts())
    assert all("Nobody." in text or "\nYou" in text for text in notebook.column_texts())
    notebook.run(
        "import asyncio\nfrom assistants.widgets import background\n"
        "left = [t for t in asyncio.all_tasks(background.loop()) if not t.done()]\n"
        "client = widget._columns[0].assistant.client\nprint('left:', left, client._built)"
    )
    notebook.page.wait_for_selector(".jp-RenderedText >> text=left: [] None")


@pytest.mark.parametrize("how", ["restarted", "dead"])
def test_a_kernel_that_is_gone_is_noticed(
    notebook: NotebookPage, server: SlowServer, how: str
) -> None:
    """In mid-stream: the page says so, keeps the text, and takes nothing more."""
    server.every = 0.3
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("How does light fall off?", wait=False)
    notebook.page.wait_for_selector(f"{STREAMING} >> nth=1")
    if how == "restarted":
        notebook.restart()
    else:
        notebook.signal_kernel(signal.SIGKILL)
    notebook.page.wait_for_selector("text=The kernel is gone: run the cell again.", timeout=90_000)
    assert has_no_call(server)
    told = notebook.column_texts()
    assert all("Stopped here: the kernel is gone." in text for text in told)
    assert "Nobody" in told[0]
    assert "Answering" not in notebook.page.locator(".assistants-live").inner_text()
    open_ones = notebook.page.locator(
        ".assistants-live :is(button:not(.copy), input, select, textarea):enabled"
    )
    assert open_ones.count() == 0
    notebook.screenshot(f"compare-kernel-{how}")
    if how == "dead":
        notebook.page.get_by_role("button", name="Ok").click()
    notebook.page.wait_for_selector("#jp-main-statusbar >> text=| Idle")
    server.every = 0.005
    notebook.show("Compare(['none', 'art'], ['vllm:m'])")
    notebook.ask("Again?")
    assert all(END in text for text in notebook.column_texts())


def test_streaming_loses_no_word_and_sends_little(
    notebook: NotebookPage, server: SlowServer
) -> None:
    """The benchmark of streaming for a few seconds, but for its times."""
    found = streaming.measure(
        notebook, server, seconds=3, columns=8, rate=200, tokens=200, html=False
    )
    assert found["identical_words"] == found["identical"] == 8
    assert found["bytes_ours"] < streaming.PROMISED * 200
