"""One row of input, and one cell of an experiment."""

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
    """What is asked: one question, or several turns. ``reference`` is what a good answer says.

    ``variables`` fill in the questions and the persona. A question without variables is sent as
    it stands, braces and all.
    """

    id: str
    turns: tuple[str, ...]
    reference: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.turns or not all(turn.strip() for turn in self.turns):
            raise UsageError(f"case {self.id!r} has an empty question.")

    def __str__(self) -> str:
        return f"{self.id}: {self.question}"

    def __repr__(self) -> str:
        several = f", {pluralize(len(self.turns), 'turn')}" if len(self.turns) > 1 else ""
        said = f"{truncate_line(self.id, 40)!r}{several}: {truncate_line(self.turns[0], 50)!r}"
        return truncate_line(f"Case({said})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def question(self) -> str:
        """Every turn, as one text to show."""
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
        """Of what is asked; neither the id nor the reference changes an answer."""
        return hashlib.sha256(to_json(self.questions).encode()).hexdigest()


_APART = 10_000
"""Draws between two cases that ask an assistant the same."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell of the matrix, drawn once. ``repeat`` counts from 0.

    ``twin`` is how many cases before this one ask the assistant the same, since their variables
    mean nothing to it: each has answers of its own, or they would be no cases of their own.
    """

    case: Case
    assistant: Assistant
    repeat: int
    twin: int = 0

    def __str__(self) -> str:
        return f"{self.assistant}, case {self.case.id}, repeat {self.repeat}"

    def __repr__(self) -> str:
        case = truncate_line(self.case.id, 40)
        said = f"{truncate_line(str(self.assistant), 50)}, case {case!r}, repeat {self.repeat}"
        return truncate_line(f"Trial({said})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def answering(self) -> Assistant:
        """The assistant with this case's variables filled in."""
        wanted = self.assistant.persona.variables if self.case.variables else frozenset()
        return self.assistant.given(
            {key: value for key, value in self.case.variables.items() if key in wanted}
        )

    @property
    def draw(self) -> int:
        """Which draw of its request this is, from 0."""
        return self.assistant.first_draw + self.repeat + self.twin * _APART

    @property
    def key(self) -> str:
        """Equal for equal requests, so a finished trial is never paid for twice."""
        parts = f"1 {self.answering.digest} {self.case.digest} {self.draw}"
        return hashlib.sha256(parts.encode()).hexdigest()[:32]
