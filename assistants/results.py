"""Results: the runs of a folder."""

from __future__ import annotations

from pathlib import Path

import assistants
from assistants.errors import AssistantsError, UnknownName, UsageError
from assistants.files import shown
from assistants.run import Run
from assistants.schema import FILE
from assistants.store import Store
from assistants.text import many, one_line

__all__ = ["Results", "Run"]


class Results:
    """A results folder, to read."""

    def __init__(self, folder: str | Path = "results") -> None:
        self.folder = Path(folder).absolute()

    def __repr__(self) -> str:
        try:
            holds = many(len(self.runs()), "run")
        except AssistantsError:  # a repr is for looking into what is wrong, so it never fails
            holds = "cannot be read"
        return one_line(f"Results({one_line(shown(self.folder), 80)!r}: {holds})", 120)

    def _repr_html_(self) -> str:
        return assistants.in_html(self)

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
        """The newest run, of one experiment or of all.

        Runs in which judges were asked or paraphrases made have names of their own, and are found
        by those.

        Raises
        ------
        UsageError
            If there is none.
        """
        runs = self.runs(experiment)
        if experiment is None:
            runs = [run for run in runs if not _helps(run)]
        if runs:
            return runs[-1]
        known = {each.experiment for each in self.runs()}
        if experiment is not None and known:
            raise UnknownName("experiment", experiment, known, where=shown(self.folder))
        raise UsageError(
            f"{shown(self.folder)} holds no run.", fix="Make one: `assistants run FILE`."
        )


def _helps(run: Run) -> bool:
    """Whether a run was made for another one: by a judge, for control texts, for attribution."""
    made = (".paraphrases", ".attribution")
    return "judge_of" in run.manifest or run.experiment.endswith(made)
