"""What has arrived of an answer, in the two forms in which a page shows it.

Blocks of Markdown that are finished are rendered once; the rest is plain text until it is a block.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from assistants.utils.text import escape_control_chars
from assistants.widgets.html import MAX_CHARACTERS, to_html

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass
class StreamBuffer:
    """The text of one answer as it grows, and what of it a page does not know yet."""

    rest: str = ""
    new: str = ""
    settled: int = 0
    pages: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """The next piece."""
        self.rest += text
        self.new += text

    def take(self) -> dict[str, object]:
        """What is new, for a page that has everything before it.

        ``text`` goes at the end of the plain text, unless blocks were finished: then ``html``
        goes at the end of the rendered ones, and the plain text becomes ``tail``.
        """
        at = end_of_blocks(self.rest)
        new, self.new = self.new, ""
        if not at or self.settled > MAX_CHARACTERS:
            return {"text": escape_control_chars(new)}
        block, self.rest = self.rest[:at], self.rest[at:]
        self.settled += at
        page = to_html(block)
        self.pages.append(page)
        return {"html": page, "tail": escape_control_chars(self.rest)}

    def snapshot(self) -> dict[str, object]:
        """All that arrived so far, for a page that knows nothing."""
        return {"html": "".join(self.pages), "tail": escape_control_chars(self.rest)}


def end_of_blocks(text: str) -> int:
    """How many characters of ``text`` are blocks that nothing to come can change.

    It ends at the last blank line outside of a fenced block.
    """
    end = at = 0
    fence = ""
    for line in _LINE.findall(text):
        whole = line.endswith("\n")
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and whole and mark[1].startswith(fence) and not line[mark.end() :].strip():
            fence = ""
        at += len(line)
        if whole and not fence and not line.strip():
            end = at
    return end
