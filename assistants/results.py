"""Results: the runs of a folder."""

from __future__ import annotations

from pathlib import Path

from assistants.errors import UnknownName, UsageError
from assistants.files import shown
from assistants.run import Run
from assistants.schema import FILE
from assistants.store import Store

__all__ = ["Results", "Run"]


class Results:
    """A results folder, to read."""

    def __init__(self, folder: str | Path = "results") -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Results({str(self.folder)!r}: {len(self.runs())} runs)"

    def runs(self, experiment: str | None = None) -> list[Run]:
        """The runs there are, oldest first."""
        if not (self.folder / FILE).exists():
            return []
        with Store(self.folder) as store:
            return [Run(self.folder, record) for record in store.runs(experiment)]

    def run(self, run: str) -> Run:
        """The run of that id.

        Raises
        ------
        UnknownName
            If there is none.
        """
        runs = {each.id: each for each in self.runs()}
        if run not in runs:
            raise UnknownName("run", run, runs, where=shown(self.folder))
        return runs[run]

    def latest(self, experiment: str | None = None) -> Run:
        """The newest run, of one experiment or of all; not what a judge was asked, unless named.

        Raises
        ------
        UsageError
            If there is none.
        """
        runs = self.runs(experiment)
        if experiment is None:
            runs = [run for run in runs if "judge_of" not in run.manifest]
        if runs:
            return runs[-1]
        known = {each.experiment for each in self.runs()}
        if experiment is not None and known:
            raise UnknownName("experiment", experiment, known, where=shown(self.folder))
        raise UsageError(
            f"{shown(self.folder)} holds no run.", fix="Make one: `assistants run FILE`."
        )
