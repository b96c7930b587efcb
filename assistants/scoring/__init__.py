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
from assistants.scoring.judge import Criteria, Judge, Pairwise, Replies, Rubric, pairwise, rubric
from assistants.scoring.plugins import (
    RUBRIC_PLUGINS,
    RubricPlugin,
    ScorerPlugin,
    find_criteria,
)
from assistants.scoring.registry import (
    SCORER_NAMES,
    SCORER_PLUGINS,
    make_scorer,
    make_scorers,
    scorer_names,
)
from assistants.scoring.sandbox import limits_enforced, not_enforced
from assistants.scoring.vote import VOTE_POINTS, Vote, Winner

__all__ = [
    "RUBRIC_PLUGINS",
    "SCORER_NAMES",
    "SCORER_PLUGINS",
    "VOTE_POINTS",
    "Criteria",
    "Direction",
    "FunctionScorer",
    "Judge",
    "Kind",
    "Pairwise",
    "Replies",
    "Rubric",
    "RubricPlugin",
    "Score",
    "ScorePendingError",
    "ScoredValue",
    "Scorer",
    "ScorerInput",
    "ScorerPlugin",
    "UnscorableError",
    "Vote",
    "Winner",
    "apply_scorer",
    "find_criteria",
    "limits_enforced",
    "make_scorer",
    "make_scorers",
    "measure",
    "not_enforced",
    "pairwise",
    "rubric",
    "scorer_names",
]
