"""Faster imports of other packages, without a part of them that nothing here uses.

jsonschema, which altair and nbformat import, looks for a check of URLs that takes seconds to
build a parser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_SLOW = "rfc3987_syntax"


@contextmanager
def quick_imports() -> Iterator[None]:
    """Hide the optional check of URLs from jsonschema while other packages are imported."""
    if _SLOW in sys.modules:
        yield
        return
    sys.modules[_SLOW] = None  # type: ignore[assignment]  # so an import of it fails
    try:
        yield
    finally:
        del sys.modules[_SLOW]
