"""``assistants audit``: what the model reads of a persona."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from assistants.cli import options
from assistants.cli.screen import out, say, show
from assistants.text import to_json, visible

if TYPE_CHECKING:
    from assistants.delivery import Audited


def audit(
    persona: options.Persona = "none",
    model: options.Model = "smollm2",
    question: Annotated[
        str, typer.Option("-q", "--question", metavar="QUESTION", help="What it is asked.")
    ] = "Why is the sky blue?",
    fold: options.Fold = False,
    personas: options.Folders = None,
    as_json: options.Json = False,
) -> int:
    """Show what the model reads of a persona, and whether it is what was written.

    Nothing is generated. 0: it is delivered; 1: it is not, or the server does not show it.
    """
    found = asyncio.run(_audited(persona, model, question, fold, personas or ()))
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


async def _audited(persona: str, model: str, question: str, fold: bool, folders: Any) -> Audited:
    from dataclasses import replace

    from assistants.assistant import Assistant
    from assistants.clients import connect
    from assistants.delivery import Auditor, hidden
    from assistants.messages import Message
    from assistants.models import Catalogue
    from assistants.personas import Library

    entry = Catalogue.default().find(model)
    client = connect(entry)
    made = Assistant(Library.default(folders).find(persona), client)
    made = replace(made, persona_in="user") if fold else made
    try:
        if (unasked := hidden(made, entry)) is not None:
            return unasked
        return await Auditor([Message("user", question)]).audit(made)
    finally:
        await client.aclose()


def _prompt(found: Audited) -> None:
    """The prompt as the model reads it, the persona in it between marks."""
    assert found.rendered is not None
    text, (start, end) = found.rendered.text, found.span or (0, 0)
    show(text[:start], end="")
    if found.span is not None:
        out.print(Text(f"⟦{visible(text[start:end])}⟧", style="reverse"), end="", soft_wrap=True)
    show(text[end:])
    say(f"\n{found.rendered.tokens} tokens as the server counts them; the persona stands in ⟦ ⟧.")


def _as_json(found: Audited) -> str:
    delivery, made = found.delivery, found.rendered
    said = delivery.as_dict() | {"ok": delivery.ok, "note": delivery.note}
    said |= {"rendered": made.text if made is not None else None, "span": found.span}
    return to_json(said)
