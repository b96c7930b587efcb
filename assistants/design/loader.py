"""The assistants that an experiment file means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistants.assistant import Assistant
from assistants.clients import Client, connect
from assistants.design.schema import ExperimentFile, PairEntry, PersonaEntry
from assistants.errors import FileError, UnknownNameError, UsageError, nearest
from assistants.models import Catalogue, Model
from assistants.personas import Library, Persona
from assistants.personas.persona import sampling_from
from assistants.trial import Case
from assistants.utils.config_files import Document, Place, validate


def read_personas(document: Document, entries: list[Any], library: Library) -> list[Persona]:
    """The personas of ``personas:``, by name, path, pattern or inline.

    Raises
    ------
    UsageError
        For one that is unknown, twice there or wrong.
    """
    folder = Path(document.source).parent
    found: dict[str, Persona] = {}
    for index, entry in enumerate(entries):
        place: Place = ("personas", index)
        where = document.where(place)
        if isinstance(entry, str):
            personas = library.select(entry, folder=folder, where=where)
        else:
            personas = [_inline(document, place, entry, library)]
        for persona in personas:
            if persona.name in found:
                raise FileError(where, f"persona {persona.name!r} is there twice.")
            found[persona.name] = persona
    return list(found.values())


def read_assistants(
    document: Document, content: ExperimentFile, library: Library, catalogue: Catalogue
) -> tuple[list[Assistant], dict[str, Model]]:
    """The assistants of an experiment, model by model, and the entries of their models.

    Either the full cross of ``personas`` and ``models``, or the exact pairs of ``assistants``.

    Raises
    ------
    UsageError
        For an unknown name or a wrong setting.
    """
    sampling = sampling_from(content.sampling, document.where(("sampling",)))
    models: dict[str, Model] = {}
    clients: dict[str, Client] = {}

    def on(entry: object, place: Place) -> Client:
        if isinstance(entry, Client):
            return clients.setdefault(entry.model, entry)
        where = document.where(place)
        if not isinstance(entry, str):
            raise FileError(where, f"{entry!r} names no model.")
        model = catalogue.find(entry, where=where)
        models[model.name] = model
        return clients.setdefault(model.name, connect(model, folder=folder))

    folder = Path(document.source).parent
    found: list[Assistant] = []
    if content.assistants:
        if content.personas or content.models:
            raise FileError(
                document.where(("assistants",)),
                "`assistants` names exact pairs.",
                fix="Leave out `personas` and `models`.",
            )
        for index in range(len(content.assistants)):
            place: Place = ("assistants", index)
            pair = validate(PairEntry, document.below(place))
            own = sampling_from(pair.sampling, document.where(place)).over(sampling)
            for persona in library.select(pair.persona, folder=folder, where=document.where(place)):
                client = on(pair.model, place)
                found += [Assistant(persona, client, own, v) for v in _swept(persona, content.vars)]
    else:
        personas = read_personas(document, content.personas, library)
        for index, entry in enumerate(content.models):
            client = on(entry, ("models", index))
            for persona in personas:
                swept = _swept(persona, content.vars)
                found += [Assistant(persona, client, sampling, v) for v in swept]
    if not found:
        raise FileError(document.source, "there are no personas, or no models, to ask.")
    _check_vars(document, content.vars, found)
    _refuse_twins(document, found)
    found = _folded(document, content.fold, found, catalogue)
    return sorted(found, key=lambda assistant: list(clients).index(assistant.model)), models


def check_variables(document: Document, assistant: Assistant, cases: Sequence[Case]) -> None:
    """See before anything is asked that a persona's text can be filled in for every case.

    Raises
    ------
    FileError
        Naming the variable, and the first case that does not give it.
    """
    wanted = assistant.persona.variables
    tried: set[str] = set()
    for case in cases if wanted else ():
        own = {name: value for name, value in case.variables.items() if name in wanted}
        if repr(own) in tried:
            continue
        tried.add(repr(own))
        try:
            assistant.persona.system_prompt({**assistant.variables, **own})
        except UsageError as error:
            raise FileError(
                document.where(("vars",)),
                f"{error.message.rstrip('.')}, with case {case.id!r}.",
                fix="Give values under `vars:`, in the experiment or in each case.",
            ) from None


def _inline(document: Document, place: Place, entry: Any, library: Library) -> Persona:
    where = document.where(place)
    fields = validate(PersonaEntry, document.below(place))
    if fields.match is not None:
        if fields.system_prompt is not None:
            raise FileError(where, "give `system_prompt` or `match`, not both.")
    elif fields.system_prompt is None:
        raise FileError(where, f"persona {fields.name!r} has no `system_prompt`.")
    try:
        if fields.match is not None:
            model = library.find(fields.match, where=where)
            matched = library.find("neutral", where=where).matched_to(model, fields.name)
            return replace(
                matched,
                label=fields.label or matched.label,
                description=fields.description or matched.description,
                sampling=sampling_from(fields.sampling, where).over(matched.sampling),
            )
        return Persona(
            name=fields.name,
            text=fields.system_prompt,
            label=fields.label or fields.name,
            description=fields.description,
            sampling=sampling_from(fields.sampling, where),
            source=where,
        )
    except (FileError, UnknownNameError):
        raise
    except UsageError as error:
        raise FileError(where, error.message, fix=error.fix) from None


def _swept(persona: Persona, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of the variables that ``persona`` has a place for."""
    wanted = {
        name: value if isinstance(value, list) and value else [value]
        for name, value in given.items()
        if name in persona.variables
    }
    for values in itertools.product(*wanted.values()):
        yield dict(zip(wanted, values, strict=True))


def _check_vars(document: Document, given: Mapping[str, Any], found: list[Assistant]) -> None:
    known = {name for assistant in found for name in assistant.persona.variables}
    for name in given:
        if name not in known:
            raise FileError(
                document.where(("vars", name)),
                f"no persona has a place for the variable {name!r}.",
                fix=nearest(name, known),
            )


def _folded(
    document: Document, names: Sequence[str], found: list[Assistant], catalogue: Catalogue
) -> list[Assistant]:
    """Those on the models of ``fold:`` with the persona at the head of the first question."""
    known = {assistant.model for assistant in found}
    wanted = set()
    for index, name in enumerate(names):
        model = catalogue.models[name].model if name in catalogue.models else name
        if model not in known:
            raise FileError(
                document.where(("fold", index)),
                f"{name!r} is not among the models.",
                fix=nearest(name, known),
            )
        wanted.add(model)
    return [replace(a, persona_in="user") if a.model in wanted else a for a in found]


def _refuse_twins(document: Document, assistants: list[Assistant]) -> None:
    seen: set[tuple[str, str]] = set()
    for assistant in assistants:
        if (assistant.name, assistant.model) in seen:
            raise FileError(document.source, f"{assistant} is there twice.")
        seen.add((assistant.name, assistant.model))
