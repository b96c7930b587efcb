"""``Chat`` as people meet it: in a real JupyterLab, in a real browser."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from assistants.experiment import Experiment
from assistants.results import Results
from support.accessibility import LOW_CONTRAST
from support.browser import Lab
from support.jupyterlab import SCREENSHOTS, NotebookPage, notebook_page, set_theme
from support.slow_server import SlowServer

pytestmark = pytest.mark.browser

CODE = "```python\ndef intensity(power, distance):\n    return power / distance ** 2\n```"
CHAT = "Chat('none', 'vllm:m')"
QUESTIONS = "n => document.querySelectorAll('.question').length === n"


def answer(request: dict[str, Any]) -> str:
    system = [m["content"] for m in request["messages"] if m["role"] == "system"]
    who = " ".join(system[0].split()[:6]) if system else "Nobody"
    turns = sum(m["role"] == "user" for m in request["messages"])
    light = "Light spreads, and what spreads becomes thin. " * 5
    return f"{who}, turn {turns}.\n\n{CODE}\n\n{light}\n\nThat is all."


@pytest.fixture(scope="module")
def server() -> Iterator[SlowServer]:
    with SlowServer(answer) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(
    lab: Lab, context: BrowserContext, folder: Path, server: SlowServer
) -> Iterator[NotebookPage]:
    path = folder / "live.ipynb"
    with notebook_page(lab, context, path, VLLM_BASE_URL=server.url) as opened:
        yield opened


@pytest.fixture
def chat(notebook: NotebookPage, server: SlowServer) -> NotebookPage:
    """A page with a new chat on it."""
    server.every = 0.005
    notebook.page.set_viewport_size({"width": 1300, "height": 950})
    notebook.show(CHAT)
    return notebook


def said(chat: NotebookPage) -> str:
    return chat.page.locator(".assistants-live .entries").first.inner_text()


def test_a_conversation_with_several_personas(chat: NotebookPage) -> None:
    """Search, switch, see the switch; regenerate, edit; everything is in the store.

    What one persona was asked and another one answered says so.
    """
    page = chat.page
    chat.ask("How does light fall off?")
    assert "Nobody, turn 1." in said(chat)
    assert page.locator(".code .k").count() >= 2  # colours
    page.get_by_label("Search personas").fill("sees a painting")
    assert page.locator(".personas button").count() == 1
    page.locator(".personas button").press("Enter")
    page.wait_for_selector(".change")
    chat.ask("And how does it look?")
    assert "art on vllm:m answers from here on" in said(chat)
    assert "You are a painter. You explain, turn 2." in said(chat)
    page.get_by_label("Search personas").fill("")
    chat.screenshot("chat")
    assert page.locator(".regenerate:visible").count() == 1
    page.locator(".regenerate:visible").click()
    page.wait_for_selector("text=1 more answer")
    chat.wait_for_answers()
    page.get_by_label("Edit this question").first.click()
    page.get_by_label("Edited question").fill("Only this?")
    page.get_by_label("Edited question").press("Enter")
    page.wait_for_function(QUESTIONS, arg=1)
    page.wait_for_function(
        "document.querySelector('.question').textContent === 'Only this?'"
        " && document.querySelector('.answer')"
    )
    chat.wait_for_answers()
    assert "You are a painter. You explain, turn 1." in said(chat)
    *_, run = Results(chat.folder / "results").runs("chat")
    assert list(run.trials()["status"]) == ["ok"] * 4
    assert "Answered by" not in said(chat)
    page.locator('.personas [data-name="none"]').click()
    page.wait_for_selector(".change")
    page.locator(".regenerate:visible").click()
    page.wait_for_selector("text=1 more answer")
    chat.wait_for_answers()
    assert "Answered by none on vllm:m" in said(chat)
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function(QUESTIONS, arg=0)


def test_the_keyboard_is_enough(chat: NotebookPage, server: SlowServer) -> None:
    """Persona, model, question, stop, edit, regenerate, columns: without a mouse, by Tab alone."""
    page = chat.page
    server.every = 0.3

    def tab_to(name: str, *, back: bool = False) -> None:
        for _ in range(60):
            page.keyboard.press("Shift+Tab" if back else "Tab")
            if page.evaluate(NAME) == name:
                return
        raise AssertionError(f"{name!r} cannot be reached")

    page.get_by_label("Model", exact=True).focus()
    tab_to("Search personas")
    page.keyboard.type("sees a painting")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("h3 >> text=Art")
    tab_to("Message")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-state=streaming]")
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped here")
    chat.wait_for_answers()
    assert page.locator(".question").inner_text() == "one\ntwo"
    server.every = 0.005
    tab_to("Regenerate", back=True)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 more answer")
    chat.wait_for_answers()
    page.get_by_label("Message").focus()
    tab_to("Edit this question", back=True)
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("three")
    page.keyboard.press("Escape")  # changed my mind
    assert page.evaluate(NAME) == "Edit this question"
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("three")
    page.keyboard.press("Enter")
    page.wait_for_selector(".question >> text=three")
    chat.wait_for_answers()
    for key in ("d", "d", "b"):
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1


NAME = """(e => e.ariaLabel || e.labels?.[0]?.innerText.trim() || e.innerText?.trim())
    (document.activeElement)"""


def test_every_control_has_a_role_and_a_name(chat: NotebookPage) -> None:
    """As a screen reader tells them."""
    chat.ask("How does light fall off?")
    region = chat.page.get_by_role("region", name="Chat", exact=True)
    for role, name in [
        ("textbox", "Message"), ("spinbutton", "How many answers each"), ("combobox", "Model"),
        ("searchbox", "Search personas"), ("list", "Personas"), ("button", "Clear"),
        ("complementary", "Who answers"), ("button", "Send"), ("group", "Answers"),
        ("article", "Answer 1"), ("button", "Copy the answer"), ("button", "Copy the code"),
        ("button", "Regenerate"), ("button", "Edit this question"), ("button", "Keep as case"),
        ("button", "Read or edit the system prompt"), ("heading", "No prompt"),
    ]:  # fmt: skip
        assert region.get_by_role(role, name=name, exact=True).count() == 1, (role, name)
    pressed = region.get_by_role("button", name="No prompt", pressed=True)
    assert pressed.count() == 1
    unnamed = region.locator(":is(button, select, input, textarea, [role=group])").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.textContent.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize("name", ["Dark", "Light"])
def test_a_small_screen_is_enough(chat: NotebookPage, name: str) -> None:
    """At 1,000 px, in both themes, every text can be read and nothing breaks out."""
    chat.page.set_viewport_size({"width": 1000, "height": 800})
    set_theme(chat.page, name)
    chat.ask("How does light fall off? " + "x" * 200)
    out = chat.page.locator(".column").evaluate_all(
        "all => all.filter(c => [...c.querySelectorAll('p, .question, .code, .wide, h3')].some("
        "e => e.getBoundingClientRect().right > c.getBoundingClientRect().right + 1)).length"
    )
    assert out == 0
    chat.screenshot(f"chat-1000-{name.lower()}")
    assert chat.page.evaluate(LOW_CONTRAST) == []


def test_any_model_can_be_picked(chat: NotebookPage) -> None:
    """One of the list, or one by its name; who goes on stands in the transcript."""
    page = chat.page
    chat.ask("How does light fall off?")
    picker = page.get_by_label("Model", exact=True)
    name = page.get_by_label("Name of another model")
    assert not name.is_visible()
    picker.select_option("another …")
    assert name.evaluate("e => e === document.activeElement")
    page.keyboard.type("smolm2")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("Did you mean 'smollm2'").wait_for()
    assert name.input_value() == "smolm2"  # to be typed better
    chat.screenshot("chat-model-refused")
    page.keyboard.press("Escape")
    assert picker.input_value() == "vllm:m"
    assert picker.evaluate("e => e === document.activeElement")
    picker.select_option("another …")
    page.keyboard.type("vllm:other")
    page.keyboard.press("Enter")
    page.wait_for_selector(".change >> text=none on vllm:other answers from here on")
    assert picker.input_value() == "vllm:other"
    assert not name.is_visible()
    assert not page.get_by_role("alert").is_visible()
    chat.ask("And how does it look?")
    assert "Nobody, turn 2." in said(chat)
    assert page.locator(".head .model").inner_text() == "vllm:other"
    picker.select_option("vllm:m")
    page.wait_for_selector(".head .model >> text=vllm:m")
    chat.screenshot("chat-model")


def test_a_model_that_is_refused_is_not_shown(chat: NotebookPage, server: SlowServer) -> None:
    """While an answer is on its way nobody else can take over: the picker says who answers."""
    page = chat.page
    server.every = 0.3
    chat.ask("How does light fall off?", wait=False)
    page.wait_for_selector("[data-state=streaming]")
    picker = page.get_by_label("Model", exact=True)
    picker.select_option("chatgpt")
    page.get_by_role("alert").get_by_text("still on its way").wait_for()
    assert picker.input_value() == "vllm:m"
    picker.press("Escape")
    page.wait_for_selector("text=Stopped here")


def test_a_kernel_that_hears_nothing_is_waited_for(
    notebook: NotebookPage, server: SlowServer
) -> None:
    """Whatever holds it up: the question stays where it is, and is answered afterwards."""
    page = notebook.page
    server.every = 0.005
    notebook.show(CHAT)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle")
    notebook.signal_kernel(signal.SIGSTOP)
    try:
        question = page.get_by_label("Message")
        question.fill("Is anybody there?")
        question.press("Enter")
        page.get_by_role("status").get_by_text("Waiting for the kernel …").wait_for()
        assert question.input_value() == "Is anybody there?"
        question.press("Enter")  # once is enough
        notebook.screenshot("chat-waiting")
    finally:
        notebook.signal_kernel(signal.SIGCONT)
    page.wait_for_selector(".answer", timeout=60_000)
    notebook.wait_for_answers()
    assert question.input_value() == ""
    assert page.get_by_text("Waiting for the kernel").count() == 0
    assert page.locator(".question").all_inner_texts() == ["Is anybody there?"]
    assert "Nobody, turn 1." in said(notebook)


def test_what_is_refused_can_be_sent_again(chat: NotebookPage, server: SlowServer) -> None:
    """A question, an edit: while somebody else asks, they are given back as they were typed."""
    page = chat.page
    chat.ask("How does light fall off?")
    server.every = 0.3
    question = page.get_by_label("Message")
    question.fill("And how does it look?")
    page.get_by_label("Edit this question").click()
    page.get_by_label("Edited question").fill("Why does it?")
    # Both at once, before the page can know that the first one is being answered.
    page.evaluate(
        """() => {
            const press = (e) => e.dispatchEvent(new KeyboardEvent('keydown',
                { key: 'Enter', bubbles: true, cancelable: true }));
            press(document.querySelector('.composer textarea'));
            press(document.querySelector('.entry textarea'));
        }"""
    )
    page.get_by_role("alert").get_by_text("still on its way").wait_for()
    page.wait_for_selector("[aria-label='Edited question']")
    assert page.get_by_label("Edited question").input_value() == "Why does it?"
    assert page.locator(".question").count() == 2
    assert question.input_value() == ""


def test_everybody_is_asked(chat: NotebookPage) -> None:
    """Columns appear below, with the chat's own answer first."""
    page = chat.page
    chat.ask("How does light fall off?")
    page.locator(".everybody summary").press("Enter")
    page.get_by_label("Art", exact=True).check()
    page.get_by_label("History", exact=True).check()
    page.get_by_role("button", name="Ask them").press("Enter")
    page.wait_for_function("document.querySelectorAll('.assistants-fork .answer').length === 3")
    chat.wait_for_answers()
    told = page.locator(".assistants-fork .column").all_inner_texts()
    assert [t.split("\n")[0] for t in told] == ["No prompt", "Art", "History"]
    assert all("That is all." in text for text in told)
    page.locator(".assistants-fork").scroll_into_view_if_needed()
    chat.screenshot("chat-everybody")
    page.get_by_role("button", name="Close").last.click()
    page.wait_for_selector(".assistants-fork .column", state="detached")


