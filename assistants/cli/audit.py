"""``assistants audit``: check that a persona reaches the model as it was written."""

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
    model: options.Model = None,
    question: Annotated[
        str, typer.Option("-q", "--question", metavar="QUESTION", help="The question.")
    ] = "Why is the sky blue?",
    system_prompt_in: options.SystemPromptIn = "system",
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="If the server shows no prompt, ask with and without the persona, and compare "
            "input tokens.",
        ),
    ] = False,
    yes: options.Yes = False,
    personas: options.Folders = None,
    as_json: options.Json = False,
) -> int:
    """Show the prompt as the model reads it, and whether it holds the persona as written.

    Nothing is generated without --ask, which is weaker evidence and no proof. Exit codes: 0 the
    persona is delivered; 1 it is not, or the server does not show its prompt.
    """
    assistant, entry = _assistant(persona, model, system_prompt_in, personas or ())
    result = asyncio.run(_audit(assistant, entry, question))
    if ask and result.delivery.verdict == "unknown":
        _confirm(assistant, entry, question, yes=yes)
        delivery = asyncio.run(_compare_tokens(assistant, question, result.delivery))
        result = replace(result, delivery=delivery)
    delivery = result.delivery
    if as_json:
        typer.echo(_as_json(result))
        return 0 if delivery.ok else 1
    if result.rendered is not None:
        _show_prompt(result)
    say(f"{delivery.persona} on {delivery.model}: {delivery.verdict}", style=_STYLE[delivery.ok])
    say(delivery.note)
    return 0 if delivery.ok else 1


_STYLE = {True: "green", False: "red", None: "yellow"}


def _assistant(
    persona: str, model: str | None, place: options.Place, folders: Sequence[Path]
) -> tuple[Assistant, Model]:
    from assistants.assistant import Assistant
    from assistants.clients import connect, default_model
    from assistants.models import Catalogue
    from assistants.personas import Library

    entry = Catalogue.default().find(model or default_model())
    library = Library.default(folders)
    return Assistant(library.find(persona), connect(entry), persona_in=place), entry


async def _audit(assistant: Assistant, entry: Model, question: str) -> AuditResult:
    from assistants.messages import Message
    from assistants.runs.audit import Auditor, audit_blocker

    if (blocker := audit_blocker(assistant, entry)) is not None:
        return blocker
    try:
        return await Auditor([Message("user", question)]).audit(assistant)
    finally:
        await assistant.client.aclose()


def _confirm(assistant: Assistant, entry: Model, question: str, *, yes: bool) -> None:
    """Print the price of a token count, and ask for consent where it is not free."""
    from assistants.messages import Sampling
    from assistants.runs import forecast_trials
    from assistants.runs.audit import CAPS, without_persona
    from assistants.trial import Case, Trial

    longest = replace(assistant, sampling=Sampling(max_tokens=CAPS[-1]))
    case = Case("audit", (question,))
    trials = [Trial(case, item, 0) for item in (longest, without_persona(longest))]
    usd = forecast_trials(trials, [], None, lambda name: entry).usd
    if usd == 0 or not assistant.system_prompt:
        return
    price = "at an unknown price" if usd is None else f"for ${usd:.4f} at most"
    say(f"{entry.name} is asked twice, {price}.")
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("This may cost money.", fix="Add --yes.")
    typer.confirm("Continue?", abort=True, err=True)


async def _compare_tokens(assistant: Assistant, question: str, unknown: PromptAudit) -> PromptAudit:
    from assistants.messages import Message
    from assistants.runs.audit import audit_by_token_counts

    try:
        return await audit_by_token_counts(assistant, [Message("user", question)], unknown)
    finally:
        await assistant.client.aclose()


def _show_prompt(result: AuditResult) -> None:
    """Print the prompt as the model reads it, with the persona between marks."""
    assert result.rendered is not None
    text, (start, end) = result.rendered.text, result.span or (0, 0)
    show(text[:start], end="")
    if result.span is not None:
        out.print(
            Text(f"⟦{escape_control_chars(text[start:end])}⟧", style="reverse"),
            end="",
            soft_wrap=True,
        )
    show(text[end:])
    say(f"\n{result.rendered.tokens} tokens, counted by the server; the persona is between ⟦ ⟧.")


def _as_json(result: AuditResult) -> str:
    delivery, rendered = result.delivery, result.rendered
    values = delivery.as_dict() | {"ok": delivery.ok, "note": delivery.note}
    values |= {"rendered": rendered.text if rendered is not None else None, "span": result.span}
    return to_json(values)
