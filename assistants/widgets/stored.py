"""What the widgets ask of a stored run besides its table."""

from __future__ import annotations

import json

from assistants.errors import UsageError
from assistants.messages import Completion
from assistants.results import Results
from assistants.run import Run
from assistants.store import Store
from assistants.text import visible


def run_of(given: Run | Results) -> Run:
    """The run itself, or the newest one of a results folder.

    Raises
    ------
    UsageError
        If there is none, or it is neither.
    """
    if isinstance(given, Results):
        return given.latest()
    if not isinstance(given, Run):
        raise UsageError(
            f"expected a run or results, not {type(given).__name__}.",
            fix="Pass `Results().latest()`, or what `await experiment.run()` returned.",
        )
    return given


def conversation(run: Run, case: str, key: str) -> tuple[list[str], list[Completion]]:
    """The questions of a case, and what was said to them so far, one a turn."""
    with Store(run.results) as store:
        query = "SELECT turns FROM cases WHERE run = ? AND case_id = ?"
        ((turns,),) = store.read(query, [run.id, case])
        return list(json.loads(turns)), store.completions(key)


def label_of(run: Run) -> str:
    """The experiment, and when it was run."""
    return visible(f"{run.experiment}, {run.record.started_at[:16].replace('T', ' ')}")