def test_a_turn_is_kept_as_a_case(chat: NotebookPage) -> None:
    """With the keyboard alone, in the file that is named; or a sentence says why not."""
    page = chat.page
    mine = chat.folder / "mine.yaml"
    mine.write_text("personas: [none]\nmodels: [echo]\ncases:\n- Why?  # first\n")
    chat.ask("How does light fall off?")
    chat.ask("And how does it look?")
    region = page.get_by_role("region", name="Chat", exact=True)
    opener = region.get_by_role("button", name="Keep as case", exact=True)
    opener.first.press("Enter")
    field = region.get_by_role("textbox", name="Experiment file")
    assert field.evaluate("e => e === document.activeElement")
    page.keyboard.type("mine.yaml")
    chat.screenshot("chat-keep")
    page.keyboard.press("Enter")
    region.get_by_role("alert").get_by_text("Kept as case 2 in mine.yaml.").wait_for()
    assert mine.read_text().endswith("- Why?  # first\n- How does light fall off?\n")
    assert opener.first.evaluate("e => e === document.activeElement")
    page.keyboard.press("Enter")
    assert field.input_value() == "mine.yaml"
    region.locator(".editor").get_by_role("button", name="Keep as case").click()
    region.get_by_role("alert").get_by_text("there already, as case '2'").wait_for()
    assert field.input_value() == "mine.yaml"  # to be named better
    page.keyboard.press("Escape")
    assert field.count() == 0
    opener.last.press("Enter")
    page.keyboard.press("Escape")  # changed my mind
    assert field.count() == 0
    opener.last.press("Enter")
    page.keyboard.press("Enter")
    region.get_by_role("alert").get_by_text("Kept as case 3 in mine.yaml.").wait_for()
    assert Experiment.load(mine).cases[2].questions == (
        "How does light fall off?", "And how does it look?",
    )  # fmt: skip


