"""The scorer protocol, and the one way to run a scorer: a failure is a score with a reason."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal, Protocol, runtime_checkable

from assistants.messages import TechniqueRecord
from assistants.utils import Plugin, to_json, to_utf8, truncate_line

Direction = Literal["higher", "lower", "neither"]
"""The end of a score that is the better one."""

Kind = Literal["binary", "number"]
"""``binary`` is 0 or 1, and its differences are percentage points."""

REASON_WIDTH = 300
"""Characters of a reason or a detail; they are columns of a table, not logs."""


@dataclass(frozen=True)
class ScorerInput:
    """Everything that a scorer may see of a trial: never which persona or model gave the answer.

    ``knowledge`` is the record of the passages that the answer was given, ``source`` the place that
    answers the question.
    """

    question: str
    answer: str
    reference: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    knowledge: TechniqueRecord | None = None
    source: str | None = None

    @cached_property
    def digest(self) -> str:
        """Digest of everything that a scorer sees; unlike a trial's key, with the reference."""
        parts: list[Any] = [self.question, self.answer, self.reference, dict(self.variables)]
        if self.knowledge is not None:  # only then, so that stored scores are found again
            parts.append(self.knowledge.as_dict())
        if self.source is not None:
            parts.append({"source": self.source})
        return hashlib.sha256(to_json(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Score:
    """A grade in the scorer's unit, or ``None`` with the reason why there is none.

    ``pending`` scores may come later, and are not stored.
    """

    value: float | None
    reason: str | None = None
    detail: str | None = None
    pending: bool = False


class UnscorableError(Exception):
    """Raised where an answer has no such score, which is not a 0: no reference, too short."""


class ScorePendingError(UnscorableError):
    """Raised where an answer has no such score yet: nothing is stored, and it is asked again."""


class ScoredValue(float):
    """A score with a sentence about it, for scorers that can say why."""

    detail: str

    def __new__(cls, value: float, detail: str = "") -> ScoredValue:
        """Return a float that carries ``detail``."""
        score = super().__new__(cls, value)
        score.detail = detail
        return score


@runtime_checkable
class Scorer(Protocol):
    """Something that grades one answer.

    ``name`` is its column; ``unit`` is what it counts in ("words", "0 to 1"). ``version`` is equal
    for two scorers exactly when their scores may be shared, so it names the method, its revision
    and every parameter, and neither the name nor the unit.
    """

    @property
    def name(self) -> str:
        """Name of the column that its scores stand in."""
        ...

    @property
    def unit(self) -> str:
        """Unit of the score: words, points, share."""
        ...

    @property
    def direction(self) -> Direction:
        """The better end: higher, lower or neither."""
        ...

    @property
    def kind(self) -> Kind:
        """Binary (0 or 1), or any number."""
        ...

    @property
    def version(self) -> str:
        """Method, revision and parameters."""
        ...

    def score(self, scorer_input: ScorerInput) -> float:
        """Return the grade; a ``ScoredValue`` where there is something to say about it.

        Raises
        ------
        UnscorableError
            If this answer has no such score.
        """
        ...


@dataclass(frozen=True)
class FunctionScorer:
    """A scorer made of a function and its parameters, and the plug-in that it comes from."""

    name: str
    unit: str
    direction: Direction
    kind: Kind
    version: str
    grade: Callable[[ScorerInput], float]
    plugin: Plugin | None = None

    def score(self, scorer_input: ScorerInput) -> float:
        """Return what the function returns."""
        return self.grade(scorer_input)


def measure(
    grade: Callable[..., float],
    method: str,
    *,
    unit: str,
    name: str | None = None,
    direction: Direction = "neither",
    kind: Kind = "number",
    **parameters: Any,
) -> FunctionScorer:
    """Return a scorer that calls ``grade(scorer_input, **parameters)``.

    ``method`` is a name and a revision, ``"words/1"``, of which the revision goes up whenever the
    function changes what it returns. The scorer's version is the method and all parameters. Scores
    are stored under it, so a changed method scores every stored run anew.
    """
    version = f"{method} {to_json(parameters)}"
    column = name or method.partition("/")[0]
    return FunctionScorer(column, unit, direction, kind, version, partial(grade, **parameters))


def apply_scorer(scorer: Scorer, scorer_input: ScorerInput) -> Score:
    """Return the score of one answer; whatever goes wrong is a failed score with the reason.

    Only what stops the program on purpose (an interrupt, a cancelled task) passes through. A scorer
    that calls ``sys.exit`` has failed, like one that raises.
    """
    try:
        result = scorer.score(scorer_input)
        if isinstance(result, (str, bytes)):
            return _failed(f"returned the text {result!r}, not a number")
        value = float(result)
        detail = getattr(result, "detail", "")
    except ScorePendingError as pending:
        return Score(None, str(pending), pending=True)
    except UnscorableError as unscorable:
        return _failed(str(unscorable) or "cannot be scored")
    except (Exception, SystemExit) as error:
        return _failed(_describe(error))
    if not math.isfinite(value):
        return _failed(f"returned {value}, which is not a number to average")
    if scorer.kind == "binary" and value not in (0.0, 1.0):
        return _failed(f"returned {value:g}; a binary score is 0 or 1")
    return Score(value, None, truncate_line(str(detail), REASON_WIDTH) if detail else None)


def _failed(reason: str) -> Score:
    return Score(None, truncate_line(to_utf8(reason), REASON_WIDTH))


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        message = str(error)
    except Exception:  # a user's error may be as broken as the function that raised it
        return kind
    return f"{kind}: {message}" if message else kind
