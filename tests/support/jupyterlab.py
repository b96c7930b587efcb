"""Notebooks in a real JupyterLab, as the tests of the widgets drive them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Response

from support.browser import Lab, chromium, jupyter_lab

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of code cells."""
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(made, path)


def open_notebook(page: Page, lab: Lab, path: str) -> None:
    """Open a notebook, and wait for its cells and its kernel."""
    page.goto(lab.notebook(path), timeout=60_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=60_000)


def menu(page: Page, *path: str) -> None:
    """Choose from the menus."""
    for name in path:
        page.get_by_role("menuitem", name=name).first.click()


def run_all(page: Page) -> None:
    """Run every cell."""
    menu(page, "Run", "Run All Cells")


def save(page: Page) -> None:
    """Save the notebook, and wait until the server has written it."""
    with page.expect_response(_has_saved):
        page.locator("[data-command='docmanager:save']").first.click()
    page.wait_for_selector(".lm-TabBar-tab.jp-mod-dirty", state="detached")


def _has_saved(answer: Response) -> bool:
    """The mark of an unsaved notebook is no witness: it can be late, and the file half written."""
    return answer.request.method == "PUT" and "/api/contents/" in answer.url


def outputs(path: Path) -> list[dict[str, object]]:
    """Every output of a saved notebook."""
    return [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]


def dark(page: Page) -> None:
    """Switch to the dark theme, through the command palette as a person would."""
    page.keyboard.press("Control+Shift+C")
    page.get_by_role("searchbox", name="Command Palette Section").or_(
        page.locator(".lm-CommandPalette-input")
    ).first.fill("Use Theme: JupyterLab Dark")
    page.keyboard.press("Enter")
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")
    page.keyboard.press("Escape")


class Watch:
    """Everything that the pages of a browser's context ask for and pop up, and what runs there."""

    def __init__(self, context: BrowserContext, lab: Lab) -> None:
        self.own = (lab.url, lab.url.replace("http", "ws"), "data:", "blob:")
        self.asked: list[str] = []
        self.said: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("dialog", self._popped_up)
        context.add_init_script(
            "window.__ran = []; for (const name of ['alert', 'prompt', 'confirm', 'print'])"
            " window[name] = (...all) => void window.__ran.push([name, ...all]);"
        )

    def _popped_up(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":  # JupyterLab asks whether to leave before it has saved
            self.said.append(dialog.message)
        dialog.accept()

    def check(self, page: Page) -> None:
        """Nothing ran, popped up, or would run at a click; no other host was asked."""
        assert page.evaluate("[window.hacked ?? null, window.parent.hacked ?? null]") == [None] * 2
        assert page.evaluate("window.__ran") == []
        assert page.evaluate(TRAPS) == []
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(self.own)] == []


TRAPS = """[...document.querySelectorAll('.jp-OutputArea a')].map(e => e.getAttribute('href') ?? '')
    .filter(href => !/^(https?:|mailto:|#|$)/i.test(href))"""
"""Where a click on a link in an output would go, other than to a page or a mail."""


@dataclass(frozen=True)
class Desk:
    """One notebook on one page with one kernel: its only cell is written and run again and again.

    Opening a notebook takes seconds, running a cell does not.
    """

    page: Page
    browser: Browser
    lab: Lab
    folder: Path
    path: str
    watch: Watch

    def run(self, source: str) -> None:
        """Write ``source`` into the cell and run it; does not wait for its end."""
        self.page.locator(".jp-CodeCell .cm-content").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")

    def run_all(self, shows: str) -> Page:
        """Run every cell, the notebook alone on the page, and wait for what it shows."""
        self.page.keyboard.press("Control+b")  # the file browser goes away
        run_all(self.page)
        self.page.wait_for_selector(shows, timeout=60_000)
        return self.page

    def show(self, widget: str, more: str = "") -> None:
        """Show a new live widget in the place of the last one; ``widget`` is the name for it."""
        old = ".assistants-live"
        self.page.locator(old).evaluate_all("all => all.forEach(e => e.dataset.old = true)")
        self.run(f"{IMPORTS}\nwidget = {widget}\ndisplay(widget)\n{more}")
        self.page.wait_for_selector(f"{old}:not([data-old]):visible", timeout=60_000)

    def ask(self, question: str, *, wait: bool = True) -> None:
        """Type a question, and wait for the end of the answers."""
        field = self.page.get_by_label("Question to all").or_(self.page.get_by_label("Message"))
        count = self.page.locator(".assistants-live .answer").count()
        field.first.fill(question)
        field.first.press("Enter")
        self.page.wait_for_function(MORE_THAN, arg=count)
        if wait:
            self.rest()

    def rest(self) -> None:
        """Wait until every answer has ended, and the page says so."""
        self.page.wait_for_function(AT_REST, timeout=60_000)

    def columns(self) -> list[str]:
        """What stands in each column."""
        return self.page.locator(".assistants-live .column").all_inner_texts()

    @contextmanager
    def other(self, name: str, *cells: str) -> Iterator[Desk]:
        """Another notebook on the same page, its cells run once; this one again at the end."""
        write_notebook(self.folder / name, cells)
        open_notebook(self.page, self.lab, name)
        run_all(self.page)
        self.page.wait_for_selector(".jp-InputPrompt >> text=[1]:")
        yield replace(self, path=name)
        open_notebook(self.page, self.lab, self.path)

    def reopen(self) -> None:
        """Load the page anew, with the kernel as it is."""
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)

    def restart(self) -> None:
        """Restart the kernel, as a person would."""
        self.page.locator("[data-command='notebook:restart-kernel']").first.click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()

    def shot(self, name: str) -> None:
        """A picture of what the page shows, in ``build/screenshots``."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


IMPORTS = """\
from assistants import Results
from assistants.personas import Persona
from assistants.widgets.browse import Browse
from assistants.widgets.chat import Chat
from assistants.widgets.compare import Compare
from assistants.widgets.rate import Rate"""
MORE_THAN = "n => document.querySelectorAll('.assistants-live .answer').length > n"
AT_REST = """() => !document.querySelector('.assistants-live [aria-busy=true]') &&
    [...document.querySelectorAll('.assistants-live .go')].every(e => e.textContent === 'Send')"""


@contextmanager
def desk(
    folder: Path, name: str = "live.ipynb", cells: Sequence[str] = ("",), **environment: str
) -> Iterator[Desk]:
    """A browser, a JupyterLab, and a notebook open in it."""
    write_notebook(folder / name, cells)
    with jupyter_lab(folder, **environment) as lab, chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        watch = Watch(page.context, lab)
        open_notebook(page, lab, name)
        yield Desk(page, browser, lab, folder, name, watch)


def shut_down(page: Page) -> None:
    """End every kernel."""
    page.evaluate(
        """async () => {
            const { token } = JSON.parse(
                document.getElementById('jupyter-config-data').textContent);
            const headers = { Authorization: `token ${token}`,
                'X-XSRFToken': document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? '' };
            for (const { id } of await (await fetch('/api/sessions', { headers })).json()) {
                await fetch(`/api/sessions/${id}`, { method: 'DELETE', headers });
            }
        }"""
    )


def theme(page: Page, name: str) -> None:
    """Switch to the ``Light`` or ``Dark`` theme."""
    light = str(name == "Light").lower()
    if page.evaluate("document.body.dataset.jpThemeLight") == light:
        return
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").first.fill(f"Use Theme: JupyterLab {name}")
    page.locator(".lm-CommandPalette-item:visible").first.click()
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