def test_one_s_own_answer_can_be_copied(chat: NotebookPage) -> None:
    """The Markdown as the model wrote it, and a block of code alone."""
    page = chat.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    chat.ask("How does light fall off?")
    page.get_by_label("Copy the answer").click()
    page.wait_for_selector("button:text-is('Copied')")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == answer({"messages": [{"role": "user", "content": "x"}]})
    page.get_by_label("Copy the code").click()
    page.wait_for_function("navigator.clipboard.readText().then(t => t.startsWith('def '))")


def test_the_embedded_model_talks(notebook: NotebookPage) -> None:
    """No key, no server, no network: SmolLM2 answers in both widgets, in a cell and on the page."""
    page = notebook.page
    page.set_viewport_size({"width": 1580, "height": 900})
    set_theme(page, "Light")
    few = "sampling=Sampling(max_tokens=90, temperature=0)"
    sampling = "from assistants.messages import Sampling\n"
    notebook.run(sampling)
    notebook.show(f"Compare(['none', 'art', 'history'], ['local:smollm2'], {few})")
    notebook.ask("Why is the sky blue?", wait=False)
    page.wait_for_function(
        "document.querySelectorAll('[data-state=done] .facts').length === 3", timeout=120_000
    )
    notebook.wait_for_answers()
    assert all(" tokens · $0" in text for text in notebook.column_texts())
    assert all(len(text) > 250 for text in notebook.column_texts())
    page.locator(".assistants-live").screenshot(path=SCREENSHOTS / "compare-real.png")
    notebook.show(f"Chat('none', 'local:smollm2', {few})")
    notebook.ask("Why is the sky blue?", wait=False)
    page.wait_for_selector("[data-state=done]", timeout=120_000)
    notebook.wait_for_answers()
    assert " tokens · $0" in said(notebook)
