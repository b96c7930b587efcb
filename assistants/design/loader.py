"""The assistants, scorers and judges that an experiment file means."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistants.assistant import Assistant, own_techniques
from assistants.clients import Client, connect
from assistants.design.schema import (
    ExperimentFile,
    JudgeEntry,
    PairEntry,
    PersonaEntry,
    SystemPromptPlace,
)
from assistants.errors import FileError, UnknownNameError, UsageError, nearest
from assistants.messages import sampling_from
from assistants.models import Catalogue, Model
from assistants.personas import Library, Persona
from assistants.scoring import (
    Judge,
    Pairwise,
    Scorer,
    find_criteria,
    make_scorer,
    pairwise,
    rubric,
)
from assistants.techniques import Technique, read_techniques
from assistants.trial import Case
from assistants.utils import Document, Place, check_name, validate

_RESERVED_SCORER_NAMES = ("votes", "paraphrases")
"""Names of the scores that votes become, and of the runs in which control texts are made."""


def read_personas(document: Document, entries: list[Any], library: Library) -> list[Persona]:
    """Return the personas of ``personas:``, by name, path, pattern or inline.

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
    """Return the assistants of an experiment, model by model, and the entries of their models.

    Either the full cross of ``personas`` and ``models``, or the exact pairs of ``assistants``.

    Raises
    ------
    UsageError
        For an unknown name or a wrong setting.
    """
    folder = Path(document.source).parent
    sampling = sampling_from(content.sampling, document.where(("sampling",)))
    clients = _Clients(catalogue, folder)
    assistants: list[Assistant] = []
    if content.assistants:
        if content.personas or content.models:
            raise FileError(
                document.where(("assistants",)),
                "`assistants` names exact pairs.",
                fix="Leave out `personas` and `models`, also on the command line.",
            )
        for index in range(len(content.assistants)):
            place: Place = ("assistants", index)
            where = document.where(place)
            pair = validate(PairEntry, document.below(place))
            own = sampling_from(pair.sampling, where).with_defaults(sampling)
            for persona in library.select(pair.persona, folder=folder, where=where):
                client = clients.connect(pair.model, where)
                techniques = _read_techniques(pair, persona, clients, folder, where)
                assistants += [
                    Assistant(persona, client, own, values, techniques=techniques)
                    for values in _variable_grid(persona, content.vars)
                ]
    else:
        personas = read_personas(document, content.personas, library)
        brought = {persona.name: own_techniques(persona) for persona in personas}
        for index, entry in enumerate(content.models):
            client = clients.connect(entry, document.where(("models", index)))
            assistants += [
                Assistant(persona, client, sampling, values, techniques=brought[persona.name])
                for persona in personas
                for values in _variable_grid(persona, content.vars)
            ]
    if not assistants:
        raise FileError(document.source, "there are no personas, or no models, to ask.")
    _check_vars(document, content.vars, assistants)
    _refuse_duplicates(document, assistants)
    assistants = _placed(document, content.system_prompt_in, assistants, catalogue, clients.models)
    order = list(clients.by_model)
    return sorted(assistants, key=lambda a: order.index(a.model)), clients.models


def _read_techniques(
    pair: PairEntry, persona: Persona, clients: _Clients, folder: Path, where: str
) -> tuple[Technique, ...]:
    """Return the techniques of a pair, in the order in which they are applied.

    A persona that names a knowledge folder uses it, unless the pair says ``knowledge: false``.
    """
    own = {name: getattr(pair, name) for name in ("memory", "enrich", "knowledge")}
    if own["knowledge"] is None and persona.knowledge is not None:
        own["knowledge"] = True
    entries = {name: entry for name, entry in own.items() if entry is not None} | pair.techniques
    return read_techniques(
        entries,
        lambda model: clients.connect(model, where),
        folder,
        persona=persona,
        where=where,
    )


class _Clients:
    """One client for each model of a file, and the catalogue entries of these models."""

    def __init__(
        self, catalogue: Catalogue, folder: Path, models: dict[str, Model] | None = None
    ) -> None:
        self.by_model: dict[str, Client] = {}
        self.models = {} if models is None else models
        self._catalogue, self._folder = catalogue, folder

    def connect(self, entry: object, where: str) -> Client:
        """Return the client of an entry: a model's name, or a client given in Python."""
        if isinstance(entry, Client):
            return self.by_model.setdefault(entry.model, entry)
        if not isinstance(entry, str):
            raise FileError(where, f"{entry!r} is not a model's name.", fix="Write provider:model.")
        model = self._catalogue.find(entry, where=where)
        self.models[model.name] = model
        return self.by_model.setdefault(model.name, connect(model, folder=self._folder))


def check_variables(document: Document, assistant: Assistant, cases: Sequence[Case]) -> None:
    """Check that a persona's text can be filled in for every case, before anything is asked.

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
                sampling=sampling_from(fields.sampling, where).with_defaults(matched.sampling),
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


def _variable_grid(persona: Persona, given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each combination of values for the variables that ``persona`` uses."""
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


