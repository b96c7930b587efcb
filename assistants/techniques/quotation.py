"""Quotation: text of models and files in a prompt, apart from the words of the person."""

from __future__ import annotations

import re

# Marks that servers read as the end of a turn or the beginning of another one, wherever they stand.
_CONTROL = re.compile(
    r"<(?=[|｜]|/?s>|/?(?:start|end)_of_|<?/?SYS>|"
    r"/?(?:think|tool_call|bos|eos|system|user|assistant)\b)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_)\b)",
    re.IGNORECASE,
)


def defuse(text: str) -> str:
    """Return text in which no mark of a chat template is left: a space follows its bracket."""
    return _CONTROL.sub(lambda mark: f"{mark[0]} ", text)


def quote(text: str) -> str:
    """Return the text as a quotation of Markdown: each of its lines begins with ``>``.

    No line of it can pass for one outside the quotation.
    """
    return "\n".join(f"> {line}".rstrip() for line in defuse(text).splitlines())
