"""Imports of other packages, without a part of them that takes seconds and that nothing here uses.

jsonschema, which altair and nbformat import, looks for a check of URLs that builds a parser first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SLOW = "rfc3987_syntax"


@contextmanager
def quick_imports() -> Iterator[None]:
    """Inside, jsonschema finds no check of URLs; it is an optional part of it."""
    if _SLOW in sys.modules:
        yield
        return
    sys.modules[_SLOW] = None  # type: ignore[assignment]  # so an import of it fails
    try:
        yield
    finally:
        del sys.modules[_SLOW]
