"""Rate pairs of answers of a stored run, blind."""

from __future__ import annotations

from assistants.widgets.rate.rate import Rate

__all__ = ["Rate"]
