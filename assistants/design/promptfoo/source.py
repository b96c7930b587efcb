"""A stranger's configuration: what may be read of it, and what of it is lost.

Nothing is run, nothing outside the configuration's folder is read, and the environment is not
looked at.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistants.errors import FileError, UsageError
from assistants.utils import (
    Document,
    Place,
    display_path,
    escape_control_chars,
    has_variables,
    parse_yaml,
    read_text,
    templating,
    truncate_line,
)

MAX_FILE_BYTES = 64_000_000
"""Limit for a file of tests; YAML has a smaller one."""

MAX_DEPTH = 30
"""Limit of the nesting depth of JSON; YAML has the same."""

MAX_FILES = 1_000
"""Files that one pattern may stand for."""

PROGRAMS = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".py", ".rb", ".sh", ".bash", ".pl")
_MAX_REFERENCES = 10


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that cannot be carried over, and where it stands."""

    where: str
    what: str

    def __str__(self) -> str:
        return truncate_line(escape_control_chars(f"{self.where}: {self.what}"), 300)


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the configuration, and where it stands."""

    document: Document
    place: Place
    data: Any

    @property
    def where(self) -> str:
        """``file:line``."""
        return self.document.where(self.place)

    def get(self, key: str) -> Node | None:
        """Return the value under a key; ``None`` if there is none, or it is empty."""
        if not isinstance(self.data, Mapping) or self.data.get(key) is None:
            return None
        return self._child(key)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys of a mapping with their values."""
        for key in self.data if isinstance(self.data, Mapping) else ():
            yield str(key), self._child(key)

    def each(self) -> list[Node]:
        """Return the entries of a list, or this value alone."""
        if isinstance(self.data, list):
            return [self._child(index) for index in range(len(self.data))]
        return [self]

    def _child(self, key: str | int) -> Node:
        node = Node(self.document, (*self.place, key), self.data[key])
        for _ in range(_MAX_REFERENCES):
            target = node.data.get("$ref") if isinstance(node.data, Mapping) else None
            if not isinstance(target, str):
                return node
            found = self._resolve(target)
            if found is None:
                break
            node = found
        raise FileError(node.where, f"`$ref: {target}` leads nowhere.")

    def _resolve(self, target: str) -> Node | None:
        data, place = self.document.data, target.removeprefix("#/").split("/")
        if not target.startswith("#/"):
            return None
        for part in place:
            if not isinstance(data, Mapping) or part not in data:
                return None
            data = data[part]
        return Node(self.document, tuple(place), data)


