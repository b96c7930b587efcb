"""Scorers: small objects that grade one answer, now or later, without asking any model again."""

from __future__ import annotations

from assistants.scoring.base import (
    Direction,
    FunctionScorer,
    Kind,
    Score,
    ScoredValue,
    ScorePendingError,
    Scorer,
    ScorerInput,
    UnscorableError,
    apply_scorer,
    measure,
)
from assistants.scoring.judge import Judge, Pairwise, Replies, Rubric, pairwise, rubric
from assistants.scoring.registry import SCORER_NAMES, make_scorer, make_scorers
from assistants.scoring.sandbox import limits_enforced, not_enforced
from assistants.scoring.vote import VOTE_POINTS, Vote, Winner

__all__ = [
    "SCORER_NAMES",
    "VOTE_POINTS",
    "Direction",
    "FunctionScorer",
    "Judge",
    "Kind",
    "Pairwise",
    "Replies",
    "Rubric",
    "Score",
    "ScorePendingError",
    "ScoredValue",
    "Scorer",
    "ScorerInput",
    "UnscorableError",
    "Vote",
    "Winner",
    "apply_scorer",
    "limits_enforced",
    "make_scorer",
    "make_scorers",
    "measure",
    "not_enforced",
    "pairwise",
    "rubric",
]
