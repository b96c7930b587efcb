"""Messages from a page to a widget, as its JavaScript sends them."""

from __future__ import annotations

import time
from typing import Any

from assistants.widgets import background
from assistants.widgets.browse.browse import Browse


def click(browse: Browse, **message: Any) -> None:
    """What the page sends, done and waited for."""
    background.call(lambda: browse.handle_message(message))
    for _ in range(200):
        if not background.call(lambda: list(browse._tasks)):
            return
        time.sleep(0.01)
