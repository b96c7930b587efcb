"""What is looked at of a stored run: a trial whole, or the words in which two of them differ."""

from __future__ import annotations

import traitlets

from assistants.errors import AssistantsError
from assistants.widgets import background
from assistants.widgets.background import STORE_TIMEOUT_S, run_with_timeout, wait_for
from assistants.widgets.base import Item
from assistants.widgets.browse.taking_up import TakingUp
from assistants.widgets.browse.trial_detail import difference, whole


class TrialPanel(TakingUp):
    """A widget that opens the trials of ``run``."""

    opened = traitlets.Dict().tag(sync=True)
    """The trial that is open, whole; empty if none is."""
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    """At most two trials."""
    difference = traitlets.Dict().tag(sync=True)
    """The words in which two trials differ; empty if none are compared."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        **TakingUp.commands,
        "open": "_open",
        "select": "select",
        "shut": "shut",
    }

    _opening = 0
    """Counts what was opened or put away: who reads for long may come too late."""
    _at: int | None = None
    """The trial that is open, or on its way."""

    def open(self, trial: str | int | None = None) -> None:
        """Show a trial whole, by its key or its place in the run.

        Raises
        ------
        UsageError
            If the run has no such trial.
        """
        if trial is None:  # the open() of a widget, which ipywidgets calls
            super().open()
        else:
            wait_for(self._open(trial))

    def shut(self) -> None:
        """Put away what ``open`` or ``compare`` shows."""

        def work() -> None:
            self._put_away()
            if self.difference:
                self.difference = {}
                self.selected = []
            self.update_fallback()

        background.call(work)

    def select(self, trial: str | int) -> None:
        """Select a trial, or no longer; two that are selected are compared."""

        def work() -> None:
            at = self._grid.place(trial)
            others = [each for each in self.selected if each != at]
            self.selected = others if at in self.selected else [*others[-1:], at]
            self._compare()

        background.call(work)

    def compare(self, trial: str | int, other: str | int) -> None:
        """Show which words ``other`` adds to a trial, and which it leaves out."""

        def work() -> None:
            self.selected = [self._grid.place(trial), self._grid.place(other)]
            self._compare()

        background.call(work)

    # -- the work, in the thread of `background` -------------------------------------------------

    async def _open(self, trial: str | int) -> None:
        """Elsewhere, since others may have locked the store, and answers arrive here."""
        at = self._grid.place(trial)
        self._put_away(self.opened)
        self._at, number, run = at, self._opening, self.run
        row, places = self._grid.row(at), self._grid.repeats(at)
        try:
            item = await run_with_timeout(
                None, run.results, lambda _: whole(run, row), seconds=STORE_TIMEOUT_S
            )
        except AssistantsError:
            if number == self._opening:
                self._at = self.opened.get("at")
            raise
        if number != self._opening:
            return  # somebody has opened another one, or shut it
        self.difference = {}
        self.kept = ""
        self.opened = {**item, "at": at, "number": places.index(at) + 1, "repeats": len(places)}
        self.update_fallback()

    def _compare(self) -> None:
        if len(self.selected) < 2:
            self.difference = {}
            return
        self._put_away()
        self.difference = difference(*(self._grid.row(at) for at in self.selected))
        self.update_fallback()

    def _put_away(self, shown: Item | None = None) -> None:
        """Close what is open, or is about to be; or leave ``shown`` until there is another."""
        self._opening += 1
        self._at = None
        self.opened = shown or {}
