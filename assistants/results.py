"""Results: the runs of a folder."""

from __future__ import annotations

from pathlib import Path

from assistants.errors import AssistantsError, UnknownNameError, UsageError
from assistants.run import Run
from assistants.runs.store import Store
from assistants.runs.store_schema import FILE
from assistants.utils.config_files import display_path
from assistants.utils.display import notebook_html
from assistants.utils.text import pluralize, truncate_line

__all__ = ["Results", "Run"]


class Results:
    """A results folder, to read."""

    def __init__(self, folder: str | Path = "results") -> None:
        self.folder = Path(folder).absolute()

    def __repr__(self) -> str:
        try:
            holds = pluralize(len(self.runs()), "run")
        except AssistantsError:  # a repr is for looking into what is wrong, so it never fails
            holds = "cannot be read"
        return truncate_line(
            f"Results({truncate_line(display_path(self.folder), 80)!r}: {holds})", 120
        )

    def _repr_html_(self) -> str:
        return notebook_html(self)

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
        UnknownNameError
            If there is none.
        """
        runs = {each.id: each for each in self.runs()}
        if run not in runs:
            raise UnknownNameError("run", run, runs, where=display_path(self.folder))
        return runs[run]

    def latest(self, experiment: str | None = None) -> Run:
        """The newest run, of one experiment or of all.

        Conversations, and runs in which judges were asked or paraphrases made, have names of
        their own (``chat``, ``compare``, ``ask``), and are found by those only.

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
            raise UnknownNameError("experiment", experiment, known, where=display_path(self.folder))
        fix = "Make one: `assistants run FILE`."
        if known:
            fix += f" What there is has names of its own: {', '.join(sorted(known))}."
        raise UsageError(f"{display_path(self.folder)} holds no run of an experiment.", fix=fix)


def _helps(run: Run) -> bool:
    """Return whether a run is a conversation, or serves another run (judge, controls, ...)."""
    made = (".paraphrases", ".attribution")
    if run.manifest.get("source") == "live":  # as ``SessionStore`` marks it
        return True
    return "judge_of" in run.manifest or run.experiment.endswith(made)
