"""What the widgets ask of a stored run besides its table."""

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
    """The run itself, or the newest one of a results folder; the same wherever the kernel goes.

    Raises
    ------
    UsageError
        If there is none, or it is neither.
    """
    if isinstance(given, Results):
        given = given.latest()
    if not isinstance(given, Run):
        raise UsageError(
            f"expected a run or results, not {type(given).__name__}.",
            fix="Pass `Results().latest()`, or what `await experiment.run()` returned.",
        )
    return Run(given.results.absolute(), given.record)


def conversation(run: Run, case: str, key: str) -> tuple[list[str], list[Completion]]:
    """The questions of a case, and what was said to them so far, one a turn."""
    with Store(run.results) as store:
        query = "SELECT turns FROM cases WHERE run = ? AND case_id = ?"
        ((turns,),) = store.read(query, [run.id, case])
        return list(json.loads(turns)), store.completions(key)


def restore_persona(name: str, prompt: str | None, library: Library) -> Persona:
    """The persona of that name if it still says the same; otherwise one that says it.

    Where the name stands for another text by now, it has a name of its own: then both can be asked.
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
    """The experiment, and when it was run."""
    return escape_control_chars(f"{run.experiment}, {run.record.started_at[:16].replace('T', ' ')}")
