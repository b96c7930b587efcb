"""Hostile text in every widget, in a real browser: nothing runs, nothing is fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

from assistants import Experiment, Message, ScriptedClient
from assistants.personas import escape_template
from assistants.results import Results
from assistants.utils.text import to_utf8
from support.browser import Lab
from support.hostile_server import HostileServer
from support.hostile_texts import ATTACKS, PAYLOADS, SHORT, batches
from support.jupyterlab import (
    IMPORTS,
    SCREENSHOTS,
    NotebookPage,
    close_notebooks,
    notebook_page,
    open_notebook,
    save,
    saved_outputs,
    store_run,
)

pytestmark = pytest.mark.browser

BATCHES = batches(8)
"""What one stored answer says."""

SETUP = f"""{IMPORTS}
import asyncio, json, pathlib
from assistants.assistant import Assistant
from assistants.clients import connect
from assistants.personas import Library, escape_template
attacks = json.loads(pathlib.Path("attacks.json").read_text())
short = [a for a in attacks if len(a) < 300]

def assistant(n, provider="vllm"):
    some = "\\n".join(short[n::9])
    persona = Persona(f"p{{n}}", escape_template(some), label=short[n], description=some)
    client = connect(f"{{provider}}:" + ("m" if n else "<img src=x onerror=window.hacked=1>"))
    client.max_concurrency = 64
    return Assistant(persona, client)

