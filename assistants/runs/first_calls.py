"""First calls: each model is asked once, alone, before a run asks anything else.

A model that refuses a setting says so at once and for nothing. Known before the rest is asked, the
refusal can stop the run while nothing is spent, or the setting can be left out of all trials alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

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
    return replace(design, assistants=tuple(assistants))


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
    return FileError(
        _where(design, assistant, name),
        f"{refusal.message.rstrip('.')}. Nothing else was asked.",
        fix=advice,
    )


async def _settle(
    design: Design, assistants: Iterable[Assistant], runner: Runner
) -> list[Assistant]:
    """Return the assistants of one client, each without what was refused."""
    settled = []
    tried: set[tuple[frozenset[str], str | None]] = set()
    for assistant in assistants:
        if design.unsupported == "drop":
            assistant = _without(assistant, _known_refusals(assistant))
        while design.cases:
            settings = assistant.effective_sampling
            form = (frozenset(settings.as_dict()), settings.reasoning_effort)
            if form in tried:
                break
            try:
                await runner.first_call(Trial(design.cases[0], assistant, 0))
                tried.add(form)
            except ParameterRefusedError as refusal:
                dropped = _without(assistant, {refusal.parameter})
                if design.unsupported != "drop" or dropped == assistant:
                    raise refusal_error(design, assistant, refusal) from None
                assistant = dropped
        settled.append(assistant)
    return settled


def _known_refusals(assistant: Assistant) -> frozenset[str]:
    sampling = assistant.requested_sampling
    return refused_parameters(assistant.client.identity, sampling.reasoning_effort)


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
        return str(Path("models.toml"))
    return design.source
