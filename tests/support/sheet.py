"""Every notebook and every kind of report as a person sees it, on a few sheets: ``make sheet``.

Notebooks are run in a real JupyterLab, reports are made by the command line on a loopback server.
Each is photographed light and dark, 1,000 and 420 pixels wide; ``build/sheet`` then has a picture
of each, and ``build`` a sheet of all, cut into pages that stand beside each other. What is broken
(words, overlaps, what leaves the page) is also printed. ``make sheet ONLY=report`` is quicker.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from support.browser import Lab, chromium, jupyter_lab
from support.commands import call
from support.faulty_server import FaultyServer
from support.geometry import find_flaws
from support.jupyterlab import ALL_HAVE_RUN, in_thread, open_notebook, run_all, set_theme

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "sheet"
NEED_VLLM = ("10-serve-and-test", "11-audit-and-attribute")
"""Notebooks that are shown with their saved outputs."""

THEMES, WIDTHS = ("light", "dark"), (1000, 420)
TALLEST = 16_000
"""Chromium draws no taller picture in one piece."""

LESSON = """\
A **{topic}** is seen because light of each colour takes its own way.

1. Short waves are scattered most, long ones hardly at all.
2. At dusk the way is long, so only red is left.

```python
def intensity(power: float, distance: float) -> float:
    return power / (4 * 3.14159 * distance**2)  # a long line, as models write them, which scrolls
```

| distance | intensity |
|---|---|
| 1 | 1.00 |
| 2 | 0.25 |
"""


def answer(request: dict[str, Any]) -> str:
    """Answer as models do: with lists, code and tables, and longer under some personas."""
    first, question = request["messages"][0]["content"], request["messages"][-1]["content"]
    if "A\n" in question[-40:] or first.startswith(("You grade", "You compare", "You judge")):
        return "A\nclear: 4 - a child can follow it\ncorrect: 3 - a step is missing\n"
    for row in csv.DictReader((TEMPLATES / "benchmark" / "questions.csv").open()):
        if row["question"] == question:
            is_right = request["model"] == "large" or len(question) % 3 == 0
            letter = row["reference"] if is_right else "ABCD".replace(row["reference"], "")[0]
            return f"The answer is **{letter}**."
    if "short" in first or "two sentences" in first:
        return f"Scattering, in one word: {question.rstrip('?').lower()}."
    more = "It can be seen on every clear day. " * ((len(first) * len(question)) % 5)
    return LESSON.format(topic=question.rstrip("?").split()[-1]) + f"\n{more}"


TEMPLATES = ROOT / "assistants" / "cli" / "templates"


@dataclass(frozen=True)
class Picture:
    """One page as one person sees it."""

    kind: str
    name: str
    theme: str
    width: int

    @property
    def path(self) -> Path:
        return OUT / f"{self.kind}-{self.name}-{self.theme}-{self.width}.png"


def main(only: str = "") -> None:
    """Make the pictures, then the sheets."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    pictures: list[Picture] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        root = Path(folder).resolve()
        if "report".startswith(only):
            for name, page in reports(root):
                pictures += photograph_report(browser, name, page)
        if "notebook".startswith(only):
            for name in ("notebooks", "experiments"):
                shutil.copytree(ROOT / name, root / name)
            with jupyter_lab(root) as lab:
                for path in sorted((root / "notebooks").glob("*.ipynb")):
                    pictures += photograph_notebook(browser, lab, path)
        for kind in dict.fromkeys(picture.kind for picture in pictures):
            for theme in THEMES:
                for width in WIDTHS:
                    chosen = [
                        p for p in pictures if (p.kind, p.theme, p.width) == (kind, theme, width)
                    ]
                    write_sheet(browser, chosen, OUT.parent / f"sheet-{kind}s-{theme}-{width}.png")


def reports(root: Path) -> Iterator[tuple[str, Path]]:
    """Make a report of every kind; yield its name and its page."""
    os.chdir(root)
    for name in ("start-here", "is-it-real"):
        yield name, reported(str(ROOT / "experiments" / f"{name}.yaml"))
    with FaultyServer(answer) as server:
        os.environ["VLLM_BASE_URL"] = server.url
        for template in ("compare", "benchmark", "classroom", "judge"):
            yield template, from_template(root / template, template)
        founding = str(ROOT / "experiments" / "inverse-square-law.yaml")
        yield "founding", reported(founding, "-m", "vllm:large", "--yes")
        yield "one-case", from_template(root / "one", "compare", "--cases", "1")
        os.environ["VLLM_BASE_URL"] = server.url_of("400")
        yield "failures", from_template(root / "failures", "compare")
        os.environ["VLLM_BASE_URL"] = server.url
        os.chdir(root / "benchmark")
        quietly(
            lambda: call(
                "migrate", "experiment.yaml", "--from", "vllm:small", "--to", "vllm:large", "--yes"
            )
        )
        yield "migration", max(Path("results").glob("*/*/migration.html")).resolve()
    del os.environ["VLLM_BASE_URL"]


