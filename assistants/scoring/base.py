"""What a scorer is, and the one way to run it: a failure is a score too, never a missing row."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, Protocol

from assistants.utils import to_json, to_utf8, truncate_line

Direction = Literal["higher", "lower", "neither"]
"""Which end of a score is the better one."""

Kind = Literal["binary", "number"]
"""``binary`` is 0 or 1, and its differences are percentage points."""

REASON_WIDTH = 300
"""Characters of a reason or a detail; they are columns of a table, not logs."""


@dataclass(frozen=True)
class ScorerInput:
    """What there is to grade: never which persona or model answered."""

    question: str
    answer: str
    reference: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Of everything a scorer sees. A trial's key leaves the reference out; a score may not."""
        seen = [self.question, self.answer, self.reference, dict(self.variables)]
        return hashlib.sha256(to_json(seen).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Score:
    """One grade in the scorer's unit, or ``None`` with the reason why there is none.

    ``pending`` scores may come later, and are not stored.
    """

    value: float | None
    reason: str | None = None
    detail: str | None = None
    pending: bool = False


class UnscorableError(Exception):
    """This answer has no such score, and that is not a 0: no reference, too short, ambiguous."""


class ScorePendingError(UnscorableError):
    """There is no such score yet, and there may be one later; so nothing is stored."""


class ScoredValue(float):
    """A score with a sentence about it, for scorers that can say why."""

    detail: str

    def __new__(cls, value: float, detail: str = "") -> ScoredValue:
        """A number like any other, with ``detail``."""
        graded = super().__new__(cls, value)
        graded.detail = detail
        return graded


class Scorer(Protocol):
    """Grades one answer.

    ``name`` is its column; ``unit`` is what it counts in ("words", "0 to 1"). ``version`` is equal
    for two scorers exactly when their scores may be shared, so it names the method, its revision
    and every parameter, and neither the name nor the unit.
    """

    @property
    def name(self) -> str:
        """The column its scores stand in."""
        ...

    @property
    def unit(self) -> str:
        """What one point of it is."""
        ...

    @property
    def direction(self) -> Direction:
        """Which end is the better one."""
        ...

    @property
    def kind(self) -> Kind:
        """Whether it is 0 or 1, or any number."""
        ...

    @property
    def version(self) -> str:
        """Method, revision and parameters."""
        ...

    def score(self, answered: ScorerInput) -> float:
        """The grade; a ``ScoredValue`` where there is something to say about it.

        Raises
        ------
        UnscorableError
            If this answer has no such score.
        """
        ...


@dataclass(frozen=True)
class FunctionScorer:
    """A scorer made of a plain function and the parameters it was given."""

    name: str
    unit: str
    direction: Direction
    kind: Kind
    version: str
    grade: Callable[[ScorerInput], float]

    def score(self, answered: ScorerInput) -> float:
        """What the function says."""
        return self.grade(answered)


def measure(
    grade: Callable[..., float],
    *,
    unit: str,
    direction: Direction = "neither",
    kind: Kind = "number",
    name: str | None = None,
    revision: int = 1,
    **parameters: Any,
) -> FunctionScorer:
    """A scorer that calls ``grade(answered, **parameters)``.

    ``revision`` goes up whenever the function changes what it returns. It and the parameters are
    the version, so nobody can forget one of them.
    """
    called = grade.__name__
    version = f"{called}/{revision} {to_json(parameters)}"
    bound = partial(grade, **parameters)
    return FunctionScorer(name or called, unit, direction, kind, version, bound)


def apply_scorer(scorer: Scorer, answered: ScorerInput) -> Score:
    """The score of one answer; whatever goes wrong is a failed score with the reason.

    Only what stops the program on purpose (an interrupt, a cancelled task) passes through. A scorer
    that calls ``sys.exit`` has failed, like one that raises.
    """
    try:
        graded = scorer.score(answered)
        if isinstance(graded, (str, bytes)):
            return _failed(f"returned the text {graded!r}, not a number")
        value = float(graded)
        detail = getattr(graded, "detail", "")
    except ScorePendingError as pending:
        return Score(None, str(pending), pending=True)
    except UnscorableError as unscorable:
        return _failed(str(unscorable) or "cannot be scored")
    except (Exception, SystemExit) as error:
        return _failed(_told(error))
    if not math.isfinite(value):
        return _failed(f"returned {value}, which is not a number to average")
    if scorer.kind == "binary" and value not in (0.0, 1.0):
        return _failed(f"returned {value:g}; a binary score is 0 or 1")
    return Score(value, None, truncate_line(str(detail), REASON_WIDTH) if detail else None)


def _failed(reason: str) -> Score:
    return Score(None, truncate_line(to_utf8(reason), REASON_WIDTH))


def _told(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        said = str(error)
    except Exception:  # a user's error may be as broken as the function that raised it
        return kind
    return f"{kind}: {said}" if said else kind
