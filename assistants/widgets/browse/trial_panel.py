"""The panel of Browse: a trial that is open, two that are compared, and the chat below."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from assistants.errors import AssistantsError
from assistants.results import Run
from assistants.runs import is_known
from assistants.utils import from_utf8
from assistants.widgets.background import STORE_TIMEOUT_S, run_with_timeout
from assistants.widgets.base import CaseSaver, Item, LiveWidget
from assistants.widgets.browse.grid import Grid
from assistants.widgets.browse.trial_detail import (
    difference_html,
    difference_item,
    trial_html,
    trial_item,
)
from assistants.widgets.html import ui
from assistants.widgets.stored_runs import conversation


class TrialPanel:
    """Opens, compares and takes up the trials of a grid, for the widget that holds it.

    It sets the widget's traits ``opened``, ``selected``, ``difference`` and ``chat``. Everything
    but ``save_case`` runs in the thread of ``background``.

    Parameters
    ----------
    widget
        The widget that holds this object.
    """

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = widget
        self._cases = CaseSaver(widget)
        self._chat: Any = None
        self._opened: Item = {}
        self._selected: list[int] = []
        self._difference: Item = {}
        self._requests = 0  # counts what was opened or closed: who reads for long may be too late
        self.index: int | None = None
        """The trial that is open, or about to be."""

    def reset(self, run: Run, grid: Grid) -> None:
        """Close what is open, and take trials from another run."""
        self._run, self._grid = run, grid
        self._forget_opened()
        self._difference, self._selected = {}, []
        self._set_traits(kept="")

    async def open(self, trial: str | int) -> None:
        """Read a trial in a worker thread, since others may have locked the store; show it."""
        index = self._grid.index_of(trial)
        opened = self._opened
        self._forget_opened()
        self._opened, self.index = opened, index  # until there is another
        request, run, row = self._requests, self._run, self._grid.row(index)
        try:
            item = await run_with_timeout(
                None, run.results, lambda _: trial_item(run, row), seconds=STORE_TIMEOUT_S
            )
        except AssistantsError:
            if request == self._requests:
                self.index = self._opened.get("trial")
            raise
        if request != self._requests:
            return  # another one was opened since, or the panel was closed
        repeats = self._grid.repeats(index)
        place = {"trial": index, "number": repeats.index(index) + 1, "repeats": len(repeats)}
        self._opened, self._difference = {**item, **place}, {}
        self._publish(kept="")

    def close(self) -> None:
        """Close the trial that is open, or the difference."""
        self._forget_opened()
        if self._difference:
            self._difference, self._selected = {}, []
        self._publish()

    def select(self, trial: str | int) -> None:
        """Select a trial, or no longer; two that are selected are compared."""
        index = self._grid.index_of(trial)
        others = [other for other in self._selected if other != index]
        self._selected = others if index in self._selected else [*others[-1:], index]
        self._compare()

    def compare(self, trial: str | int, other: str | int) -> None:
        """Select two trials."""
        self._selected = [self._grid.index_of(trial), self._grid.index_of(other)]
        self._compare()

    def replace(self, old: int, new: int) -> None:
        """Select another repeat in the place of a trial, if that is selected."""
        self._selected = [new if index == old else index for index in self._selected]
        self._set_traits()

    def save_case(
        self,
        trial: str | int,
        path: str | Path,
        id: str | None = None,  # noqa: A002 - the word of the file
    ) -> str:
        """Append the case of a trial to an experiment file, and return the id it has there."""
        return self._save_case(self._run, self._grid.row(self._grid.index_of(trial)), path, id)

    async def save_case_of(self, trial: str | int, path: str) -> None:
        """Do the same in a worker thread: a large file takes a while to read."""
        self._cases.clear()
        row = self._grid.row(self._grid.index_of(trial))
        await asyncio.to_thread(self._save_case, self._run, row, path.strip(), None)

    def stored_chat(self, trial: str | int) -> Any:
        """Return a ``Chat`` that continues a trial."""
        from assistants.widgets.chat.chat import Chat

        return Chat.from_trial(self._run, self._grid.row(self._grid.index_of(trial)))

    def show_chat(self, chat: Any) -> None:
        """Show a chat below the grid, and close the former one; ``None`` for no chat."""
        former, self._chat = self._chat, chat
        if chat is not None:
            chat.parent = self._widget
        self._publish()
        if former is not None:
            former.close()

    def close_chat(self) -> None:
        """Close the chat that is shown below, with the widget."""
        if self._chat is not None:
            self._chat.close()

    def static_html(self) -> Markup:
        """Return what is open as safe HTML."""
        parts = [trial_html(self._opened)] if self._opened else []
        if self._difference:
            parts.append(difference_html(self._difference))
        if self._chat is not None:
            parts += [ui.emphasis("Chat:"), self._chat.static_html()]
        return Markup().join(parts)

    def _save_case(
        self,
        run: Run,
        row: Mapping[str, Any],
        path: str | Path,
        id: str | None,  # noqa: A002
    ) -> str:
        questions, _ = conversation(run, row["case"], row["key"])
        reference = from_utf8(row["reference"]) if is_known(row["reference"]) else None
        return self._cases.save(path, questions, id=id, reference=reference)

    def _compare(self) -> None:
        if len(self._selected) == 2:
            self._forget_opened()
            self._difference = difference_item(*map(self._grid.row, self._selected))
        else:
            self._difference = {}
        self._publish()

    def _forget_opened(self) -> None:
        """Close the trial that is open, or about to be."""
        self._requests += 1
        self.index = None
        self._opened = {}

    def _publish(self, **traits: Any) -> None:
        self._set_traits(**traits)
        self._widget.update_fallback()

    def _set_traits(self, **traits: Any) -> None:
        chat = f"IPY_MODEL_{self._chat.model_id}" if self._chat is not None else ""
        traits |= {"opened": self._opened, "selected": self._selected,
                   "difference": self._difference, "chat": chat}  # fmt: skip
        for name, value in traits.items():
            self._widget.set_trait(name, value)
