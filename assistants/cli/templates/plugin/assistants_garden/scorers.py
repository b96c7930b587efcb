"""Scorers of this package."""

from assistants.scoring import Scorer, ScorerInput, measure


def mentions(word: str) -> Scorer:
    """Return the scorer of ``mentions: WORD``, which counts a word."""
    return measure(_count, "mentions/1", unit="mentions", word=word)


def _count(scored: ScorerInput, word: str) -> float:
    return scored.answer.lower().count(word.lower())
