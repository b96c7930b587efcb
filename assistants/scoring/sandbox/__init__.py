"""A sandbox for the Python that models write: limits on time, memory, disk, files and network."""

from __future__ import annotations

from assistants.scoring.sandbox.code_runs import (
    ExecutionResult,
    SandboxLimits,
    limits_enforced,
    not_enforced,
    run,
)

__all__ = [
    "ExecutionResult",
    "SandboxLimits",
    "limits_enforced",
    "not_enforced",
    "run",
]
