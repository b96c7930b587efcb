"""A scorer of citations of the passages that an answer was given."""

from __future__ import annotations

from assistants.scoring.base import (
    FunctionScorer,
    ScoredValue,
    ScorerInput,
    UnscorableError,
    measure,
)
from assistants.techniques import check_citations


def cites_sources() -> FunctionScorer:
    """Return a scorer of answers that cite passages they were given, and none that they were not.

    Where the case says which ``source`` answers it, that one has to be among those cited.
    """
    return measure(
        _cites_sources, "cites_sources/1", unit="yes or no", direction="higher", kind="binary"
    )


def _cites_sources(scorer_input: ScorerInput) -> float:
    if scorer_input.knowledge is None or not scorer_input.knowledge.facts.get("passages"):
        raise UnscorableError("no passages were given")
    citations = check_citations(scorer_input.answer, scorer_input.knowledge)
    if citations.unknown:
        numbers = ", ".join(f"[{number}]" for number in citations.unknown)
        return ScoredValue(0.0, f"cites {numbers}, which was not given")
    if not citations.cited:
        return ScoredValue(0.0, "cites nothing")
    wanted = (scorer_input.source or "").partition(":")[0].partition(", page")[0]
    if wanted and wanted not in citations.sources:
        return ScoredValue(0.0, f"cites {', '.join(citations.sources)}, not {wanted}")
    return ScoredValue(1.0, f"cites {', '.join(citations.sources)}")
