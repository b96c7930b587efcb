"""Browsing a stored run as a person does it: in JupyterLab, with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page

from assistants import Completion, Experiment, Message, ScriptedClient
from support.browser import Lab
from support.hostile_texts import PAYLOADS
from support.jupyterlab import (
    SCREENSHOTS,
    NotebookPage,
    notebook_page,
    save,
    saved_outputs,
    set_theme,
    store_run,
)

pytestmark = pytest.mark.browser

ANSWERS = {
    "none": "Light from a point spreads over a sphere, and the area of a sphere grows with the "
    "square of its radius. So the same light has to cover four times the area at twice the "
    "distance.\n\n```python\nfor r in range(1, 6):\n    print(r, 1 / r**2)\n```",
    "art": "Imagine a lantern in a dark chapel: near it the fresco glows, a few steps away the "
    "gold is only a rumour. Light thins like paint that must cover an ever larger canvas.",
    "physics": "Flux through a closed surface is conserved. With $A = 4\\pi r^2$ the intensity is "
    "$I = P / 4\\pi r^2$.\n\n| r / m | I / (W/m²) |\n|---|---|\n| 1 | 7.96 |\n| 2 | 1.99 |",
    "history": "Kepler wrote it down in 1604: light weakens with the square of the distance. "
    "Boulliau supposed in 1645 that gravity might do the same, and Newton showed it in 1687.",
}
QUESTIONS = ["Why does light fade with distance?", "What makes the tides?", "Why is the sky blue?",
             "Explain the inverse square law to a child."]  # fmt: skip


def said(messages: Sequence[Message], sampling: object) -> str | Completion:
    """What the persona says; hostile text for the last case, and a refusal."""
    question, system = messages[-1].content, messages[0].content
    persona = system.split()[-1].strip(".") if messages[0].role == "system" else "none"
    if "hostile" in question:
        return "\n\n".join(PAYLOADS) + "\n\nDonaudampf" + "schifffahrt" * 30
    if "tides" in question and persona == "art":
        return Completion("I would rather not.", status="refusal")
    return f"{ANSWERS[persona]}\n\nYou asked: {question}"


CELLS = ["from assistants import Results\nfrom assistants.widgets.browse.browse import Browse",
         "browse = Browse(Results())\nbrowse"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(folder: Path) -> Path:
    """A stored run of four personas, an experiment to keep cases in, and a notebook."""
    experiment = Experiment.define(
        "light",
        personas=["none", *({"name": name, "system_prompt": f"You think of nothing but {name}."}
                            for name in ("art", "physics", "history"))],
        baseline="none",
        models=[ScriptedClient(said, "scripted")],
        cases=[*QUESTIONS, *({"id": text, "question": f"{text} hostile"} for text in PAYLOADS[:4]),
               *(f"Number {number}?" for number in range(8))],
        repeats=2,
    )  # fmt: skip
    echo = Experiment.define("echo", personas=["none"], models=["echo"], cases=["Who is there?"])
    for stored in (echo, experiment):
        store_run(stored, folder / "results")
    (folder / "mine.yaml").write_text("personas: [none]\nmodels: [echo]\ncases:\n- Why?  # first\n")
    return folder


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext, folder: Path) -> Iterator[NotebookPage]:
    """One page for all tests of this file, each of which starts where the one before ended."""
    with notebook_page(lab, context, folder / "browse.ipynb", CELLS, width=1100) as opened:
        opened.run_all(".assistants-live.browse td")
        yield opened


@pytest.fixture
def page(notebook: NotebookPage) -> Page:
    return notebook.page


def panel(page: Page) -> Locator:
    return page.locator(".browse .panel")


def test_the_keyboard_opens_and_compares(page: Page) -> None:
    """Arrows, Enter, Escape, Space and r; the focus comes back to the cell."""
    page.screenshot(path=SCREENSHOTS / "browse.png")
    first = page.locator(".browse td").first
    assert "refusal" in page.locator(".browse tbody tr").first.inner_text()
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    panel(page).get_by_text("You think of nothing but physics.").wait_for()
    assert page.evaluate("document.activeElement.className") == "panel"
    page.screenshot(path=SCREENSHOTS / "browse-opened.png")
    page.keyboard.press("Escape")
    panel(page).wait_for(state="hidden")
    assert "physics" in str(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    page.keyboard.press("r")
    page.wait_for_selector(".browse td:focus >> text=2/2")
    page.keyboard.press(" ")
    page.wait_for_selector(".browse td[aria-selected=true]")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    panel(page).locator("ins").first.wait_for()
    page.screenshot(path=SCREENSHOTS / "browse-difference.png")
    page.keyboard.press("Escape")
    panel(page).wait_for(state="hidden")


def test_filters_as_one_types(page: Page) -> None:
    """What is found is said; what is not meant stays in sight, but pale."""
    page.get_by_label("Words in answers and questions").fill("kepler")
    page.wait_for_selector(".browse >> text=1 of 2", state="attached")
    page.wait_for_function(
        "document.querySelector('.browse [role=status]').innerText.includes('trials')"
    )
    page.wait_for_selector(".browse td.other")
    page.screenshot(path=SCREENSHOTS / "browse-filtered.png")
    page.get_by_label("Words in answers and questions").fill("")
    page.wait_for_selector(".browse td.other", state="detached")
    page.get_by_label("Next screen").click()
    page.wait_for_selector(".browse >> text=screen 2 of 2")
    page.get_by_label("Former screen").click()
    page.wait_for_selector(".browse >> text=screen 1 of 2")


def test_a_case_is_kept(page: Page, folder: Path) -> None:
    """From the panel, in the file that is named there; or a sentence says why not."""
    page.locator(".browse td", has_text="fresco").first.locator(".answer-text").click()
    panel(page).get_by_label("Experiment file").fill("mine.yaml")
    panel(page).get_by_role("button", name="Keep as case").click()
    panel(page).get_by_text("Kept as case 2 in mine.yaml.").wait_for()
    assert (
        "- Why?  # first\n- Why does light fade with distance?\n"
        in (folder / "mine.yaml").read_text()
    )
    panel(page).get_by_role("button", name="Keep as case").click()
    page.locator(".browse .notice", has_text="there already").wait_for()
    page.keyboard.press("Escape")
    panel(page).wait_for(state="hidden")


def test_hostile_answers_run_and_fetch_nothing(notebook: NotebookPage, page: Page) -> None:
    """Nor make anything wider than its place, in the dark as well."""
    page.get_by_label("Words in answers and questions").fill("hostile")
    page.wait_for_selector(".browse >> text=4 cases")
    page.locator(".browse td").first.locator(".answer-text").click()
    panel(page).locator(".panel-body").wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate(
        """() => { const body = document.querySelector('.browse .panel-body');
                   return body.scrollWidth <= body.clientWidth + 1; }"""
    )
    set_theme(page, "Dark")
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.screenshot(path=SCREENSHOTS / "browse-hostile.png")
    notebook.monitor.check(page)


def test_the_grid_is_left_behind(page: Page, folder: Path) -> None:
    """As it was filtered, for who has no kernel."""
    save(page)
    left = str(saved_outputs(folder / "browse.ipynb"))
    assert "4 cases" in left
    assert "assistants-still" in left


def test_a_stored_trial_goes_on_as_a_chat(page: Page) -> None:
    """Of another run, which is chosen above; the chat is below the grid."""
    page.keyboard.press("Escape")
    runs = page.get_by_label("Run", exact=True)
    runs.select_option(index=1)
    page.locator(".browse td", has_text="Who is there?").first.click()
    panel(page).get_by_role("button", name="Open as chat").click()
    page.locator(".chat-below .assistants-live.chat", has_text="Who is there?").wait_for()
    page.keyboard.press("Escape")
    page.locator(".chat-below").scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / "browse-chat.png")


def test_a_reload_and_a_kernel_that_is_gone(
    notebook: NotebookPage, page: Page, folder: Path
) -> None:
    """What is open stays to read, also in the saved notebook; then nothing can be asked for."""
    set_theme(page, "Light")
    notebook.reopen()
    page.locator(".browse td").first.wait_for(timeout=60_000)
    page.locator(".browse td", has_text="Who is there?").first.click()
    panel(page).locator(".panel-body").wait_for()
    # The page that was reloaded no longer hears of updates: it writes the copy itself.
    page.wait_for_function(
        "document.querySelector('.assistants-still').textContent.includes('finish reason')"
    )
    save(page)
    assert "finish reason" in str(saved_outputs(folder / "browse.ipynb"))
    notebook.restart()
    page.wait_for_selector(".browse .notice >> text=The kernel is gone", timeout=20_000)
    assert "Who is there?" in panel(page).locator(".panel-body").inner_text()
    every = page.locator(".assistants-live.browse :is(button, input, select):enabled")
    assert every.count() == 0
    page.screenshot(path=SCREENSHOTS / "browse-kernel-gone.png")
    notebook.run_all(".assistants-live.browse:not(:has(.notice:visible)) td")
    page.keyboard.press("Escape")
