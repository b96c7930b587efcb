"""Browse the answers of a stored run."""

from __future__ import annotations

from assistants.widgets.browse.browse import Browse

__all__ = ["Browse"]
