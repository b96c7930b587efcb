"""Who answers: from the names that a person gives to assistants, and from a text to a persona."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from assistants.assistant import Assistant
from assistants.clients import Client, connect
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import Sampling
from assistants.models import Catalogue, Model
from assistants.personas import Library, Persona


def build_assistants(
    personas: Iterable[str | Persona | Assistant],
    models: Iterable[str | Client],
    library: Library,
    sampling: Sampling,
    variables: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[list[Assistant], dict[str, Model]]:
    """Every persona on every model, model by model, and the entries of the models.

    ``variables`` has values by the name of the persona that they are for.

    Raises
    ------
    UsageError
        For an unknown name, or a persona that wants a value for a variable.
    """
    catalogue = Catalogue.default()
    entries: dict[str, Model] = {}
    clients: list[Client] = []
    for model in models:
        if isinstance(model, str):
            entry = catalogue.find(model)
            entries[entry.name] = entry
            clients.append(connect(entry))
        else:
            entries[model.model] = find_model(model, catalogue)
            clients.append(model)
    given = [library.find(each) if isinstance(each, str) else each for each in personas]
    found = [
        Assistant(each, client, sampling, variables.get(each.name, {}))
        for client in clients
        for each in given
        if not isinstance(each, Assistant)
    ]
    for each in given:
        if isinstance(each, Assistant):
            entries.setdefault(each.model, find_model(each.client, catalogue))
            found.append(each)
    for assistant in found:
        wanted = assistant.persona.variables - {*assistant.persona.defaults, *assistant.variables}
        if wanted:
            raise UsageError(
                f"persona {assistant.name!r} wants a value for {' and '.join(sorted(wanted))}.",
                fix="Pass an `Assistant` with `variables`, or give a default in its file.",
            )
    return found, entries


def escape_template(text: str) -> str:
    """A persona's text that says exactly ``text``, braces and all."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}"


def edited_persona(persona: Persona, text: str, others: Iterable[Persona]) -> Persona:
    """A persona of its own that says exactly ``text``: an edit is no longer what its file says.

    Its name is one that none of ``others`` has, unless that one says the same.
    """
    text = escape_template(text)
    texts = {each.name: each.text for each in others}
    base = persona.name[:52]
    for number in itertools.count(1):
        name = f"{base}-edited" + (f"-{number}" if number > 1 else "")
        if texts.get(name, text) == text:
            break
    label = f"{persona.label or persona.name} (edited)"
    return replace(persona, name=name, text=text, label=label, source="edited live")


def find_model(client: Client, catalogue: Catalogue) -> Model:
    """The entry of a client's model, for its price; an empty one if nobody knows it."""
    try:
        return catalogue.find(client.model)
    except UnknownNameError:
        return Model(client.model)
