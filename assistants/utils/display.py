"""HTML that a notebook shows of a value."""

from __future__ import annotations

from importlib import import_module


def notebook_html(value: object) -> str:
    """Return safe HTML for a value of this package.

    The pages are made by ``widgets.html``, above the values that ask for them. The import is by
    name and late, the only such one of the package: values must not load, or depend on, the
    widgets before a notebook really shows one of them.
    """
    page: str = import_module("assistants.widgets.html").page(value)
    return page
