"""Fenced code in Markdown, and the prose around it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import dedent

_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([^\s`]*)")


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block; ``language`` is its label in lower case, or empty."""

    language: str
    code: str


def split_code_blocks(text: str) -> tuple[str, list[CodeBlock]]:
    """Return the prose of a text, and its fenced blocks in order.

    A fence may be indented (it often stands in a list), ends with at least as many of the same
    characters, and runs to the end of the text where it is never closed: answers are cut.
    """
    prose: list[str] = []
    blocks: list[CodeBlock] = []
    inside: list[str] = []
    fence, language = "", ""
    for line in text.splitlines():
        opening = _FENCE.match(line)
        if not fence and opening:
            fence, language = opening[1], opening[2].lower()
        elif fence and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            blocks.append(CodeBlock(language, dedent("\n".join(inside))))
            fence, inside = "", []
            prose.append("")  # what stood before and after are two paragraphs
        else:
            (inside if fence else prose).append(line)
    if fence:
        blocks.append(CodeBlock(language, dedent("\n".join(inside))))
    return "\n".join(prose), blocks
