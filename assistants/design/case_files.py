"""Cases of an experiment: its own lines, or CSV, JSON lines and Parquet files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from assistants.errors import FileError, UsageError, nearest
from assistants.trial import Case
from assistants.utils import (
    Document,
    Place,
    StrictModel,
    display_path,
    read_text,
    to_json,
    validate,
)

CASE_FILES = (".csv", ".jsonl", ".parquet")
MAX_CASE_BYTES = 1_000_000_000


class CaseEntry(StrictModel):
    """A case as a file writes it."""

    id: str | int | None = None
    question: str | None = None
    turns: list[str] | None = None
    reference: str | None = None
    source: str | None = None
    vars: dict[str, Any] = Field(default_factory=dict)


def read_cases(document: Document, entries: str | list[Any]) -> list[Case]:
    """Return the cases of ``cases:``, strings, mappings or files, in order.

    Raises
    ------
    FileError
        For a mistake in one, a file that cannot be read, or an id or a question that is there
        twice: a copy would count as one more case that shows the same difference.
    """
    items = [entries] if isinstance(entries, str) else entries
    cases: dict[str, Case] = {}
    asked: dict[str, str] = {}
    for index, item in enumerate(items):
        place: Place = ("cases", index) if isinstance(entries, list) else ("cases",)
        for where, entry in _entries(document, place, item):
            case = _case(entry, len(cases) + 1, where)
            if case.id in cases:
                raise FileError(where, f"the case id {case.id!r} is there twice.")
            cases[case.id] = case
            first = asked.setdefault(f"{case.digest} {to_json(case.variables)}", case.id)
            if first != case.id:
                raise FileError(
                    where,
                    f"the question is there already, as case {first!r}.",
                    fix="Leave it out: it would count twice. To ask it more often, set `repeats`.",
                )
    if not cases:
        raise FileError(document.where(("cases",)), "there are no cases.")
    return list(cases.values())


def _entries(document: Document, place: Place, item: Any) -> Iterator[tuple[str, CaseEntry]]:
    where = document.where(place)
    if not isinstance(item, str):
        entry = document.below(place)
        yield where, validate(CaseEntry, entry)
    elif item.endswith(CASE_FILES) and " " not in item:
        path = Path(document.source).parent / item
        if not path.is_file():
            files = [p.name for p in path.parent.glob("*") if p.suffix in CASE_FILES]
            raise FileError(where, f"there is no case file {item!r}.", fix=nearest(item, files))
        for line, row in _ROWS[path.suffix](path):
            yield line, _checked_row(row, line)
    else:
        yield where, CaseEntry(question=item)


def _case(entry: CaseEntry, number: int, where: str) -> Case:
    if (entry.question is None) == (entry.turns is None):
        raise FileError(where, "a case has either a `question` or `turns`.")
    turns = (entry.question,) if entry.question is not None else tuple(entry.turns or ())
    identifier = str(number if entry.id is None else entry.id)
    try:
        case = Case(identifier, turns, entry.reference, entry.vars, entry.source)
        case.questions  # noqa: B018 - fills in the variables, and so finds a missing one now
        return case
    except UsageError as error:
        raise FileError(where, error.message, fix=error.fix) from None


def _checked_row(row: Mapping[str, Any], where: str) -> CaseEntry:
    try:
        return CaseEntry.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "unknown_key":
            key, known = str(first["ctx"]["key"]), first["ctx"]["known"]
            fix = nearest(key, known) + f" For a variable, call the column `vars.{key}`."
            raise FileError(where, f"unknown column {key!r}.", fix=fix) from None
        name = ".".join(map(str, first["loc"]))
        raise FileError(where, f"{name}: {first['msg']}.") from None


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(path, limit=MAX_CASE_BYTES)), strict=True)
    try:
        for row in reader:
            where = f"{display_path(path)}:{reader.line_num}"
            if None in row or None in row.values():
                raise FileError(where, f"expected {len(reader.fieldnames or [])} columns.")
            yield where, _with_variables({k: v for k, v in row.items() if v != ""})
    except csv.Error as error:
        raise FileError(
            f"{display_path(path)}:{reader.line_num}", f"is not CSV: {error}."
        ) from None


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(read_text(path, limit=MAX_CASE_BYTES).split("\n"), start=1):
        where = f"{display_path(path)}:{number}"
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FileError(where, f"is not JSON: {error}.") from None
            if not isinstance(row, dict):
                raise FileError(where, "expected a JSON object.")
            yield where, _with_variables(row)


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise FileError(display_path(path), f"is not Parquet: {error}.") from None
    for number, row in enumerate(rows, start=1):
        row = {key: value for key, value in row.items() if value is not None}
        yield f"{display_path(path)}, row {number}", _with_variables(row)


def _with_variables(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its columns called ``vars.NAME`` as variables."""
    own = {key: value for key, value in row.items() if not key.startswith("vars.")}
    variables = {k.removeprefix("vars."): v for k, v in row.items() if k.startswith("vars.")}
    given = own.get("vars", {})
    if not variables or not isinstance(given, dict):
        return own
    return {**own, "vars": {**given, **variables}}


_ROWS = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
