"""Changes to docstrings before the reference is made of them."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_SEVERAL = re.compile(r"^(\w+(?:, \w+)+)\n((?: {4}.*(?:\n|$))+)", re.MULTILINE)


class OneNamePerEntry(Extension):
    """Writes an entry of several names once per name.

    Otherwise all of them are shown with the type of the first.
    """

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring is not None:
            obj.docstring.value = _SEVERAL.sub(_apart, obj.docstring.value)


def _apart(match: re.Match[str]) -> str:
    text = match[2].rstrip("\n") + "\n"
    return "".join(f"{name}\n{text}" for name in match[1].split(", "))
