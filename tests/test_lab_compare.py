"""``Compare`` as people meet it: in a real JupyterLab, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Lab, chromium, jupyter_lab
from hostile import PAYLOADS
from lab import SCREENSHOTS, dark, open_notebook, outputs, run_all, save, write_notebook
from playwright.sync_api import Browser, Page
from slow_server import SlowServer

pytestmark = pytest.mark.browser

CODE = (
    "```python\ndef intensity(power, distance):\n    return power / (4 * 3.14159 * distance ** 2)"
    "  # a long line, as models write them, far beyond the column\n```\n\n"
)
TABLE = "| distance | intensity | what it is like to look at |\n|---|---|---|\n| 1 | 1.00 | x |\n\n"
END = "That is the whole answer."
IDLE = "[...document.querySelectorAll('.assistants-live .go')].every(e => e.textContent === 'Send')"
BUSY = "document.querySelector('.assistants-live .go').textContent === 'Stop'"
COUNT = "n => document.querySelectorAll('.assistants-live .answer').length >= n"


def answer(request: dict[str, Any]) -> str:
    """Long, with all that an answer is made of; and every attack, if it is asked for one."""
    question = request["messages"][-1]["content"]
    if "attack" in question:
        return "\n\n".join(PAYLOADS)
    system = [m["content"] for m in request["messages"] if m["role"] == "system"]
    who = " ".join(system[0].split()[:6]) if system else "Nobody"
    light = "Light spreads, and what spreads becomes thin. " * 12
    return (
        f"{who}.\n\n## The law\n\n{CODE}{TABLE}{light}\n\nhttps://example.org/{'a' * 90}\n\n{END}"
    )


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer, every=0.02) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder: Path, server: SlowServer) -> Iterator[Lab]:
    """One JupyterLab; behind ``vllm:`` a slow server, behind ``ollama:`` a broken one."""
    addresses = {"VLLM_BASE_URL": server.url, "OLLAMA_BASE_URL": server.url_of("500")}
    with jupyter_lab(folder, **addresses) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(autouse=True)
def pace(server: SlowServer) -> None:
    """Fast enough to wait for, slow enough to look at."""
    server.every = 0.02


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    made = browser.new_page(viewport={"width": 1400, "height": 1000})
    yield made
    made.close()


@pytest.fixture
def compare(
    page: Page, lab: Lab, folder: Path, request: pytest.FixtureRequest
) -> Callable[..., str]:
    """Opens a notebook that shows a ``Compare``, and gives its path."""

    def opened(personas: str = "['none', 'art']", models: str = "['vllm:m']", *more: str) -> str:
        path = f"{request.node.name.split('[')[0]}.ipynb"
        first = (
            "from assistants.widgets.compare import Compare\n"
            f"compare = Compare({personas}, {models})\ncompare"
        )
        write_notebook(folder / path, [first, *more])
        open_notebook(page, lab, path)
        run_all(page)
        page.wait_for_selector(".assistants-live .column", timeout=60_000)
        return path

    return opened


def ask(page: Page, question: str, *, wait: bool = True) -> None:
    page.get_by_label("Question to all").fill(question)
    page.get_by_label("Question to all").press("Enter")
    page.wait_for_function(BUSY)
    if wait:
        page.wait_for_function(IDLE, timeout=60_000)
        page.wait_for_timeout(300)


def columns(page: Page) -> list[str]:
    return page.locator(".column").all_inner_texts()


def test_columns_stream_at_the_same_time(page: Page, compare: Callable[..., str]) -> None:
    """All of them grow; one that fails says why, and the others go on to their end."""
    compare("['none', 'art']", "['vllm:m', 'ollama:m']")
    ask(page, "How does light fall off?", wait=False)
    page.wait_for_function("document.querySelectorAll('.problem:not([hidden])').length === 2")
    page.wait_for_timeout(700)
    early = [len(text) for text in columns(page)]
    page.screenshot(path=SCREENSHOTS / "compare-streaming.png")
    page.wait_for_timeout(700)
    assert all(len(now) > before for now, before in zip(columns(page)[:2], early[:2], strict=True))
    page.wait_for_function(IDLE, timeout=60_000)
    page.wait_for_timeout(300)
    told = columns(page)
    assert all(END in text and "tokens/s" in text for text in told[:2])
    assert "You are a painter" in told[1]
    assert all("HTTP 500" in text for text in told[2:])
    heard = page.locator(".assistants-live [aria-live=polite]").inner_text()
    assert "answer complete" in heard
    page.screenshot(path=SCREENSHOTS / "compare.png")


def test_stop_keeps_what_was_said(
    page: Page, compare: Callable[..., str], server: SlowServer
) -> None:
    """Escape stops; one column can be stopped alone; the server sees the calls go."""
    server.every = 0.2
    compare()
    ask(page, "How does light fall off?", wait=False)
    page.wait_for_timeout(500)
    page.get_by_label("Stop this column").first.click()
    page.wait_for_selector("text=Stopped here")
    page.wait_for_timeout(300)
    assert page.evaluate(BUSY)
    page.get_by_label("Question to all").press("Escape")
    page.wait_for_function(IDLE, timeout=5_000)
    page.wait_for_timeout(300)
    told = columns(page)
    assert all("Stopped here" in text and END not in text for text in told)
    assert server.in_flight == 0


def test_a_reload_in_the_middle_loses_nothing(
    page: Page, browser: Browser, compare: Callable[..., str], lab: Lab, server: SlowServer
) -> None:
    """Nor does a second tab; both show the whole answer."""
    server.every = 0.1
    path = compare()
    save(page)
    ask(page, "How does light fall off?", wait=False)
    page.wait_for_timeout(700)
    page.reload()
    page.wait_for_selector(".assistants-live .entry", timeout=60_000)
    other = browser.new_page(viewport={"width": 1400, "height": 1000})
    other.goto(lab.notebook(path))
    other.wait_for_selector(".assistants-live .entry", timeout=60_000)
    for each in (page, other):
        each.bring_to_front()
        each.wait_for_function(IDLE, timeout=60_000)
        each.wait_for_timeout(300)
        assert all(END in text for text in columns(each))
    other.get_by_label("Question to all").fill("From the other tab?")
    other.get_by_label("Question to all").press("Enter")
    page.bring_to_front()
    page.wait_for_function(COUNT, arg=4, timeout=10_000)
    page.wait_for_function(IDLE, timeout=60_000)
    assert all("From the other tab?" in text for text in columns(page))
    other.close()


def test_a_saved_notebook_is_there_to_read(
    page: Page, compare: Callable[..., str], lab: Lab, folder: Path
) -> None:
    """Without a kernel the conversation stands where the widget was, and no error beside it."""
    path = compare()
    assert page.locator(".assistants-still").is_hidden()
    ask(page, "How does light fall off?")
    page.wait_for_timeout(500)
    save(page)
    left = json.dumps(outputs(folder / path))
    assert "How does light fall off?" in left
    assert END in left
    page.goto(f"{lab.url}/lab/workspaces/x?token={lab.token}")
    page.evaluate(
        """async token => {
            const sessions = await (await fetch(`/api/sessions?token=${token}`)).json();
            const xsrf = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? '';
            for (const s of sessions) await fetch(`/api/sessions/${s.id}?token=${token}`,
                { method: 'DELETE', headers: { 'X-XSRFToken': xsrf } });
        }""",
        lab.token,
    )
    open_notebook(page, lab, path)
    page.wait_for_timeout(3_000)
    assert page.locator(".assistants-still").is_visible()
    assert END in page.locator(".assistants-still").inner_text()
    assert not page.get_by_text("Error displaying widget").first.is_visible()
    page.screenshot(path=SCREENSHOTS / "compare-without-a-kernel.png")


def test_the_keyboard_is_enough(page: Page, compare: Callable[..., str]) -> None:
    """Every control has a name and can be reached; nothing typed here reaches the notebook."""
    compare("['none', 'art', 'history']")
    ask(page, "How does light fall off?")
    named = page.locator(
        ".assistants-live :is(button, select, input, textarea, [role=group], section)"
    ).evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.title || e.innerText.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert named == []
    page.get_by_label("Question to all").focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.get_by_label("Question to all").input_value() == "one\ntwo"
    order = []
    for _ in range(40):
        page.keyboard.press("Shift+Tab")
        order.append(
            page.evaluate("document.activeElement.dataset.act ?? document.activeElement.ariaLabel")
        )
    assert {"fold", "pin", "left", "prompt"} <= set(order)
    head = page.locator(".column").first
    head.locator("[data-act=right]").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.column h3').textContent === 'Art'")
    assert page.evaluate("document.activeElement.dataset.act") == "right"
    for _ in range(2):
        page.keyboard.press("d")
    page.keyboard.press("b")
    assert page.locator(".jp-CodeCell").count() == 1
    page.locator(".column").first.locator("[data-act=fold]").press("Enter")
    page.wait_for_selector(".column.collapsed")
    page.locator(".column").nth(2).locator("[data-act=pin]").press("Enter")
    page.wait_for_selector(".column.pinned")
    page.locator(".column").first.locator("[data-act=prompt]").press("Enter")
    page.keyboard.type("Be brief. ")
    page.get_by_role("button", name="Use this prompt").press("Enter")
    page.wait_for_selector("text=edited prompt")
    page.screenshot(path=SCREENSHOTS / "compare-keyboard.png")


def test_differences_are_told_by_signs(page: Page, compare: Callable[..., str]) -> None:
    """Added and left out words carry a sign; the answers come back when it is switched off."""
    compare()
    ask(page, "How does light fall off?")
    page.get_by_label("Show differences from").select_option(index=1)
    page.wait_for_selector(".column ins")
    assert (
        page.locator("ins").first.evaluate("e => getComputedStyle(e, '::before').content") == '"+"'
    )
    assert "words added" in columns(page)[1]
    page.screenshot(path=SCREENSHOTS / "compare-differences.png")
    page.get_by_label("Show differences from").select_option(index=0)
    page.wait_for_function("!document.querySelector('.column ins')")
    assert page.locator(".column").nth(1).locator("table").count() == 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_eight_columns_fit_a_small_screen(
    page: Page, compare: Callable[..., str], theme: str
) -> None:
    """At 1,000 px nothing breaks out of its column, and the page does not scroll sideways."""
    page.set_viewport_size({"width": 1000, "height": 800})
    compare("['none', 'art', 'history', 'music']", "['vllm:a', 'vllm:b']")
    if theme == "dark":
        dark(page)
    ask(page, "How does light fall off? " + "x" * 200)
    assert page.locator(".column").count() == 8
    out = page.locator(".column").evaluate_all(
        "all => all.filter(c => [...c.querySelectorAll('p, .question, .code, .wide, h3')].some("
        "e => e.getBoundingClientRect().right > c.getBoundingClientRect().right + 1)).length"
    )
    assert out == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    text, ground = page.locator(".assistants-live").evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert text != ground
    page.screenshot(path=SCREENSHOTS / f"compare-1000-{theme}.png")


def test_hostile_answers_run_and_fetch_nothing(
    page: Page, compare: Callable[..., str], lab: Lab
) -> None:
    """Every attack as an answer, while it streams, at its end, and in what is left behind."""
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    path = compare("['none']", "['vllm:m']")
    ask(page, "attack: " + "\n".join(PAYLOADS[:30]))
    page.wait_for_timeout(500)
    assert page.evaluate("window.hacked") is None
    save(page)
    open_notebook(page, lab, path)
    page.wait_for_timeout(1_000)
    assert page.evaluate("window.hacked") is None
    assert [url for url in asked if not url.startswith((lab.url, "data:", "blob:"))] == []
    assert page.get_by_label("Question to all").is_visible()


def test_a_busy_kernel_does_not_hold_up_the_answers(
    page: Page, compare: Callable[..., str]
) -> None:
    """A cell that computes for long: questions are asked and answered meanwhile."""
    compare("['none', 'art']", "['vllm:m']", "import time; time.sleep(40)")
    page.wait_for_selector(".jp-InputPrompt >> text=[*]:")
    ask(page, "How does light fall off?")
    assert all(END in text for text in columns(page))
    assert page.locator(".jp-InputPrompt", has_text="[*]:").count() == 1


def test_an_interrupt_and_a_restart_leave_nothing_behind(
    page: Page, compare: Callable[..., str], server: SlowServer
) -> None:
    """The prompt comes back with the partial answer marked; a restart ends every call."""
    server.every = 0.2
    compare("['none', 'art']", "['vllm:m']", "await compare.ask('From a cell?')")
    page.wait_for_selector("[data-state=streaming] >> nth=1")
    page.locator("[data-command='notebook:interrupt-kernel']").first.click()
    page.wait_for_function(IDLE, timeout=5_000)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=5_000)
    page.wait_for_timeout(300)
    assert all("Stopped here" in text for text in columns(page))
    assert server.in_flight == 0
    ask(page, "Again?", wait=False)
    page.wait_for_timeout(500)
    assert server.in_flight == 2
    page.locator("[data-command='notebook:restart-kernel']").first.click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    page.wait_for_timeout(3_000)
    assert server.in_flight == 0


def test_streaming_keeps_its_promises() -> None:
    """The benchmark, for five seconds: typing stays quick, no word is lost, little is sent."""
    bench = Path(__file__).parent.parent / "bench" / "streaming.py"
    command = [sys.executable, str(bench), "--seconds", "5", "--tokens", "400", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found["bytes_ours"] < found["bytes_html"] / 2