def from_template(folder: Path, template: str, *options: str) -> Path:
    """Start a project, and make its report."""
    call("init", str(folder), "--template", template)
    os.chdir(folder)
    file = Path("experiment.yaml")
    models = "vllm:small, vllm:large" if template == "benchmark" else "vllm:large"
    text = re.sub(r"^models: \[.*?\]", f"models: [{models}]", file.read_text(), flags=re.M)
    file.write_text(text.replace("model: chatgpt", "model: vllm:large"))
    return reported("experiment.yaml", "--yes", *options)


def reported(*line: str) -> Path:
    done = quietly(lambda: call("run", *line))
    match = re.search(r"^report: (.*report\.html)$", done.out, flags=re.M)
    assert match is not None, done
    return Path(match[1]).resolve()


def quietly(work: Callable[[], Any]) -> Any:
    """Run a command where no event loop of Playwright is."""
    return in_thread(work)


def photograph_report(browser: Browser, name: str, path: Path) -> Iterator[Picture]:
    for theme in THEMES:
        for width in WIDTHS:
            picture = Picture("report", name, theme, width)
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
            page.goto(path.as_uri())
            say_flaws(picture, page, "body")
            page.screenshot(path=picture.path, full_page=True)
            page.close()
            yield picture


def photograph_notebook(browser: Browser, lab: Lab, path: Path) -> Iterator[Picture]:
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    open_notebook(page, lab, path)
    if path.stem not in NEED_VLLM:
        run_all(page)
        page.wait_for_function(ALL_HAVE_RUN, timeout=600_000)
        failed = page.locator("[data-mime-type$='jupyter.error']").all_inner_texts()
        assert failed == [], failed
    page.keyboard.press("Control+b")  # the file browser goes away
    for theme in THEMES:
        for width in WIDTHS:
            picture = Picture("notebook", path.stem, theme, width)
            page.set_viewport_size({"width": 1000, "height": 900})
            set_theme(page, theme.title())
            page.set_viewport_size({"width": width, "height": 900})
            panel = page.locator(".jp-WindowedPanel-outer").first
            height = panel.evaluate(CONTENT_HEIGHT)
            page.set_viewport_size({"width": width, "height": min(height + 140, TALLEST)})
            panel.evaluate("e => { e.scrollTop = 0; }")
            page.wait_for_timeout(500)  # widgets lay themselves out anew
            for number in range(page.locator(OUTPUT).count()):
                say_flaws(picture, page, f"{OUTPUT} >> nth={number}")
            page.screenshot(path=picture.path)
            yield picture
    lab.shut_down_kernels()
    page.close()


OUTPUT = ".jp-OutputArea-output .assistants"

CONTENT_HEIGHT = """e => Math.ceil([...e.querySelectorAll('.jp-Cell')].at(-1)
    .getBoundingClientRect().bottom - e.getBoundingClientRect().top + e.scrollTop)"""
"""Pixels of all cells, without the empty space that JupyterLab scrolls to."""


def say_flaws(picture: Picture, page: Page, selector: str) -> None:
    """Print what looks broken."""
    for flaw in find_flaws(page, selector):
        print(f"{picture.path.name}: {flaw}", flush=True)


def write_sheet(browser: Browser, pictures: list[Picture], path: Path) -> None:
    """Lay pictures out as pages beside each other, each with its name."""
    scale = 0.4 if pictures[0].width == 1000 else 0.6
    pages = [page for picture in pictures for page in pages_of(picture, scale)]
    sheet = path.with_suffix(".html")
    sheet.write_text(f"<style>{SHEET_CSS}</style>{''.join(pages)}", encoding="utf-8")
    opened = browser.new_page(viewport={"width": 2560, "height": 900})
    opened.goto(sheet.as_uri())
    opened.screenshot(path=path, full_page=True)
    opened.close()
    sheet.unlink()
    print(path.relative_to(ROOT), flush=True)


def pages_of(picture: Picture, scale: float) -> Iterator[str]:
    """Cut a picture into pages, and give each its name."""
    wide, tall = (round(pixels * scale) for pixels in png_size(picture.path))
    for start in range(0, tall, PAGE):
        size = f"width: {wide}px; height: {min(PAGE, tall - start)}px"
        ground = f"url({picture.path.as_uri()}) 0 -{start}px / {wide}px {tall}px"
        yield (
            f"<figure><figcaption>{picture.name}</figcaption>"
            f"<div style='{size}; background: {ground}'></div></figure>"
        )


PAGE = 640
"""Pixels of a sheet from which a picture goes on in the next column."""

SHEET_CSS = """
body { margin: 8px; background: #888; font: 12px sans-serif }
body { display: flex; flex-wrap: wrap; gap: 8px }
figure { margin: 0 } figcaption { background: #222; color: #fff; padding: 2px 6px }
"""


def png_size(path: Path) -> tuple[int, int]:
    """Return the width and the height that a PNG states."""
    head = path.read_bytes()[16:24]
    return int.from_bytes(head[:4]), int.from_bytes(head[4:])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
