"""Which assistants of a run are audited, and when: before the first question, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from assistants.assistant import Assistant
from assistants.clients.base import Client
from assistants.delivery.audit import Audited, Auditor
from assistants.delivery.verdicts import Delivery, Verdict
from assistants.messages import Message
from assistants.models import IN_PROCESS, Catalogue, Model
from assistants.text import one_line
from assistants.trial import Case, Trial

AT_ONCE = 4
"""Requests in flight over all servers, at the most."""

LONGEST_S = 60.0
"""So long a model's audit may take, the start of an embedded model included."""

_ANSWER = "An answer to this."


def hidden(assistant: Assistant, model: Model) -> Audited | None:
    """Why nothing can be audited, if so: no model, or a hosted one, which is not asked.

    A server is one's own if ``models.toml`` knows its provider, and the key is left to the user.
    """
    if model.provider == "scripted":
        why = "Scripted answers come from no model."
        return Audited(not_audited(assistant, "not asked", why))
    if model.provider in IN_PROCESS:
        return None
    server = model.server or Catalogue.default().providers.get(model.provider)
    if server is None or (server.key is not None and not server.key_optional):
        why = "A hosted API does not show what its model reads."
        return Audited(not_audited(assistant, "unknown", why))
    return None


async def audit(
    assistants: Sequence[Assistant],
    case: Case,
    models: Sequence[Model],
    *,
    concurrency: int | None = None,
) -> list[Delivery]:
    """What becomes of each assistant's persona; never an error, and nothing is generated.

    Parameters
    ----------
    case
        What the personas are asked, and what fills in their variables.
    models
        The entry of each assistant's model.
    concurrency
        Caps the requests in flight, as it does those of the run.
    """
    found: dict[str, Delivery] = {}
    by_client: dict[Client, list[Assistant]] = {}
    for assistant, model in zip(assistants, models, strict=True):
        unasked = hidden(assistant, model)
        if unasked is not None:
            found[str(assistant)] = unasked.delivery
        else:
            by_client.setdefault(assistant.client, []).append(assistant)
    at_once = asyncio.Semaphore(min(AT_ONCE, concurrency or AT_ONCE))
    groups = [_on_one(each, case, at_once) for each in by_client.values()]
    for made in await asyncio.gather(*groups):
        found |= made
    return [found[str(assistant)] for assistant in assistants]


async def _on_one(
    assistants: Sequence[Assistant], case: Case, at_once: asyncio.Semaphore
) -> dict[str, Delivery]:
    found: dict[str, Delivery] = {}
    why = f"The server took longer than {LONGEST_S:.0f} s to show what the model reads."
    try:
        async with asyncio.timeout(LONGEST_S):
            auditor = Auditor(conversation_of(case))

            async def one(assistant: Assistant) -> None:
                async with at_once:
                    made = await auditor.audit(Trial(case, assistant, 0).answering)
                    # By the name that the run has for it, without what the case fills in.
                    found[str(assistant)] = replace(made.delivery, persona=assistant.name)

            first, *others = assistants
            await one(first)  # what shows the template, the others share
            await asyncio.gather(*map(one, others))
    except asyncio.CancelledError:
        await assistants[0].client.aclose()  # nobody will ask, and so nobody will close it
        raise
    except Exception as error:  # whatever it is, the questions can still be asked
        why = why if isinstance(error, TimeoutError) else one_line(repr(error), 300)
    return {str(a): found.get(str(a)) or not_audited(a, "unknown", why) for a in assistants}


def conversation_of(case: Case) -> list[Message]:
    """The case's questions up to the last; what stands between them answers nothing."""
    turns = [Message("user", question) for question in case.questions]
    between = [Message("assistant", _ANSWER)] * len(turns)
    return [each for pair in zip(turns, between, strict=True) for each in pair][:-1]


def not_audited(assistant: Assistant, verdict: Verdict, why: str) -> Delivery:
    """What is said of an assistant that nothing was found out about."""
    return Delivery(
        persona=assistant.name,
        model=assistant.model,
        verdict=verdict,
        persona_in=assistant.persona_in,
        detail=why,
    )
