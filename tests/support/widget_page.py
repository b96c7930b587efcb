"""A stand-in for the page of a live widget."""

from __future__ import annotations

import time
from typing import Any

from assistants.widgets import background
from assistants.widgets.base import LiveWidget


def click(widget: LiveWidget, **message: Any) -> None:
    """Send what a page sends, and wait until the widget has acted on it."""
    background.call(lambda: widget._obey(message))
    for _ in range(200):
        if not background.call(lambda: list(widget._tasks)):
            return
        time.sleep(0.01)
