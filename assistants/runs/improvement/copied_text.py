"""Text that a new persona has copied out of the cases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

LONG_RUN = 5
"""Words in a row from which a passage counts as copied; shorter ones are everybody's."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class CopiedText:
    """The words of a text that stand in the cases as well.

    Attributes
    ----------
    words
        Length of the longest run of words in common.
    passage
        That run, in lower case.
    share
        Share of the text's words that stand in runs of at least ``LONG_RUN`` words, 0 to 1.
    """

    words: int
    passage: str
    share: float


NOTHING_COPIED = CopiedText(0, "", 0.0)


def copied_text(new: str, original: str, sources: Iterable[str]) -> CopiedText:
    """Return how much of ``new`` was copied out of ``sources``.

    Parameters
    ----------
    new
        The text of a new persona.
    original
        The text that it was made from: what was there before is not copied.
    sources
        Questions and references of cases.

    Returns
    -------
    CopiedText
        Words are compared without case and punctuation.
    """
    words = _words(new)
    added = _added(_words(original), words)
    texts = [_words(source) for source in sources]
    # A run of n words holds one of n - 1, so the longest one is found by halving.
    low, high = 0, max(map(len, added), default=0)
    passage: tuple[str, ...] = ()
    while low < high:
        middle = (low + high + 1) // 2
        common = _first_common(added, texts, middle)
        if common:
            low, passage = middle, common
        else:
            high = middle - 1
    runs = {run for text in texts for run in _runs(text, LONG_RUN)}
    covered = sum(_covered(part, runs) for part in added)
    return CopiedText(len(passage), " ".join(passage), covered / len(words) if words else 0.0)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _added(old: Sequence[str], new: Sequence[str]) -> list[Sequence[str]]:
    """Return the parts of ``new`` that ``old`` does not have."""
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return [new[start:stop] for kind, _, _, start, stop in steps if kind in ("insert", "replace")]


def _runs(words: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def _first_common(
    parts: Sequence[Sequence[str]], texts: Sequence[Sequence[str]], length: int
) -> tuple[str, ...]:
    known = {run for text in texts for run in _runs(text, length)}
    return next((run for part in parts for run in _runs(part, length) if run in known), ())


def _covered(part: Sequence[str], runs: set[tuple[str, ...]]) -> int:
    """Count the words of a part that stand in one of the runs."""
    places = {
        place
        for start, run in enumerate(_runs(part, LONG_RUN))
        if run in runs
        for place in range(start, start + LONG_RUN)
    }
    return len(places)
