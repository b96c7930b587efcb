"""Scorers by the names and settings of an experiment file: ``words``, ``{contains: inverse}``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictStr

from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.scoring import custom, reference
from assistants.scoring import text as textual
from assistants.scoring.base import FunctionScorer, Scorer
from assistants.scoring.citations import cites_sources
from assistants.scoring.plugins import build_scorer
from assistants.scoring.sandbox import code_runs
from assistants.scoring.stale_facts import stale_facts
from assistants.utils import (
    Document,
    PluginGroup,
    StrictModel,
    display_path,
    read_text,
    validate,
)

Amount = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]


class _Plain(StrictModel):
    """A scorer without settings; ``name`` is the column, where two of a kind are wanted."""

    name: StrictStr | None = None


class _Diversity(_Plain):
    window: Count = 50


class _Repetition(_Plain):
    size: Count = 3


class _Language(_Plain):
    code: StrictStr


class _Exact(_Plain):
    strict: StrictBool = False


class _Contains(_Plain):
    text: StrictStr | None = None
    ignore_case: StrictBool = True


class _Regex(_Plain):
    pattern: StrictStr
    ignore_case: StrictBool = False


class _Number(_Plain):
    tolerance: Amount = 0.0
    relative: Amount = 1e-9


class _StaleFacts(_Plain):
    new: StrictStr | list[StrictStr] | None = None
    old: StrictStr | list[StrictStr] | None = None


class _Json(_Plain):
    json_schema: StrictStr | dict[str, Any] | None = Field(default=None, alias="schema")


class _Code(_Plain):
    seconds: Annotated[float, Field(strict=True, gt=0)] = 10.0
    memory_mib: Count = 1024
    disk_mib: Count = 32


class _Python(_Plain):
    function: StrictStr
    unit: StrictStr | None = None
    direction: Literal["higher", "lower", "neither"] | None = None
    kind: Literal["binary", "number"] | None = None


_Build = Callable[..., FunctionScorer]

_BUILDERS: Mapping[str, tuple[type[_Plain], str, _Build]] = {
    "words": (_Plain, "", textual.words),
    "characters": (_Plain, "", textual.characters),
    "sentences": (_Plain, "", textual.sentences),
    "reading_ease": (_Plain, "", textual.reading_ease),
    "lexical_diversity": (_Diversity, "window", textual.lexical_diversity),
    "repetition": (_Repetition, "size", textual.repetition),
    "refusal": (_Plain, "", textual.refusal),
    "language": (_Language, "code", textual.language),
    "exact": (_Exact, "", reference.exact),
    "contains": (_Contains, "text", reference.contains),
    "regex": (_Regex, "pattern", reference.regex),
    "number": (_Number, "tolerance", reference.number),
    "choice": (_Plain, "", reference.choice),
    "json": (_Json, "schema", reference.valid_json),
    "similarity": (_Plain, "", reference.similarity),
    "stale_facts": (_StaleFacts, "", stale_facts),
    "cites_sources": (_Plain, "", cites_sources),
    "code_runs": (_Code, "seconds", code_runs.code_runs),
    "python": (_Python, "function", custom.custom),
}
"""By name: the settings, the one that ``name: value`` stands for, and the builder."""

SCORER_NAMES = tuple(_BUILDERS)
"""Names of the package's own that an experiment may list under ``scorers``."""

SCORER_PLUGINS = PluginGroup(
    kind="scorer", group="assistants.scorers", built_in=lambda: (*SCORER_NAMES, "judge")
)
"""The scorers of other packages."""


def scorer_names() -> tuple[str, ...]:
    """Return the names that an experiment may list under ``scorers``, those of plug-ins too."""
    return (*SCORER_NAMES, *SCORER_PLUGINS.usable())


def make_scorer(
    entry: str | Mapping[str, Any],
    *,
    allow_code: bool = False,
    folder: Path | None = None,
    where: str = "scorers",
) -> Scorer:
    """Return the scorer that one entry of an experiment file asks for.

    Parameters
    ----------
    entry
        A name, or a mapping of one name to its main setting (``{contains: inverse}``) or to all
        of them (``{number: {tolerance: 0.01, name: close}}``).
    allow_code
        True lets code run: that of answers (``code_runs``), and that which the file names
        (``python``). Without it both are refused, and nothing is loaded.
    folder
        Where the experiment file lies: schemas and ``python:`` files are looked for there.
    where
        ``file:line`` of the entry, for messages.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    FileError
        If a setting is unknown, missing or wrong.
    UsageError
        If the scorer refuses its settings, or code is not allowed.
    PluginError
        If it is of a plug-in that is broken.
    """
    name, settings = _parts(entry, where)
    if name not in _BUILDERS:
        plugin = SCORER_PLUGINS.find(name)
        if plugin is None:
            raise UnknownNameError("scorer", name, scorer_names(), where=where)
        return build_scorer(plugin, settings, where)
    schema, main, build = _BUILDERS[name]
    if not isinstance(settings, Mapping):
        if not main:
            raise FileError(where, f"{name} takes no value.", fix=f"Write `{name}` alone.")
        settings = {main: settings}
    given = validate(schema, Document(where, {} if settings is None else dict(settings), {}))
    chosen = {key: value for key, value in given.model_dump().items() if key != "name"}
    made = _built(name, build, chosen, allow_code=allow_code, folder=folder)
    return replace(made, name=given.name) if given.name else made


def make_scorers(
    entries: Sequence[str | Mapping[str, Any]],
    *,
    allow_code: bool = False,
    folder: Path | None = None,
    where: str = "scorers",
) -> list[Scorer]:
    """Return the scorers of a list, each with a column of its own.

    Raises
    ------
    UsageError
        As ``make``, and if two have one name.
    """
    made = [make_scorer(e, allow_code=allow_code, folder=folder, where=where) for e in entries]
    names = [scorer.name for scorer in made]
    for name in names:
        if names.count(name) > 1:
            raise FileError(
                where,
                f"two scorers are called {name!r}.",
                fix="Give one of them another `name:`, as in `{contains: {text: ..., name: ...}}`.",
            )
    return made


def _parts(entry: str | Mapping[str, Any], where: str) -> tuple[str, Any]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, settings),) = entry.items()
        return str(name), {} if settings is None else settings
    raise FileError(
        where, f"{entry!r} is not a scorer.", fix="Write a name, or `name: setting`, one per entry."
    )


def _built(
    name: str, build: _Build, chosen: dict[str, Any], *, allow_code: bool, folder: Path | None
) -> FunctionScorer:
    if name == "code_runs":
        limits = code_runs.SandboxLimits(**chosen) if allow_code else None
        return build(allow_code=allow_code, limits=limits)
    if name == "python":
        if not allow_code:
            raise UsageError(
                f"python runs {chosen['function']!r}, which may do all that you may.",
                fix="Read it; then write `allow_code: true` in the experiment to allow it.",
            )
        return build(chosen.pop("function"), folder=folder, **chosen)
    if name == "json":
        return build(_schema(chosen["json_schema"], folder))
    return build(**chosen)


def _schema(schema: Any, folder: Path | None) -> Any:
    """Return a JSON Schema as it stands, or read from the file it names."""
    if not isinstance(schema, str):
        return schema
    path = (folder or Path()) / schema
    try:
        read = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FileError(display_path(path), f"is not JSON: {error}.") from None
    if not isinstance(read, (dict, bool)):
        raise UsageError(
            f"json: {display_path(path)} holds no JSON Schema.", fix="It is a mapping."
        )
    return read
