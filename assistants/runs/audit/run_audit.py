"""The audit of a run's assistants: once each, before the first question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from assistants.assistant import Assistant
from assistants.clients import Client
from assistants.messages import Message
from assistants.models import IN_PROCESS, Catalogue, Model
from assistants.runs.audit.auditor import Auditor, AuditResult
from assistants.runs.audit.verdicts import PromptAudit, Verdict, worst
from assistants.trial import Case, Trial
from assistants.utils import truncate_line

AT_ONCE = 4
"""Requests in flight over all servers, at the most."""

LONGEST_S = 60.0
"""So long a model's audit may take, the start of an embedded model included.

No limit is set to an engine that starts within this process (``vllm-offline:``): that takes
minutes, and the questions would have to wait for it as well.
"""

PROMPTS = 20
"""Prompts of one assistant that are looked at, at the most, where its cases fill them in."""

_ANSWER = "An answer to this."


def audit_blocker(assistant: Assistant, model: Model) -> AuditResult | None:
    """Return the reason why nothing can be audited, if any: no model, or a hosted one.

    The server of a model that does not name one is that of its provider in ``models.toml``.
    """
    if model.provider == "scripted":
        why = "Scripted answers come from no model."
        return AuditResult(not_audited(assistant, "not audited", why))
    if model.provider in IN_PROCESS:
        return None
    server = model.server or Catalogue.default().providers.get(model.provider)
    if not replace(model, server=server).is_self_hosted:
        why = "A hosted API does not show what its model reads."
        return AuditResult(not_audited(assistant, "unknown", why))
    return None


async def audit(
    assistants: Sequence[Assistant],
    cases: Sequence[Case],
    models: Sequence[Model],
    *,
    concurrency: int | None = None,
) -> list[PromptAudit]:
    """Find out what becomes of each assistant's persona; never raises, generates nothing.

    Cases that send another prompt, or another number of turns, are looked at each, and the worst
    is what is said.

    Parameters
    ----------
    cases
        What the personas are asked, and what fills in their variables; one at the least.
    models
        The entry of each assistant's model.
    concurrency
        Caps the requests in flight, as it does those of the run.
    """
    found: dict[str, PromptAudit] = {}
    by_client: dict[Client, list[Assistant]] = {}
    for assistant, model in zip(assistants, models, strict=True):
        unasked = audit_blocker(assistant, model)
        if unasked is not None:
            found[str(assistant)] = unasked.delivery
        else:
            by_client.setdefault(assistant.client, []).append(assistant)
    at_once = asyncio.Semaphore(min(AT_ONCE, concurrency or AT_ONCE))
    groups = [_audit_client(each, cases, at_once) for each in by_client.values()]
    for made in await asyncio.gather(*groups):
        found |= made
    return [found[str(assistant)] for assistant in assistants]


async def _audit_client(
    assistants: Sequence[Assistant], cases: Sequence[Case], at_once: asyncio.Semaphore
) -> dict[str, PromptAudit]:
    found: dict[str, PromptAudit] = {}
    why = f"The server took longer than {LONGEST_S:.0f} s to show what the model reads."
    try:
        starts = assistants[0].model.startswith("vllm-offline:")
        async with asyncio.timeout(None if starts else LONGEST_S):
            auditor = Auditor(conversation_of(cases[0]))

            async def one(assistant: Assistant) -> None:
                async with at_once:
                    found[str(assistant)] = await _audit_assistant(assistant, cases, auditor)

            first, *others = assistants
            await one(first)  # what shows the template, the others share
            await asyncio.gather(*map(one, others))
    except asyncio.CancelledError:
        await assistants[0].client.aclose()  # nobody will ask, and so nobody will close it
        raise
    except Exception as error:  # whatever it is, the questions can still be asked
        why = why if isinstance(error, TimeoutError) else truncate_line(repr(error), 300)
    return {str(a): found.get(str(a)) or not_audited(a, "unknown", why) for a in assistants}


async def _audit_assistant(
    assistant: Assistant, cases: Sequence[Case], auditor: Auditor
) -> PromptAudit:
    """Return the worst audit of one assistant, under the digest of its first prompt."""
    differing, capped = _differing(assistant, cases)
    made = []
    for case in differing:
        asking = auditor.asking(conversation_of(case))
        audited = await asking.audit(Trial(case, assistant, 0).resolved_assistant)
        # The next one, of another persona too, asks in the way that is known now.
        auditor.how, auditor.silent = asking.how, asking.silent
        made.append(audited.delivery)
    kept = worst(made)
    detail = kept.detail
    if len({each.verdict for each in made}) > 1 and kept.severity:
        detail = f"In case {truncate_line(differing[made.index(kept)].id, 80)}: {detail}".rstrip()
    if capped:
        detail = f"Of the first {PROMPTS} of its prompts: {detail or kept.verdict + '.'}"
    # By the name that the run has for it, without what the case fills in.
    return replace(kept, persona=assistant.name, digest=made[0].digest, detail=detail)


def _differing(assistant: Assistant, cases: Iterable[Case]) -> tuple[list[Case], bool]:
    """Return a case per prompt and number of turns, and whether more than ``PROMPTS`` exist."""
    found: dict[tuple[str, int], Case] = {}
    for case in cases:
        digest = Trial(case, assistant, 0).resolved_assistant.prompt_digest
        found.setdefault((digest, len(case.turns)), case)
        if len(found) > PROMPTS:
            return list(found.values())[:PROMPTS], True
    return list(found.values()), False


def conversation_of(case: Case) -> list[Message]:
    """Return the case's questions up to the last, with a placeholder answer between them."""
    turns = [Message("user", question) for question in case.questions]
    between = [Message("assistant", _ANSWER)] * len(turns)
    return [each for pair in zip(turns, between, strict=True) for each in pair][:-1]


def not_audited(assistant: Assistant, verdict: Verdict, why: str) -> PromptAudit:
    """Return the audit of an assistant that nothing was found out about."""
    return PromptAudit(
        persona=assistant.name,
        model=assistant.model,
        verdict=verdict,
        persona_in=assistant.persona_in,
        detail=why,
    )
