"""Techniques that come from other packages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from assistants.errors import (
    BudgetExceededError,
    CallError,
    PluginTechniqueError,
    StoreError,
    UsageError,
)
from assistants.messages import SideCall
from assistants.techniques.base import Ask, Draft, Load, Sidecar, Technique
from assistants.techniques.builder import BuildContext
from assistants.utils import NAME_PATTERN, Plugin, to_json, truncate_line

ResultT = TypeVar("ResultT")

TRIAL_COLUMNS = frozenset(
    "experiment run case question reference persona base_persona model repeat answer reasoning "
    "status finish_reason input_tokens output_tokens cached_tokens reasoning_tokens cost_usd "
    "first_token_s total_s attempts error system_prompt persona_in persona_digest sampling "
    "applied_sampling key started_at served_model system_fingerprint note technique_tokens "
    "technique_cost_usd technique_s technique_failure".split()
)
"""Columns of a trials table. A technique is a column beside them, and is called like none."""


class TechniquePlugin(Protocol):
    """A function that returns the technique of an entry of ``techniques:``.

    An entry point of the group ``assistants.techniques`` has the technique's name, and leads to
    such a function, or to a class that is built from the same two.
    """

    def __call__(self, settings: Any, context: BuildContext) -> Technique:
        """Return the technique, whose ``name`` is that of the entry point.

        Parameters
        ----------
        settings
            Whatever the file says behind the name; ``True`` asks for the usual settings.
        context
            Its ``connect`` returns the client of a model's name, for a sidecar: a model from
            elsewhere would be in no forecast and under no limit.

        Raises
        ------
        UsageError
            For a wrong setting, which is then an error of the file.
        """
        ...


@dataclass(frozen=True, slots=True)
class PluginTechnique:
    """A technique of a plug-in, whose mistakes become failures of single calls.

    Its ``parts`` name the package and its version, since its code is none of ours: after an
    upgrade, nothing that was sent counts as what would be sent now.
    """

    technique: Technique
    plugin: Plugin
    name: str
    label: str
    sidecars: tuple[Sidecar, ...]
    fails_open: bool
    parts: Mapping[str, Any]

    def __repr__(self) -> str:
        return truncate_line(
            f"PluginTechnique({self.name}={self.label}, {self.plugin.source})", 120
        )

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        """Return the draft as the plug-in's technique changes it.

        Raises
        ------
        PluginTechniqueError
            If it raises what no technique may, asks a sidecar that it did not name, or returns
            something else than the same question with a record of its own.
        CallError
            If a call of its own fails.
        """

        async def ask_named(sidecar: Sidecar, question: str) -> SideCall:
            if sidecar not in self.sidecars:
                raise self._error("it asked a model that is not among its sidecars")
            return await ask(sidecar, question)

        try:
            changed = await self.technique.apply(draft, ask_named)
            reason = self._mistake(draft, changed)
        except (CallError, BudgetExceededError, StoreError):  # of a call that it makes
            raise
        except Exception as error:
            raise self._error(f"{type(error).__name__}: {error}") from error
        if reason:
            raise self._error(reason)
        return changed

    def forecast(self, load: Load) -> Load:
        """Return what becomes of a turn's tokens.

        Raises
        ------
        PluginError
            If the plug-in cannot tell.
        """
        changed = _call(self.plugin, lambda: self.technique.forecast(load))
        if not isinstance(changed, Load):
            raise self.plugin.error(f"its forecast is {type(changed).__name__}, not Load")
        return changed

    def control(self, kind: str) -> PluginTechnique:
        """Return the control of the plug-in's technique.

        Raises
        ------
        UsageError
            For a kind that it does not have.
        PluginError
            If it returns none.
        """
        return _checked(self.plugin, _call(self.plugin, lambda: self.technique.control(kind)))

    def _mistake(self, draft: Draft, changed: object) -> str:
        """Return what is wrong with a draft, or ``""``."""
        if not isinstance(changed, Draft):
            return f"it returned {type(changed).__name__}, not Draft"
        if changed.question != draft.question:
            return "it changed the question itself, and not what is sent"
        if any(message.role == "system" for message in changed.history):
            return "it added a system message, which is the persona's"
        records = changed.records[len(draft.records) :]
        if changed.records != (*draft.records, *records) or not records:
            return "it left no record of what it did"
        if any(record.technique != self.name for record in records):
            return "its record has the name of another technique"
        to_json([record.as_dict() for record in records])
        return ""

    def _error(self, reason: str) -> PluginTechniqueError:
        return PluginTechniqueError(f"{self.plugin} failed: {truncate_line(reason, 250)}.")


def build_technique(plugin: Plugin, settings: Any, context: BuildContext) -> PluginTechnique:
    """Return the technique that a plug-in builds.

    Raises
    ------
    UsageError
        If it refuses the settings.
    PluginError
        If it builds none.
    """
    given = {"settings": settings, "context": context}
    return _checked(plugin, plugin.call(Technique, settings=given))


def _checked(plugin: Plugin, technique: Technique) -> PluginTechnique:
    """Return a plug-in's technique, all of whose properties are read once.

    Raises
    ------
    PluginError
        If one of them is not as the protocol wants it.
    """

    def read() -> PluginTechnique:
        parts = json.loads(to_json(dict(technique.parts)))
        return PluginTechnique(
            technique,
            plugin,
            technique.name,
            technique.label,
            tuple(technique.sidecars),
            bool(technique.fails_open),
            parts | {"plugin": f"{plugin.package} {plugin.version}"},
        )

    if not isinstance(technique, Technique):
        raise plugin.error(f"it returned {type(technique).__name__}, not Technique")
    checked = _call(plugin, read)
    if checked.name != plugin.name:
        raise plugin.error(f"it returned a technique called {checked.name!r}")
    if not isinstance(checked.label, str) or not NAME_PATTERN.fullmatch(checked.label):
        raise plugin.error(f"its label is {checked.label!r}, which is no name")
    if not all(isinstance(sidecar, Sidecar) for sidecar in checked.sidecars):
        raise plugin.error("one of its sidecars is none")
    return checked


def _call(plugin: Plugin, function: Callable[[], ResultT]) -> ResultT:
    """Return the result of a plug-in's code, whose mistakes are its own.

    Raises
    ------
    UsageError
        If the plug-in refuses what somebody has written.
    PluginError
        For everything else that it raises.
    """
    try:
        return function()
    except UsageError:
        raise
    except Exception as error:
        raise plugin.error(f"{type(error).__name__}: {error}") from error
