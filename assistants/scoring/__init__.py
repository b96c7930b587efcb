"""Scorers: small objects that grade one answer, now or later, without asking any model again."""

from __future__ import annotations

from assistants.scoring.base import (
    Direction,
    FunctionScorer,
    Kind,
    Score,
    ScoredValue,
    Scorer,
    ScorerInput,
    UnscorableError,
    apply,
    measure,
)
from assistants.scoring.registry import NAMES, make, make_all
from assistants.scoring.sandbox.code_runs import limits_enforced, not_enforced

__all__ = [
    "NAMES",
    "Direction",
    "FunctionScorer",
    "Kind",
    "Score",
    "ScoredValue",
    "Scorer",
    "ScorerInput",
    "UnscorableError",
    "apply",
    "limits_enforced",
    "make",
    "make_all",
    "measure",
    "not_enforced",
]