async def all_of_them(columns, each):
    for _ in range(-(-len(attacks) // (columns * each))):
        widget.clear()
        await widget.ask("\\n\\n".join(short[::8]), repeats=each)
        await asyncio.sleep(0.3)
"""

LIVE = {
    "compare": """
widget = Compare(assistants=[assistant(n) for n in range(4)] + [assistant(9, "ollama")])
display(widget)
await all_of_them(4, 20)
widget.set_prompt(1, "\\n".join(short))
await widget.ask("\\n\\n".join(short[1::8]))
widget.show_diff(0)
""",
    "chat": """
widget = Chat(assistant(0), library=Library([pathlib.Path("odd")]))
display(widget)
await all_of_them(1, 50)
await widget.ask("\\n\\n".join(short[1::8]))
for at in range(0, len(short), 20):
    widget.switch(model=connect("vllm:" + "\\n".join(short[at : at + 20])))
widget.switch(model=assistant(3).client)
widget.set_prompt(0, "\\n".join(short))
await widget.ask("\\n\\n".join(short[2::8]))
widget.switch(assistant(3).persona)
await widget.fork([assistant(5).persona, assistant(7).persona])
widget.notify("\\n".join(short))
""",
}


def write_personas(folder: Path) -> None:
    """A library in which each of the short ones is a label, a description and a system prompt."""
    folder.mkdir()
    for number, each in enumerate(SHORT):
        front = "\n".join(f"{key}: {json.dumps(each)}" for key in ("label", "description"))
        text = (
            escape_template(each)
            if to_utf8(each) == each and "\0" not in each
            else "No file says it."
        )
        (folder / f"p-{number:03}.md").write_text(f"---\n{front}\n---\n{text}\n", newline="")


def said(messages: Sequence[Message], sampling: object) -> str:
    """Of the first persona every second batch, of the other one those between them."""
    number = 2 * int(messages[-1].content.split()[0]) + (messages[0].role == "system")
    return BATCHES[number % len(BATCHES)]


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


@pytest.fixture(scope="module")
def folder(folder: Path) -> Path:
    """A folder with a stored run in which everything is hostile that can be."""
    (folder / "attacks.json").write_text(json.dumps(ATTACKS))
    write_personas(folder / "odd")
    number = -(-len(BATCHES) // 2)
    experiment = Experiment.define(
        "hostile",
        description="\n".join(PAYLOADS),
        personas=["none", {"name": "hostile", "system_prompt": escape_template("\n".join(PAYLOADS)),
                           "label": PAYLOADS[0], "description": PAYLOADS[1]}],
        baseline="none",
        models=[ScriptedClient(said, PAYLOADS[2])],
        cases=[{"id": f"{n} {PAYLOADS[n]}", "question": escape_template(f"{n} {SHORT[n * 7]}"),
                "reference": escape_template(SHORT[n * 5])} for n in range(number)],
    )  # fmt: skip
    store_run(experiment, folder / "results")
    return folder


@pytest.fixture
def notebook(
    lab: Lab,
    context: BrowserContext,
    folder: Path,
    server: HostileServer,
    request: pytest.FixtureRequest,
) -> Iterator[NotebookPage]:
    """A notebook of its own, and a kernel that has not drawn all of it before."""
    addresses = {"VLLM_BASE_URL": server.url, "OLLAMA_BASE_URL": server.url_of("said")}
    name = re.sub(r"\W+", "-", request.node.name)
    with notebook_page(lab, context, folder / f"{name}.ipynb", **addresses) as opened:
        yield opened


def test_there_are_enough_of_them() -> None:
    """At least 500, and no two alike; each of them stands in an answer."""
    assert len(set(ATTACKS)) == len(ATTACKS) >= 500
    everything = "\n".join(BATCHES)
    assert all(each in everything for each in ATTACKS)


FAILED = "[data-mime-type$='jupyter.error']"
ARRIVING = "[data-state=streaming] .markdown > *"
"""A part of an answer, drawn as Markdown while it goes on."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["compare", "chat"])
def test_live(notebook: NotebookPage, server: HostileServer, name: str) -> None:
    """As answers, in batches that a page may hold, questions, personas, models, errors and so on.

    While they arrive, after a reload, and in a notebook without a kernel. The page stays usable.
    """
    server.count = 0
    end = f"the end of {name}"
    notebook.run(f"{SETUP}{LIVE[name]}print({end!r})")
    for _ in range(5):
        notebook.page.wait_for_selector(f"{ARRIVING}, {FAILED}", state="attached")
        assert notebook.page.locator(FAILED).all_inner_texts() == []
        notebook.monitor.check(notebook.page)
    printed = notebook.page.locator(".jp-RenderedText").filter(has_text=re.compile(f"^{end}|Error"))
    printed.first.wait_for(timeout=600_000)
    assert printed.all_inner_texts() == [f"{end}\n"]  # and no traceback
    notebook.wait_for_answers()
    assert server.count >= len(ATTACKS)
    assert notebook.page.locator(".assistants-live .answer").count() >= 50
    is_usable(notebook, ["Question to all", "Message"][name == "chat"])
    if name == "chat":
        choose_in_the_sidebar(notebook)
    for fold in notebook.page.locator(".assistants-live details.others").all():
        fold.evaluate("e => e.open = true")
    move_over(notebook.page)
    notebook.monitor.check(notebook.page)
    notebook.screenshot(f"hostile-{name}")
    is_safe_without_a_kernel(notebook, name, ".assistants-live .answer")


def choose_in_the_sidebar(notebook: NotebookPage) -> None:
    """Every hostile persona stands there, can be looked for, answers, and is asked with others."""
    page = notebook.page
    assert page.locator(".sidebar .personas button").count() >= len(SHORT)
    assert page.locator(".sidebar option").count() >= len(SHORT) // 20
    notebook.monitor.check(page)
    is_usable(notebook, "Search personas").fill("onerror")
    found = page.locator(".sidebar .personas button")
    assert 0 < found.count() < len(SHORT)
    found.first.click()
    page.wait_for_selector(".sidebar .personas button[aria-pressed=true]")
    notebook.ask(SHORT[0])
    page.get_by_text("Ask everybody").click()
    for number in (1, 2):
        page.locator(".everybody input").nth(number * 50).check()
    page.get_by_role("button", name="Ask them").click()
    page.wait_for_selector(".assistants-fork .column >> nth=2")
    notebook.wait_for_answers()


def test_rated(notebook: NotebookPage) -> None:
    """As the answers that are voted on, every pair; in the name of a rater who is hostile too."""
    notebook.show("Rate(Results().latest('hostile'), rater='<script>window.hacked=1</script>')")
    page = notebook.page
    votes = -(-len(BATCHES) // 2)
    page.locator(".rate .pair").focus()
    for number in range(1, votes + 1):
        page.keyboard.press("3")
        rated = f"document.querySelector('.rate .heard').innerText.startsWith('{number} of')"
        page.wait_for_function(rated)
        notebook.monitor.check(page)
        if number == votes // 2:
            move_over(page)
            notebook.screenshot("hostile-rate")
            page.locator(".rate .pair").focus()
    page.get_by_text("Every pair is rated.").wait_for()
    assert len(Results(notebook.folder / "results").latest("hostile").votes()) == votes
    is_safe_without_a_kernel(notebook, "rate", ".assistants-live.rate")


def test_browsed(notebook: NotebookPage) -> None:
    """On every screen of the grid, each trial opened, two compared, and words looked for."""
    notebook.show("Browse(Results().latest('hostile'))")
    page = notebook.page
    panel = page.locator(".browse .panel")
    seen = 0
    while True:
        cells = page.locator(".browse td[data-trial]").count()
        for number in range(cells):
            page.locator(".browse td[data-trial]").nth(number).locator(".answer-text").click()
            panel.locator(".panel-body").wait_for()
            notebook.monitor.check(page)
            page.keyboard.press("Escape")
            panel.wait_for(state="hidden")
        seen += cells
        notebook.screenshot(f"hostile-browse-{seen}")
        if page.get_by_label("Next screen").is_disabled():
            break
        page.get_by_label("Next screen").click()
        page.wait_for_selector(f".browse >> text=screen {seen // 20 + 1} of")
    assert seen >= len(BATCHES)
    for number in (0, 1):
        page.locator(".browse td[data-trial] input").nth(number).check()
    panel.locator(".panel-body").wait_for()
    move_over(page)
    page.keyboard.press("Escape")
    field = is_usable(notebook, "Words in answers and questions")
    field.fill("<script>")
    page.wait_for_selector(".browse mark")
    notebook.monitor.check(page)
    is_safe_without_a_kernel(notebook, "browse", ".assistants-live.browse")


def is_safe_without_a_kernel(notebook: NotebookPage, name: str, live: str) -> None:
    """After a reload; then what is left in the notebook, and nothing of ours beside it."""
    save(notebook.page)
    notebook.reopen()
    notebook.page.wait_for_selector(live, timeout=120_000)
    notebook.wait_for_answers()
    notebook.monitor.check(notebook.page)
    left = json.dumps(saved_outputs(notebook.path))
    assert "assistants-still" in left
    assert name == "rate" or "beacon.invalid" in left
    close_notebooks(notebook.page)
    notebook.lab.shut_down_kernels()
    open_notebook(notebook.page, notebook.lab, notebook.path)
    notebook.page.wait_for_selector(".assistants-still", timeout=60_000)
    assert notebook.page.locator(".assistants-live:visible").count() == 0
    move_over(notebook.page)
    notebook.monitor.check(notebook.page)
    notebook.page.screenshot(path=SCREENSHOTS / f"hostile-{name}-still.png")


def move_over(page: Page) -> None:
    """What a person does: point at things, go through them with the keyboard."""
    for x in range(150, 1300, 180):
        for y in range(120, 900, 120):
            page.mouse.move(x, y)
    for _ in range(20):
        page.keyboard.press("Tab")


def is_usable(notebook: NotebookPage, label: str) -> Any:
    """Assert that something can be typed, whatever stands above it; return the field."""
    field = notebook.page.get_by_label(label).first
    field.scroll_into_view_if_needed()
    field.click()
    notebook.page.keyboard.type("Still there?")
    assert field.input_value() == "Still there?"
    notebook.page.keyboard.press("Control+A")
    notebook.page.keyboard.press("Delete")
    return field
