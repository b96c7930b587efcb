"""Putting what was learnt live into an experiment: one more case at the end of its file.

The addition is written as text and then read back: everything else in the file stays as it was,
byte for byte. Only a file that leaves no place for it is written anew, comments and order kept.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assistants.design.case_files import CASE_FILES, MAX_CASE_BYTES, read_cases
from assistants.errors import FileError, nearest
from assistants.trial import Case
from assistants.utils import Document, display_path, parse_yaml, read_text

_SIMPLE = re.compile(
    r"[A-Za-z0-9(¿¡][^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u2028\u2029\ufeff]*"
)

_one_at_a_time = threading.Lock()
"""Two cases that are kept at once, from two widgets, are both in the file in the end."""


def append_case(
    path: str | Path,
    question: str | Sequence[str],
    *,
    id: str | None = None,  # noqa: A002 - the word of the file
    reference: str | None = None,
) -> str:
    """Append a case to an experiment file, or to the case file that it names; returns its id.

    Parameters
    ----------
    path
        An experiment file. If its ``cases:`` is the name of a ``.jsonl`` or ``.csv`` file, the
        case becomes a line of that one.
    question
        One question, or the turns of a conversation.
    id
        Names the case; by default it is numbered, as cases without an id are.
    reference
        What a good answer says.

    Raises
    ------
    FileError
        If the file is no experiment, has the question or the id already, or cannot hold the case.
    UsageError
        If the question is empty.
    """
    turns = (question,) if isinstance(question, str) else tuple(question)
    new = Case(id or "new", turns, reference or None)
    with _one_at_a_time:
        return _keep(Path(path), new, id)


def _keep(path: Path, new: Case, id: str | None) -> str:  # noqa: A002 - as above
    document = parse_yaml(read_text(path), display_path(path))
    if not isinstance(document.data, Mapping) or "cases" not in document.data:
        raise FileError(display_path(path), "is no experiment: it has no `cases`.")
    entries = document.data["cases"]
    known = read_cases(document, entries)
    _refuse_twin(document.where(("cases",)), new, known, id)
    ids = {case.id for case in known}
    number = str(len(known) + 1)
    name = id or (number if number not in ids else _free(number, ids))
    entry = _entry(new, name if id or name != number else None)
    if isinstance(entries, str) and entries.endswith((".jsonl", ".csv")) and " " not in entries:
        _append_line(path.parent / entries, entry)
        return name
    _write(path, _with_case(path, document, entry))
    return name


def _refuse_twin(where: str, new: Case, known: Sequence[Case], named: str | None) -> None:
    for case in known:
        if case.questions == new.turns:
            raise FileError(
                where,
                f"the question is there already, as case {case.id!r}.",
                fix="Nothing was written: it is asked as it stands.",
            )
        if case.id == named:
            raise FileError(
                where, f"the case id {named!r} is there already.", fix="Choose another id."
            )


def _free(number: str, ids: set[str]) -> str:
    """The first id like ``case-3`` that nobody has."""
    count = int(number)
    while f"case-{count}" in ids:
        count += 1
    return f"case-{count}"


def _entry(case: Case, name: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {} if name is None else {"id": name}
    if len(case.turns) == 1:
        entry["question"] = case.turns[0]
    else:
        entry["turns"] = list(case.turns)
    return entry if case.reference is None else {**entry, "reference": case.reference}


# -- in the experiment file ----------------------------------------------------------------------


def _with_case(path: Path, document: Document, entry: dict[str, Any]) -> str:
    """The text of the file with ``entry`` added, which was read back and says just that."""
    text = read_text(path)
    entries = document.data["cases"]
    cases = [entries] if isinstance(entries, str) else list(entries)
    short: Any = entry
    if set(entry) == {"question"} and all(isinstance(each, str) for each in cases):
        short = entry["question"]  # as its neighbours are written
    if isinstance(short, str) and short.endswith(CASE_FILES) and " " not in short:
        short = entry
    wanted = {**document.data, "cases": [*cases, short]}
    for candidate in (*_inserted(text, short), _rewritten(text, short)):
        try:
            if parse_yaml(candidate, document.source).data == wanted:
                return candidate
        except FileError:
            continue
    raise FileError(
        document.where(("cases",)), "the case cannot be added here.", fix="Write it by hand."
    )


def _inserted(text: str, entry: Any) -> Iterator[str]:
    """The text with some lines put in after the last case; which place is right, reading tells."""
    from ruamel.yaml import YAML
    from ruamel.yaml.nodes import SequenceNode

    cases = next(
        value
        for key, value in YAML(typ="rt", pure=True).compose(text).value
        if key.value == "cases"
    )
    if not isinstance(cases, SequenceNode) or cases.flow_style or not cases.value:
        return
    line_end = "\r\n" if "\r\n" in text else "\n"
    indent = " " * int(cases.start_mark.column)
    lines = "".join(f"{indent}{line}{line_end}" for line in _lines(entry))
    at = _end(cases.value[-1])
    # The end of a text in a block is where something else begins, with comments in between.
    for place in (len(text[:at].rstrip()), at):
        line = text.find("\n", place)
        before = text if line < 0 else text[: line + 1]
        gap = "" if before.endswith("\n") else line_end
        yield before + gap + lines + text[len(before) :]
    if at and text[at - 1] == "\n":
        yield text[:at] + lines + text[at:]


def _end(node: Any) -> int:
    """Where the last word of a value ends."""
    while isinstance(node.value, list) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node.value[-1], tuple) else node.value[-1]
    return int(node.end_mark.index)


def _lines(entry: Any) -> list[str]:
    """An item of a list, as a person would write it where that is safe."""
    if isinstance(entry, str):
        return [f"- {_scalar(entry)}"]
    found: list[str] = []
    for key, value in entry.items():
        if isinstance(value, list):
            found += [f"{key}:", *(f"  - {_scalar(each)}" for each in value)]
        else:
            found.append(f"{key}: {_scalar(value)}")
    return [("- " if number == 0 else "  ") + line for number, line in enumerate(found)]


def _scalar(text: str) -> str:
    """On one line: bare where it can only be a text, else in quotes."""
    bare = _SIMPLE.fullmatch(text) and text == text.strip() and not re.search(r":(\s|$)|\s#", text)
    if bare and re.match(r"[A-Za-z]{2,} ", text):
        return text
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if 0x20 <= code < 0x7F or (code > 0xA0 and _SIMPLE.fullmatch("a" + character)):
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _rewritten(text: str, entry: Any) -> str:
    """The file as ruamel writes it, comments and order kept."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 10_000
    tree = yaml.load(text)
    if isinstance(tree["cases"], str):
        tree["cases"] = [tree["cases"]]
    tree["cases"].append(entry)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _write(path: Path, text: str) -> None:
    """Replace a file at once or not at all; its mark of UTF-8 and its mode stay."""
    path = Path(os.path.realpath(path))
    new = path.with_name(f".{path.name}.new")
    try:
        mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
        new.write_bytes(mark + text.encode())
        shutil.copymode(path, new)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise FileError(display_path(path), f"cannot be written: {error.strerror}.") from None


