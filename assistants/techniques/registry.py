"""Techniques by the words of an experiment file: ``enrich: {model: qwen}``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, StrictStr

from assistants.clients import Client, default_model
from assistants.errors import FileError, UnknownNameError, UsageError, nearest
from assistants.messages import Sampling, sampling_from
from assistants.personas import Persona
from assistants.techniques.base import Technique
from assistants.techniques.enrich import ECHO, PROMPTS, Enrich, Send
from assistants.techniques.knowledge.folders import find_knowledge
from assistants.techniques.knowledge.technique import Knowledge
from assistants.techniques.knowledge.technique import Mode as KnowledgeMode
from assistants.techniques.memory import Memory, Mode
from assistants.utils import Document, StrictModel, check_name, display_path, read_text, validate

LONGEST_PROMPT = 20_000
"""Bytes of a prompt file for a sidecar."""

_PROMPT_SUFFIXES = (".md", ".txt")

Count = Annotated[int, Field(strict=True, ge=1, le=10_000)]
EntryT = TypeVar("EntryT", bound=StrictModel)


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a builder needs besides its entry.

    ``connect`` returns the client of a model's name. Files are looked for in ``folder``.
    ``persona`` is whom the technique is for.
    """

    connect: Callable[[str], Client]
    folder: Path
    persona: Persona | None = None


Builder = Callable[[Any, BuildContext], Technique]
"""Builds the technique of an entry, which is whatever the file says; ``True`` asks for the usual.

It raises ``UsageError`` for a wrong entry.
"""


class _Sidecar(StrictModel):
    """A model that helps; by default an embedded one, so that the question stays here."""

    model: StrictStr = Field(default_factory=default_model)
    sampling: dict[str, Any] = Field(default_factory=dict)


class _Enrich(_Sidecar):
    style: StrictStr = "rephrase"
    send: Send | None = None
    label: StrictStr = ""


class _Summary(_Sidecar):
    words: Count = 100
    turns: Count = 1


class _Extract(StrictModel):
    words: Count = 100


class _Memory(StrictModel):
    keep: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 2
    summary: Any = False
    extract: Any = False
    label: StrictStr = ""


class _Knowledge(StrictModel):
    folder: StrictStr | None = Field(default=None, alias="from")
    k: Count = 5
    mode: KnowledgeMode = "retrieve"
    embeddings: StrictStr | None = None
    label: StrictStr = ""


def read_techniques(
    entry: Mapping[str, Any],
    connect: Callable[[str], Client],
    folder: Path,
    *,
    persona: Persona | None = None,
    where: str = "",
    builders: Mapping[str, Builder] | None = None,
) -> tuple[Technique, ...]:
    """Return the techniques that an entry of ``assistants:`` names, in the order of application.

    Parameters
    ----------
    entry
        Settings by name of the technique. ``True`` asks for the usual ones, ``False`` or ``None``
        for no such technique.
    connect
        Returns the client of a model's name; it opens no connection.
    folder
        Where the experiment file lies: prompt files are looked for there.
    persona
        Whom they are for; it may name a knowledge folder.
    where
        ``file:line`` of the entry, for messages.
    builders
        Builders by name, in the order of application; by default ``BUILDERS``.

    Raises
    ------
    UnknownNameError
        For a technique that there is not.
    UsageError
        If a setting is unknown, missing or wrong; a ``FileError`` where the place is known.
    """
    known = BUILDERS if builders is None else builders
    for name in entry:
        if name not in known:
            raise UnknownNameError("technique", str(name), known, where=where)
    context = BuildContext(connect, folder, persona)
    techniques: list[Technique] = []
    for name, build in known.items():
        settings = entry.get(name)
        if settings is None or settings is False:
            continue
        try:
            techniques.append(build(settings, context))
        except FileError:
            raise
        except UsageError as error:
            if not where:
                raise
            raise FileError(where, error.message, fix=error.fix) from None
    return tuple(techniques)


def read_entry(schema: type[EntryT], name: str, entry: Any) -> EntryT:
    """Return an entry as a ``schema``; ``True`` is an entry without settings.

    Raises
    ------
    UsageError
        Naming the technique, what is wrong and, for an unknown key, the nearest known one.
    """
    try:
        return validate(schema, Document(name, {} if entry is True else entry, {}))
    except FileError as error:
        raise UsageError(error.message, fix=error.fix) from None


