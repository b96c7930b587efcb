"""Scorers: small objects that grade one answer, now or later, without asking any model again."""

from __future__ import annotations

from assistants.scoring.base import (
    Answered,
    Direction,
    Graded,
    Kind,
    Measure,
    Score,
    Scorer,
    Unscorable,
    apply,
    measure,
)
from assistants.scoring.catalogue import NAMES, make, make_all
from assistants.scoring.code_runs import limits_enforced, not_enforced

__all__ = [
    "NAMES",
    "Answered",
    "Direction",
    "Graded",
    "Kind",
    "Measure",
    "Score",
    "Scorer",
    "Unscorable",
    "apply",
    "limits_enforced",
    "make",
    "make_all",
    "measure",
    "not_enforced",
]
