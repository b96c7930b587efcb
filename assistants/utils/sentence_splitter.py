"""Sentence splitter: one sentence can be left out, and the rest stays as it was.

Made for Markdown that people write by hand: headings, lists and lines end a sentence as well as
full stops do. Which marks end one is a guess in any language, and a wrong guess costs little here:
two sentences are then left out together, or one in halves.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass

_MARK = r"(?:[-*+\u2022]|\d{1,3}[.)]|\#{1,6}|>)[ \t]+"
"""Start of an item of a list, a heading or a quotation; part of the gap before its text."""

_GAP = re.compile(
    rf"[^\S\n]*\n\s*(?:{_MARK})*"  # a line's end, and what begins the next one
    r"|[^\S\n]+"
    "|(?<=[\u3002\uff01\uff1f])(?=\\S)"  # after a full stop that takes no space
)
_FIRST = re.compile(rf"\s*(?:{_MARK})*")
_FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?(?:^\1[^\S\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_END = re.compile("[.!?\u2026\u3002\uff01\uff1f:][\"'\u2019\u201d\u00bb)\\]*_`]*$")
"""A colon ends a sentence only at the end of a line."""
_SHORT = re.compile(
    r"(?:^|[\s(])(?:e\.g|i\.e|etc|cf|vs|approx|no|fig|dr|mr|mrs|ms|prof|st|z\.\s?b|d\.\s?h|bzw|(?-i:[A-Z]))"
    r"\.$",
    re.IGNORECASE,
)
_CLOSING = 16
"""Characters before a gap that decide whether a sentence ends there."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """A text in pieces: ``gaps[0] + texts[0] + gaps[1] + ... + gaps[-1]`` is the text itself.

    ``gaps`` has one entry more than ``texts``: white space, and the marks that begin a line.
    """

    texts: tuple[str, ...]
    gaps: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __str__(self) -> str:
        return self.gaps[0] + "".join(t + g for t, g in zip(self.texts, self.gaps[1:], strict=True))

    def without(self, index: int) -> str:
        """Return the text less one sentence, counted from 0; empty if that was all.

        The others stay character for character. Of the two gaps around it one is left: that which
        separates more, with the mark of the line that goes on.
        """
        if len(self.texts) == 1:
            return ""
        first, last = index == 0, index == len(self.texts) - 1
        gap = _joined(self.gaps[index], self.gaps[index + 1], first=first, last=last)
        texts = self.texts[:index] + self.texts[index + 1 :]
        gaps = (*self.gaps[:index], gap, *self.gaps[index + 2 :])
        return str(Sentences(texts, gaps))


def split_sentences(text: str) -> Sentences:
    """Split ``text`` into sentences, in order; none where it holds no letter and no digit.

    A block of code between fences is one sentence. A line that goes on in lower case, or with a
    number, is taken for one sentence that was wrapped.
    """
    blocks = [match.span() for match in _FENCE.finditer(text)]
    opened = [start for start, _ in blocks]
    edges = {edge for block in blocks for edge in block}
    first = _FIRST.match(text)
    position = first.end() if first else 0
    texts: list[str] = []
    gaps = [text[:position]]
    for gap in _GAP.finditer(text, position):
        start, end = gap.span()
        block = bisect_left(opened, start) - 1
        if block >= 0 and start < blocks[block][1]:
            continue
        if end == len(text) or edges & {start, end} or _separates(text, gap, gaps[-1]):
            _add(texts, gaps, text[position:start], gap.group())
            position = end
    if position < len(text):
        _add(texts, gaps, text[position:], "")
    return Sentences(tuple(texts), tuple(gaps))


def _add(texts: list[str], gaps: list[str], piece: str, gap: str) -> None:
    """Add a piece; one without a word (a rule of dashes) is part of a gap."""
    if any(map(str.isalnum, piece)):
        texts.append(piece)
        gaps.append(gap)
    else:
        gaps[-1] += piece + gap


def _separates(text: str, gap: re.Match[str], before: str) -> bool:
    """Tell whether a sentence ends at ``gap``; ``before`` is the gap in front of that sentence."""
    space = gap.group()
    lines = space.count("\n")
    if lines > 1 or space.strip() or (lines and "#" in before):  # paragraph, item, heading
        return True
    following = text[gap.end()]
    closing = text[max(0, gap.start() - _CLOSING) : gap.start()]
    ended = _END.search(closing)
    if lines:
        return ended is not None or not (following.islower() or following.isdigit())
    if ended is None or ended.group()[0] == ":" or following.islower():
        return False
    return not space or not _SHORT.search(closing)


def _joined(left: str, right: str, *, first: bool, last: bool) -> str:
    """Return the gap between the neighbours of a sentence that is gone."""
    if last:
        return right
    if "\n" not in right:  # its line goes on, and keeps its mark
        return left
    if first or left.count("\n") > right.count("\n"):
        return left[: left.rfind("\n") + 1] + right[right.rfind("\n") + 1 :]
    return right
