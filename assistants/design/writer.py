"""Experiment, persona and case files, written for a batch to run."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistants.assistant import Assistant
from assistants.clients import connect
from assistants.errors import AssistantsError, UnknownNameError, UsageError
from assistants.personas import Library, escape_template
from assistants.utils import check_name, display_path, to_json, to_yaml


def write_experiment(
    path: Path, asked: Sequence[tuple[Assistant, Sequence[Sequence[str]]]], repeats: int
) -> Path:
    """Write an experiment file, and return its path.

    Parameters
    ----------
    path
        Of the ``.yaml`` file, which must not exist.
    asked
        Each assistant, with what it was asked: the questions of a conversation, up to each of its
        turns. These become the cases, so that a follow-up is a case of all questions up to it.
    repeats
        Number of draws of each answer.

    Raises
    ------
    UsageError
        If there is such a file, nothing was asked, or a model was given as an object that no
        name stands for.
    """
    check_name(path.stem, "experiment")
    if path.exists():
        raise UsageError(f"{display_path(path)} is there already.", fix="Choose another name.")
    cases = _cases(asked)
    if not cases:
        raise UsageError("Nothing has been asked yet.", fix="Ask something first.")
    assistants = _distinct(assistant for assistant, _ in asked)
    for name in dict.fromkeys(assistant.model for assistant in assistants):
        _check_model(name)
    library = Library.default()
    content: dict[str, Any] = {"description": "Asked live, side by side."}
    content |= _full_cross(assistants, library) or _pairs(assistants, library, path)
    if any(assistant.persona.name == "none" for assistant in assistants):
        content["baseline"] = "none"
    content |= {"cases": cases, "repeats": repeats}
    write_file(path, content)
    return path


def write_file(path: Path, content: Mapping[str, Any], comment: Sequence[str] = ()) -> None:
    """Write the content of an experiment file below a comment, one line per entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment)
    path.write_text(head + to_yaml(content), encoding="utf-8", newline="\n")


def write_persona(path: Path, text: str, head: Mapping[str, Any]) -> None:
    """Write a persona file with the template ``text`` and the front matter ``head``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\n{to_yaml(head)}---\n{text}\n", encoding="utf-8", newline="\n")


def write_cases(path: Path, cases: Sequence[Mapping[str, Any]]) -> None:
    """Write a case file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{to_json(case)}\n" for case in cases), encoding="utf-8", newline="\n")


def _distinct(assistants: Iterable[Assistant]) -> list[Assistant]:
    """Return each assistant once: a comparison may have one twice, a batch draws repeats."""
    return list({(str(each), each.digest): each for each in assistants}.values())


def _cases(asked: Sequence[tuple[Assistant, Sequence[Sequence[str]]]]) -> list[Any]:
    questions = dict.fromkeys(tuple(turns) for _, conversation in asked for turns in conversation)
    return [
        {"id": f"question-{n}", **({"question": t[0]} if len(t) == 1 else {"turns": list(t)})}
        for n, t in enumerate(questions, start=1)
    ]


def _full_cross(assistants: Sequence[Assistant], library: Library) -> dict[str, Any] | None:
    """Return ``personas`` and ``models``, if every persona is on every model, with one sampling."""
    personas = {a.persona.name: a for a in assistants}
    models = list(dict.fromkeys(a.model for a in assistants))
    pairs = {(a.persona.name, a.model, a.prompt_digest) for a in assistants}
    wanted = {(n, m, a.prompt_digest) for n, a in personas.items() for m in models}
    if pairs != wanted or len(assistants) != len(wanted) or _samplings(assistants) != 1:
        return None
    return {
        "personas": [_entry(assistant, library) for assistant in personas.values()],
        "models": models,
        **_sampling(assistants[0]),
    }


def _pairs(assistants: Sequence[Assistant], library: Library, path: Path) -> dict[str, Any]:
    """Return ``assistants``, with a file beside the experiment for each persona of its own."""
    written: list[dict[str, Any]] = []
    names = {_identity(a): a.persona.name for a in assistants if _is_known(a, library)}
    for assistant in assistants:
        persona = assistant.persona.name
        if not _is_known(assistant, library):
            persona = names.setdefault(_identity(assistant), _free(persona, names.values()))
            file = path.parent / f"{path.stem}-personas" / f"{persona}.md"
            write_persona(file, escape_template(assistant.system_prompt or ""), _head(assistant))
            persona = f"{file.parent.name}/{file.name}"
        written.append({"persona": persona, "model": assistant.model, **_sampling(assistant)})
    return {"assistants": written}


def _entry(assistant: Assistant, library: Library) -> Any:
    """Return a persona's name, or all of it where no file says the same."""
    persona = assistant.persona
    if _is_known(assistant, library):
        return persona.name
    return {
        "name": persona.name,
        "system_prompt": escape_template(assistant.system_prompt or ""),
        **_head(assistant),
    }


def _head(assistant: Assistant) -> dict[str, Any]:
    persona = assistant.persona
    label = assistant.name if assistant.variables else persona.label or persona.name
    head: dict[str, Any] = {"label": label}
    if persona.description:
        head["description"] = persona.description
    if settings := persona.sampling.as_dict():
        head["sampling"] = settings
    return head


def _identity(assistant: Assistant) -> tuple[str, str]:
    """Return what tells two personas apart: the name with its variables, and the text."""
    return assistant.name, assistant.prompt_digest


def _free(name: str, taken: Collection[str]) -> str:
    """Return the name itself, or else the first with a number that is free."""
    others = (f"{name[:60]}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], others) if each not in taken)


def _is_known(assistant: Assistant, library: Library) -> bool:
    try:
        persona = library.find(assistant.persona.name)
    except UnknownNameError:
        return False
    return persona.text == assistant.persona.text and not assistant.variables


def _sampling(assistant: Assistant) -> dict[str, Any]:
    settings = assistant.sampling.as_dict()
    return {"sampling": settings} if settings else {}


def _samplings(assistants: Sequence[Assistant]) -> int:
    return len({assistant.sampling for assistant in assistants})


def _check_model(name: str) -> None:
    try:
        connect(name)
    except AssistantsError as error:
        raise UsageError(
            f"the model {name} was given as an object, and no experiment file can name it.",
            fix="Give models by name, or run it in Python: Experiment(assistants=..., cases=...).",
        ) from error
