"""The report in a real browser: whatever a model says, nothing runs and nothing is fetched."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from assistants.assistant import Assistant
from assistants.clients import ScriptedClient
from assistants.errors import BadRequestError
from assistants.experiment import Experiment
from assistants.messages import Message, Sampling
from assistants.personas import Persona
from assistants.report import to_page, write_report
from assistants.results import Run
from assistants.trial import Case
from support.hostile_texts import ATTACKS, MONSTERS, PAYLOADS, SHORT, batches
from support.jupyterlab import in_thread, store_run

pytestmark = pytest.mark.browser

HOOK = """
window.hacked = undefined; window.violations = [];
for (const name of ['alert', 'confirm', 'prompt', 'open', 'print']) {
    window[name] = () => { window.hacked = name; };
}
document.addEventListener('securitypolicyviolation', e => window.violations.push(e.blockedURI));
"""
BATCHES = [text[:60_000] for text in batches(24)[: -len(MONSTERS) + 12]]
"""The attacks as text, code, table and link, and a dozen long ones: what a report can hold."""
CSP = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


@dataclass
class Visit:
    """A page that is open, what it asked for, and what popped up."""

    page: Page
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def assert_quiet(self) -> None:
        """Nothing ran, nothing was fetched, and nothing even tried."""
        for _ in range(2):
            self.page.mouse.move(300, 300)
            self.page.mouse.wheel(0, 4000)
            self.page.wait_for_timeout(100)
        assert self.page.evaluate("window.hacked") is None
        assert self.page.evaluate("window.violations") == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith("file://")] == []


def visit(browser: Browser, path: Path, **settings: object) -> Visit:
    context = browser.new_context(**settings)
    context.add_init_script(HOOK)
    page = context.new_page()
    seen = Visit(page)
    context.on("request", lambda request: seen.requests.append(request.url))
    page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
    page.goto(path.resolve().as_uri(), wait_until="load", timeout=60_000)
    return seen


def reported(experiment: Experiment, folder: Path) -> Run:
    run = store_run(experiment, folder)

    async def write() -> None:  # inside a loop, so that papermill leaves none behind
        write_report(run, folder / "file.yaml")

    in_thread(lambda: asyncio.run(write()))
    return run


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which everything that can hold text of others holds an attack, and its report."""
    folder = tmp_path_factory.mktemp("hostile")
    attack = "".join(PAYLOADS[:40]).replace("{", "{ ").replace("}", " }")
    answers = [*PAYLOADS, *BATCHES, "".join(PAYLOADS)]

    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        number = int(messages[-1].content.split()[0])
        if number < 4:
            raise BadRequestError(f"no: {attack}", fix=attack)
        return answers[number % len(answers)]

    client = ScriptedClient(answer, attack)
    experiment = Experiment(
        name="hostile",
        description=attack,
        assistants=(
            Assistant(Persona("plain", "Be kind."), client),
            # A persona's own name is letters; what is given to its variables is added to it.
            Assistant(Persona("b", "{{ x }}", label=attack), client, variables={"x": attack}),
        ),
        cases=tuple(Case(f"{n} {attack}", (f"{n} {p}",)) for n, p in enumerate(answers)),
    )
    return reported(experiment, folder)


def test_hostile_text_runs_nothing(browser: Browser, hostile: Run) -> None:
    """Over 500 attacks in answers, over 100 of them in questions, names and errors: none works."""
    everything = "\n".join(BATCHES)
    assert len({each for each in ATTACKS if each[:60_000] in everything}) >= 500
    seen = visit(browser, hostile.folder / "report.html")
    seen.assert_quiet()
    cards = hostile.trials().groupby(["persona", "case"]).ngroups
    assert seen.page.locator("article").count() == cards


def test_the_sanitiser_holds_alone(browser: Browser, hostile: Run, tmp_path: Path) -> None:
    """With the policy taken out of the page, there is still nothing that runs or fetches."""
    page = (hostile.folder / "report.html").read_text("utf-8")
    bare, taken = CSP.subn("", page)
    assert taken == 1
    path = tmp_path / "bare.html"
    path.write_text(bare, encoding="utf-8")
    visit(browser, path).assert_quiet()


def test_what_cells_print_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    """HTML that did not go through our own widgets is cleaned too, with no policy to help."""
    assert len(set(SHORT)) >= 500
    cell = nbformat.v4.new_code_cell("x")
    for text in SHORT:
        data = {"text/html": text, "text/plain": text}
        cell.outputs += [
            nbformat.v4.new_output("display_data", data),
            nbformat.v4.new_output("stream", text=text),
            nbformat.v4.new_output("error", ename=text, evalue=text, traceback=[text]),
        ]
    notes = [nbformat.v4.new_markdown_cell(text) for text in SHORT]
    made = nbformat.v4.new_notebook(cells=[cell, *notes])
    (tmp_path / "a.ipynb").write_text(json.dumps(made), encoding="utf-8")
    page = CSP.sub("", to_page(tmp_path / "a.ipynb", "</title><script>window.hacked=1</script>"))
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    visit(browser, tmp_path / "a.html").assert_quiet()


