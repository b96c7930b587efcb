"""Rate and Browse on a small screen, in both themes, told by a screen reader, set from a cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from assistants import Completion, Experiment, Message, ScriptedClient
from support.accessibility import LOW_CONTRAST, check_names, check_width
from support.browser import Lab
from support.jupyterlab import NotebookPage, notebook_page, set_theme, store_run

pytestmark = pytest.mark.browser

CODE = "```python\n" + "distance = " + "a_very_long_name + " * 12 + "1\n```"
TABLE = "| metre | light | what it is like to look at |\n|---|---|---|\n| 1 | 1.00 | bright |"
WORD = "Donaudampfschifffahrts" + "gesellschafts" * 20


def said(messages: Sequence[Message], sampling: object) -> str | Completion:
    """Everything that an answer is made of; shorter the second time, and once none."""
    question, first = messages[-1].content, messages[0].content
    if "refused" in question and "art" in first:
        return Completion("I would rather not.", status="refusal")
    if "sentence" in question:
        return f"**Light spreads**, says {first}"
    return f"## The law\n\nLight spreads, says {first}\n\n- `1/d²`\n\n{CODE}\n\n{TABLE}\n\n{WORD}"


@pytest.fixture(scope="module")
def notebook(lab: Lab, context: BrowserContext, folder: Path) -> Iterator[NotebookPage]:
    """A page of 1,000 px beside a stored run: three personas, a conversation, two draws of each."""
    experiment = Experiment.define(
        "light",
        personas=["none", *({"name": name, "system_prompt": f"You think of {name}."}
                            for name in ("art", "physics"))],
        baseline="none",
        models=[ScriptedClient(said, "scripted"), ScriptedClient(said, "other")],
        cases=[{"id": "talk", "turns": ["How does light fall off?", "Say that in one sentence."]},
               {"id": WORD, "question": "May this be refused?"}],
        repeats=2,
    )  # fmt: skip
    other = Experiment.define("echo", personas=["none"], models=["echo"], cases=["Who is there?"])
    for stored in (other, experiment):
        store_run(stored, folder / "results")
    path = folder / "stored.ipynb"
    with notebook_page(lab, context, path, width=1000, height=900) as opened:
        yield opened


def rate(notebook: NotebookPage, name: str) -> None:
    """The conversation, to be rated by somebody who has not rated it yet."""
    notebook.show(f"Rate(Results(), rater={name!r}, cases=['talk'])")


def browse(notebook: NotebookPage) -> None:
    """The newest run, with others to choose from."""
    notebook.show("Browse(Results())")
    notebook.page.wait_for_selector(".browse td[data-trial]")


def test_every_control_of_rate_has_a_role_and_a_name(notebook: NotebookPage) -> None:
    """Before the vote, and at the end."""
    rate(notebook, "ann")
    region = notebook.page.get_by_role("region", name="Blind rating", exact=True)
    check_names(region, [
        ("group", "Two answers to compare"), ("button", "Left is better"), ("button", "Tie"),
        ("button", "Both are bad"), ("button", "Right is better"), ("button", "Undo"),
        ("button", "Skip"), ("button", "Show the result so far"), ("textbox", "Rated by"),
        ("progressbar", "Rated"), ("region", "Question 1"), ("article", "Answer 1 on the left"),
        ("article", "Answer 1 on the right"), ("region", "Question 2"),
        ("article", "Answer 2 on the left"), ("article", "Answer 2 on the right"),
    ])  # fmt: skip
    region.get_by_role("button", name="Left is better").press("Enter")
    region.get_by_role("button", name="Show the result so far").press("Enter")
    region.get_by_role("rowheader", name="none").wait_for()
    check_names(region, [
        ("group", "Result"), ("button", "Hide the names and go on"),
        ("columnheader", "Persona"), ("columnheader", "Share of wins"),
    ])  # fmt: skip


def test_every_control_of_browse_has_a_role_and_a_name(notebook: NotebookPage) -> None:
    """In the grid, in a trial that is open, and in a difference."""
    browse(notebook)
    region = notebook.page.get_by_role("region", name="Browse a run", exact=True)
    check_names(region, [
        ("combobox", "Run"), ("searchbox", "Words in answers and questions"),
        ("searchbox", "Case"), ("combobox", "Status"), ("combobox", "Persona"),
        ("combobox", "Model"), ("checkbox", "Failures first"), ("grid", "Answers"),
        ("columnheader", "Case"),
    ])  # fmt: skip
    for role, name in [("checkbox", "Select to compare"),
                       ("button", "Repeat 1 of 2, show the next")]:  # fmt: skip
        assert region.get_by_role(role, name=name, exact=True).count() == 12, name
    region.locator("td").first.press("Enter")
    opened = region.get_by_role("dialog", name="Opened", exact=True)
    opened.wait_for()
    check_names(opened, [
        ("button", "Close"), ("button", "Open as chat"), ("button", "Keep as case"),
        ("textbox", "Experiment file"), ("button", "Next repeat"), ("button", "Former repeat"),
        ("heading", "none"),
    ])  # fmt: skip


@pytest.mark.parametrize("name", ["Dark", "Light"])
def test_rate_on_a_small_screen(notebook: NotebookPage, name: str) -> None:
    """At 1,000 px every text can be read and nothing breaks out, from the first turn to the end."""
    set_theme(notebook.page, name)
    rate(notebook, name)
    places = ".rate, .rate .pair, .rate .side, .rate .asked-of, .rate .top, .rate .bottom"
    notebook.page.wait_for_selector(".rate .side >> nth=3")
    check_width(notebook.page, places)
    notebook.screenshot(f"rate-1000-{name.lower()}")
    assert notebook.page.evaluate(LOW_CONTRAST) == []
    notebook.page.locator(".rate .pair").focus()
    notebook.page.keyboard.press("End")
    notebook.page.get_by_text("Say that in one sentence.").first.wait_for()
    notebook.page.wait_for_timeout(300)
    notebook.screenshot(f"rate-1000-{name.lower()}-end")
    notebook.page.keyboard.press("1")
    notebook.page.wait_for_selector(".rate .heard >> text=/^1 of/", state="attached")
    assert notebook.page.evaluate("document.querySelector('.rate .pair').scrollTop") == 0
    notebook.page.get_by_role("button", name="Show the result so far").click()
    notebook.page.wait_for_selector(".rate .tally th")
    check_width(notebook.page, places)
    assert notebook.page.evaluate(LOW_CONTRAST) == []


@pytest.mark.parametrize("name", ["Dark", "Light"])
def test_browse_on_a_small_screen(notebook: NotebookPage, name: str) -> None:
    """At 1,000 px every text can be read, what a filter does not mean too, and what is open."""
    set_theme(notebook.page, name)
    browse(notebook)
    check_width(notebook.page, ".browse, .browse .top, .browse :is(th, td), .browse .bottom")
    notebook.page.get_by_label("Words in answers and questions").fill("rather not")
    notebook.page.wait_for_selector(".browse td.other")
    notebook.page.wait_for_selector(".browse .badge")
    notebook.screenshot(f"browse-1000-{name.lower()}")
    assert notebook.page.evaluate(LOW_CONTRAST) == []
    notebook.page.locator(".browse td.bad .answer-text").first.click()
    notebook.page.wait_for_selector(".browse .panel-body")
    check_width(notebook.page, ".browse .panel, .browse .panel-head, .browse .panel-body")
    notebook.screenshot(f"browse-1000-{name.lower()}-opened")
    assert notebook.page.evaluate(LOW_CONTRAST) == []
    notebook.page.keyboard.press("Escape")
    for number in (0, 1):
        notebook.page.locator(".browse td[data-trial] input").nth(number).check()
    notebook.page.wait_for_selector(".browse .panel ins")
    assert notebook.page.evaluate(LOW_CONTRAST) == []


def test_a_filter_that_a_cell_has_set_stays(notebook: NotebookPage) -> None:
    """Of several names, while somebody types; one of them, or all, are a choice away."""
    notebook.show("Browse(Results())", "widget.filter(persona=['none', 'physics'])")
    persona = notebook.page.get_by_role("combobox", name="Persona", exact=True)
    persona.locator("option:checked", has_text="2 of them").wait_for(state="attached")
    words = notebook.page.get_by_label("Words in answers and questions")
    said = notebook.page.locator(".browse footer [role=status]")
    heads = notebook.page.locator(".browse thead b")
    for text, left in [("refused", "1 case, 8 trials"), ("", "2 cases, 16 trials")]:
        words.fill(text)
        said.get_by_text(left).wait_for()
        assert heads.all_inner_texts() == ["none", "physics"] * 2
    assert not notebook.page.locator(".browse .notice").is_visible()
    for label, left in [("art", "2 cases, 8 trials"), ("Every persona", "2 cases, 24 trials")]:
        persona.select_option(label=label)
        said.get_by_text(left).wait_for()
        assert persona.locator("option:checked").inner_text() == label
    offered = persona.locator("option").all_inner_texts()
    assert offered == ["Every persona", "none", "art", "physics"]
