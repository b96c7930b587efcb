"""Stored runs for the widgets: which run, its conversations, and its personas as they were."""

from __future__ import annotations

import json
from contextlib import suppress

from assistants.errors import UnknownNameError, UsageError
from assistants.messages import Completion
from assistants.personas import Library, Persona, digest_of, escape_template
from assistants.results import Results, Run
from assistants.runs.store import Store
from assistants.utils.text import escape_control_chars


def resolve_run(given: Run | Results) -> Run:
    """Return the run, or the newest one of the results, with an absolute folder.

    Raises
    ------
    UsageError
        If there is none, or it is neither.
    """
    if isinstance(given, Results):
        runs = given.runs()
        try:
            given = given.latest()
        except UsageError:
            if not runs:
                raise
            given = runs[-1]  # there are only conversations to look at
    if not isinstance(given, Run):
        raise UsageError(
            f"expected a run or results, not {type(given).__name__}.",
            fix="Pass `Results().latest()`, or what `await experiment.run()` returned.",
        )
    return Run(given.results.absolute(), given.record)


def conversation(run: Run, case: str, key: str) -> tuple[list[str], list[Completion]]:
    """Return the questions of a case, and the completions of a trial so far, one per turn."""
    with Store(run.results) as store:
        query = "SELECT turns FROM cases WHERE run = ? AND case_id = ?"
        ((turns,),) = store.read(query, [run.id, case])
        return list(json.loads(turns)), store.completions(key)


def restore_persona(name: str, prompt: str | None, library: Library) -> Persona:
    """Return the persona of that name if its text is still ``prompt``, or else one that has it.

    Where the name stands for another text by now, the restored persona gets a name of its own, so
    that both can be asked.
    """
    base = called = name.partition("[")[0]
    with suppress(UnknownNameError):
        persona = library.find(base)
        if not persona.variables:
            if digest_of(persona.system_prompt()) == digest_of(prompt):
                return persona
            called = f"{base[:53]}-as-it-was"  # a name has 64 characters at most
    text = None if prompt is None else escape_template(prompt)
    return Persona(called, text, label=f"{base} (as it was)", source="a stored trial")


def run_label(run: Run) -> str:
    """Return the experiment of a run, and when it was started."""
    return escape_control_chars(f"{run.experiment}, {run.record.started_at[:16].replace('T', ' ')}")
