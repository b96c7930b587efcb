"""The HTML of a value in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol


class Displayable(Protocol):
    """A value that IPython shows in its own way."""

    def _ipython_display_(self) -> None: ...


def notebook_html(value: object) -> str:
    """Return safe HTML for a value of this package."""
    page: str = _pages().page(value)
    return page


def run_sections(run: object, sections: Sequence[str]) -> Displayable:
    """Return the named sections of a run's report, for a notebook to show."""
    shown: Displayable = _pages().run_sections(run, sections)
    return shown


def _pages() -> Any:
    """Import the widgets' HTML pages, which stand above the values that ask for them.

    By name and late, the only such import of the package: a value must not load, or depend on,
    the widgets before a notebook really shows one of them.
    """
    return import_module("assistants.widgets.html")