def test_pictures_run_nothing(browser: Browser, tmp_path: Path) -> None:
    """SVG of others, with no policy to help: no script, no page inside, no fetch, no bomb."""
    within = (
        "<script>window.hacked=1;top.hacked=1;fetch('http://beacon.invalid/f')</script>",
        '<image href="http://beacon.invalid/i.png" width="9" height="9"/>',
        '<use href="http://beacon.invalid/u.svg#a"/>',
        '<style>@import "http://beacon.invalid/s.css";</style>',
        '<a href="javascript:top.hacked=1"><rect width="99" height="99"/></a>',
        '<foreignObject width="99" height="99"><iframe xmlns="http://www.w3.org/1999/xhtml" '
        'src="http://beacon.invalid/p"/></foreignObject>',
        '<animate attributeName="x" dur="1s" onbegin="top.hacked=1"/>',
        '</svg>"><img src="http://beacon.invalid/q" onerror="window.hacked=1">',
    )
    root = '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99" onload="top.hacked=1">'
    names = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))
    bomb = f'<!DOCTYPE svg [<!ENTITY a0 "ha">{names}]>{root}<text>&a12;</text></svg>'
    cell = nbformat.v4.new_code_cell("x")
    for text in (*(f"{root}{each}</svg>" for each in within), bomb):
        data = {"image/svg+xml": text, "text/plain": '" onerror="window.hacked=1'}
        cell.outputs.append(nbformat.v4.new_output("display_data", data))
    made = nbformat.v4.new_notebook(cells=[cell])
    (tmp_path / "a.ipynb").write_text(json.dumps(made), encoding="utf-8")
    page = CSP.sub("", to_page(tmp_path / "a.ipynb", "x"))
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    seen = visit(browser, tmp_path / "a.html")
    assert seen.page.locator("img").count() == len(within)
    seen.page.locator("img").nth(4).click()
    seen.requests[:] = [url for url in seen.requests if not url.startswith("data:")]
    seen.assert_quiet()


def test_the_policy_holds_alone(browser: Browser, tmp_path: Path) -> None:
    """And without the sanitiser, the page's own policy stops what gets in."""
    made = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'
    (tmp_path / "a.ipynb").write_text(made, encoding="utf-8")
    attack = (
        "<script>window.hacked=1</script><img src=http://beacon.invalid/a onerror=window.hacked=1>"
    )
    page = str(to_page(tmp_path / "a.ipynb", "x")).replace("</body>", f"{attack}</body>")
    assert attack in page
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    seen = visit(browser, tmp_path / "a.html")
    seen.page.wait_for_timeout(200)
    assert seen.page.evaluate("window.hacked") is None
    assert {"inline", "http://beacon.invalid/a"} <= set(seen.page.evaluate("window.violations"))


def test_the_hook_sees_what_runs(browser: Browser, tmp_path: Path) -> None:
    """The test can fail: on a page without either defence, the hook and the record see it."""
    (tmp_path / "a.html").write_text(
        "<script>window.hacked=1</script><img src='http://beacon.invalid/a'>", encoding="utf-8"
    )
    seen = visit(browser, tmp_path / "a.html")
    assert seen.page.evaluate("window.hacked") == 1
    assert "http://beacon.invalid/a" in seen.requests


def test_a_hostile_page_can_still_be_used(browser: Browser, hostile: Run) -> None:
    """Its words can be selected, what is folded opens, and nothing covers anything else."""
    page = visit(browser, hostile.folder / "report.html").page
    page.keyboard.press("Control+A")
    chosen = page.evaluate("getSelection().toString()")
    assert "window.hacked=1" in chosen
    assert page.evaluate("document.title") == "hostile"
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    last = page.locator("article").last
    last.scroll_into_view_if_needed()
    assert last.is_visible()
    assert page.evaluate("scrollX + innerWidth >= document.documentElement.scrollWidth")
    fixed = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).position === "
    assert page.evaluate(f"{fixed}'fixed').length") == 0


@pytest.fixture(scope="module")
def founding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The founding experiment's report, with answers of the usual length and shape."""
    folder = tmp_path_factory.mktemp("founding")
    answer = (
        "The law says that intensity falls with the square of the distance. " * 4
        + "\n\n```python\ndef intensity(power, distance):\n    return power / (4 * 3.14159 * "
        + "distance ** 2)  # a long line, as models write them, far beyond the card's own width\n"
        + "```\n\n| distance | intensity |\n|---|---|\n| 1 | 1.00 |\n| 2 | 0.25 |\n\n"
        + "See https://example.org/" + "a" * 120
    )  # fmt: skip
    client = ScriptedClient(lambda messages, sampling: answer, "founding")
    file = Path(__file__).parents[2] / "experiments" / "inverse-square-law.yaml"
    loaded = Experiment.load(file)
    experiment = Experiment(
        name=loaded.name,
        description=loaded.description,
        assistants=tuple(Assistant(a.persona, client) for a in loaded.assistants),
        cases=loaded.cases,
        repeats=loaded.repeats,
    )
    return reported(experiment, folder).folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 400])
def test_the_founding_report_fits(
    browser: Browser, founding: Path, scheme: str, width: int, tmp_path: Path
) -> None:
    """No sideways scrolling, text that stands out from its ground, and cards beside each other."""
    seen = visit(
        browser,
        founding,
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    page = seen.page
    page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut_off = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert page.locator(".card").evaluate_all(cut_off) == 0
    tops = page.locator("article").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().top)"
    )
    beside = max(tops.count(top) for top in tops)
    assert beside >= (2 if width == 1000 else 1)
    text, ground = (
        page.evaluate(f"getComputedStyle(document.{e}).{c}")
        for e, c in (
            ("querySelector('article p')", "color"),
            ("documentElement", "backgroundColor"),
        )
    )
    assert text != ground
    seen.assert_quiet()
