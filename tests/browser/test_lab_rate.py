"""Blind rating as a person does it: in JupyterLab, with the keyboard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page

from assistants import Experiment, Message, Results, ScriptedClient
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

SECRET = ["zebra-persona", "okapi-persona"]
CODE = "Like this:\n\n```python\n" + "distance = " + "a_very_long_name + " * 12 + "1\n```\n"
TABLE = "\n\n| metre | light |\n|---|---|\n" + "| 1 | 100% |\n| 2 | 25% |\n" * 3
LONG = "\n\nDonaudampfschifffahrts" + "gesellschafts" * 20


def said(messages: Sequence[Message], sampling: object) -> str:
    """Something hostile, and something wide."""
    number = int(messages[-1].content.split()[0])
    hostile = "\n\n".join(PAYLOADS[number * 22 : number * 22 + 22])
    first = messages[0].content
    return f"**Light spreads.** {first}\n\n{CODE}{TABLE}{LONG}\n\n{hostile if number else ''}"


CELLS = ["from assistants import Results\nfrom assistants.widgets.rate.rate import Rate",
         "rate = Rate(Results(), rater='ann')\nrate"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(folder: Path) -> Path:
    """A stored run of two personas and six cases, and a notebook that rates it."""
    personas = [{"name": name, "system_prompt": f"It is {i}."} for i, name in enumerate(SECRET)]
    experiment = Experiment.define(
        "light",
        personas=personas,
        baseline=SECRET[0],
        models=[ScriptedClient(said, "quagga-model")],
        cases=[f"{number} Why does light fade with distance?" for number in range(6)],
    )
    store_run(experiment, folder / "results")
    return folder


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext, folder: Path) -> Iterator[NotebookPage]:
    """One page for all tests of this file, each of which starts where the one before ended."""
    path = folder / "rate.ipynb"
    with notebook_page(lab, context, path, CELLS, width=1000, height=900) as opened:
        opened.run_all(".assistants-live.rate")
        yield opened


@pytest.fixture
def page(notebook: NotebookPage) -> Page:
    return notebook.page


def widget(page: Page) -> Locator:
    return page.locator(".assistants-live.rate")


def rated(page: Page, number: int) -> None:
    """Wait until so many pairs are rated."""
    page.wait_for_selector(f".rate .heard >> text='{number} of 6'", state="attached")


def test_the_keyboard_alone_rates(page: Page, folder: Path) -> None:
    """1, 2, 3, 4 and u, with the focus where it was; what was said is announced."""
    before = widget(page).inner_html()
    assert not any(name in before for name in (*SECRET, "quagga"))
    page.screenshot(path=SCREENSHOTS / "rate.png")
    widget(page).locator(".pair").focus()
    for number, key in enumerate("134", start=1):
        page.keyboard.press(key)
        rated(page, number)
    page.keyboard.press("u")
    rated(page, 2)
    assert page.evaluate("document.activeElement.className") == "pair"
    assert page.locator(".rate [aria-live=polite]").text_content() == "2 of 6"
    votes = Results(folder / "results").latest().votes()
    assert list(votes["winner"]) == ["left", "tie"]
    assert not any(name in widget(page).inner_html() for name in (*SECRET, "quagga"))


def test_buttons_rate_too(page: Page) -> None:
    """Each has a label; the answers that are not left nor right of each other stand below."""
    widget(page).get_by_role("button", name="Left is better").click()
    rated(page, 3)
    sides = [page.locator(".rate .side").nth(i).bounding_box() for i in (0, 1)]
    assert sides[0]
    assert sides[1]
    assert sides[1]["x"] > sides[0]["x"] + sides[0]["width"] - 2
    page.set_viewport_size({"width": 640, "height": 900})
    page.wait_for_timeout(300)
    sides = [page.locator(".rate .side").nth(i).bounding_box() for i in (0, 1)]
    assert sides[0]
    assert sides[1]
    assert sides[1]["y"] > sides[0]["y"] + sides[0]["height"] - 2
    page.screenshot(path=SCREENSHOTS / "rate-narrow.png")
    page.set_viewport_size({"width": 1000, "height": 900})


def test_nothing_is_wider_than_its_place(page: Page) -> None:
    """Neither a long word nor a table nor code."""
    assert page.evaluate(
        """() => [...document.querySelectorAll('.rate .side')].every(
            side => side.scrollWidth <= side.clientWidth + 1)"""
    )


def test_the_end_shows_the_names_and_stays_to_read(page: Page, folder: Path) -> None:
    """In the dark as well; what was rated is saved, without a name before, with the tally after."""
    save(page)
    left = str(saved_outputs(folder / "rate.ipynb"))
    assert "3 of 6 pairs rated" in left
    assert "<b>left is better</b>" in left
    assert not any(name in left for name in (*SECRET, "quagga"))
    page.locator(".rate .pair").focus()
    for number in (4, 5):
        page.keyboard.press("2")
        rated(page, number)
    set_theme(page, "Dark")
    page.locator(".rate .pair").focus()
    page.keyboard.press("2")
    page.wait_for_selector(".rate .tally th >> text=zebra-persona")
    assert page.evaluate("document.activeElement.className") == "tally"
    page.screenshot(path=SCREENSHOTS / "rate-done.png")
    save(page)
    left = str(saved_outputs(folder / "rate.ipynb"))
    assert "<b>Left: zebra-persona</b>" in left
    assert "-persona is better</b>" in left


def test_nothing_ran_and_nothing_was_fetched(notebook: NotebookPage) -> None:
    """From no answer that was shown."""
    notebook.monitor.check(notebook.page)


def test_a_reload_and_a_kernel_that_is_gone(
    notebook: NotebookPage, page: Page, folder: Path
) -> None:
    """What was rated stays on the page and in the saved notebook; then nothing takes a vote."""
    set_theme(page, "Light")
    notebook.reopen()
    page.wait_for_selector(".rate .tally th >> text=zebra-persona", timeout=60_000)
    page.keyboard.press("Control+b")
    widget(page).get_by_role("button", name="Undo").click()
    rated(page, 5)
    page.locator(".rate .pair").wait_for()
    # The page that was reloaded no longer hears of updates: it writes the copy itself.
    page.wait_for_function(
        "document.querySelector('.assistants-still').textContent.includes('5 of 6 pairs rated')"
    )
    save(page)
    left = str(saved_outputs(folder / "rate.ipynb"))
    assert "5 of 6 pairs rated" in left
    assert "zebra" not in left
    notebook.restart()
    page.wait_for_selector(".rate .notice >> text=The kernel is gone", timeout=20_000)
    assert widget(page).locator(":is(button, input):enabled").count() == 0
    page.locator(".rate .pair").focus()
    page.keyboard.press("2")
    page.screenshot(path=SCREENSHOTS / "rate-kernel-gone.png")
    assert len(Results(folder / "results").latest().votes()) == 5
    notebook.run_all(".assistants-live.rate:not(:has(.notice:visible))")
    rated(page, 5)
