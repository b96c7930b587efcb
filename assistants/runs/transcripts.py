"""Conversations as Markdown that a person can read and a program can parse back.

A transcript is front matter (what a tool needs) and one section a message. A line of a message
that could be taken for the beginning of a section has a backslash put before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistants.errors import FileError
from assistants.messages import Completion, Message, TechniqueRecord, Transcript
from assistants.utils import display_path, from_utf8, read_text, to_json, to_utf8

_HEADING = re.compile(r"## (system|user|assistant|reasoning|answer)")
_ESCAPED = re.compile(r"\\+## (?:system|user|assistant|reasoning|answer)")


def to_markdown(transcript: Transcript, about: Mapping[str, Any] | None = None) -> str:
    """Return the transcript as Markdown; ``about`` is kept in its front matter."""
    completion = transcript.completion
    facts = completion.as_dict()
    text, reasoning = facts.pop("text"), facts.pop("reasoning", None)
    head = {**(about or {}), "completion": facts}
    if transcript.techniques:
        head["techniques"] = [record.as_dict() for record in transcript.techniques]
    sections: list[tuple[str, str]] = [(m.role, m.content) for m in transcript.messages]
    if reasoning is not None:
        sections.append(("reasoning", reasoning))
    sections.append(("answer", text))
    front = "".join(f"{key}: {to_json(value)}\n" for key, value in head.items())
    return f"---\n{front}---\n" + "".join(
        f"\n## {name}\n\n{_escape(body)}\n" for name, body in sections
    )


def from_markdown(text: str, source: str = "transcript") -> tuple[Transcript, dict[str, Any]]:
    """Return the transcript in ``text``, and the facts of its front matter.

    Raises
    ------
    FileError
        If it is not a transcript.
    """
    lines = text.split("\n")
    try:
        end = lines.index("---", 1)
        about = dict(_fact(line) for line in lines[1:end])
        sections = _sections(lines[end + 1 :])
        facts = about.pop("completion")
        techniques = tuple(map(TechniqueRecord.from_dict, about.pop("techniques", [])))
        *messages, (name, answer) = sections
        if lines[0] != "---" or name != "answer":
            raise ValueError("it does not begin with front matter and end in an answer")
        if messages and messages[-1][0] == "reasoning":
            facts["reasoning"] = messages.pop()[1]
        return (
            Transcript(
                tuple(Message(role, content) for role, content in messages),  # type: ignore[arg-type]
                Completion.from_dict({**facts, "text": answer}),
                techniques,
            ),
            about,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FileError(source, f"is no transcript: {error}.") from None


def file_name(position: int, persona: str, case: str, repeat: int) -> str:
    """Return a name that is safe on every system and sorts in the order of the run."""
    words = re.sub(r"[^a-z0-9]+", "-", f"{persona} {case}".lower()).strip("-")[:60]
    return f"{position:07d}-{words}-{repeat}.md"


def write(path: Path, transcript: Transcript, about: Mapping[str, Any] | None = None) -> None:
    """Write a transcript, making its folder when missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_markdown(transcript, about), encoding="utf-8", newline="\n")


def read(path: Path) -> tuple[Transcript, dict[str, Any]]:
    """Read a transcript that ``write`` wrote, and the facts of its front matter."""
    return from_markdown(read_text(path, limit=100_000_000), display_path(path))


def _fact(line: str) -> tuple[str, Any]:
    key, _, value = line.partition(": ")
    return key, json.loads(value)


def _sections(lines: list[str]) -> list[tuple[str, str]]:
    starts = [i for i, line in enumerate(lines) if _HEADING.fullmatch(line)]
    ends = [*starts[1:], len(lines)]
    return [
        # a section is: heading, empty line, the text, and the empty line before the next heading
        (lines[start].removeprefix("## "), _unescape("\n".join(lines[start + 2 : end - 1])))
        for start, end in zip(starts, ends, strict=True)
    ]


def _escape(body: str) -> str:
    return "\n".join(
        "\\" + line if _HEADING.fullmatch(line) or _ESCAPED.fullmatch(line) else line
        for line in to_utf8(body).split("\n")
    )


def _unescape(body: str) -> str:
    lines = (line[1:] if _ESCAPED.fullmatch(line) else line for line in body.split("\n"))
    return from_utf8("\n".join(lines))
