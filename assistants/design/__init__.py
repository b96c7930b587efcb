"""Experiment files: what they may say, and the values that it means."""

from __future__ import annotations

from assistants.design.controls import Control, ControlText, read_controls
from assistants.design.design import Design
from assistants.design.limits import Limits
from assistants.design.loader import check_variables, read_assistants
from assistants.design.schema import ExperimentFile
from assistants.design.scorer_loader import read_scorers

__all__ = [
    "Control",
    "ControlText",
    "Design",
    "ExperimentFile",
    "Limits",
    "check_variables",
    "read_assistants",
    "read_controls",
    "read_scorers",
]
