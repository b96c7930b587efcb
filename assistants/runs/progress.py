"""A run's progress as a bar on stderr; plain text, so that a saved notebook keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from assistants.runs.runner import Progress, ProgressCallback


@contextmanager
def progress_bar(reused: int, what: str) -> Iterator[ProgressCallback]:
    """A tqdm bar with time left; ``reused`` answers were there before and are no progress."""
    from tqdm import tqdm

    with tqdm(desc=what, unit="trial", dynamic_ncols=True, leave=False) as bar:

        def report(progress: Progress) -> None:
            bar.total = progress.total - reused
            bar.n = max(0, progress.done - reused)
            bar.set_postfix(failed=progress.failed, tokens=progress.tokens, refresh=False)
            bar.update(0)

        yield report
