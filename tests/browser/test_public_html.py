"""Every public object's HTML, as a person sees it in a notebook: whole words, in their places."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, BrowserContext, Page

import assistants
from assistants import (
    Assistant,
    Case,
    Completion,
    Experiment,
    Library,
    Message,
    Persona,
    Results,
    Sampling,
    ScriptedClient,
    Transcript,
    Trial,
    improve,
)
from assistants.clients import ServerRecord
from assistants.messages import Usage
from assistants.servers import Server, ServerStatus
from assistants.widgets.html.run_summary import side_by_side
from support.browser import Lab
from support.experiments import quiet
from support.geometry import find_flaws
from support.improvement_worlds import World
from support.jupyterlab import (
    SCREENSHOTS,
    in_thread,
    lab_page,
    open_notebook,
    run_all,
    write_notebook,
)

pytestmark = pytest.mark.browser

PROMPT = "You are a patient teacher. You explain every step and give an example from daily life."


def answer(messages: Any, sampling: Any) -> str:
    """Return longer answers under a system prompt."""
    number = len(messages[0].content) + 7 * len(messages[-1].content) + 3 * (sampling.seed or 0)
    return "Light falls off with the square of the distance. " * (1 + number % 5)


def public_values(folder: Path) -> dict[str, Any]:
    """Return one of every public value that has HTML, as long as they are in practice."""
    personas = [
        Persona("none", None),
        Persona("patient-teacher", PROMPT, label="Patient teacher", description="Explains steps.",
                sampling=Sampling(temperature=0.7, max_tokens=400), source="personas/teacher.md"),
    ]  # fmt: skip
    clients = [ScriptedClient(answer, name) for name in ("small", "a-much-larger-model-of-one")]
    asked = [Assistant(persona, client) for client in clients for persona in personas]
    cases = [Case(str(n), (f"Why does the light of star number {n} fade?",)) for n in range(1, 8)]
    experiment = Experiment(
        name="the-founding-experiment-of-this-test",
        description="Does it matter whom you ask, and how the question is put?",
        assistants=tuple(asked),
        cases=tuple(cases),
        repeats=2,
        baseline="none",
        source="experiments/the-founding-experiment-of-this-test.yaml",
    )
    run = in_thread(
        lambda: asyncio.run(experiment.run(folder / "results", on_progress=lambda progress: None))
    )
    improvement = in_thread(
        lambda: asyncio.run(
            improve("judge", World().experiment(), results=folder / "results", on_progress=quiet)
        )
    )
    completion = Completion("It **fades**.", reasoning="Let me think.", usage=Usage(9, 4),
                            served_model="small-2026-01", total_s=1.2)  # fmt: skip
    messages = (Message("system", PROMPT), Message("user", "Why does light fade?"))
    record = ServerRecord(
        name="qwen3-8b", model="Qwen3-8B", source="Qwen/Qwen3-8B", url="http://127.0.0.1:8000",
        key="", python="python", log="qwen3-8b.log", supervisor=1, group=1, started=0.0,
        gpus=(0, 1), memory=20 * 2**30,
    )  # fmt: skip
    return {
        "Persona": personas[1],
        "Library": Library.default(),
        "Assistant": asked[1],
        "Case": Case("star", ("Why does light fade?", "And sound?"), reference="Distance."),
        "Trial": Trial(cases[0], asked[1], 1),
        "Message": messages[1],
        "Completion": completion,
        "Transcript": Transcript(messages, completion),
        "Experiment": experiment,
        "Results": Results(folder / "results"),
        "Run": run,
        "Server": Server(record, ServerStatus(context=32_768)),
        "Migration": run.migration(clients[0].model, clients[1].model),
        "Improvement": improvement,
        "answers": side_by_side(run),
    }


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return public_values(tmp_path_factory.mktemp("values"))


def nbconvert_page(values: dict[str, Any], folder: Path, theme: str) -> Path:
    """Write a page of the values with the style sheet and elements of JupyterLab."""
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": value._repr_html_()})
        for name, value in values.items()
    ]
    cells = [nbformat.v4.new_code_cell(name, outputs=[output])
             for name, output in zip(values, outputs, strict=True)]  # fmt: skip
    exporter = HTMLExporter(template_name="lab", theme=theme)  # type: ignore[no-untyped-call]
    exporter.exclude_input = True
    body, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))
    path = folder / f"{theme}.html"
    path.write_text(body, encoding="utf-8")
    return path


def test_every_public_class_with_html_is_looked_at(values: dict[str, Any]) -> None:
    """So that a new one is drawn here too. A design is drawn as the experiment that it is."""
    shown = {
        name for name in assistants.__all__
        if hasattr(getattr(assistants, name), "_repr_html_")
    }  # fmt: skip
    assert shown - {"Design"} <= set(values)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 420])
def test_every_public_object_looks_whole(
    browser: Browser, values: dict[str, Any], tmp_path: Path, theme: str, width: int
) -> None:
    """No word breaks, nothing overlaps, nothing is empty, and text stands out from its ground."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    context.route("http*://**", lambda route: route.abort())  # nbconvert's page asks for MathJax
    page = context.new_page()
    page.goto(nbconvert_page(values, tmp_path, theme).as_uri())
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"public-{theme}-{width}.png", full_page=True)
    outputs = page.locator(".jp-OutputArea-output")
    assert outputs.count() == len(values)
    flaws = {}
    for number, name in enumerate(values):
        assert outputs.nth(number).bounding_box()["height"] > 15  # type: ignore[index]
        if found := find_flaws(page, f".jp-OutputArea-output >> nth={number}"):
            flaws[name] = found
    assert not flaws
    context.close()


@pytest.fixture
def opened(context: BrowserContext, lab: Lab) -> Iterator[Page]:
    with lab_page(lab, context, width=1000, height=900) as page:
        yield page


CELL = """\
from assistants import Experiment
experiment = Experiment.define(
    "the-founding-experiment", personas=["none", "art", "physics"], models=["echo"],
    cases=["Why is the sky blue?", "What makes the tides?"], description="Whom to ask?")
experiment
"""


def test_they_look_whole_in_a_real_jupyterlab(opened: Page, lab: Lab, folder: Path) -> None:
    """The style sheet above is the real one: an experiment and its run, in a narrow cell too."""
    write_notebook(
        folder / "a.ipynb", [CELL, "await experiment.run(on_progress=lambda progress: None)"]
    )
    open_notebook(opened, lab, folder / "a.ipynb")
    run_all(opened)
    opened.wait_for_selector(".jp-OutputArea-output .assistants >> nth=1", timeout=120_000)
    opened.keyboard.press("Control+B")  # the side bar takes all of a narrow window
    opened.wait_for_selector("#jp-left-stack", state="hidden")
    for width in (1000, 420):
        opened.set_viewport_size({"width": width, "height": 900})
        for number in range(2):
            assert find_flaws(opened, f".jp-OutputArea-output .assistants >> nth={number}") == []
    opened.screenshot(path=SCREENSHOTS / "public-lab-420.png")
