"""Putting what a widget shows into an experiment: what the live and the stored ones share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import traitlets

from assistants.design.case_editor import keep_case
from assistants.utils.text import escape_control_chars
from assistants.widgets import background
from assistants.widgets.base import LiveWidget


class CaseSaver(LiveWidget):
    """A widget whose questions can become cases."""

    kept = traitlets.Unicode("").tag(sync=True)
    """What was kept last, and where."""
    source_file = traitlets.Unicode("").tag(sync=True)
    """The experiment file that a case is kept in unless another is named."""

    def _keep_case(
        self,
        path: str | Path,
        questions: str | Sequence[str],
        *,
        id: str | None = None,  # noqa: A002 - the word of the file
        reference: str | None = None,
    ) -> str:
        name = keep_case(path, questions, id=id, reference=reference)

        def work() -> None:
            self.kept = escape_control_chars(f"Kept as case {name} in {path}.")

        background.call(work)
        return name

    def _begin_keeping(self) -> None:
        """What was said of the last case is no answer to the next one."""
        self.notify("")
        self.kept = ""
