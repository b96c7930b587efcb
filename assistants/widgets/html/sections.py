"""The sections of a run's report, by name: ``run.show("effects")``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from assistants.errors import UnknownNameError
from assistants.results import Run
from assistants.widgets.html import run_statistics, run_summary
from assistants.widgets.html.run_statistics import OutputGroup

SECTIONS: dict[str, Callable[[Run], Any]] = {
    "headline": run_summary.opening,
    "overview": run_summary.overview,
    "means": run_summary.means,
    "answers": run_summary.side_by_side,
    "effects": run_statistics.effects,
    "distributions": run_statistics.details,
    "models": run_statistics.models,
    "techniques": run_statistics.techniques,
    "control_contrasts": run_statistics.contrasts,
    "text_distance": run_statistics.wording,
    "votes": run_statistics.votes,
    "costs": run_statistics.costs,
    "status_counts": run_statistics.endings,
    "failures": run_summary.failures,
    "prompt_audit": run_statistics.prompt_audit,
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