def _placed(
    document: Document,
    place: SystemPromptPlace | dict[str, SystemPromptPlace],
    assistants: list[Assistant],
    catalogue: Catalogue,
    models: Mapping[str, Model],
) -> list[Assistant]:
    """Return the assistants with their system prompt where ``system_prompt_in:`` puts it."""
    if isinstance(place, str):
        return [replace(a, persona_in=place) for a in assistants]
    assistants = [
        replace(a, persona_in="user")
        if a.model in models and models[a.model].system_role == "user"
        else a
        for a in assistants
    ]
    known = {assistant.model for assistant in assistants}
    places: dict[str, SystemPromptPlace] = {}
    for name, chosen in place.items():
        model = catalogue.models[name].model if name in catalogue.models else name
        if model not in known:
            raise FileError(
                document.where(("system_prompt_in", name)),
                f"{name!r} is not among the models.",
                fix=nearest(name, known),
            )
        places[model] = chosen
    return [replace(a, persona_in=places.get(a.model, a.persona_in)) for a in assistants]


def _refuse_duplicates(document: Document, assistants: list[Assistant]) -> None:
    seen: set[tuple[str, str]] = set()
    for assistant in assistants:
        if (assistant.name, assistant.model) in seen:
            raise FileError(document.source, f"{assistant} is there twice.")
        seen.add((assistant.name, assistant.model))


# -- scorers ---------------------------------------------------------------------------------------


def read_scorers(
    document: Document,
    content: ExperimentFile,
    catalogue: Catalogue,
    models: dict[str, Model],
    baseline: str | None,
) -> tuple[list[Scorer], list[Judge]]:
    """Return the scorers of ``scorers:`` and its judges, which ask a model.

    ``models`` gains the models of the judges.

    Raises
    ------
    UsageError
        For one that is unknown, wrong, or twice there.
    """
    folder = Path(document.source).parent
    clients = _Clients(catalogue, folder, models)
    scorers: list[Scorer] = []
    judges: list[Judge] = []
    for index, entry in enumerate(content.scorers):
        where = document.where(("scorers", index))
        if _is_judge(entry):
            settings = document.below(("scorers", index, "judge"))
            judges.append(_read_judge(settings, clients))
        else:
            scorers.append(
                make_scorer(entry, allow_code=content.allow_code, folder=folder, where=where)
            )
    names = [s.name for s in scorers] + [name for judge in judges for name in _names(judge)]
    where = document.where(("scorers",))
    for name, count in Counter(names).items():
        if count > 1:
            raise FileError(where, f"two scorers are called {name!r}.", fix="Add a `name:` to one.")
        if name in _RESERVED_SCORER_NAMES:
            raise FileError(where, f"no scorer may be called {name!r}.", fix="Give it a `name:`.")
    if baseline is None and any(isinstance(j, Pairwise) and j.pairs == "baseline" for j in judges):
        raise FileError(
            where,
            "a judge compares each persona with the baseline, and none is named.",
            fix="Name a `baseline:`, or say `pairs: all`.",
        )
    return scorers, judges


def _is_judge(entry: Any) -> bool:
    return isinstance(entry, dict) and list(entry) == ["judge"]


def _read_judge(settings: Document, clients: _Clients) -> Judge:
    entry = validate(JudgeEntry, settings)
    where = settings.where()
    name = check_name(entry.name, "judge", where=where)
    if bool(entry.criteria) + (entry.rubric is not None) + (entry.compare is not None) != 1:
        raise FileError(
            where,
            f"the judge {name!r} takes `criteria`, `rubric` or `compare`, one of them.",
            fix="`criteria: {clear: Is it easy to follow?}` grades each answer; "
            "`compare: Which answer is clearer?` compares two.",
        )
    questions, plugin = entry.criteria, None
    low, high = entry.scale or (1, 5)
    if entry.rubric is not None:
        criteria, plugin = find_criteria(entry.rubric, where)
        questions, (low, high) = dict(criteria.questions), entry.scale or criteria.scale
    if not low < high:
        raise FileError(where, f"the scale of {name!r} goes from {low} to {high}.")
    # A client given in Python is that judge's own, even if another one has the same model.
    given = isinstance(entry.model, Client)
    client = entry.model if given else clients.connect(entry.model, where)
    sampling = sampling_from(entry.sampling, where)
    if entry.compare is not None:
        judge: Judge = pairwise(
            client, entry.compare, name=name, pairs=entry.pairs, sampling=sampling
        )
    else:
        judge = rubric(client, questions, name=name, scale=(low, high), sampling=sampling)
        judge = replace(judge, plugin=plugin)
    if judge.assistant.persona.variables:
        raise FileError(
            where,
            f"the question of the judge {name!r} has `{{{{ }}}}` in it.",
            fix="Write it without variables.",
        )
    return judge


def _names(judge: Judge) -> set[str]:
    return {judge.name, *(scorer.name for scorer in judge.scorers({}))}