def build_enrich(entry: Any, context: BuildContext) -> Enrich:
    """Build ``enrich:``, of which a text alone is the style.

    Raises
    ------
    UsageError
        If a setting is wrong, or the prompt file cannot be read.
    """
    given = read_entry(_Enrich, "enrich", {"style": entry} if isinstance(entry, str) else entry)
    style, prompt = given.style, None
    if style.endswith(_PROMPT_SUFFIXES):
        path = _inside(context.folder, style)
        prompt = read_text(path, limit=LONGEST_PROMPT)
        style = path.stem
    elif style not in (*PROMPTS, ECHO):
        fix = nearest(style, PROMPTS) + " Or name a file of your own that ends in .md."
        raise UsageError(f"enrich: unknown style {style!r}.", fix=fix.strip())
    return Enrich(
        None if style == ECHO and prompt is None else context.connect(given.model),
        style,
        given.send,
        prompt,
        _sampling("enrich", given.sampling),
        _label(given.label),
    )


def build_memory(entry: Any, context: BuildContext) -> Memory:
    """Build ``memory:``, of which a text alone is the mode.

    ``True`` is a summary by the usual model; settings without ``summary`` and ``extract`` are a
    window.

    Raises
    ------
    UsageError
        If a setting is wrong, or there are two modes.
    """
    if isinstance(entry, str) and entry in ("full", "window"):
        return Memory(mode="full" if entry == "full" else "window")
    if isinstance(entry, str) and entry not in ("summary", "extract"):
        raise UsageError(f"memory: unknown mode {entry!r}.", fix=nearest(entry, get_args(Mode)))
    mode = "summary" if entry is True else entry
    given = read_entry(_Memory, "memory", {mode: True} if isinstance(mode, str) else mode)
    label = _label(given.label)
    chosen = [m for m in (given.summary, given.extract) if m not in (False, None)]
    if len(chosen) > 1:
        raise UsageError("memory: `summary` and `extract` exclude each other.")
    if not chosen:
        return Memory(given.keep, "window", label=label)
    if given.extract not in (False, None):
        extract = read_entry(_Extract, "memory.extract", given.extract)
        return Memory(given.keep, "extract", words=extract.words, label=label)
    model = given.summary
    summary = read_entry(
        _Summary, "memory.summary", {"model": model} if isinstance(model, str) else model
    )
    return Memory(
        given.keep,
        "summary",
        context.connect(summary.model),
        summary.words,
        summary.turns,
        _sampling("memory", summary.sampling),
        label,
    )


def build_knowledge(entry: Any, context: BuildContext) -> Knowledge:
    """Build ``knowledge:``, of which a text alone is the folder; ``True`` is the persona's own.

    Raises
    ------
    UsageError
        If a setting is wrong, no folder is named, or it cannot be read.
    """
    given = read_entry(
        _Knowledge, "knowledge", {"from": entry} if isinstance(entry, str) else entry
    )
    persona = context.persona
    name = given.folder or (persona.knowledge if persona else None)
    if name is None:
        raise UsageError(
            "knowledge: neither the experiment nor the persona names a folder.",
            fix="Write `knowledge: FOLDER`, or put it into the persona's front matter.",
        )
    source = persona.source if persona else None
    folder = find_knowledge(name, source, context.folder)
    return Knowledge.of(
        folder,
        embeddings=given.embeddings,
        k=given.k,
        mode=given.mode,
        title=_label(given.label),
    )


BUILDERS: Mapping[str, Builder] = MappingProxyType(
    {
        "memory": build_memory,
        "enrich": build_enrich,
        "knowledge": build_knowledge,  # last: it searches for the question as it was rewritten
    }
)
"""The package's own techniques, in the order in which they are applied to a question."""


def _label(label: str) -> str:
    return check_name(label, "technique's setting") if label else ""


def _sampling(name: str, settings: Mapping[str, Any]) -> Sampling:
    try:
        return sampling_from(settings, name)
    except FileError as error:
        raise UsageError(error.message, fix=error.fix) from None


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file of the experiment; a stranger's may not send others of one's own.

    Raises
    ------
    UsageError
        If it lies elsewhere.
    """
    path = Path(os.path.realpath(folder / name))
    if not path.is_relative_to(os.path.realpath(folder)):
        raise UsageError(
            f"enrich: {name!r} is outside the experiment's folder.",
            fix=f"Put it into {display_path(folder)}, or below it.",
        )
    return path
