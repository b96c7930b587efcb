"""Votes: a person or a judge saw two answers to one question and preferred one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Winner = Literal["left", "right", "tie", "both bad"]

Kind = Literal["person", "judge"]

VOTE_POINTS: dict[str, tuple[float, float]] = {
    "left": (1.0, 0.0),
    "right": (0.0, 1.0),
    "tie": (0.5, 0.5),
    "both bad": (0.5, 0.5),
}
"""Points for the left and the right answer: a win, a loss, or half a win each."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A preference between two trials: the keys ``left`` and ``right``, as the rater saw them.

    ``voted_at`` is UTC, ISO 8601; empty until it is stored.
    """

    rater: str
    kind: Kind
    left: str
    right: str
    winner: Winner
    reason: str | None = None
    voted_at: str = ""
