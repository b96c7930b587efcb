"""Improvement of a persona: edits proposed by a model, and what they are worth on other cases."""

from __future__ import annotations

from assistants.runs.improvement.case_split import CaseSplit, split_cases
from assistants.runs.improvement.copied_text import CopiedText, copied_text
from assistants.runs.improvement.improver import improve, run_plan
from assistants.runs.improvement.plan import OPTIMIZERS, ImprovementPlan, Optimizer
from assistants.runs.improvement.result import Improvement

__all__ = [
    "OPTIMIZERS",
    "CaseSplit",
    "CopiedText",
    "Improvement",
    "ImprovementPlan",
    "Optimizer",
    "copied_text",
    "improve",
    "run_plan",
    "split_cases",
]
