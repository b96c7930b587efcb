"""``Chat`` as people meet it: in a real JupyterLab, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Lab, chromium, jupyter_lab
from lab import SCREENSHOTS, dark, open_notebook, run_all, write_notebook
from playwright.sync_api import Page
from slow_server import SlowServer

from assistants.results import Results

pytestmark = pytest.mark.browser

IDLE = "[...document.querySelectorAll('.assistants-live .go')].every(e => e.textContent === 'Send')"
BUSY = "document.querySelector('.assistants-live .go').textContent === 'Stop'"
CODE = "```python\ndef intensity(power, distance):\n    return power / distance ** 2\n```"


def answer(request: dict[str, Any]) -> str:
    system = [m["content"] for m in request["messages"] if m["role"] == "system"]
    who = " ".join(system[0].split()[:6]) if system else "Nobody"
    turns = sum(m["role"] == "user" for m in request["messages"])
    light = "Light spreads, and what spreads becomes thin. " * 5
    return f"{who}, turn {turns}.\n\n{CODE}\n\n{light}\n\nThat is all."


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer, every=0.01) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder: Path, server: SlowServer) -> Iterator[Lab]:
    with jupyter_lab(folder, VLLM_BASE_URL=server.url) as running:
        yield running


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1300, "height": 950})


@pytest.fixture
def chat(page: Page, lab: Lab, folder: Path, request: pytest.FixtureRequest) -> Page:
    """A page with a chat on it."""
    path = f"{request.node.name}.ipynb"
    cell = "from assistants.widgets.chat import Chat\nchat = Chat('none', 'vllm:m')\nchat"
    write_notebook(folder / path, [cell])
    open_notebook(page, lab, path)
    run_all(page)
    page.wait_for_selector(".assistants-live .personas button", timeout=60_000)
    return page


def say(page: Page, message: str) -> None:
    page.get_by_label("Message").fill(message)
    page.get_by_label("Message").press("Enter")
    page.wait_for_function(BUSY)
    rest(page)


def rest(page: Page) -> None:
    page.wait_for_function(IDLE, timeout=60_000)
    page.wait_for_timeout(300)


def test_a_conversation_with_several_personas(chat: Page, folder: Path) -> None:
    """Search, switch, see the switch; regenerate, edit; everything is in the store."""
    say(chat, "How does light fall off?")
    assert "Nobody, turn 1." in chat.locator(".entries").inner_text()
    assert chat.locator(".code .k").count() >= 2  # colours
    chat.get_by_label("Search personas").fill("looks before")
    assert chat.locator(".personas button").count() == 1
    chat.locator(".personas button").press("Enter")
    chat.wait_for_selector(".change")
    say(chat, "And how does it look?")
    said = chat.locator(".entries").inner_text()
    assert "art on vllm:m answers from here on" in said
    assert "You are a painter who has, turn 2." in said
    chat.get_by_label("Search personas").fill("")
    chat.screenshot(path=SCREENSHOTS / "chat.png")
    assert chat.locator(".regenerate:visible").count() == 1
    chat.locator(".regenerate:visible").click()
    chat.wait_for_selector("text=1 more answer")
    rest(chat)
    chat.get_by_label("Edit this question").first.click()
    chat.get_by_label("Edited question").fill("Only this?")
    chat.get_by_label("Edited question").press("Enter")
    chat.wait_for_function("document.querySelectorAll('.question').length === 1")
    rest(chat)
    said = chat.locator(".entries").inner_text()
    assert "Only this?" in said
    assert "You are a painter who has, turn 1." in said
    (run,) = Results(folder / "results").runs("chat")
    assert list(run.trials["status"]) == ["ok"] * 4
    chat.get_by_role("button", name="Clear").click()
    chat.wait_for_function("document.querySelectorAll('.question').length === 0")


def test_everybody_is_asked(chat: Page) -> None:
    """Columns appear below, with the chat's own answer first; in the dark too."""
    say(chat, "How does light fall off?")
    chat.locator(".everybody summary").press("Enter")
    chat.get_by_label("Art", exact=True).check()
    chat.get_by_label("History", exact=True).check()
    chat.get_by_role("button", name="Ask them").press("Enter")
    chat.wait_for_selector(".assistants-fork .column")
    rest(chat)
    chat.wait_for_function("document.querySelectorAll('.assistants-fork .answer').length === 3")
    told = chat.locator(".assistants-fork .column").all_inner_texts()
    assert [t.split("\n")[0] for t in told] == ["No prompt", "Art", "History"]
    assert all("That is all." in text for text in told)
    dark(chat)
    chat.locator(".assistants-fork").scroll_into_view_if_needed()
    chat.wait_for_timeout(500)
    chat.screenshot(path=SCREENSHOTS / "chat-everybody-dark.png")
    chat.get_by_role("button", name="Close").last.click()
    chat.wait_for_selector(".assistants-fork .column", state="detached")


def test_one_s_own_answer_can_be_copied(chat: Page) -> None:
    """The Markdown as the model wrote it, and a block of code alone."""
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    say(chat, "How does light fall off?")
    chat.get_by_label("Copy the answer").click()
    chat.wait_for_selector("button:text-is('Copied')")
    copied = chat.evaluate("navigator.clipboard.readText()")
    assert copied == answer({"messages": [{"role": "user", "content": "x"}]})
    chat.get_by_label("Copy the code").click()
    chat.wait_for_function("navigator.clipboard.readText().then(t => t.startsWith('def '))")
