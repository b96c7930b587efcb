"""Quotation: text of models and files in a prompt, apart from the words of the person."""

from __future__ import annotations

import re

# A tokenizer may take these for its own marks wherever they stand, and so end the message.
_MARKUP = re.compile(r"<(?=[|｜]|/?s>|<?/?SYS>|(?:start|end)_of_turn>)|\[(?=/?(?:INST|SYSTEM))")


def defuse(text: str) -> str:
    """Return the text with a space in whatever a chat template might take for its own markup."""
    return _MARKUP.sub(lambda mark: f"{mark[0]} ", text)


def quote(text: str) -> str:
    """Return the text as a quotation of Markdown: each of its lines begins with ``>``.

    No line of it can pass for one outside the quotation.
    """
    return "\n".join(f"> {line}".rstrip() for line in defuse(text).splitlines())
