"""Experiment files: what they may say, and the values that it means."""

from __future__ import annotations

from assistants.experiment_file.assistants import check_variables, read_assistants
from assistants.experiment_file.controls import Control, ControlText, read_controls
from assistants.experiment_file.schema import ExperimentFile
from assistants.experiment_file.scorers import read_scorers

__all__ = [
    "Control",
    "ControlText",
    "ExperimentFile",
    "check_variables",
    "read_assistants",
    "read_controls",
    "read_scorers",
]
