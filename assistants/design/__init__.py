"""The design of an experiment: the file it is written in, and the values that it means."""

from __future__ import annotations

from assistants.design.case_editor import append_case
from assistants.design.case_files import read_cases
from assistants.design.controls import (
    Control,
    ControlText,
    controlled_personas,
    controls_path,
    read_controls,
    read_controls_file,
    requested_controls,
)
from assistants.design.design import Design
from assistants.design.limits import Limits
from assistants.design.loader import check_variables, read_assistants, read_scorers
from assistants.design.promptfoo import Imported, import_promptfoo
from assistants.design.schema import ExperimentFile
from assistants.design.writer import write_experiment, write_persona

__all__ = [
    "Control",
    "ControlText",
    "Design",
    "ExperimentFile",
    "Imported",
    "Limits",
    "append_case",
    "check_variables",
    "controlled_personas",
    "controls_path",
    "import_promptfoo",
    "read_assistants",
    "read_cases",
    "read_controls",
    "read_controls_file",
    "read_scorers",
    "requested_controls",
    "write_experiment",
    "write_persona",
]