# -- in a case file ------------------------------------------------------------------------------


def _append_line(path: Path, entry: dict[str, Any]) -> None:
    text = read_text(path, limit=MAX_CASE_BYTES)
    line_end = "\r\n" if "\r\n" in text else "\n"
    if path.suffix == ".csv":
        line = _csv_line(path, text, entry) + line_end
    else:
        line = json.dumps(entry) + line_end  # ASCII, so that any text fits in UTF-8
    if text and not text.endswith("\n"):
        line = line_end + line
    try:
        with path.open("ab") as file:
            file.write(line.encode())
    except OSError as error:
        raise FileError(display_path(path), f"cannot be written: {error.strerror}.") from None


def _csv_line(path: Path, text: str, entry: dict[str, Any]) -> str:
    columns = next(csv.reader(io.StringIO(text), strict=True))
    for name, value in entry.items():
        if name == "turns":
            raise FileError(
                display_path(path),
                "a CSV file holds one question a case.",
                fix="Use a .jsonl file.",
            )
        if name not in columns:
            raise FileError(
                display_path(path), f"there is no column {name!r}.", fix=nearest(name, columns)
            )
        if re.search(r"[\ud800-\udfff\x00]", value):
            raise FileError(
                display_path(path), f"its {name} cannot stand in CSV.", fix="Use .jsonl."
            )
    out = io.StringIO()
    csv.writer(out).writerow([entry.get(name, "") for name in columns])
    return out.getvalue().removesuffix("\r\n")
