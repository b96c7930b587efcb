"""The scorers and judges of an experiment file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from assistants.clients import Client, connect
from assistants.design.schema import ExperimentFile, JudgeEntry
from assistants.errors import FileError
from assistants.models import Catalogue, Model
from assistants.personas.persona import sampling_from
from assistants.scoring import Scorer, make
from assistants.scoring.judge import Judge, Pairwise, pairwise, rubric
from assistants.utils.config_files import Document, check_name, validate

_TAKEN = ("votes", "paraphrases")
"""Names of what people's votes come to, and of the runs in which control texts are made."""


def read_scorers(
    document: Document,
    content: ExperimentFile,
    catalogue: Catalogue,
    models: dict[str, Model],
    baseline: str | None,
) -> tuple[list[Scorer], list[Judge]]:
    """The scorers of ``scorers:``, and those of them that ask a model.

    ``models`` gains the models of the judges.

    Raises
    ------
    UsageError
        For one that is unknown, wrong, or twice there.
    """
    folder = Path(document.source).parent
    clients: dict[str, Client] = {}
    scorers: list[Scorer] = []
    judges: list[Judge] = []
    for index, entry in enumerate(content.scorers):
        where = document.where(("scorers", index))
        if _is_judge(entry):
            settings = document.below(("scorers", index, "judge"))
            judges.append(_judge(settings, catalogue, models, clients, folder))
        else:
            scorers.append(make(entry, allow_code=content.allow_code, folder=folder, where=where))
    names = [s.name for s in scorers] + [name for judge in judges for name in _names(judge)]
    where = document.where(("scorers",))
    for name, count in Counter(names).items():
        if count > 1:
            raise FileError(where, f"two scorers are called {name!r}.", fix="Add a `name:` to one.")
        if name in _TAKEN:
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


def _judge(
    settings: Document,
    catalogue: Catalogue,
    models: dict[str, Model],
    clients: dict[str, Client],
    folder: Path,
) -> Judge:
    entry = validate(JudgeEntry, settings)
    where = settings.where()
    name = check_name(entry.name, "judge", where=where)
    if bool(entry.criteria) == (entry.compare is not None):
        raise FileError(
            where,
            f"the judge {name!r} takes `criteria` or `compare`, one of them.",
            fix="`criteria: {clear: Is it easy to follow?}` grades each answer; "
            "`compare: Which answer is clearer?` compares two.",
        )
    low, high = entry.scale
    if not low < high:
        raise FileError(where, f"the scale of {name!r} goes from {low} to {high}.")
    client = _client(entry.model, where, catalogue, models, clients, folder)
    sampling = sampling_from(entry.sampling, where)
    if entry.compare is not None:
        judge: Judge = pairwise(
            client, entry.compare, name=name, pairs=entry.pairs, sampling=sampling
        )
    else:
        judge = rubric(client, entry.criteria, name=name, scale=(low, high), sampling=sampling)
    if judge.assistant.persona.variables:
        raise FileError(where, f"what the judge {name!r} asks has `{{{{ }}}}` in it.")
    return judge


def _client(
    named: Any,
    where: str,
    catalogue: Catalogue,
    models: dict[str, Model],
    clients: dict[str, Client],
    folder: Path,
) -> Client:
    if isinstance(named, Client):
        return named
    if not isinstance(named, str):
        raise FileError(where, f"{named!r} names no model.")
    model = catalogue.find(named, where=where)
    models[model.name] = model
    return clients.setdefault(model.name, connect(model, folder=folder))


def _names(judge: Judge) -> set[str]:
    return {judge.name, *(scorer.name for scorer in judge.scorers({}))}
