"""Notebooks in a real JupyterLab, as the tests of the widgets drive them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import nbformat
from playwright.sync_api import BrowserContext, Dialog, Page, Request, Response

from assistants import Experiment, Run
from support.browser import ENVIRONMENT, KERNEL_PID, Lab, chromium, jupyter_lab

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"

T = TypeVar("T")


def in_thread(work: Callable[[], T]) -> T:
    """Run something in a thread of its own.

    Playwright keeps an event loop in the thread of the tests, where no other may run.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def store_run(experiment: Experiment, results: Path) -> Run:
    """Run an experiment, and return what is stored."""
    return in_thread(
        lambda: asyncio.run(experiment.run(results, on_progress=lambda progress: None))
    )


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook of code cells."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, path)


def open_notebook(page: Page, lab: Lab, path: Path) -> None:
    """Open a notebook, no other one beside it, and wait for its cells and its kernel.

    A page of JupyterLab stays where it is: to load it takes seconds of both cores.
    """
    name = path.relative_to(lab.root).as_posix()
    if page.evaluate("'jupyterapp' in window"):
        close_notebooks(page)
        page.evaluate("path => void jupyterapp.commands.execute('docmanager:open', { path })", name)
    else:
        page.goto(lab.notebook_url(name), timeout=120_000)
    page.wait_for_function(IS_OPEN, arg=name, timeout=240_000)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
    page.wait_for_selector("#jp-main-statusbar >> text=| Idle", timeout=120_000)


IS_OPEN = """path => {
    const shown = window.jupyterapp?.shell.currentWidget;
    return shown?.context?.path === path && shown.sessionContext?.isReady
        && shown.sessionContext.session?.kernel?.status === 'idle';
}"""
"""Whether a notebook is in front, and its kernel waits for something to do."""


def close_notebooks(page: Page) -> None:
    """Close every notebook; nobody is asked whether to save it."""
    page.evaluate("[...jupyterapp.shell.widgets('main')].forEach(widget => widget.dispose())")


def menu(page: Page, *path: str) -> None:
    """Choose from the menus."""
    for name in path:
        page.get_by_role("menuitem", name=name).first.click()


def run_all(page: Page) -> None:
    """Run every cell."""
    menu(page, "Run", "Run All Cells")


ALL_HAVE_RUN = """() => document.querySelector('[data-mime-type$="jupyter.error"]') ||
    [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every(
        prompt => /\\[\\d+\\]/.test(prompt.textContent))"""
"""Whether each cell has run, or one of them failed."""


def save(page: Page) -> None:
    """Save the notebook, and wait until the server has written it."""
    with page.expect_response(_is_save, timeout=60_000):
        page.locator("[data-command='docmanager:save']").first.click()
    page.wait_for_selector(".lm-TabBar-tab.jp-mod-dirty", state="detached")


def _is_save(response: Response) -> bool:
    """Recognise a save that has ended.

    The mark of an unsaved notebook is no witness: it can be late, and the file half written.
    """
    return response.request.method == "PUT" and "/api/contents/" in response.url


def saved_outputs(path: Path) -> list[dict[str, object]]:
    """Return every output of a saved notebook."""
    return [out for cell in nbformat.read(path, 4).cells for out in cell.get("outputs", [])]


