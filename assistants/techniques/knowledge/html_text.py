"""The text of an HTML page: no script of it is kept, run or fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from assistants.techniques.knowledge.chunks import Block

_UNREAD = frozenset({"script", "style", "template", "noscript", "svg", "math", "iframe", "object"})
_HEADING = re.compile(r"h([1-6])")
_INLINE = frozenset(
    """a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q s samp
    small span strike strong sub sup time tt u var wbr""".split()
)


def html_blocks(text: str) -> list[Block]:
    """Return the blocks of a page: what stands between two tags that are not inline."""
    parser = _PageParser()
    parser.feed(text)
    parser.close()
    parser.end_block()
    return parser.blocks


class _PageParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._headings: dict[int, str] = {}
        self._level = 0  # of the heading that is being read; 0 outside of one
        self._unread = 0  # depth of elements that hold no text for readers
        self._text: list[str] = []
        self._line = 1

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        del attrs  # nothing in them is text
        if tag in _UNREAD:
            self._unread += 1
        elif tag in ("td", "th"):
            self._add(" ")
        elif tag not in _INLINE:
            self.end_block()
        if heading := _HEADING.fullmatch(tag):
            self._level = int(heading[1])

    def handle_endtag(self, tag: str) -> None:
        """End an element; one that never began ends nothing."""
        if tag in _UNREAD:
            self._unread = max(0, self._unread - 1)
        elif tag not in _INLINE and tag not in ("td", "th"):
            self.end_block()

    def handle_data(self, data: str) -> None:
        """Take the text between two tags."""
        self._add(data)

    def end_block(self) -> None:
        """Keep the text since the last block as one, or as the heading of what follows."""
        text, self._text = " ".join("".join(self._text).split()), []
        if not text:
            return
        if self._level:
            self._headings = {k: v for k, v in self._headings.items() if k < self._level}
            self._headings[self._level] = text
            self._level = 0
        else:
            self.blocks.append(Block(text, self._line, tuple(self._headings.values())))

    def _add(self, data: str) -> None:
        if self._unread:
            return
        if data.strip() and not "".join(self._text).strip():
            lead = len(data) - len(data.lstrip())
            self._line = self.getpos()[0] + data[:lead].count("\n")
        self._text.append(data)
