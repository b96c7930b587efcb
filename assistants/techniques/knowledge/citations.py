"""Citations of an answer, checked against the passages that were given."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assistants.messages import TechniqueRecord

_CITATION = re.compile(r"\[(\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*)\](?!\()")
_RANGE = re.compile(r"(\d+)\s*[–-]\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Citations:
    """Numbers that an answer cites, in their order; ``unknown`` ones were never given.

    ``sources`` are the files of those that were.
    """

    given: int
    cited: tuple[int, ...]
    unknown: tuple[int, ...]
    sources: tuple[str, ...]

    @property
    def are_valid(self) -> bool:
        """True if the answer cites something, and nothing that was not given."""
        return bool(self.cited) and not self.unknown


def check_citations(answer: str, record: TechniqueRecord) -> Citations:
    """Return what an answer cites of the passages that it was given.

    Parameters
    ----------
    answer
        The text of the answer: ``[1]``, ``[1, 3]`` and ``[1-3]`` are citations.
    record
        That of the technique ``knowledge``.
    """
    passages = record.facts.get("passages", [])
    numbers = list(dict.fromkeys(_cited_numbers(answer)))
    known = [number for number in numbers if 1 <= number <= len(passages)]
    return Citations(
        given=len(passages),
        cited=tuple(known),
        unknown=tuple(number for number in numbers if number not in known),
        sources=tuple(dict.fromkeys(str(passages[n - 1]["source"]) for n in known)),
    )


def _cited_numbers(answer: str) -> list[int]:
    numbers: list[int] = []
    for group in _CITATION.findall(answer):
        for part in re.split(r"[,;]", group):
            ends = _RANGE.fullmatch(part.strip())
            first, last = (int(ends[1]), int(ends[2])) if ends else (int(part), int(part))
            numbers += range(first, last + 1)
    return numbers
