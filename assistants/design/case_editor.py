"""Adding a case to the end of an experiment file.

The file is read and written by ruamel's round trip, which keeps comments, order and quotes, and is
then read back: a file that would say anything else is left as it was.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from assistants.design.case_files import CASE_FILES, MAX_CASE_BYTES, read_cases
from assistants.errors import FileError, nearest
from assistants.trial import Case
from assistants.utils import Document, display_path, parse_yaml, read_text

_COMMENT = re.compile(r"(?:^|\s)(#.*?)\s*$", re.MULTILINE)

_lock = threading.Lock()
"""One case is added at a time: two widgets may add to one file at once."""


def append_case(
    path: str | Path,
    question: str | Sequence[str],
    *,
    id: str | None = None,  # noqa: A002 - the word of the file
    reference: str | None = None,
) -> str:
    """Append a case to an experiment file, or to the case file that it names.

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

    Returns
    -------
    str
        The id of the case.

    Raises
    ------
    FileError
        If the file is not an experiment, has the question or the id, or cannot hold the case.
    UsageError
        If the question is empty.
    """
    turns = (question,) if isinstance(question, str) else tuple(question)
    new = Case(id or "new", turns, reference or None)
    with _lock:
        return _append(Path(path), new, id)


def _append(path: Path, new: Case, id: str | None) -> str:  # noqa: A002 - as above
    document = parse_yaml(read_text(path), display_path(path))
    if not isinstance(document.data, Mapping) or "cases" not in document.data:
        raise FileError(display_path(path), "is not an experiment: it has no `cases`.")
    entries = document.data["cases"]
    known = read_cases(document, entries)
    _refuse_duplicate(document.where(("cases",)), new, known, id)
    ids = {case.id for case in known}
    number = str(len(known) + 1)
    candidates = chain([number], (f"case-{n}" for n in count(len(known) + 1)))
    name = id or next(candidate for candidate in candidates if candidate not in ids)
    entry = _entry(new, name if id or name != number else None)
    if isinstance(entries, str) and entries.endswith((".jsonl", ".csv")) and " " not in entries:
        _append_line(path.parent / entries, entry)
        return name
    _write(path, _with_case(path, document, entry))
    return name


def _refuse_duplicate(where: str, new: Case, known: Sequence[Case], named: str | None) -> None:
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


def _entry(case: Case, name: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = {} if name is None else {"id": name}
    if len(case.turns) == 1:
        entry["question"] = case.turns[0]
    else:
        entry["turns"] = list(case.turns)
    return entry if case.reference is None else {**entry, "reference": case.reference}


# -- in the experiment file ----------------------------------------------------------------------


def _with_case(path: Path, document: Document, entry: dict[str, Any]) -> str:
    """Return the text of the file with ``entry`` added, read back to say just that."""
    text = read_text(path)
    entries = document.data["cases"]
    cases = [entries] if isinstance(entries, str) else list(entries)
    item: Any = entry
    if set(entry) == {"question"} and all(isinstance(case, str) for case in cases):
        question = entry["question"]
        if not question.endswith(CASE_FILES) or " " in question:
            item = question  # as its neighbours are written
    changed = _round_trip(text, item)
    lost = Counter(_COMMENT.findall(text)) - Counter(_COMMENT.findall(changed))
    expected = {**document.data, "cases": [*cases, item]}
    if lost or parse_yaml(changed, document.source).data != expected:
        raise FileError(
            document.where(("cases",)), "the case cannot be added here.", fix="Write it by hand."
        )
    return changed


def _round_trip(text: str, item: Any) -> str:
    """Return the file as ruamel writes it with one more case: comments, order and quotes stay."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedSeq

    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = len(text) + 100_000  # no line is broken that was not
    yaml.explicit_start = text.startswith("---")
    tree = yaml.load(text)
    cases = tree["cases"]
    if isinstance(cases, str):
        cases = CommentedSeq([cases])
        cases.fa.set_flow_style()
        if beside := tree.ca.items.pop("cases", None):
            cases.ca.comment = [beside[2], None]
        tree["cases"] = cases
    if cases.fa.flow_style():
        cases.append(_styled(item))
    else:
        offset = cases.lc.col
        yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
        following = _cut_comment(cases, offset)
        cases.append(_styled(item))
        if following:
            _set_comment(cases, following)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue().replace("\n", "\r\n" if "\r\n" in text else "\n")


def _styled(item: Any) -> Any:
    """Return ruamel's form of an entry, with each text that has line ends on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(item, dict):
        return CommentedMap((key, _styled(value)) for key, value in item.items())
    if isinstance(item, list):
        return CommentedSeq(map(_styled, item))
    return DoubleQuotedScalarString(item) if re.search(r"[\r\n\x85\u2028\u2029]", item) else item


def _cut_comment(cases: Any, column: int) -> str:
    """Cut off and return the lines after the last case that belong to what follows it.

    ruamel keeps all lines up to the next key with the last value; a new case would come after them.
    Comments further in than the case's dash stay with the case.
    """
    node, key, slot = _last_value(cases)
    tokens = node.ca.items.get(key)
    if not tokens or tokens[slot] is None:
        return ""
    beside, *lines = tokens[slot].value.split("\n")
    is_own = re.compile(rf"\s{{{column + 1},}}#").match
    own = max((number for number, line in enumerate(lines, start=1) if is_own(line)), default=0)
    following = "\n".join(lines[own:])
    tokens[slot].value = "\n".join([beside, *lines[:own], ""])
    return following


def _set_comment(cases: Any, text: str) -> None:
    from ruamel.yaml.error import CommentMark
    from ruamel.yaml.tokens import CommentToken

    node, key, slot = _last_value(cases)
    tokens: list[Any] = [None] * 4
    tokens[slot] = CommentToken(f"\n{text}", CommentMark(0), None)
    node.ca.items[key] = tokens


def _last_value(node: Any) -> tuple[Any, Any, int]:
    """Return what holds the last value of a block, its key, and where ruamel keeps its comment."""
    while True:
        is_map = isinstance(node, Mapping)
        key = list(node)[-1] if is_map else len(node) - 1
        value: Any = node[key]
        if not hasattr(value, "fa") or not value or value.fa.flow_style():
            return node, key, 2 if is_map else 0
        node = value


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
