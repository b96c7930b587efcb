"""The schema of an experiment file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt

from assistants.utils import StrictModel

SystemPromptPlace = Literal["system", "user"]
"""The system message, or the head of the first question."""


class LimitsEntry(StrictModel):
    """The caps of ``limits:``."""

    usd: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    minutes: float | None = Field(default=None, ge=0)


class PersonaEntry(StrictModel):
    """An inline persona: a text of its own, or a neutral one matched to another's length."""

    name: str
    system_prompt: str | None = None
    match: str | None = None
    label: str = ""
    description: str = ""
    sampling: dict[str, Any] = Field(default_factory=dict)


class PairEntry(StrictModel):
    """An exact pair of ``assistants:``, and the techniques that it uses.

    ``techniques`` are those of plug-ins, by name.
    """

    persona: str
    model: Any
    sampling: dict[str, Any] = Field(default_factory=dict)
    knowledge: Any = None
    enrich: Any = None
    memory: Any = None
    techniques: dict[str, Any] = Field(default_factory=dict)


class JudgeEntry(StrictModel):
    """A judge among the scorers: ``criteria`` or a ``rubric`` to grade by, or a comparison."""

    model: Any
    criteria: dict[str, str] = Field(default_factory=dict)
    rubric: str | None = None
    scale: tuple[StrictInt, StrictInt] | None = None
    compare: str | None = None
    pairs: Literal["baseline", "all"] = "baseline"
    name: str = "judge"
    sampling: dict[str, Any] = Field(default_factory=dict)


class ControlsEntry(StrictModel):
    """The controls of ``controls:``; ``model`` writes the paraphrases, by default the first one.

    The others name, for each technique, the kind of its control.
    """

    neutral: StrictBool = False
    paraphrases: Annotated[int, Field(strict=True, ge=0, le=20)] = 0
    same: StrictBool = False
    model: str | None = None
    knowledge: str | None = None
    enrich: str | None = None
    memory: str | None = None
    techniques: dict[str, str] = Field(default_factory=dict)


class ExperimentFile(StrictModel):
    """An experiment as a file writes it."""

    description: str = ""
    personas: list[str | dict[str, Any]] = Field(default_factory=list)
    models: list[Any] = Field(default_factory=list)
    assistants: list[dict[str, Any]] = Field(default_factory=list)
    system_prompt_in: SystemPromptPlace | dict[str, SystemPromptPlace] = Field(default_factory=dict)
    baseline: str | None = None
    cases: str | list[str | dict[str, Any]]
    repeats: int = Field(default=1, ge=1)
    sampling: dict[str, Any] = Field(default_factory=dict)
    unsupported: Literal["stop", "drop"] = "stop"
    vars: dict[str, Any] = Field(default_factory=dict)
    limits: LimitsEntry = LimitsEntry()
    concurrency: int | None = Field(default=None, ge=1)
    batch: StrictBool = False
    scorers: list[str | dict[str, Any]] = Field(default_factory=list)
    allow_code: StrictBool = False
    controls: ControlsEntry = ControlsEntry()
    shuffle: int | None = None
    tape: str | None = None