def set_theme(page: Page, name: str) -> None:
    """Switch to the ``Light`` or ``Dark`` theme, through the command palette."""
    light = str(name == "Light").lower()
    if page.evaluate("document.body.dataset.jpThemeLight") == light:
        return
    page.keyboard.press("Control+Shift+C")
    page.locator(".lm-CommandPalette-input").first.fill(f"Use Theme: JupyterLab {name}")
    page.locator(".lm-CommandPalette-item:visible").first.click()
    page.wait_for_selector(f"body[data-jp-theme-light={light}]", state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


class PageMonitor:
    """Everything that a page and its pop-ups ask for and show, and the scripts that ran there."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.own_addresses = (lab.url, lab.url.replace("http", "ws"), "data:", "blob:")
        self.requests: list[str] = []
        self.dialogs: list[str] = []
        self._context = page.context
        self._context.on("request", self._on_request)
        self._context.on("dialog", self._on_dialog)

    def close(self) -> None:
        """Stop listening: the browser's context is used by the next test."""
        self._context.remove_listener("request", self._on_request)
        self._context.remove_listener("dialog", self._on_dialog)

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)

    def _on_dialog(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":  # JupyterLab asks whether to leave before it has saved
            self.dialogs.append(dialog.message)
        dialog.accept()

    def check(self, page: Page) -> None:
        """Assert that nothing ran or would run at a click, and no other host was asked."""
        assert page.evaluate("[window.hacked ?? null, window.parent.hacked ?? null]") == [None] * 2
        assert page.evaluate("window.__ran") == []
        assert page.evaluate(SCRIPT_LINKS) == []
        assert self.dialogs == []
        assert [url for url in self.requests if not url.startswith(self.own_addresses)] == []


SCRIPT_LINKS = """[...document.querySelectorAll('.jp-OutputArea a')]
    .map(e => e.getAttribute('href') ?? '').filter(href => !/^(https?:|mailto:|#|$)/i.test(href))"""
"""Links in an output that go elsewhere than to a page or a mail."""


@dataclass(frozen=True)
class NotebookPage:
    """One notebook on one page with one kernel: its only cell is written and run again and again.

    Opening a notebook takes seconds, running a cell does not.
    """

    page: Page
    lab: Lab
    path: Path
    monitor: PageMonitor

    @property
    def folder(self) -> Path:
        """The notebook's folder, in which its kernel runs."""
        return self.path.parent

    def signal_kernel(self, number: int) -> None:
        """Send a signal to the process of the kernel that started last in the folder."""
        os.kill(int((self.folder / KERNEL_PID).read_text()), number)

    def run(self, source: str) -> None:
        """Write ``source`` into the cell and run it; do not wait for its end."""
        self.page.locator(".jp-CodeCell .cm-content").first.click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Control+Enter")

    def run_all(self, selector: str) -> Page:
        """Run every cell, the notebook alone on the page, and wait for ``selector``."""
        self.page.keyboard.press("Control+b")  # the file browser goes away
        run_all(self.page)
        self.page.wait_for_selector(selector, timeout=120_000)
        return self.page

    def show(self, widget: str, more: str = "") -> None:
        """Show a new live widget in the place of the last one; the kernel calls it ``widget``."""
        live = ".assistants-live"
        self.page.locator(live).evaluate_all("all => all.forEach(e => e.dataset.old = true)")
        self.run(f"{IMPORTS}\nwidget = {widget}\ndisplay(widget)\n{more}")
        self.page.wait_for_selector(f"{live}:not([data-old]):visible", timeout=120_000)

    def ask(self, question: str, *, wait: bool = True) -> None:
        """Type a question, and wait for the end of the answers."""
        field = self.page.get_by_label("Question to all").or_(self.page.get_by_label("Message"))
        count = self.page.locator(".assistants-live .answer").count()
        field.first.fill(question)
        field.first.press("Enter")
        self.page.wait_for_function(MORE_ANSWERS_THAN, arg=count)
        if wait:
            self.wait_for_answers()

    def wait_for_answers(self) -> None:
        """Wait until every answer has ended, and the page says so."""
        self.page.wait_for_function(NO_ANSWER_STREAMS, timeout=120_000)

    def column_texts(self) -> list[str]:
        """Return the text of each column."""
        return self.page.locator(".assistants-live .column").all_inner_texts()

    @contextmanager
    def other(self, name: str, *cells: str) -> Iterator[NotebookPage]:
        """Open another notebook on the same page, its cells run once; return to this one after."""
        path = self.folder / name
        write_notebook(path, cells)
        open_notebook(self.page, self.lab, path)
        run_all(self.page)
        self.page.wait_for_selector(".jp-InputPrompt >> text=[1]:", timeout=60_000)
        yield replace(self, path=path)
        open_notebook(self.page, self.lab, self.path)

    def reopen(self) -> None:
        """Load the page anew, with the kernel as it is."""
        self.page.reload()
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)

    def restart(self) -> None:
        """Restart the kernel, as a person would."""
        self.page.locator("[data-command='notebook:restart-kernel']").first.click()
        self.page.get_by_role("button", name="Confirm Kernel Restart").click()

    def interrupt(self) -> None:
        """Interrupt the kernel, as a person would."""
        self.page.locator("[data-command='notebook:interrupt-kernel']").first.click()

    def screenshot(self, name: str) -> None:
        """Store a picture of the page in ``build/screenshots``."""
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


IMPORTS = "from assistants import Browse, Chat, Compare, Persona, Rate, Results"
MORE_ANSWERS_THAN = "n => document.querySelectorAll('.assistants-live .answer').length > n"
NO_ANSWER_STREAMS = """() => !document.querySelector('.assistants-live [aria-busy=true]') &&
    [...document.querySelectorAll('.assistants-live .go')].every(e => e.textContent === 'Send')"""


@contextmanager
def notebook_page(
    lab: Lab,
    context: BrowserContext,
    path: Path,
    cells: Sequence[str] = ("",),
    *,
    width: int = 1400,
    height: int = 1000,
    **environment: str,
) -> Iterator[NotebookPage]:
    """Open a new notebook; it is closed, and its kernel ends, with the block."""
    write_notebook(path, cells)
    (path.parent / ENVIRONMENT).write_text(json.dumps(environment))
    with lab_page(lab, context, width=width, height=height) as page:
        monitor = PageMonitor(page, lab)
        try:
            open_notebook(page, lab, path)
            set_theme(page, "Light")
            yield NotebookPage(page, lab, path, monitor)
        finally:
            monitor.close()


@contextmanager
def lab_page(
    lab: Lab, context: BrowserContext, *, width: int = 1400, height: int = 1000
) -> Iterator[Page]:
    """Take the page of JupyterLab, or a new one; its notebooks and kernels end with the block."""
    page = next((each for each in context.pages if each.evaluate(IS_AS_NEW)), None)
    if page is None:
        page = context.new_page()
        page.add_init_script(RECORD_SCRIPTS)
    else:
        page.evaluate("jupyterapp.shell.expandLeft()")
        page.mouse.move(0, 0)
    page.set_viewport_size({"width": width, "height": height})
    try:
        yield page
    finally:
        if page.is_closed():
            pass
        elif page.evaluate("'jupyterapp' in window"):
            close_notebooks(page)
        else:
            page.close()
        lab.shut_down_kernels()


RECORD_SCRIPTS = """window.__ran = []; for (const name of ['alert', 'prompt', 'confirm', 'print'])
    window[name] = (...all) => void window.__ran.push([name, ...all]);"""
"""Written down is what a script of an answer would do."""

IS_AS_NEW = """'jupyterapp' in window && !window.hacked && !window.__ran.length
    && !document.querySelector('.jp-Dialog')"""
"""Whether a page is a JupyterLab in which nothing ran, and nothing waits for a click."""


@contextmanager
def new_notebook_page(root: Path, **environment: str) -> Iterator[NotebookPage]:
    """Start a JupyterLab and a browser for one notebook (a benchmark needs no more)."""
    with jupyter_lab(root) as lab, chromium() as browser:
        path = lab.make_folder("lab") / "live.ipynb"
        with notebook_page(lab, browser.new_context(), path, **environment) as opened:
            yield opened
