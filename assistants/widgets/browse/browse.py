"""``Browse``: the answers of a stored run, to look through and to continue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import traitlets
from markupsafe import Markup

from assistants.results import Results, Run
from assistants.utils.text import escape_control_chars
from assistants.widgets import background
from assistants.widgets.background import wait_for
from assistants.widgets.base import Item, LiveWidget, read_sources
from assistants.widgets.browse.grid import Filter, FilterResult, Grid
from assistants.widgets.browse.trial_detail import screen_html
from assistants.widgets.browse.trial_panel import TrialPanel
from assistants.widgets.stored_runs import resolve_run, run_label

ROWS = 10
"""Cases on a screen."""
COLUMNS = 12
"""Columns on a screen."""


class Browse(LiveWidget):
    """Cases as rows, personas (on models) as columns; a screen of them at a time.

    Parameters
    ----------
    run
        The run, or results: then their newest one, with the others to choose from.

    Raises
    ------
    UsageError
        If there is no run.
    """

    _esm = read_sources(
        "static/page.js", "static/markdown.js", "browse/panel.js", "browse/browse.js"
    )
    _css = read_sources("static/live.css", "browse/browse.css")

    runs = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """The runs to choose from, newest first."""
    run_id = traitlets.Unicode("").tag(sync=True)
    state = traitlets.Unicode("idle").tag(sync=True)
    """``idle``, or ``reading`` while something is looked up."""
    choices = traitlets.Dict().tag(sync=True)
    """The options: each ``run``, and each ``status``, ``persona`` and ``model`` to filter by."""
    filters = traitlets.Dict().tag(sync=True)
    """The filter that is applied."""
    summary = traitlets.Unicode("").tag(sync=True)
    """The number of cases and trials that the filter leaves."""
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    """Persona and model of each column on this screen."""
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The cases on this screen, each with its cells."""
    page = traitlets.Int(0).tag(sync=True)
    pages = traitlets.Int(1).tag(sync=True)
    column_page = traitlets.Int(0).tag(sync=True)
    """The screen of columns, from 0, of ``column_pages``."""
    column_pages = traitlets.Int(1).tag(sync=True)
    opened = traitlets.Dict().tag(sync=True)
    """The trial that is open, whole; empty if none is."""
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    """The indices of at most two trials."""
    difference = traitlets.Dict().tag(sync=True)
    """The words in which two trials differ; empty if none are compared."""
    chat = traitlets.Unicode("").tag(sync=True)
    """The ``Chat`` that is shown below, by its model id; empty for none."""
    kept = traitlets.Unicode("").tag(sync=True)
    """The case that was saved last, and where."""
    source_file = traitlets.Unicode("").tag(sync=True)
    """The experiment file that a case is saved in unless another is named."""

    commands = {  # noqa: RUF012 - declared a ClassVar in LiveWidget
        "run": "_read_run",
        "filter": "_filter_to",
        "page": "_go_to_page",
        "repeat": "_next_repeat",
        "open": "_open",
        "select": "select",
        "close_trial": "close_trial",
        "chat": "_open_chat",
        "close_chat": "close_chat",
        "keep": "_keep",
    }

    def __init__(self, run: Run | Results) -> None:
        self.run = resolve_run(run)
        self._runs = list(reversed(run.runs())) if isinstance(run, Results) else []
        self._chosen: dict[tuple[int, int], int] = {}
        self._filter_requests = self._run_requests = self._readers = 0
        self._panel = TrialPanel(self)
        super().__init__(runs=[listed.id for listed in self._runs])
        self._show(self.run, Grid(self.run.trials()))

    def __repr__(self) -> str:
        return f"Browse({self.run.id!r}: {self.summary})"

    @property
    def cells(self) -> list[Item]:
        """Every cell on this screen, row by row, with its ``case``."""
        return [
            {"case": row["case"], **cell}
            for row in self.rows
            for cell in row["cells"]
            if cell is not None
        ]

    # -- the grid --------------------------------------------------------------------------------

    def select_run(self, run: str) -> None:
        """Show another run of the same results.

        Raises
        ------
        UnknownNameError
            If there is none of that id.
        """
        selected = Results(self.run.results).get(run)
        grid = Grid(selected.trials())
        background.call(lambda: self._show(selected, grid))

    def filter(
        self,
        text: str = "",
        *,
        status: str | Iterable[str] = (),
        persona: str | Iterable[str] = (),
        model: str | Iterable[str] = (),
        case: str = "",
        failures_first: bool = True,
    ) -> None:
        """Show what has these words, statuses, personas, models and names; ``filter()`` all of it.

        Parameters
        ----------
        text
            Looked for in answers and questions; small and large letters are the same.
        status, persona, model
            One or several.
        case
            A part of the name of a case.
        failures_first
            Whether cases with trials that do not count in averages come first.

        Raises
        ------
        UnknownNameError
            For a status, persona or model that the run does not have.
        """
        lists = {"status": status, "persona": persona, "model": model}
        wanted = Filter.from_values(text=text, **lists, case=case, failures_first=failures_first)
        grid = self._grid
        result = grid.find(wanted)

        def work() -> None:
            self._filter_requests += 1
            if grid is self._grid:
                self._apply(result)

        background.call(work)

    def go_to_page(self, page: int = 0, columns: int = 0) -> None:
        """Show another screen of cases, or of columns; both count from 0."""

        def work() -> None:
            self.page = min(max(0, page), self.pages - 1)
            self.column_page = min(max(0, columns), self.column_pages - 1)
            self._draw()

        background.call(work)

    def next_repeat(self, trial: str | int, by: int = 1) -> None:
        """Show the next repeat in the cell of a trial; after the last one the first."""
        wait_for(self._next_repeat(trial, by))

    # -- trials ----------------------------------------------------------------------------------

    def open(self, trial: str | int | None = None) -> None:
        """Show a trial whole, by its key or its index in the run.

        Raises
        ------
        UsageError
            If the run has no such trial.
        """
        if trial is None:  # the open() of a widget, which ipywidgets calls
            super().open()
        else:
            wait_for(self._open(trial))

    def close_trial(self) -> None:
        """Close what ``open`` or ``compare`` shows."""
        background.call(self._panel.close)

    def select(self, trial: str | int) -> None:
        """Select a trial, or no longer; two that are selected are compared."""
        background.call(lambda: self._panel.select(trial))

    def compare(self, trial: str | int, other: str | int) -> None:
        """Show the words that ``other`` adds to a trial, and those that it leaves out."""
        background.call(lambda: self._panel.compare(trial, other))

    def open_chat(self, trial: str | int) -> Any:
        """Open a trial as a ``Chat`` that continues it; it is shown below, and returned.

        Raises
        ------
        UsageError
            If the trial has no answer.
        """
        chat = self._panel.stored_chat(trial)
        background.call(lambda: self._panel.show_chat(chat))
        return chat

    def close_chat(self) -> None:
        """Close the chat below; its answers stay stored."""
        background.call(lambda: self._panel.show_chat(None))

    def keep(
        self,
        trial: str | int,
        path: str | Path,
        *,
        id: str | None = None,  # noqa: A002 - the word of the file
    ) -> str:
        """Append the case of a trial to an experiment file, and return the id it has there.

        Raises
        ------
        FileError
            If the file is no experiment, or has the case already.
        """
        return self._panel.save_case(trial, path, id)

    def close(self) -> None:
        """Remove the widget from the page."""
        if (panel := getattr(self, "_panel", None)) is not None:
            panel.close_chat()
        super().close()

    def static_html(self) -> Markup:
        """Return the screen as it was filtered, what was opened from it, and the chat below."""
        screen = f"screen {self.page + 1:,} of {self.pages:,}" if self.pages > 1 else ""
        shown = ", ".join(filter(None, (self.summary, str(self._result.filter), screen)))
        head = Markup("<p><b>{}</b>, run {}: {}.</p>").format(
            *map(escape_control_chars, (self.run.experiment, self.run.id, shown))
        )
        return head + screen_html(self.columns, self.rows) + self._panel.static_html()

    # -- the work, in the thread of `background` -------------------------------------------------

    async def _read_run(self, run: str) -> None:
        """Read in a worker thread: a large run takes seconds, and answers arrive in this one."""
        self._run_requests += 1
        request, results = self._run_requests, Results(self.run.results)

        def read() -> tuple[Run, Grid]:
            selected = results.get(run)
            return selected, Grid(selected.trials())

        with self._reading():
            selected, grid = await asyncio.to_thread(read)
        if request == self._run_requests:  # else another one was selected since
            self._show(selected, grid)

    async def _filter_to(self, **values: Any) -> None:
        self._filter_requests += 1
        request, grid = self._filter_requests, self._grid
        self.notify("")
        with self._reading():
            result = await asyncio.to_thread(grid.find, Filter.from_values(**values))
        if request == self._filter_requests and grid is self._grid:  # else there is a later filter
            self._apply(result)

    def _go_to_page(self, rows: int, columns: int) -> None:
        self.go_to_page(rows, columns)

    async def _next_repeat(self, trial: str | int, by: int = 1) -> None:
        index = self._grid.index_of(trial)
        repeats = self._grid.repeats(index)
        following = repeats[(repeats.index(index) + by) % len(repeats)]
        self._chosen[self._grid.cell_of(index)] = following
        self._panel.replace(index, following)
        self._draw()
        if self._panel.index == index:
            await self._open(following)

    async def _open(self, trial: str | int) -> None:
        await self._panel.open(trial)

    async def _open_chat(self, trial: int) -> None:
        await asyncio.to_thread(self.open_chat, trial)

    async def _keep(self, trial: int, path: str) -> None:
        await self._panel.save_case_of(trial, path)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._readers += 1
        self.state = "reading"
        try:
            yield
        finally:
            self._readers -= 1
            self.state = "reading" if self._readers else "idle"

    def _show(self, run: Run, grid: Grid) -> None:
        self._run_requests += 1
        self.run, self._grid = run, grid
        self.run_id = run.id
        self.choices = {
            "run": [{"value": listed.id, "label": run_label(listed)} for listed in self._runs],
            "status": [{"value": s, "label": f"{s} ({n:,})"} for s, n in grid.statuses.items()],
            "persona": [{"value": p, "label": escape_control_chars(p)} for p in grid.personas],
            "model": [{"value": m, "label": escape_control_chars(m)} for m in grid.models],
        }
        source = escape_control_chars(str(run.manifest.get("source", "")))
        self.source_file = source if source.endswith((".yaml", ".yml")) else ""
        self._panel.reset(run, grid)
        self._apply(grid.find(Filter()))

    def _apply(self, result: FilterResult) -> None:
        self._result = result
        self.filters = result.filter.as_dict()
        self.summary = self._grid.summary(result)
        self.pages = max(1, -(-len(result.cases) // ROWS))
        self.column_pages = max(1, -(-len(result.columns) // COLUMNS))
        self.page = self.column_page = 0
        self._chosen = {}
        self._draw()

    def _draw(self) -> None:
        rows = slice(self.page * ROWS, (self.page + 1) * ROWS)
        columns = slice(self.column_page * COLUMNS, (self.column_page + 1) * COLUMNS)
        names = [self._grid.columns[int(index)] for index in self._result.columns[columns]]
        with self.hold_sync():
            self.columns = [
                {"persona": escape_control_chars(p), "model": escape_control_chars(m)}
                for p, m in names
            ]
            self.rows = self._grid.cells(self._result, rows, columns, self._chosen)
        self.update_fallback()
