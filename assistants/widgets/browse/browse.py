"""``Browse``: the answers of a stored run, to look through and to take up again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import traitlets

from assistants.results import Results
from assistants.run import Run
from assistants.utils.text import escape_control_chars
from assistants.widgets import background
from assistants.widgets.background import wait_for
from assistants.widgets.base import CaseSaver, Item, read_sources
from assistants.widgets.browse.filters import Filter
from assistants.widgets.browse.grid import FilterResult, Grid
from assistants.widgets.browse.trial_detail import screen
from assistants.widgets.browse.trial_detail import still as still_whole
from assistants.widgets.browse.trial_panel import TrialPanel
from assistants.widgets.html import escape
from assistants.widgets.stored_runs import resolve_run, run_label

ROWS = 10
"""Cases on a screen."""
COLUMNS = 12
"""Columns on a screen."""


class Browse(TrialPanel):
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
    """What can be chosen: a ``run``; to filter by a ``status``, ``persona`` or ``model``."""
    filters = traitlets.Dict().tag(sync=True)
    """The filter that is applied."""
    said = traitlets.Unicode("").tag(sync=True)
    """How much of the run the filter leaves."""
    columns = traitlets.List(traitlets.Dict()).tag(sync=True)
    """Persona and model of each column on this screen."""
    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The cases on this screen, each with its cells."""
    page = traitlets.Int(0).tag(sync=True)
    pages = traitlets.Int(1).tag(sync=True)
    across = traitlets.Int(0).tag(sync=True)
    """Which screen of columns, from 0, of ``wide``."""
    wide = traitlets.Int(1).tag(sync=True)

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        **TrialPanel.commands,
        "run": "_read_run",
        "filter": "_filter_to",
        "turn": "_turn",
        "another": "_another",
    }

    def __init__(self, run: Run | Results) -> None:
        self.run = resolve_run(run)
        self._runs = list(reversed(run.runs())) if isinstance(run, Results) else []
        self._chosen: dict[tuple[int, int], int] = {}
        self._case_saver = CaseSaver(self)
        self._asked = self._asked_runs = self._reading = 0
        super().__init__(runs=[each.id for each in self._runs])
        self._show(self.run, Grid(self.run.trials))

    def __repr__(self) -> str:
        return f"Browse({self.run.id!r}: {self.said})"

    @property
    def cells(self) -> list[Item]:
        """Every cell on this screen, row by row, with its ``case``."""
        return [
            {"case": row["case"], **cell}
            for row in self.rows
            for cell in row["cells"]
            if cell is not None
        ]

    # -- what a person does ----------------------------------------------------------------------

    def choose(self, run: str) -> None:
        """Look at another run of the same results.

        Raises
        ------
        UnknownNameError
            If there is none of that id.
        """
        chosen = Results(self.run.results).run(run)
        grid = Grid(chosen.trials)
        background.call(lambda: self._show(chosen, grid))

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
        wanted = Filter.of(text=text, **lists, case=case, failures_first=failures_first)
        grid = self._grid
        found = grid.find(wanted)

        def work() -> None:
            self._asked += 1
            if grid is self._grid:
                self._apply(found)

        background.call(work)

    def turn_to(self, page: int = 0, across: int = 0) -> None:
        """Show another screen of cases, or of columns; both count from 0."""

        def work() -> None:
            self.page = min(max(0, page), self.pages - 1)
            self.across = min(max(0, across), self.wide - 1)
            self._draw()

        background.call(work)

    def another(self, trial: str | int, by: int = 1) -> None:
        """Show the next draw in the cell of a trial; after the last one the first."""
        wait_for(self._another(trial, by))

    # -- what is left ----------------------------------------------------------------------------

    def static_html(self) -> str:
        """The screen as it was filtered, what was opened from it, and the chat below."""
        where = f"screen {self.page + 1:,} of {self.pages:,}" if self.pages > 1 else ""
        said = ", ".join(each for each in (self.said, str(self._found.wanted), where) if each)
        head = f"<b>{escape(self.run.experiment)}</b>, run {escape(self.run.id)}: {escape(said)}."
        parts = [f"<p>{head}</p>", screen(self.columns, self.rows)]
        if self.opened:
            parts.append(still_whole(self.opened))
        if self.difference:
            names = f"{self.difference['new']} against {self.difference['old']}"
            parts.append(f"<p><b>{escape(names)}</b></p>{self.difference['html']}")
        if self._chat is not None:
            parts.append(f"<p><b>Chat:</b></p>{self._chat.static_html()}")
        return "".join(parts)

    # -- the work, in the thread of `background` -------------------------------------------------

    async def _read_run(self, run: str) -> None:
        """Elsewhere, since a large run takes seconds, and answers arrive in this thread."""
        self._asked_runs += 1
        number, results = self._asked_runs, Results(self.run.results)

        def read() -> tuple[Run, Grid]:
            chosen = results.run(run)
            return chosen, Grid(chosen.trials)

        with self._looking_up():
            found = await asyncio.to_thread(read)
        if number == self._asked_runs:  # else somebody chose another one
            self._show(*found)

    def _turn(self, down: int, across: int) -> None:
        self.turn_to(down, across)

    async def _filter_to(self, **wanted: Any) -> None:
        self._asked += 1
        number, grid = self._asked, self._grid
        self.notify("")
        with self._looking_up():
            found = await asyncio.to_thread(grid.find, Filter.of(**wanted))
        if number == self._asked and grid is self._grid:  # else somebody typed on, or left the run
            self._apply(found)

    @contextmanager
    def _looking_up(self) -> Iterator[None]:
        self._reading += 1
        self.state = "reading"
        try:
            yield
        finally:
            self._reading -= 1
            self.state = "reading" if self._reading else "idle"

    def _show(self, run: Run, grid: Grid) -> None:
        self._asked_runs += 1
        self.run, self._grid = run, grid
        self.run_id = run.id
        self.choices = {
            "run": [{"value": each.id, "label": run_label(each)} for each in self._runs],
            "status": [{"value": s, "label": f"{s} ({n:,})"} for s, n in grid.statuses.items()],
            "persona": [
                {"value": each, "label": escape_control_chars(each)} for each in grid.personas
            ],
            "model": [{"value": each, "label": escape_control_chars(each)} for each in grid.models],
        }
        written = escape_control_chars(str(run.manifest.get("source", "")))
        self.source_file = written if written.endswith((".yaml", ".yml")) else ""
        self._chosen = {}
        self.kept = ""
        self._put_away()
        self.difference, self.selected = {}, []
        self._apply(grid.find(Filter()))

    def _apply(self, found: FilterResult) -> None:
        self._found = found
        self.filters = found.wanted.as_dict()
        self.said = self._grid.said(found)
        self.pages = max(1, -(-len(found.cases) // ROWS))
        self.wide = max(1, -(-len(found.columns) // COLUMNS))
        self.page = self.across = 0
        self._chosen = {}
        self._draw()

    def _draw(self) -> None:
        rows = slice(self.page * ROWS, (self.page + 1) * ROWS)
        columns = slice(self.across * COLUMNS, (self.across + 1) * COLUMNS)
        names = [self._grid.columns[int(each)] for each in self._found.columns[columns]]
        with self.hold_sync():
            self.columns = [
                {"persona": escape_control_chars(p), "model": escape_control_chars(m)}
                for p, m in names
            ]
            self.rows = self._grid.cells(self._found, rows, columns, self._chosen)
        self.update_fallback()

    async def _another(self, trial: str | int, by: int = 1) -> None:
        at = self._grid.place(trial)
        places = self._grid.repeats(at)
        there = places[(places.index(at) + by) % len(places)]
        self._chosen[self._grid.chosen(at)] = there
        self.selected = [there if each == at else each for each in self.selected]
        self._draw()
        if self._at == at:
            await self._open(there)
