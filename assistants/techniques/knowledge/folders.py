"""Knowledge folders by name."""

from __future__ import annotations

import os
from pathlib import Path

from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.utils import display_path

PLACE = "knowledge"
"""The folder, here, of folders that every persona may name."""


def find_knowledge(
    name: str,
    persona_source: str | None = None,
    folder: Path | None = None,
    *,
    where: str = "",
) -> Path:
    """Return the folder that a persona or an experiment means.

    A file of somebody else's may name it, so it lies below one of three places and no link leads
    out of them: otherwise it could send any file of this machine to a model.

    Parameters
    ----------
    name
        A path below the folder of the persona's file, the experiment's, or ``knowledge/`` here;
        the first that there is.
    persona_source
        The path of the persona's file (``Persona.source``).
    folder
        The folder of the experiment's file.
    where
        ``file:line`` of the name, for messages.

    Raises
    ------
    UsageError
        If the name leads out of one of them.
    UnknownNameError
        If there is no such folder; names those that there are.
    """
    places = [Path(PLACE)] if folder is None else [folder, Path(PLACE)]
    if persona_source is not None and persona_source.endswith(".md"):
        places.insert(0, Path(persona_source).parent)
    for place in places:
        path = place / name
        if _real(path) == _real(place) or not _real(path).is_relative_to(_real(place)):
            message = f"knowledge {name!r} leads out of {display_path(place)}."
            fix = "Name a folder beside the persona's file, or in knowledge/ here."
            raise FileError(where, message, fix=fix) if where else UsageError(message, fix=fix)
        if path.is_dir():
            return path
    known = {path.name for place in places for path in _folders(place)}
    raise UnknownNameError("knowledge folder", name, known, where=where)


def _folders(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return [p for p in place.iterdir() if p.is_dir() and not p.name.startswith((".", "_"))]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links go in a circle
