"""Experiment files: what they may say, and the values that it means."""

from __future__ import annotations

from assistants.design.controls import Control, ControlText, read_controls
from assistants.design.loader import check_variables, read_assistants
from assistants.design.schema import ExperimentFile
from assistants.design.scorer_loader import read_scorers

__all__ = [
    "Control",
    "ControlText",
    "ExperimentFile",
    "check_variables",
    "read_assistants",
    "read_controls",
    "read_scorers",
]
