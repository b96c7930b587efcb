"""Runs: a design is executed, its record stored, and the record read back."""

from __future__ import annotations

from assistants.runs.batch_list import cancel_batch, refresh_batches
from assistants.runs.budget import Budget
from assistants.runs.control_texts import (
    draft_controls,
    missing_controls,
    paraphrase_model,
    write_controls,
)
from assistants.runs.execution import execute
from assistants.runs.forecast import Forecast, forecast_design, forecast_trials, power_table
from assistants.runs.manifest import (
    changes_of_served_model,
    final_manifest,
    initial_manifest,
)
from assistants.runs.migration import Migration, migration
from assistants.runs.plots import RunPlots
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import Progress, ProgressCallback
from assistants.runs.statistics import VOTES, RunStatistics
from assistants.runs.store import FILE, BatchRecord, RunRecord, Store
from assistants.runs.tables import averaged, case_names, is_known, status_counts, word_counts

__all__ = [
    "FILE",
    "VOTES",
    "BatchRecord",
    "Budget",
    "Forecast",
    "Migration",
    "Progress",
    "ProgressCallback",
    "RetryPolicy",
    "RunPlots",
    "RunRecord",
    "RunStatistics",
    "Store",
    "averaged",
    "cancel_batch",
    "case_names",
    "changes_of_served_model",
    "draft_controls",
    "execute",
    "final_manifest",
    "forecast_design",
    "forecast_trials",
    "initial_manifest",
    "is_known",
    "migration",
    "missing_controls",
    "paraphrase_model",
    "power_table",
    "refresh_batches",
    "status_counts",
    "word_counts",
    "write_controls",
]
