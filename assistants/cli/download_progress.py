"""Progress of a download: a bar on a terminal, else a line every tenth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from assistants.cli.console import err, say


@contextmanager
def download_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that is called with the bytes that are here, and those of the whole."""
    if not err.is_terminal:
        yield _Lines()
        return
    columns = DownloadColumn(), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=err) as bar:
        task = bar.add_task("", visible=False)
        yield lambda done, total: bar.update(task, completed=done, total=total, visible=True)


class _Lines:
    """Prints a line at every tenth of a download, with the time left."""

    def __init__(self) -> None:
        self._tenth = 0
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._first = self._first or (now, done)
        start, before = self._first
        tenth = 10 * done // total
        if tenth > self._tenth and done > before:
            self._tenth = tenth
            left = (total - done) * (now - start) / (done - before)
            say(f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB, about {left:,.0f} s left")
