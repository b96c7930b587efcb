"""Safe HTML of values and runs, for notebooks and reports."""

from __future__ import annotations

from assistants.widgets.html.reprs import page
from assistants.widgets.html.sections import run_sections

__all__ = ["page", "run_sections"]
