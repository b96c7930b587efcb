"""Answers that have ended, as safe HTML: rendered once, however often they are told and printed."""

from __future__ import annotations

import re
from functools import lru_cache

from assistants.widgets.html.markdown import to_html

_MARKED = re.compile(r"</?span[^>]*>")


@lru_cache(maxsize=1_000)
def coloured(text: str) -> str:
    """For a page that has a style sheet for the words of code."""
    return to_html(text, colours=True)


def plain(text: str) -> str:
    """The same as ``to_html(text)``: only code has ``span`` elements, around its words."""
    return _MARKED.sub("", coloured(text))