@dataclass
class Source:
    """The folder of a configuration, its losses, and notes on how it was carried over."""

    folder: Path
    losses: dict[Loss, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lose(self, where: str, what: str) -> None:
        """Record something that cannot be carried over; once, however often it is used."""
        self.losses[Loss(where, what)] = None

    def note(self, text: str) -> None:
        """Record, once, something about the way it was carried over."""
        if text not in self.notes:
            self.notes.append(text)

    def read(self, path: Path) -> Node:
        """Return the content of a YAML or JSON file."""
        shown = display_path(path)
        if path.suffix == ".json":
            text = read_text(path, limit=MAX_FILE_BYTES)
            data = parse_json(text, shown)
            return Node(Document(shown, data, {}), (), data)
        try:
            document = parse_yaml(read_text(path), shown)
        except FileError as error:
            if "anchors and aliases" in error.message or "merge keys" in error.message:
                error.fix = "`yq 'explode(.)' FILE > PLAIN.yaml` writes them out."
            raise
        _check_characters(document.data, shown)
        return Node(document, (), document.data)

    def paths(self, reference: str, where: str) -> list[Path]:
        """Return the files that ``file://...`` stands for; none, and a loss, if there are none."""
        pattern = reference.removeprefix("file://").partition("#")[0]
        if has_variables(pattern):
            self.lose(where, f"`{reference}` is a path with variables in it.")
            return []
        if "://" in reference.removeprefix("file://") or ".." in Path(pattern).parts:
            self.lose(where, f"`{reference}` is outside the configuration's folder.")
            return []
        path = self.folder / pattern
        try:
            if any(mark in pattern for mark in "*?["):
                relative = os.path.relpath(path, self.folder)
                files = (p for p in self.folder.glob(relative) if p.is_file())
                found = sorted(itertools.islice(files, MAX_FILES + 1))
            elif path.is_dir():
                found = sorted(p for p in path.iterdir() if p.is_file())
            else:
                found = [path] if path.is_file() else []
            is_outside = not all(map(self._is_inside, found or [path]))
        except (OSError, ValueError, NotImplementedError):  # a NUL, a name that is too long
            self.lose(where, "a path that no file can have.")
            return []
        if len(found) > MAX_FILES:
            self.lose(where, f"`{reference}` stands for more than {MAX_FILES:,} files.")
            return []
        if is_outside:
            self.lose(where, f"`{reference}` is outside the configuration's folder.")
            return []
        if not found:
            self.lose(where, f"`{reference}`: there is no such file.")
        return found

    def text(self, reference: str, where: str) -> str | None:
        """Return the text of the one file that ``file://...`` names; ``None``, and a loss, else."""
        paths = self.paths(reference, where)
        if len(paths) > 1:
            self.lose(where, f"`{reference}` stands for several files.")
        if len(paths) != 1:
            return None
        try:
            return read_text(paths[0])
        except FileError as error:
            self.lose(where, error.message)
            return None

    def portable(self, template: str, where: str) -> str | None:
        """Return a template in our syntax; ``None``, and a loss, if it needs more than that.

        ``{{ person.name }}`` becomes ``{{ person_name }}``, as ``flattened`` names the variable.
        """
        if not has_variables(template):
            return template
        parts, end = [], 0
        for start, stop in _tags(template):
            tag = template[start:stop]
            if _ENVIRONMENT.search(tag):
                what = "`{{ env... }}` reads the environment, which an import never does."
                self.lose(where, what)
                return None
            parts += [template[end:start], _DOTTED.sub(_underscored, tag)]
            end = stop
        ours = "".join([*parts, template[end:]])
        try:
            templating.names(ours, "the template")
        except UsageError as error:
            self.lose(where, f"{error.message} {error.fix}")
            return None
        return ours

    def rendered(self, template: str, variables: Mapping[str, Any], where: str) -> str | None:
        """Return a template filled in; ``None``, and a loss, if a variable has no value."""
        ours = self.portable(template, where)
        if ours is None:
            return None
        try:
            return templating.render(ours, variables, "the template")
        except UsageError as error:
            self.lose(where, error.message)
            return None

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))


def parse_json(text: str, where: str) -> Any:
    """Return the value that ``text`` is in JSON.

    Raises
    ------
    FileError
        If it is none, or holds half a character.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(where, f"is not JSON: {error}.") from None
    _check_depth(data, where)
    _check_characters(data, where)
    return data


def _check_depth(data: Any, where: str) -> None:
    level = [data]
    for _ in range(MAX_DEPTH):
        inner = [value.values() if isinstance(value, dict) else value
                 for value in level if isinstance(value, (dict, list))]  # fmt: skip
        level = list(itertools.chain.from_iterable(inner))
        if not level:
            return
    raise FileError(where, f"nested more than {MAX_DEPTH} deep.")


def _check_characters(data: Any, where: str) -> None:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise FileError(
            where, "holds half a character (a lone surrogate), which no file can."
        ) from None


_ENVIRONMENT = re.compile(r"\b(?:env|process)\s*[.\[]")
_OPENING = re.compile(r"\{[{%]")
_DOTTED = re.compile(r"""("[^"]*"|'[^']*')|\b([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)""")


def _tags(template: str) -> Iterator[tuple[int, int]]:
    """Yield where each tag begins and ends, in time that is linear whatever the text."""
    end = 0
    while opening := _OPENING.search(template, end):
        closing = template.find("}}" if opening[0] == "{{" else "%}", opening.end())
        if closing < 0:
            return
        end = closing + 2
        yield opening.start(), end


def _underscored(match: re.Match[str]) -> str:
    return match[1] or match[2].replace(".", "_")


def flattened(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables with nested mappings taken apart: ``person.name`` is ``person_name``."""
    flat: dict[str, Any] = {}
    for name, value in variables.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{key}": inner for key, inner in flattened(value).items()}
        else:
            flat[str(name)] = value
    return flat


def slug(text: str, default: str, longest: int = 40) -> str:
    """Return a name made of a text's words."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:longest].strip("-")
    return words or default


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """Return the name, or the first with a number that is free."""
    free, number = name, 2 if len(taken) < 100 else len(taken)
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
