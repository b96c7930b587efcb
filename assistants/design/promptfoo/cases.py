"""The tests of a configuration: variables, and the assertions that hold for them."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistants.design.promptfoo.source import (
    MAX_FILE_BYTES,
    PROGRAMS,
    Node,
    Source,
    flattened,
    parse_json,
)
from assistants.errors import FileError
from assistants.utils import Document, display_path, has_variables, read_text

MAX_TESTS = 100_000
"""Limit of the tests that lists of values may make."""

_DATA_FILES = (".yaml", ".yml", ".json")
_IGNORED = ("description", "metadata", "vars", "assert", "threshold", "options", "tags")
_IGNORED_OPTIONS = ("provider", "disableDefaultAsserts", "disableVarExpansion", "runSerially")
_EXPECTED = re.compile(r"__expected\d*")
_TYPES = frozenset(
    "equals contains icontains contains-any contains-all icontains-any icontains-all starts-with "
    "regex is-json contains-json is-html contains-html is-sql contains-sql is-xml contains-xml "
    "is-refusal javascript python ruby webhook rouge-n bleu gleu levenshtein latency meteor "
    "perplexity perplexity-score cost similar classifier llm-rubric g-eval factuality "
    "model-graded-closedqa model-graded-factuality answer-relevance context-faithfulness "
    "context-recall context-relevance select-best max-score moderation guardrails word-count pi "
    "finish-reason grade fn eval".split()
)
"""Words before the colon of a cell; any other cell is the text that an answer has to equal."""

_SHORTHAND = re.compile(r"(?s)([a-z-]+)(?:\(([\d.]+)\))?:\s*(.*)")


@dataclass(frozen=True)
class Test:
    """One test of promptfoo: values of the variables, and its assertions."""

    description: str
    variables: Mapping[str, Any]
    assertions: tuple[Node, ...]
    grader: Node | None
    where: str


def read_tests(source: Source, config: Node) -> list[Test]:
    """Return the tests of ``tests:`` with what ``defaultTest:`` adds; lists of values expanded."""
    default = _default_test(source, config)
    listed = config.get("tests")
    nodes = _nodes(source, listed) if listed else [Node(config.document, (), {})]
    tests: list[Test] = []
    for node in nodes:
        tests += _tests(source, node, default)
        if len(tests) > MAX_TESTS:
            raise FileError(node.where, f"more than {MAX_TESTS:,} tests.")
    return tests


def _default_test(source: Source, config: Node) -> Node:
    node = config.get("defaultTest")
    if node is not None and isinstance(node.data, str):
        paths = source.paths(node.data, node.where)
        node = source.read(paths[0]) if len(paths) == 1 else None
    return node or Node(config.document, (), {})


def _nodes(source: Source, listed: Node) -> Iterator[Node]:
    for entry in listed.each():
        if isinstance(entry.data, str):
            for path in _files(source, entry):
                yield from _file(source, path, entry)
        elif isinstance(entry.data, Mapping) and "path" in entry.data:
            source.lose(entry.where, "tests that a program makes.")
        elif isinstance(entry.data, Mapping):
            yield entry
        else:
            source.lose(entry.where, "a test that is no mapping.")


def _files(source: Source, entry: Node) -> list[Path]:
    reference = entry.data
    if "://" in reference and not reference.startswith("file://"):
        source.lose(entry.where, f"`{reference}`: tests at an address; nothing is fetched.")
        return []
    return source.paths(reference, entry.where)


def _file(source: Source, path: Path, entry: Node) -> Iterator[Node]:
    suffix = path.suffix.lower()
    if suffix in _DATA_FILES:
        node = source.read(path)
        for each in node.each():
            if isinstance(each.data, Mapping):
                yield each
            else:
                source.lose(each.where, "a test that is no mapping.")
    elif suffix == ".jsonl":
        lines = read_text(path, limit=MAX_FILE_BYTES).split("\n")
        for number, line in enumerate(lines, start=1):
            where = f"{display_path(path)}:{number}"
            data = parse_json(line, where) if line.strip() else None
            if isinstance(data, dict):
                yield Node(Document(where, data, {}), (), data)
    elif suffix == ".csv":
        yield from _csv(source, path)
    else:
        program = suffix in PROGRAMS or ".py:" in str(entry.data)
        what = "is a program" if program else "is of a kind that is not read"
        source.lose(entry.where, f"`{path.name}` {what}.")


def _csv(source: Source, path: Path) -> Iterator[Node]:
    shown = display_path(path)
    reader = csv.DictReader(io.StringIO(read_text(path, limit=MAX_FILE_BYTES)), strict=True)
    try:
        for row in reader:
            where = f"{shown}:{reader.line_num}"
            if None in row or None in row.values():
                raise FileError(where, f"expected {len(reader.fieldnames or [])} columns.")
            test: dict[str, Any] = {"vars": {}, "assert": []}
            for name, value in row.items():
                if _EXPECTED.fullmatch(name):
                    test["assert"] += [_shorthand(value)] if value else []
                elif name == "__description":
                    test["description"] = value
                elif name in ("__metric", "__threshold") or name.startswith("__metadata"):
                    continue
                elif name.startswith("__"):
                    source.lose(f"{shown}:1", f"the column `{name}`.")
                else:
                    test["vars"][name] = value
            yield Node(Document(where, test, {}), (), test)
    except csv.Error as error:
        raise FileError(f"{shown}:{reader.line_num}", f"is not CSV: {error}.") from None


def _shorthand(text: str) -> dict[str, Any]:
    """Return the assertion that a cell of a CSV file stands for."""
    match = _SHORTHAND.fullmatch(text.strip())
    if match is None or match[1].removeprefix("not-") not in _TYPES:
        return {"type": "equals", "value": text.strip()}
    value: Any = match[3]
    if re.fullmatch(r"(?:not-)?i?contains-(?:any|all)", match[1]):
        value = [part.strip() for part in next(csv.reader([value], skipinitialspace=True), [])]
    return {"type": match[1], "value": value, **({"threshold": match[2]} if match[2] else {})}


def _tests(source: Source, node: Node, default: Node) -> Iterator[Test]:
    for holder in (default, node):
        for key, value in holder.items():
            if key not in _IGNORED:
                source.lose(value.where, f"`{key}` of a test.")
        options = holder.get("options")
        for key, value in options.items() if options else ():
            if key not in _IGNORED_OPTIONS:
                source.lose(value.where, f"`{key}` among the options of a test.")
        if holder.get("threshold"):
            source.note("Thresholds of tests are not applied: a scorer here measures.")
    options = node.get("options")
    chosen = options.data if options and isinstance(options.data, Mapping) else {}
    own = node.get("assert")
    inherited = None if chosen.get("disableDefaultAsserts") else default.get("assert")
    assertions = [a for listed in (inherited, own) if listed for a in listed.each()]
    grader = _grader(node) or _grader(default)
    where = (node.get("vars") or node).where
    variables = {**_variables(source, default), **_variables(source, node)}
    for values in _expanded(variables, bool(chosen.get("disableVarExpansion")), where):
        composed = _composed(source, flattened(values), where)
        description = str(node.data.get("description") or "")
        yield Test(description, composed, tuple(assertions), grader, where)


def _grader(holder: Node) -> Node | None:
    options = holder.get("options")
    return options.get("provider") if options else None


def _variables(source: Source, holder: Node) -> dict[str, Any]:
    node = holder.get("vars")
    if node is None:
        return {}
    if isinstance(node.data, str):
        found: dict[str, Any] = {}
        for path in source.paths(node.data, node.where):
            content = source.read(path).data if path.suffix.lower() in _DATA_FILES else None
            if isinstance(content, Mapping):
                found |= content
            else:
                source.lose(node.where, f"the variables of `{path.name}`.")
        return found
    values = {name: _value(source, value) for name, value in node.items()}
    return {name: value for name, value in values.items() if value is not None}


def _value(source: Source, node: Node) -> Any:
    """Return the value of a variable, or what its file holds; ``None`` if nothing is there."""
    value = node.data
    if not (isinstance(value, str) and value.startswith("file://")):
        return value
    texts = []
    for path in source.paths(value, node.where):
        suffix = path.suffix.lower()
        if suffix in _DATA_FILES:
            texts.append(source.read(path).data)
        elif suffix in (".txt", ".md", ".csv", ".html", ".xml"):
            texts.append(read_text(path))
        else:
            source.lose(node.where, f"`{value}` is a program, a picture or a document.")
    return texts if len(texts) > 1 else next(iter(texts), None)


def _expanded(variables: dict[str, Any], whole: bool, where: str) -> Iterator[dict[str, Any]]:
    """Yield each combination of values, where a variable has a list of them."""
    lists = {n: v for n, v in variables.items() if isinstance(v, list) and v and not whole}
    if math.prod(len(values) for values in lists.values()) > MAX_TESTS:
        raise FileError(where, f"lists of values that make more than {MAX_TESTS:,} tests.")
    for combination in itertools.product(*lists.values()):
        yield {**variables, **dict(zip(lists, combination, strict=True))}


def _composed(source: Source, variables: dict[str, Any], where: str) -> dict[str, Any]:
    """Return variables whose values are templates of others, filled in."""
    for name, value in list(variables.items()):
        if isinstance(value, str) and has_variables(value):
            others = {n: v for n, v in variables.items() if n != name}
            text = source.rendered(value, others, where)
            if text is None:
                del variables[name]
            else:
                variables[name] = text
    return variables
