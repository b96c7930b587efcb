"""First calls: each model is asked once, alone, before a run asks anything else.

A model that refuses a setting says so at once and for nothing. Known before the rest is asked, the
refusal can stop the run while nothing is spent, or the setting can be left out of all trials alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from assistants.assistant import Assistant
from assistants.clients import Client, refused_parameters
from assistants.design import Design
from assistants.errors import FileError, ParameterRefusedError, UsageError
from assistants.messages import Sampling
from assistants.runs.runner import Runner
from assistants.trial import Trial
from assistants.utils import Document

_WITH_REASONING = frozenset(
    {"temperature", "top_p", "frequency_penalty", "presence_penalty", "stop", "logprobs"}
)
"""Settings that OpenAI's models take only where they do not reason."""

_BODY_NAMES = {"max_completion_tokens": "max_tokens"}


async def settle_parameters(design: Design, runner: Runner) -> Design:
    """Return the design without the settings that its models refuse, where it says to drop them.

    One trial of each model, and of each combination of settings, is asked, unless the store has its
    answer already. The answers are stored.

    Raises
    ------
    FileError
        If a setting is refused and is not to be dropped; it names the line.
    """
    by_client: dict[Client, list[Assistant]] = {}
    for assistant in design.assistants:
        by_client.setdefault(assistant.client, []).append(assistant)
    # Not a TaskGroup: an answer that is on its way is stored even if another model refuses.
    settled = await asyncio.gather(
        *(_settle(design, of_client, runner) for of_client in by_client.values()),
        return_exceptions=True,
    )
    unsupported: dict[tuple[str, str], frozenset[str]] = {}
    for outcome in settled:
        if isinstance(outcome, BaseException):
            raise outcome
        unsupported |= {(a.name, a.model): a.unsupported for a in outcome}
    assistants = (replace(a, unsupported=unsupported[a.name, a.model]) for a in design.assistants)
    settled_design = replace(design, assistants=tuple(assistants))
    # What was answered before a later refusal changed its settings is no trial of this run.
    first_trials = (
        Trial(case, a, 0) for case in design.cases[:1] for a in settled_design.assistants
    )
    runner.first.answered.intersection_update(trial.key for trial in first_trials)
    return settled_design


def with_known_refusals(design: Design) -> Design:
    """Return the design without what its models are known to refuse, if it says to drop that."""
    if not _drops(design):
        return design
    return replace(design, assistants=tuple(map(_without_known_refusals, design.assistants)))


def refusal_error(
    design: Design, assistant: Assistant, refusal: ParameterRefusedError
) -> UsageError:
    """Return the error that says which line asks for a refused setting, and what to write there."""
    name = _BODY_NAMES.get(refusal.parameter, refusal.parameter)
    value = assistant.requested_sampling.as_dict().get(name)
    if name == "messages":
        return FileError(
            design.source,
            refusal.message,
            fix=f'Give {assistant.model} a `system_role = "developer"` or `"user"` in models.toml.',
        )
    asked = f"`{name}: {value}`" if value is not None else f"`{name}`"
    advice = f"Take {asked} out"
    if name in _WITH_REASONING and assistant.requested_sampling.reasoning_effort is None:
        advice += ", or add `reasoning_effort: none`, with which some models take it"
    advice += f"; or write `unsupported: drop` to leave it out for {assistant.model}."
    if _drops(design):  # refused in the middle of a run, which from now on is known
        advice = f"Run it again: {asked} is left out from the start."
    message = f"{refusal.message.rstrip('.')}. That call cost nothing."
    return FileError(_where(design, assistant, name), message, fix=advice)


async def _settle(
    design: Design, assistants: Iterable[Assistant], runner: Runner
) -> list[Assistant]:
    """Return the assistants of one client, all of them without what one of them was refused.

    A value may be refused where another is taken, so each combination of values is tried.
    """
    settled = [_without_known_refusals(a) if _drops(design) else a for a in assistants]
    tried: set[Sampling] = set()
    while design.cases:
        assistant = next((a for a in settled if a.effective_sampling not in tried), None)
        if assistant is None:
            break
        try:
            await runner.first_call(Trial(design.cases[0], assistant, 0))
            tried.add(assistant.effective_sampling)
        except ParameterRefusedError as refusal:
            if not _drops(design) or _without(assistant, {refusal.parameter}) == assistant:
                raise refusal_error(design, assistant, refusal) from None
            effort = assistant.effective_sampling.reasoning_effort
            settled = [
                _without(a, {refusal.parameter})
                if a.effective_sampling.reasoning_effort == effort
                else a
                for a in settled
            ]
    return settled


def _drops(design: Design) -> bool:
    return design.unsupported == "drop"


def _without_known_refusals(assistant: Assistant) -> Assistant:
    """Return the assistant without what its model was seen to refuse."""
    while True:
        effort = assistant.effective_sampling.reasoning_effort
        known = refused_parameters(assistant.client.identity, effort)
        settled = _without(assistant, known)
        if settled == assistant:
            return assistant
        assistant = settled  # without its effort, perhaps, with which other refusals are known


def _without(assistant: Assistant, refused: Iterable[str]) -> Assistant:
    """Return the assistant without those of the refused parameters that it would send."""
    names = {_BODY_NAMES.get(name, name) for name in refused}
    sent = _sent_names(assistant.requested_sampling)
    return replace(assistant, unsupported=assistant.unsupported | (names & sent))


def _sent_names(sampling: Sampling) -> frozenset[str]:
    return frozenset({*sampling.as_dict(), *sampling.extra})


def _where(design: Design, assistant: Assistant, name: str) -> str:
    """Return the file and line, or the option, that sets a parameter of an assistant."""
    if name in design.origins:
        return design.origins[name]
    if name in _sent_names(assistant.sampling):
        places = [place for place in design.lines if "sampling" in place[:-1] and place[-1] == name]
        place = places[0] if places else ("sampling",)
        return Document(design.source, None, design.lines).where(place)
    if name in _sent_names(assistant.persona.sampling):
        return assistant.persona.source or design.source
    if name in _sent_names(assistant.client.default_sampling):
        return "models.toml"
    return design.source
