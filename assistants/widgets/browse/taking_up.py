"""What a stored trial can become: a chat that goes on from it, or a case of an experiment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import traitlets

from assistants.run import Run
from assistants.runs.tables import is_known
from assistants.utils.text import from_utf8
from assistants.widgets import background
from assistants.widgets.base import CaseSaver, LiveWidget
from assistants.widgets.browse.grid import Grid
from assistants.widgets.stored_runs import conversation


class TakingUp(LiveWidget):
    """A widget that shows the trials of ``run``."""

    run: Run
    _grid: Grid
    _chat: Any = None
    _case_saver: CaseSaver

    chat = traitlets.Unicode("").tag(sync=True)
    """The ``Chat`` that is shown below, by its model id; empty for none."""
    kept = traitlets.Unicode("").tag(sync=True)
    """The case that was saved last, and where."""
    source_file = traitlets.Unicode("").tag(sync=True)
    """The experiment file that a case is saved in unless another is named."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        "chat": "_chat_with",
        "close_chat": "close_chat",
        "keep": "_keep_in",
    }

    def open_chat(self, trial: str | int) -> Any:
        """Open a trial as a ``Chat`` that goes on from it; it is shown below, and returned.

        Raises
        ------
        UsageError
            If the trial has no answer.
        """
        from assistants.widgets.chat.chat import Chat

        chat = Chat.from_trial(self.run, self._grid.row(self._grid.place(trial)))
        background.call(lambda: self._show_chat(chat))
        return chat

    def close_chat(self) -> None:
        """Take the chat below away; what was said stays stored."""
        background.call(lambda: self._show_chat(None))

    def keep(
        self,
        trial: str | int,
        path: str | Path,
        *,
        id: str | None = None,  # noqa: A002
    ) -> str:
        """Append the case of a trial to an experiment file; returns the id it has there.

        Raises
        ------
        FileError
            If the file is no experiment, or has the case already.
        """
        return self._keep(self.run, self._grid.row(self._grid.place(trial)), path, id)

    def close(self) -> None:
        """Take the widget off the page."""
        if (chat := getattr(self, "_chat", None)) is not None:
            chat.close()
        super().close()

    # -- the work, in the thread of `background` -------------------------------------------------

    async def _chat_with(self, trial: int) -> None:
        await asyncio.to_thread(self.open_chat, trial)

    async def _keep_in(self, trial: int, path: str) -> None:
        """Elsewhere, since a large file takes a while to read, and answers arrive here."""
        self._case_saver.clear()
        row = self._grid.row(self._grid.place(trial))
        await asyncio.to_thread(self._keep, self.run, row, path.strip())

    def _keep(
        self,
        run: Run,
        row: Mapping[str, Any],
        path: str | Path,
        id: str | None = None,  # noqa: A002 - as above
    ) -> str:
        questions, _ = conversation(run, row["case"], row["key"])
        reference = from_utf8(row["reference"]) if is_known(row["reference"]) else None
        return self._case_saver.save(path, questions, id=id, reference=reference)

    def _show_chat(self, chat: Any) -> None:
        former, self._chat = self._chat, chat
        if chat is not None:
            chat.parent = self
        self.chat = f"IPY_MODEL_{chat.model_id}" if chat is not None else ""
        self.update_fallback()
        if former is not None:
            former.close()
