"""Exports of a run: files of our own, logs of inspect, OpenTelemetry spans, a Hugging Face dataset.

An export says what the store says. A trial without an answer is exported as the failure that it
is, and no key is in the record, so none is in an export.
"""

from __future__ import annotations

from assistants.runs.export.files import answered_transcripts, export_files
from assistants.runs.export.huggingface import export_huggingface
from assistants.runs.export.inspect_logs import export_inspect
from assistants.runs.export.otel import collector_address, export_otel
from assistants.runs.export.records import TrialRecord, output_folder, read_trials

__all__ = [
    "TrialRecord",
    "answered_transcripts",
    "collector_address",
    "export_files",
    "export_huggingface",
    "export_inspect",
    "export_otel",
    "output_folder",
    "read_trials",
]
