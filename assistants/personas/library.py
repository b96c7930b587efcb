"""The library of personas: those of the package, the project's and the user's own."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from assistants.errors import FileError, PluginError, UnknownNameError
from assistants.personas.persona import Persona, read_base, read_persona
from assistants.personas.plugins import PACKAGED, PERSONA_PLUGINS, load_persona
from assistants.utils import (
    NAME_PATTERN,
    Plugin,
    PluginGroup,
    display_path,
    notebook_html,
    pluralize,
    warn_left_out,
)


class Library:
    """Personas by name, read from their files at each use, so that an edit is seen at once.

    Where two folders define the same name, the later folder wins. Personas of ``plugins`` have the
    names that no folder defines; one is imported when it is asked for.
    """

    def __init__(self, folders: Sequence[Path], plugins: PluginGroup | None = None) -> None:
        self.folders = tuple(folders)
        self.plugins = plugins

    def __repr__(self) -> str:
        folders = pluralize(len(self.folders), "folder")
        return f"Library({pluralize(len(self._files()), 'persona')} in {folders})"

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @classmethod
    def default(cls, extra: Iterable[str | Path] = ()) -> Library:
        """Return a library of the usual folders, the later ones winning.

        They are the package's, ``personas/`` here, those of ``ASSISTANTS_PERSONAS``, and ``extra``.
        Other packages' plug-ins come with them.

        Raises
        ------
        FileError
            If a folder that was asked for is missing.
        """
        named = [
            Path(part)
            for part in os.environ.get("ASSISTANTS_PERSONAS", "").split(os.pathsep)
            if part
        ]
        asked = [*named, *map(Path, extra)]
        for folder in asked:
            if not folder.is_dir():
                raise FileError(display_path(folder), "there is no such folder of personas.")
        here = Path("personas")
        return cls([PACKAGED, *([here] if here.is_dir() else []), *asked], PERSONA_PLUGINS)

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted({**self._plugins(), **self._files()})

    def all(self) -> list[Persona]:
        """Return every persona, sorted by name, but for plug-ins that are broken."""
        return list(self._each(self.names()))

    def find(self, name: str, *, where: str = "") -> Persona:
        """Return the persona of that name.

        Raises
        ------
        UnknownNameError
            With the nearest names, and ``where`` the name was written.
        PluginError
            If it is of a plug-in that is broken.
        """
        path = self._files().get(name)
        if path is not None:
            return self._read(path)
        plugin = self._plugins().get(name)
        if plugin is None:
            raise UnknownNameError("persona", name, self.names(), where=where)
        return load_persona(plugin)

    def select(self, pattern: str, *, folder: Path, where: str = "") -> list[Persona]:
        """Return personas by name or pattern, or by a path or pattern below ``folder``.

        Raises
        ------
        UsageError
            If nothing matches.
        """
        if "/" in pattern or pattern.endswith(".md"):
            return [self._read(path) for path in _paths(pattern, folder, where)]
        if _is_glob(pattern):
            names = fnmatch.filter(self.names(), pattern)
            if not names:
                raise UnknownNameError("persona", pattern, self.names(), where=where)
            return list(self._each(names))
        return [self.find(pattern, where=where)]

    def _each(self, names: Iterable[str]) -> Iterator[Persona]:
        """Yield the personas of these names; a plug-in that is broken is left out."""
        files, plugins = self._files(), self._plugins()
        for name in names:
            if name in files:
                yield self._read(files[name])
                continue
            try:
                yield load_persona(plugins[name])
            except PluginError as error:
                warn_left_out(plugins[name], error.reason)

    def _files(self) -> dict[str, Path]:
        return self._inside("*.md")

    def _plugins(self) -> dict[str, Plugin]:
        return {} if self.plugins is None else self.plugins.usable()

    def _inside(self, pattern: str) -> dict[str, Path]:
        """Return files by name, of the last folder that has one; no link may lead out of it."""
        return {
            path.stem: path
            for folder in self.folders
            for path in folder.glob(pattern)
            if NAME_PATTERN.fullmatch(path.stem) and path.is_file()
            if _real(path).is_relative_to(_real(folder))
        }

    def _read(self, path: Path) -> Persona:
        return read_persona(path, self._base_text)

    def _base_text(self, name: str, where: str) -> str:
        bases = self._inside("bases/*.md")
        if name not in bases:
            raise UnknownNameError("base", name, bases, where=where)
        return read_base(bases[name])


def _paths(pattern: str, folder: Path, where: str) -> list[Path]:
    """Return the persona files that a path or a pattern below ``folder`` stands for."""
    if not pattern.endswith(".md"):
        raise FileError(where or pattern, f"{pattern!r} is not a persona file: they end in .md.")
    if not _is_glob(pattern):
        return [folder / pattern]
    paths = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207 - takes any
    if not paths:
        raise FileError(where or pattern, f"no persona file matches {pattern!r}.")
    return [folder / path for path in paths]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises where links go in a circle


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")
