"""``assistants audit``: what the model reads of a persona."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from assistants.cli import options
from assistants.cli.console import out, say, show
from assistants.errors import UsageError
from assistants.utils import escape_control_chars, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from assistants.assistant import Assistant
    from assistants.models import Model
    from assistants.runs.audit import AuditResult, PromptAudit


def audit(
    persona: options.Persona = "none",
    model: options.Model = "smollm2",
    question: Annotated[
        str, typer.Option("-q", "--question", metavar="QUESTION", help="What it is asked.")
    ] = "Why is the sky blue?",
    system_prompt_in: options.SystemPromptIn = "system",
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="If nothing is shown, ask with the persona and without, and count input tokens.",
        ),
    ] = False,
    yes: options.Yes = False,
    personas: options.Folders = None,
    as_json: options.Json = False,
) -> int:
    """Show what the model reads of a persona, and whether it is what was written.

    Nothing is generated, unless --ask is given: weaker evidence, and no proof. 0: it is delivered;
    1: it is not, or the server does not show it.
    """
    made, entry = _assistant(persona, model, system_prompt_in, personas or ())
    found = asyncio.run(_audited(made, entry, question))
    if ask and found.delivery.verdict == "unknown":
        _confirm(made, entry, question, yes=yes)
        found = replace(found, delivery=asyncio.run(_counted(made, question, found.delivery)))
    delivery = found.delivery
    if as_json:
        typer.echo(_as_json(found))
        return 0 if delivery.ok else 1
    if found.rendered is not None:
        _prompt(found)
    say(f"{delivery.persona} on {delivery.model}: {delivery.verdict}", style=_STYLE[delivery.ok])
    say(delivery.note)
    return 0 if delivery.ok else 1


_STYLE = {True: "green", False: "red", None: "yellow"}


def _assistant(
    persona: str, model: str, place: options.Place, folders: Sequence[Path]
) -> tuple[Assistant, Model]:
    from assistants.assistant import Assistant
    from assistants.clients import connect
    from assistants.models import Catalogue
    from assistants.personas import Library

    entry = Catalogue.default().find(model)
    found = Library.default(folders).find(persona)
    made = Assistant(found, connect(entry), persona_in=place)
    return made, entry


async def _audited(assistant: Assistant, entry: Model, question: str) -> AuditResult:
    from assistants.messages import Message
    from assistants.runs.audit import Auditor, audit_blocker

    if (unasked := audit_blocker(assistant, entry)) is not None:
        return unasked
    try:
        return await Auditor([Message("user", question)]).audit(assistant)
    finally:
        await assistant.client.aclose()


def _confirm(assistant: Assistant, entry: Model, question: str, *, yes: bool) -> None:
    """Nobody spends money by accident: what it may cost is said, and where it does, asked."""
    from assistants.messages import Sampling
    from assistants.runs import forecast_trials
    from assistants.runs.audit import CAPS, without_persona
    from assistants.trial import Case, Trial

    longest = replace(assistant, sampling=Sampling(max_tokens=CAPS[-1]))
    case = Case("audit", (question,))
    trials = [Trial(case, each, 0) for each in (longest, without_persona(longest))]
    usd = forecast_trials(trials, [], None, lambda name: entry).usd
    if usd == 0 or not assistant.system_prompt:
        return
    price = "at a price that is not known" if usd is None else f"for ${usd:.4f} at the most"
    say(f"{entry.name} is asked twice, {price}.")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("This may cost money.", fix="Add --yes.")
    typer.confirm("Go on?", abort=True, err=True)


async def _counted(assistant: Assistant, question: str, made: PromptAudit) -> PromptAudit:
    from assistants.messages import Message
    from assistants.runs.audit import audit_by_token_counts

    try:
        return await audit_by_token_counts(assistant, [Message("user", question)], made)
    finally:
        await assistant.client.aclose()


def _prompt(found: AuditResult) -> None:
    """The prompt as the model reads it, the persona in it between marks."""
    assert found.rendered is not None
    text, (start, end) = found.rendered.text, found.span or (0, 0)
    show(text[:start], end="")
    if found.span is not None:
        out.print(
            Text(f"⟦{escape_control_chars(text[start:end])}⟧", style="reverse"),
            end="",
            soft_wrap=True,
        )
    show(text[end:])
    say(f"\n{found.rendered.tokens} tokens as the server counts them; the persona stands in ⟦ ⟧.")


def _as_json(found: AuditResult) -> str:
    delivery, made = found.delivery, found.rendered
    said = delivery.as_dict() | {"ok": delivery.ok, "note": delivery.note}
    said |= {"rendered": made.text if made is not None else None, "span": found.span}
    return to_json(said)
