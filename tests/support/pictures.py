"""The pictures of the README, made anew: ``make pictures``.

``compare.png`` is what the sixth notebook looks like in JupyterLab, a picture that
``tests/browser/test_notebooks.py`` has just taken. The report is that of ``make run``.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from assistants import Experiment, Results
from assistants.analysis.plots import forest, heat_map
from assistants.servers import read_plan
from support.browser import chromium

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

WITHOUT_SECONDS = """() => document.querySelectorAll('.card *').forEach(e => {
    if (!e.children.length) e.textContent = e.textContent.replace(/,\\s[0-9.,]+\\ss$/, '')
})"""
"""They say how busy the machine of the picture was, and nothing of the reader's."""


def effects() -> str:
    """The figures of notebook 03, from its tape."""
    with tempfile.TemporaryDirectory() as results:
        experiment = Experiment.load(ROOT / "experiments" / "is-it-real.yaml")
        run = asyncio.run(experiment.run(results, on_progress=lambda progress: None))
        shown = forest(run.effects("words"), score="words", unit="words", baseline="none").svg()
        return shown + "<br>" + heat_map(run.scores("words"), score="words", unit="words").svg()


def plan() -> str:
    """The example of servers on two GPUs."""
    planned = read_plan(ROOT / "experiments" / "servers.toml", on="2x24GiB").plan
    assert planned is not None
    return planned.svg()


def photograph(browser: Browser, figure: str, name: str) -> None:
    """A figure alone on a page, and nothing around it."""
    page = browser.new_page(viewport={"width": 1000, "height": 800}, device_scale_factor=1.5)
    page.set_content(f"<div style='display: inline-block; padding: 12px'>{figure}</div>")
    page.locator("div").first.screenshot(path=DOCS / name)
    page.close()


def main() -> None:
    """Make all four."""
    figures = {"effects.png": effects(), "plan.png": plan()}
    with chromium() as browser:
        for name, figure in figures.items():
            photograph(browser, figure, name)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        report = Results(ROOT / "results").latest("inverse-square-law").folder / "report.html"
        page.goto(report.resolve().as_uri())
        page.get_by_role("heading", name="What they answered").evaluate("e => e.scrollIntoView()")
        page.evaluate(WITHOUT_SECONDS)
        page.screenshot(path=DOCS / "report.png")
    shutil.copy(ROOT / "build" / "screenshots" / "notebook-06.png", DOCS / "compare.png")


if __name__ == "__main__":
    main()
