"""The prompts of a configuration: a system message, and the questions that follow it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from assistants.design.promptfoo.source import PROGRAMS, Node, Source
from assistants.errors import FileError
from assistants.utils import display_path, read_text

_TEXT_FILES = (".txt", ".md", ".j2", ".prompt")
_DATA_FILES = (".json", ".yaml", ".yml")
_SYSTEM = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of promptfoo in our words.

    ``system`` is the text of a persona; it and the question may have variables. ``label`` is what
    promptfoo would call it. ``in_user`` says that both stand in the user message.
    """

    label: str
    system: str | None
    question: str
    where: str
    in_user: bool = False


def read_prompts(source: Source, config: Node) -> list[Prompt]:
    """Return the prompts of ``prompts:``, each different one once."""
    listed = config.get("prompts")
    if listed is None:
        return [Prompt("prompt", None, "{{prompt}}", config.where)]
    found: dict[tuple[str | None, str], Prompt] = {}
    for prompt in _entries(source, listed):
        ours = _in_our_syntax(source, prompt)
        if ours is not None:
            found.setdefault((ours.system, ours.question), ours)
    return list(found.values())


def _entries(source: Source, listed: Node) -> list[Prompt]:
    if isinstance(listed.data, Mapping) and not {"id", "raw", "label"} & set(listed.data):
        # The older form: a file and its label.
        return [
            replace(prompt, label=str(label.data))
            for name, label in listed.items()
            for prompt in _from_text(source, name, label.where, name)
        ]
    return [prompt for entry in listed.each() for prompt in _entry(source, entry)]


def _entry(source: Source, entry: Node, *, in_file: bool = False) -> list[Prompt]:
    if isinstance(entry.data, str):
        return _from_text(source, entry.data, entry.where, "", in_file=in_file)
    if not isinstance(entry.data, Mapping):
        source.lose(entry.where, "a prompt is a text, or has `raw` or `id`.")
        return []
    for key, node in entry.items():
        if key not in ("id", "raw", "label"):
            source.lose(node.where, f"`{key}` of a prompt.")
    label = str(entry.data.get("label") or "")
    text = entry.data.get("raw") or entry.data.get("id")
    if not isinstance(text, str):
        source.lose(entry.where, "a prompt without `raw` or `id`.")
        return []
    shown = label or str(entry.data.get("id") or "")
    found = _from_text(source, text, entry.where, shown, in_file=in_file)
    return [replace(prompt, label=label) for prompt in found] if label else found


def _from_text(
    source: Source, text: str, where: str, label: str, *, in_file: bool = False
) -> list[Prompt]:
    scheme = text.partition("://")[0] if "://" in text.split("\n", 1)[0][:20] else ""
    is_path = "\n" not in text and " " not in text and not text.startswith(("{", "["))
    suffix = Path(text.partition("#")[0]).suffix.lower() if is_path else ""
    if scheme not in ("", "file") or text.startswith("exec:"):
        source.lose(where, f"the prompt `{text}` comes from a program or a service.")
        return []
    if is_path and (suffix in PROGRAMS or any(f"{end}:" in text for end in PROGRAMS)):
        source.lose(where, f"the prompt `{text}` is made by a program.")
        return []
    if scheme == "file" or suffix in (*_TEXT_FILES, *_DATA_FILES, ".csv"):
        paths = source.paths(text, where)
        return [prompt for path in paths for prompt in _file(source, path, where, in_file)]
    return _parsed(source, text, label, where)


def _file(source: Source, path: Path, where: str, in_file: bool) -> list[Prompt]:
    suffix, shown = path.suffix.lower(), display_path(path)
    if suffix in PROGRAMS:
        source.lose(where, f"the prompt `{path.name}` is made by a program.")
        return []
    try:
        if suffix == ".csv":
            rows = csv.DictReader(io.StringIO(read_text(path)))
            cells = [(row.get("prompt") or "", row.get("label") or "") for row in rows]
            return [p for text, label in cells for p in _parsed(source, text, label, shown)]
        if suffix in (".yaml", ".yml"):
            node = source.read(path)
            if isinstance(node.data, list) and not _is_chat(node.data):
                if in_file:
                    source.lose(shown, "a file of prompts within a file of prompts.")
                    return []
                return [p for entry in node.each() for p in _entry(source, entry, in_file=True)]
            return _chat(source, node.data, path.stem, node.where)
        text = read_text(path)
    except (FileError, csv.Error) as error:
        source.lose(where, getattr(error, "message", str(error)))
        return []
    parts = [text] if suffix == ".json" else text.replace("\r\n", "\n").split("\n---\n")
    return [prompt for part in parts for prompt in _parsed(source, part, path.stem, shown)]


def _parsed(source: Source, text: str, label: str, where: str) -> list[Prompt]:
    text = text.strip()
    if not text:
        source.lose(where, "an empty prompt.")
        return []
    if text.startswith(("[", "{")) and '"role"' in text:
        try:
            return _chat(source, json.loads(text), label, where)
        except (ValueError, RecursionError):
            source.lose(where, "a chat that is JSON only after its template has been filled in.")
            return []
    return [Prompt(label, None, text, where)]


def _is_chat(data: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(data, list) and all(isinstance(m, Mapping) and "role" in m for m in data)


def _chat(source: Source, data: Any, label: str, where: str) -> list[Prompt]:
    """Return a conversation as a prompt: system messages, and then one user message."""
    messages = data.get("messages") if isinstance(data, Mapping) and "messages" in data else data
    messages = [messages] if isinstance(messages, Mapping) else messages
    if not _is_chat(messages):
        source.lose(where, "a prompt that is neither a text nor a list of messages.")
        return []
    texts = [_content(message.get("content")) for message in messages]
    roles = [str(message["role"]) for message in messages]
    if None in texts or not all(set(message) <= {"role", "content"} for message in messages):
        source.lose(where, "a chat with pictures, tools or names in its messages.")
        return []
    count = next((i for i, role in enumerate(roles) if role not in _SYSTEM), len(roles))
    if roles[count:] != ["user"]:
        source.lose(
            where,
            "a chat with messages of the assistant, or not with one question after the system "
            "message: here the model gives all answers itself.",
        )
        return []
    written = [str(text) for text in texts]
    system = "\n\n".join(written[:count]) if count else None
    return [Prompt(label, system if (system or "").strip() else None, written[-1], where)]


def _content(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
    return "\n".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None


def _in_our_syntax(source: Source, prompt: Prompt) -> Prompt | None:
    system = None if prompt.system is None else source.portable(prompt.system, prompt.where)
    question = source.portable(prompt.question, prompt.where)
    if question is None or (system is None) != (prompt.system is None):
        return None
    return replace(prompt, system=system, question=question)
