"""Stale facts: a value that a later turn corrected, and that an answer may still state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistants.errors import UsageError
from assistants.scoring.base import (
    FunctionScorer,
    ScoredValue,
    ScorerInput,
    UnscorableError,
    measure,
)
from assistants.utils import words_in

_LINE = re.compile(r"^(?P<new>.+), not (?P<old>.+?)\.?$", re.IGNORECASE)
_OR = re.compile(r"\s+or\s+", re.IGNORECASE)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fact:
    """A corrected value and the one that it replaced, each in all the ways of writing it."""

    new: tuple[str, ...]
    old: tuple[str, ...]


def stale_facts(
    new: str | Sequence[str] | None = None, old: str | Sequence[str] | None = None
) -> FunctionScorer:
    """Return a scorer that gives 1 for a corrected value, and 0 for the old one alone.

    Without settings the case's reference says both, one fact a line: ``14 May, not 12 May``, or
    with other ways of writing them ``14 May or May 14, not 12 May or May 12``. An answer that
    states both values gives the corrected one; one that states neither is unscorable. Of several
    facts one stale one is enough for a 0.

    Parameters
    ----------
    new
        The corrected value; a list where it may be written in several ways.
    old
        The value before the correction, likewise.

    Raises
    ------
    UsageError
        If only one of the two is given, or they are the same.

    Notes
    -----
    Words are compared, without case and marks: "14" is not in "114". It is not read what an answer
    says of a value: "no longer 12 May" states the old one.
    """
    texts = {"new": _texts(new), "old": _texts(old)}
    if bool(texts["new"]) != bool(texts["old"]):
        raise UsageError(
            "stale_facts needs both `new` and `old`, or neither.",
            fix="Without them, the reference of each case says `NEW, not OLD`.",
        )
    if texts["new"]:
        _check(Fact(texts["new"], texts["old"]))
    return measure(
        _grade,
        "stale_facts/1",
        unit="share",
        direction="higher",
        kind="binary",
        new=list(texts["new"]),
        old=list(texts["old"]),
    )


def read_facts(reference: str) -> list[Fact]:
    """Return the facts of a reference, one a line.

    Raises
    ------
    UnscorableError
        If a line is no ``NEW, not OLD``.
    """
    lines = [line.strip() for line in reference.splitlines() if line.strip()]
    matches = [_LINE.match(line) for line in lines]
    facts = [
        Fact(tuple(_OR.split(match["new"])), tuple(_OR.split(match["old"])))
        for match in matches
        if match
    ]
    if not facts or len(facts) < len(lines):
        raise UnscorableError("the reference says no `NEW, not OLD`")
    return facts


def _grade(scorer_input: ScorerInput, *, new: list[str], old: list[str]) -> float:
    facts = [Fact(tuple(new), tuple(old))] if new else read_facts(scorer_input.reference or "")
    words = words_in(scorer_input.answer)
    corrected = stale = ""
    for fact in facts:
        _check(fact)
        in_new, in_old = _spans(words, fact.new), _spans(words, fact.old)
        # "12 May" within "12 May 2027" is no statement of its own.
        if _outside(in_new, in_old):
            corrected = corrected or fact.new[0]
        elif _outside(in_old, in_new):
            stale = stale or fact.old[0]
    if stale:
        return ScoredValue(0.0, f"states {stale}")
    if corrected:
        return ScoredValue(1.0, f"states {corrected}")
    raise UnscorableError("the answer states neither the old value nor the corrected one")


def _texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _check(fact: Fact) -> None:
    """Raise unless the two values can be told apart by their words."""
    new, old = ({tuple(words_in(text)) for text in texts} for texts in (fact.new, fact.old))
    if () in new | old or new & old:
        raise UsageError(
            f"stale_facts: words cannot tell {fact.new[0]!r} from {fact.old[0]!r}.",
            fix="Write values that have words or numbers, and differ in them.",
        )


def _spans(words: list[str], texts: Sequence[str]) -> list[Span]:
    """Return where a value stands in the words of an answer."""
    values = [words_in(text) for text in texts]
    return [
        (start, start + len(value))
        for value in values
        for start in range(len(words) - len(value) + 1)
        if words[start : start + len(value)] == value
    ]


def _outside(spans: list[Span], others: list[Span]) -> list[Span]:
    """Return the spans that lie in no longer one of the others."""
    return [
        (start, end)
        for start, end in spans
        if not any(a <= start and end <= b and (a, b) != (start, end) for a, b in others)
    ]
