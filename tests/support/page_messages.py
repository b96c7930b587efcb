"""Messages from a page to a widget, as its JavaScript sends them."""

from __future__ import annotations

import time
from typing import Any

from assistants.widgets import background
from assistants.widgets.browse.browse import Browse
from assistants.widgets.rate.rate import Rate


def click(widget: Browse | Rate, **message: Any) -> None:
    """What the page sends, done and waited for."""
    background.call(lambda: widget.handle_message(message))
    wait_for_tasks(widget)


def wait_for_tasks(widget: Browse | Rate) -> None:
    """Wait until everything that the page wished for is done, or was refused."""
    end = time.monotonic() + 60
    while is_working(widget):
        assert time.monotonic() < end, "it is still at work"
        time.sleep(0.01)


def is_working(widget: Browse | Rate) -> bool:
    """Return whether something that the page wished for is still on its way."""
    return background.call(lambda: bool(widget._tasks))
