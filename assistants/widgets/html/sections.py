"""The sections of a run's report, by name: ``run.show("effects")``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from assistants.errors import UnknownNameError
from assistants.results import Run
from assistants.widgets.html import run_statistics, run_summary
from assistants.widgets.html.render import table
from assistants.widgets.html.run_statistics import OutputGroup

SECTIONS: dict[str, Callable[[Run], Any]] = {
    "overview": run_summary.overview,
    "prompt_audit": run_statistics.prompt_audit,
    "summary": lambda run: table(run.summary()),
    "status_counts": run_statistics.endings,
    "effects": run_statistics.effects,
    "models": run_statistics.models,
    "control_contrasts": run_statistics.contrasts,
    "text_distance": run_statistics.wording,
    "votes": run_statistics.votes,
    "answers": run_summary.side_by_side,
    "failures": run_summary.failures,
    "prompts": run_summary.prompts,
}
"""In the order of the report."""


def run_sections(run: Run, sections: Sequence[str]) -> OutputGroup:
    """Return the named sections, or all of them, for a notebook to show.

    Raises
    ------
    UnknownNameError
        For a section that there is not.
    """
    for name in sections:
        if name not in SECTIONS:
            raise UnknownNameError("section", name, SECTIONS)

    def parts() -> Iterator[Any]:
        for name in sections or SECTIONS:
            yield SECTIONS[name](run)

    return OutputGroup(parts)
