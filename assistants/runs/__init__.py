"""Runs: a design is executed, its record stored, and the record read back."""

from __future__ import annotations

from assistants.runs.budget import Budget
from assistants.runs.execution import execute
from assistants.runs.forecast import Forecast, forecast_design, power_table
from assistants.runs.plots import RunPlots
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import Progress, ProgressCallback
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import FILE, RunRecord, Store

__all__ = [
    "FILE",
    "Budget",
    "Forecast",
    "Progress",
    "ProgressCallback",
    "RetryPolicy",
    "RunPlots",
    "RunRecord",
    "RunStatistics",
    "Store",
    "execute",
    "forecast_design",
    "power_table",
]
