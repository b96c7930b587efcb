"""Strict readers of YAML and TOML: errors name the file, the line and the nearest known key."""

from __future__ import annotations

import io
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from assistants.errors import FileError, UsageError, nearest

NAME_PATTERN = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,63}")
"""Names of personas, experiments and runs: safe as a file name everywhere."""

MAX_BYTES = 4_000_000

MAX_YAML = 500_000
"""Limit in characters, for which the parser takes seconds. Case files are read far faster."""

MAX_DEPTH = 30
"""Limit of the nesting depth of lists and mappings."""

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values read from a file, and the line of each value."""

    source: str
    data: Any
    lines: Mapping[Place, int]

    def where(self, place: Place = ()) -> str:
        """Return ``file:line`` of the value at ``place``, or of its nearest known container."""
        while place and place not in self.lines:
            place = place[:-1]
        line = self.lines.get(place)
        return f"{self.source}:{line}" if line else self.source

    def below(self, place: Place) -> Document:
        """Return the value at ``place`` as a document of its own, with its lines."""
        data = self.data
        for part in place:
            data = data[part]
        size = len(place)
        lines = {p[size:]: line for p, line in self.lines.items() if p[:size] == place}
        return Document(self.source, data, lines)


class StrictModel(BaseModel):
    """The base of schemas: an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key", "unknown key {key}", {"key": key, "known": known}
                    )
        return data


SchemaT = TypeVar("SchemaT", bound=StrictModel)


def check_name(name: str, kind: str, *, where: str = "") -> str:
    """Return ``name`` itself, if it may name a ``kind`` of thing.

    Raises
    ------
    UsageError
        Unless it is 1 to 64 of ``a-z 0-9 . _ -`` and does not start with a dot.
    """
    if not NAME_PATTERN.fullmatch(name):
        message = f"{name!r} cannot name a {kind}."
        fix = "Use 1 to 64 of a-z, 0-9, '.', '_' and '-', not starting with a dot."
        raise FileError(where, message, fix=fix) if where else UsageError(message, fix=fix)
    return name


def display_path(path: Path) -> str:
    """Return a path as a person would type it: relative to the working directory if shorter."""
    try:
        real = os.path.realpath(path)
        if Path(real).is_relative_to(Path.cwd()):
            return os.path.relpath(real)
        return min(str(path), os.path.relpath(real), key=len)
    except (ValueError, OSError):
        return str(path)


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """Return the text of a UTF-8 file of at most ``limit`` bytes.

    Raises
    ------
    FileError
        If it is missing, unreadable, too large, or not UTF-8.
    """
    where = display_path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise FileError(where, "is a folder.", fix="Name a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise FileError(where, "is not a file.")
        if status.st_size > limit:
            raise FileError(where, f"{status.st_size:,} bytes; at most {limit:,} are read.")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileError(where, "there is no such file.", fix=_nearest_file(path)) from None
    except OSError as error:
        raise FileError(where, f"cannot be read: {error.strerror}.") from None
    except ValueError:  # a NUL in the path
        raise FileError(repr(where), "is not a path.") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FileError(f"{where}:{line}", "is not UTF-8 text.", fix="Save it as UTF-8.") from None


def parse_yaml(text: str, source: str, *, first_line: int = 1) -> Document:
    """Read YAML 1.2 (``no`` stays text) without aliases, tags or repeated keys.

    Raises
    ------
    FileError
        With the line, for anything else.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(text) > MAX_YAML:
        raise FileError(
            source,
            f"{len(text):,} characters of YAML; at most {MAX_YAML:,} are read.",
            fix="Put many cases into a .csv, .jsonl or .parquet file.",
        )
    reader = YAML(typ="safe", pure=True)
    reader.Parser, reader.Constructor = _strict_classes()
    reader.parser.source, reader.parser.first_line = source, first_line
    try:
        node = reader.compose(text)
        data = None if node is None else reader.constructor.construct_document(node)
        lines = {place: line + first_line for place, line in _lines(node, data)}
        return Document(source, data, lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{source}:{mark.line + first_line}" if mark else source
        problem = str(error.problem or "is not valid YAML").splitlines()[0].rstrip(".")
        fix = _other_command(source) if source.endswith(".toml") else _SYNTAX
        raise FileError(at, f"{problem}.", fix=fix) from None
    except (YAMLError, ValueError, RecursionError) as error:  # `-_` is a ValueError
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise FileError(source, f"is not valid YAML: {first}.") from None


def to_yaml(content: Mapping[str, Any]) -> str:
    """Return YAML as a person would write it, in the order of ``content``."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt")
    yaml.width = 100
    yaml.allow_unicode = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    written = io.StringIO()
    yaml.dump(dict(content), written)
    return written.getvalue()


def parse_toml(text: str, source: str) -> Document:
    """Read TOML, without lines: the standard library reports those of syntax errors only."""
    try:
        return Document(source, tomllib.loads(text), {})
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FileError(
            source, f"is not valid TOML: {error}.", fix=_other_command(source)
        ) from None


