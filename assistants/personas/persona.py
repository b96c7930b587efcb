"""A persona, and the file it is written in."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import Field

from assistants.errors import FileError, UsageError
from assistants.messages import Sampling, sampling_from
from assistants.utils import (
    Document,
    Plugin,
    StrictModel,
    check_name,
    display_path,
    notebook_html,
    parse_yaml,
    pluralize,
    read_text,
    templating,
    truncate_line,
    validate,
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})  # a default that nobody can change


@dataclass(frozen=True)
class Persona:
    """A named system prompt.

    ``text`` is what the file says, with variables still in it; ``None`` means that no system
    message is sent. ``defaults`` are values for its variables, ``source`` where it was read,
    ``plugin`` what it came with if that is another package. ``knowledge`` names a folder of notes
    beside its file; it changes nothing in the text.
    """

    name: str
    text: str | None
    label: str = ""
    description: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    defaults: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    source: str = "inline"
    plugin: Plugin | None = field(default=None, repr=False, compare=False)
    knowledge: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name, "persona")

    def __str__(self) -> str:
        return f"{self.name}: {self.description or self.label or 'a persona'}"

    def __repr__(self) -> str:
        sent = "no text" if self.text is None else pluralize(len(self.text.split()), "word")
        about = truncate_line(self.description or self.label, 60)
        return truncate_line(f"Persona({self.name!r}, {sent}{f': {about}' if about else ''})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def variables(self) -> frozenset[str]:
        """Variables that its text asks for."""
        return templating.names(self.text or "", self._what)

    def system_prompt(self, variables: Mapping[str, Any] = _NOTHING) -> str | None:
        """Return the text that is sent, or ``None`` if no system message is.

        Raises
        ------
        UsageError
            If a variable has no value.
        """
        if self.text is None:
            return None
        return templating.render(self.text, {**self.defaults, **variables}, self._what)

    def digest(self, variables: Mapping[str, Any] = _NOTHING) -> str:
        """Return a digest of the text that is sent: an edited persona is another one."""
        return digest_of(self.system_prompt(variables))

    def matched_to(
        self, other: Persona, name: str, length: Callable[[str], int] | None = None
    ) -> Persona:
        """Return this persona cut or repeated to the length of ``other``'s text, in words.

        Raises
        ------
        UsageError
            If either of the two has no text.
        """
        if not self.text or not other.text:
            raise UsageError(f"{self.name} cannot be matched to {other.name}: one has no text.")
        measure = length or (lambda text: len(text.split()))
        words, target = self.text.split(), measure(other.text)
        supply = words * (target // max(1, measure(self.text)) + 2)
        low, high = 1, len(supply)
        while low < high:  # the longest beginning that is not longer than the target
            middle = (low + high + 1) // 2
            fits = measure(" ".join(supply[:middle])) <= target
            low, high = (middle, high) if fits else (low, middle - 1)
        text = " ".join(supply[:low])
        return replace(self, name=name, text=text, label=f"{self.label} ({other.name})")

    @property
    def _what(self) -> str:
        return f"persona {self.name!r} ({self.source})"


class _FrontMatter(StrictModel):
    label: str = ""
    description: str = ""
    base: str = ""
    empty: bool = False
    knowledge: str | None = None
    sampling: dict[str, Any] = Field(default_factory=dict)
    vars: dict[str, Any] = Field(default_factory=dict)


def digest_of(system_prompt: str | None) -> str:
    """Return a short digest of a text as it is sent; ``"none"`` where no system message is."""
    if system_prompt is None:
        return "none"
    return hashlib.sha256(system_prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def escape_template(text: str) -> str:
    """Return a template that renders as exactly ``text``, braces included."""
    if not any(mark in text for mark in ("{{", "{%", "{#")):
        return text
    return "{{ " + json.dumps(text, ensure_ascii=False) + " }}"


def edited_persona(persona: Persona, text: str, others: Iterable[Persona]) -> Persona:
    """Return a persona that says exactly ``text``, under a name of its own.

    An edited prompt is no longer the text of the persona's file. The name is one that none of
    ``others`` has, unless that one has the same text.
    """
    text = escape_template(text)
    texts = {other.name: other.text for other in others}
    base = persona.name[:52]  # a name has at most 64 characters
    for number in itertools.count(1):
        name = f"{base}-edited" + (f"-{number}" if number > 1 else "")
        if texts.get(name, text) == text:
            break
    label = f"{persona.label or persona.name} (edited)"
    return replace(persona, name=name, text=text, label=label, source="edited live", plugin=None)


def read_persona(path: Path, base_text: Callable[[str, str], str]) -> Persona:
    """Return the persona in a Markdown file; ``base_text(name, where)`` gives the text of a base.

    Raises
    ------
    FileError
        Naming file and line.
    """
    name = check_name(path.stem, "persona", where=display_path(path))
    document, body = _split(path)
    front = validate(_FrontMatter, document)
    if front.empty and body:
        raise FileError(document.where(("empty",)), "`empty: true`, and yet there is a text.")
    if not front.empty and not body:
        raise FileError(
            document.source,
            "the persona has no text.",
            fix="Write one below the front matter, or say `empty: true` to send no system message.",
        )
    text = None if front.empty else body
    if front.base:
        base = base_text(front.base, document.where(("base",)))
        text = f"{text}\n\n{base}" if text else base
    return Persona(
        name=name,
        text=text,
        label=front.label or name.replace("-", " ").capitalize(),
        description=front.description,
        sampling=sampling_from(front.sampling, document.where(("sampling",))),
        defaults=front.vars,
        source=display_path(path),
        knowledge=front.knowledge,
    )


def read_base(path: Path) -> str:
    """Return the text of a base, which follows a persona's own."""
    document, body = _split(path)
    validate(_FrontMatter, document)
    if not body:
        raise FileError(document.source, "the base has no text.")
    return body


@lru_cache(maxsize=256)  # a notebook reads the same personas for each of its experiments
def _front_matter(text: str, source: str) -> Document:
    document = parse_yaml(text, source, first_line=2)
    return document if document.data is not None else Document(source, {}, {})


def _split(path: Path) -> tuple[Document, str]:
    """Return the front matter between two ``---`` lines, and the text after it."""
    text = read_text(path)
    source = display_path(path)
    if "\0" in text:
        raise FileError(source, "holds a NUL character, so it is not text.")
    first, *rest = text.replace("\r\n", "\n").split("\n")
    if first.rstrip() != "---":
        return Document(source, {}, {}), "\n".join([first, *rest]).strip()
    for number, line in enumerate(rest):
        if line.rstrip() == "---":
            front = _front_matter("\n".join(rest[:number]), source)
            return front, "\n".join(rest[number + 1 :]).strip()
    raise FileError(f"{source}:1", "the front matter is never closed.", fix="End it with `---`.")
