"""A case, which is one row of input, and a trial, which is one cell of an experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assistants.assistant import Assistant
from assistants.errors import UsageError
from assistants.utils import notebook_html, pluralize, templating, to_json, truncate_line


@dataclass(frozen=True)
class Case:
    """One question, or several turns; ``reference`` is a good answer.

    ``source`` is the place in a knowledge folder that answers it: ``moths.md``, ``moths.md:12``.
    ``variables`` fill in the questions and the persona. A question of a case without variables is
    sent unchanged, braces included.
    """

    id: str
    turns: tuple[str, ...]
    reference: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None

    def __post_init__(self) -> None:
        if not self.turns or not all(turn.strip() for turn in self.turns):
            raise UsageError(f"case {self.id!r} has an empty question.")

    def __str__(self) -> str:
        return f"{self.id}: {self.question}"

    def __repr__(self) -> str:
        turns = f", {pluralize(len(self.turns), 'turn')}" if len(self.turns) > 1 else ""
        content = f"{truncate_line(self.id, 40)!r}{turns}: {truncate_line(self.turns[0], 50)!r}"
        return truncate_line(f"Case({content})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def question(self) -> str:
        """All turns, as one text to show."""
        return "\n\n".join(self.questions)

    @cached_property
    def questions(self) -> tuple[str, ...]:
        """The turns as they are sent."""
        if not self.variables:
            return self.turns
        return tuple(
            templating.render(turn, self.variables, f"case {self.id!r}") for turn in self.turns
        )

    @cached_property
    def digest(self) -> str:
        """A hash of the questions; neither the id nor the reference changes an answer."""
        return hashlib.sha256(to_json(self.questions).encode()).hexdigest()


_DRAWS_PER_DUPLICATE = 10_000
"""Distance in draws between two cases that ask an assistant the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell of the matrix, drawn once. ``repeat`` counts from 0.

    ``duplicate_index`` counts the earlier cases that ask the assistant the same, because it does
    not use the variables in which they differ. Each such case gets its own answers.
    """

    case: Case
    assistant: Assistant
    repeat: int
    duplicate_index: int = 0

    def __str__(self) -> str:
        return f"{self.assistant}, case {self.case.id}, repeat {self.repeat}"

    def __repr__(self) -> str:
        case = truncate_line(self.case.id, 40)
        place = f"{truncate_line(str(self.assistant), 50)}, case {case!r}, repeat {self.repeat}"
        return truncate_line(f"Trial({place})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def resolved_assistant(self) -> Assistant:
        """The assistant with this case's variables filled in."""
        used = self.assistant.persona.variables if self.case.variables else frozenset()
        return self.assistant.with_variables(
            {key: value for key, value in self.case.variables.items() if key in used}
        )

    @property
    def draw_index(self) -> int:
        """The index of the draw among draws of the same request, from 0."""
        return self.assistant.first_draw + self.repeat + self.duplicate_index * _DRAWS_PER_DUPLICATE

    @property
    def key(self) -> str:
        """A hash that is equal for equal requests, so a finished trial is never paid for twice."""
        parts = f"1 {self.resolved_assistant.digest} {self.case.digest} {self.draw_index}"
        return hashlib.sha256(parts.encode()).hexdigest()[:32]