def validate(schema: type[SchemaT], document: Document, place: Place = ()) -> SchemaT:
    """Return the values of ``document`` as a ``schema``.

    Raises
    ------
    FileError
        Naming file, line, what is wrong and, for an unknown key, the nearest known one.
    """
    if not isinstance(document.data, Mapping):
        empty = document.data is None
        raise FileError(
            document.where(place),
            "is empty." if empty else "expected `key: value` lines.",
            fix="" if empty else _other_command(document.source),
        )
    try:
        return schema.model_validate(document.data)
    except ValidationError as error:
        complaints = error.errors(include_url=False)
        place_of_first = complaints[0]["loc"][:1]
        alike = [c for c in complaints if c["loc"][:1] == place_of_first]
        # Where a value may be of several kinds, the deepest complaint is nearest to the mistake.
        first = max(alike, key=lambda complaint: len(_place(document.data, complaint)))
        inner = _place(document.data, first)
        at: Place = (*place, *inner)
        if first["type"] == "unknown_key":
            key, known = first["ctx"]["key"], first["ctx"]["known"]
            where = document.where((*at, key))
            raise FileError(where, f"unknown key {key!r}.", fix=nearest(str(key), known)) from None
        name = ".".join(map(str, inner))
        message, fix = _complaint(name, first)
        raise FileError(document.where(at), message, fix=fix) from None


_SYNTAX = "See https://yaml.org for the syntax."

_MISTYPED = {
    "int": "a whole number", "float": "a number", "string": "text", "bool": "true or false",
    "list": "a list, in brackets", "tuple": "a list, in brackets", "dict": "a table of keys",
}  # fmt: skip
"""The type that is expected, by the first word of pydantic's complaint."""


def _complaint(name: str, error: Any) -> tuple[str, str]:
    """Return a plain message and fix for pydantic's error about the value ``name``."""
    kind, _, what = error["type"].partition("_")
    if error["type"] == "missing":
        return f"{name} is missing.", f"Write `{name.rpartition('.')[2]}` and its value."
    if kind in _MISTYPED and what in ("type", "parsing", "from_float"):
        return f"{name or 'this'} has to be {_MISTYPED[kind]}.", ""
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    return (f"{name}: {message}." if name else f"{message}."), ""


@lru_cache(maxsize=1)
def _strict_classes() -> tuple[Any, Any]:
    """Return a parser that refuses what is not read, and a constructor of YAML 1.2's values."""
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
    from ruamel.yaml.nodes import ScalarNode
    from ruamel.yaml.parser import Parser

    class StrictParser(Parser):
        source: str
        first_line: int
        depth = 0

        def get_event(self) -> Any:
            event = super().get_event()
            self.depth += isinstance(event, CollectionStartEvent)
            self.depth -= isinstance(event, CollectionEndEvent)
            message = fix = ""
            if self.depth > MAX_DEPTH:
                message = f"nested more than {MAX_DEPTH} deep."
            elif isinstance(event, AliasEvent) or getattr(event, "anchor", None):
                message, fix = "anchors and aliases are not read.", "Write it out."
            elif feature := _refused_feature(event):
                message, fix = f"{feature} are not read.", "Remove it."
            if message:
                line = event.start_mark.line + self.first_line
                raise FileError(f"{self.source}:{line}", message, fix=fix)
            return event

    class Constructor(SafeConstructor):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            for key, _ in node.value:
                if not isinstance(key, ScalarNode):
                    problem = "a key is a list or a mapping"
                    raise ConstructorError(None, None, problem, key.start_mark)
            return super().construct_mapping(node, deep=deep)

    # YAML 1.2 has no dates, and `=` alone is text.
    for tag in ("timestamp", "value"):
        Constructor.add_constructor(
            f"tag:yaml.org,2002:{tag}",
            lambda constructor, node: constructor.construct_scalar(node),
        )
    return StrictParser, Constructor


def _place(data: Any, complaint: Any) -> Place:
    """Return the place in ``data`` of pydantic's error, whose path also has the types it tried."""
    parts: list[str | int] = []
    for part in complaint["loc"]:
        if isinstance(data, Mapping) and (part in data or complaint["type"] == "missing"):
            data = data.get(part)
        elif isinstance(data, (list, tuple)) and isinstance(part, int):
            data = data[part]
        else:
            continue
        parts.append(part)
    return tuple(parts)


def _refused_feature(event: Any) -> str:
    """Return the refused YAML feature that an event uses, or ``""``."""
    if getattr(event, "tag", None) not in (None, "!"):
        return "tags"
    if getattr(event, "version", None) or getattr(event, "tags", None):
        return "directives"  # `%YAML 1.1` would make `no` a boolean
    plain = not getattr(event, "style", None)
    return "merge keys" if plain and getattr(event, "value", None) == "<<" else ""


def _lines(node: Any, data: Any, place: Place = ()) -> Iterator[tuple[Place, int]]:
    """Yield the places below a node of YAML whose value is ``data``, and the line of each."""
    if isinstance(data, dict):
        for (key_node, value_node), (key, value) in zip(node.value, data.items(), strict=True):
            yield (*place, key), key_node.start_mark.line
            yield from _lines(value_node, value, (*place, key))
    elif isinstance(data, list):
        for index, (item, value) in enumerate(zip(node.value, data, strict=True)):
            yield (*place, index), item.start_mark.line
            yield from _lines(item, value, (*place, index))


def _other_command(source: str) -> str:
    """Return a hint at the command that reads such a file."""
    suffix = Path(source).suffix
    if suffix == ".toml":
        return "Servers in a .toml file are for `assistants plan` and `assistants serve --plan`."
    return "An experiment is for `assistants run`." if suffix in (".yaml", ".yml") else ""


def _nearest_file(path: Path) -> str:
    """Return a hint at files with the same suffix in the folder of a missing file."""
    if not path.parent.is_dir():
        return f"There is no folder {display_path(path.parent)} either."
    names = [p.name for p in path.parent.glob(f"*{path.suffix}") if p.is_file()]
    return nearest(path.name, names)
