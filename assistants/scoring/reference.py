"""Scores that compare an answer with a text, a pattern, a number or the case's reference."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from assistants.errors import MissingDependencyError, UsageError
from assistants.scoring.answer_extraction import choice_in, number_in
from assistants.scoring.base import (
    FunctionScorer,
    ScoredValue,
    ScorerInput,
    UnscorableError,
    measure,
)
from assistants.scoring.code_blocks import split_code_blocks
from assistants.scoring.text import words_in

_QUOTES = "*_`\"'“”‘’«» \n\t"

REGEX_SECONDS = 2.0
"""How long one pattern may look at one answer."""

_SEARCH = """
import json, re, sys
pattern, flags, text = json.load(sys.stdin)
sys.exit(10 if re.search(pattern, text, flags) else 11)
"""


def reference_of(answered: ScorerInput) -> str:
    """The case's reference.

    Raises
    ------
    UnscorableError
        If it has none: a missing reference is no wrong answer.
    """
    if answered.reference is None or not answered.reference.strip():
        raise UnscorableError("the case has no reference")
    return answered.reference


def _binary(grade: Any, **parameters: Any) -> FunctionScorer:
    name = grade.__name__.lstrip("_")
    return measure(grade, name=name, unit="share", direction="higher", kind="binary", **parameters)


def exact(strict: bool = False) -> FunctionScorer:
    """1 where the answer is the reference.

    Case, white space, surrounding quotes or emphasis and a final full stop do not count, unless
    ``strict``: then every character does.
    """
    return _binary(_exact, strict=strict)


def contains(text: str | None = None, ignore_case: bool = True) -> FunctionScorer:
    """1 where ``text`` (or else the case's reference) stands in the answer, also within a word."""
    if text is not None and not text.strip():
        raise UsageError("contains: the text is empty.", fix="Say what the answer should contain.")
    return _binary(_contains, text=text, ignore_case=ignore_case)


def regex(pattern: str, ignore_case: bool = False) -> FunctionScorer:
    """1 where the Python regular expression ``pattern`` matches somewhere in the answer.

    ``^`` and ``$`` are the ends of a line. A pattern that takes longer than ``REGEX_SECONDS`` makes
    the answer unscorable.

    Raises
    ------
    UsageError
        If it is no regular expression.
    """
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"regex: {pattern!r} is no regular expression: {error}.",
            fix="See https://docs.python.org/3/library/re.html; in YAML, quote it with '...'.",
        ) from None
    return _binary(_regex, pattern=pattern, ignore_case=ignore_case)


def number(tolerance: float = 0.0, relative: float = 1e-9) -> FunctionScorer:
    """1 where the answer's number is the reference's, give or take.

    Parameters
    ----------
    tolerance
        Largest difference allowed, in the unit of the number.
    relative
        Largest difference allowed, as a share of the reference; the larger of the two holds.
    """
    return _binary(_number, revision=2, tolerance=float(tolerance), relative=float(relative))


def choice() -> FunctionScorer:
    """1 where the answer picks the reference's letter, A to J; see ``answer_extraction.choice_in``."""
    return _binary(_choice)


def valid_json(schema: Mapping[str, Any] | bool | None = None) -> FunctionScorer:
    """1 where the answer, or else its first fenced JSON block, is JSON and fits ``schema``.

    The schema is a JSON Schema; a ``$ref`` that points to another address is not followed.

    Raises
    ------
    MissingDependencyError
        If a schema is given and the package that checks it is not installed.
    UsageError
        If the schema itself is wrong.
    """
    if schema is not None:
        _validator(schema)
    return measure(
        _json, name="json", unit="share", direction="higher", kind="binary", schema=schema
    )


def similarity() -> FunctionScorer:
    """How many words answer and reference share: token F1, 0 to 1.

    The harmonic mean of precision and recall over the bags of their words, so order and case do
    not count and a long answer to a short reference scores low.

    Notes
    -----
    Rajpurkar et al. (2016), "SQuAD", arXiv:1606.05250, without its removal of English articles.
    """
    return measure(_similarity, name="similarity", unit="0 to 1", direction="higher")


def _exact(answered: ScorerInput, *, strict: bool) -> float:
    wanted = reference_of(answered)
    if strict:
        return float(answered.answer == wanted)
    return float(_bare(answered.answer) == _bare(wanted))


def _bare(text: str) -> str:
    folded = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return folded.strip(_QUOTES).removesuffix(".").strip(_QUOTES)


def _contains(answered: ScorerInput, *, text: str | None, ignore_case: bool) -> float:
    wanted = reference_of(answered) if text is None else text
    return float(_folded(wanted, ignore_case) in _folded(answered.answer, ignore_case))


def _folded(text: str, ignore_case: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.casefold() if ignore_case else text


def _regex(answered: ScorerInput, *, pattern: str, ignore_case: bool) -> float:
    flags = re.MULTILINE | (re.IGNORECASE if ignore_case else re.NOFLAG)
    if not _may_explode(pattern, len(answered.answer)):
        return float(re.search(pattern, answered.answer, flags) is not None)
    question = json.dumps([pattern, int(flags), answered.answer])
    command = [sys.executable, "-I", "-S", "-c", _SEARCH]
    try:
        ended = subprocess.run(  # noqa: S603 our own program, and text only through its input
            command,
            input=question.encode(),
            capture_output=True,
            timeout=REGEX_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UnscorableError(f"the pattern took more than {REGEX_SECONDS:g} s") from None
    if ended.returncode not in (10, 11):
        raise UnscorableError("the pattern could not be tried on this answer")
    return float(ended.returncode == 10)


def _may_explode(pattern: str, length: int) -> bool:
    """Whether a search may take seconds, so that it needs a process that can be ended.

    ``re`` cannot be interrupted outside the main thread. With one thing that repeats, a search is
    at worst quadratic in the text; a second may make it cubic, and a nested one exponential.
    """
    repeats = sum(map(pattern.count, "*+{?")) - pattern.count("(?")
    return repeats > 1 or length > 10_000


def _number(answered: ScorerInput, *, tolerance: float, relative: float) -> float:
    wanted = number_in(reference_of(answered))
    if wanted is None:
        raise UnscorableError("the reference holds no number")
    found = number_in(answered.answer)
    if found is None:
        raise UnscorableError("the answer holds no number")
    near = abs(found - wanted) <= max(tolerance, relative * abs(wanted))
    return ScoredValue(float(near), f"read {found:.12g}")


def _choice(answered: ScorerInput) -> float:
    wanted = choice_in(reference_of(answered))
    picked = choice_in(answered.answer)
    return ScoredValue(float(picked == wanted), f"picked {picked}")


def _json(answered: ScorerInput, *, schema: Any) -> float:
    found, error = _parsed(answered.answer)
    if error:
        return ScoredValue(0.0, error)
    if schema is None:
        return 1.0
    try:
        first = next(iter(_validator(schema).iter_errors(found)), None)
    except RecursionError:
        return ScoredValue(0.0, "nested too deeply to check")
    return 1.0 if first is None else ScoredValue(0.0, f"{first.json_path}: {first.message}")


def _parsed(answer: str) -> tuple[Any, str]:
    blocks = [
        b.code for b in split_code_blocks(answer)[1] if b.language in ("", "json", "json5", "jsonc")
    ]
    error = ""
    for text in (answer, *blocks[:1]):
        try:
            return json.loads(text, parse_constant=_no_constant, parse_int=_whole), ""
        except (ValueError, RecursionError) as problem:
            error = str(problem) or "nested too deeply"
    return None, error


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _whole(digits: str) -> int | float:
    """Python reads no integer of more than 4,300 digits; JSON allows it."""
    return int(digits) if len(digits) < 4_000 else float(digits)


def _validator(schema: Any) -> Any:
    try:
        validators = importlib.import_module("jsonschema.validators")
        exceptions = importlib.import_module("jsonschema.exceptions")
        registry = importlib.import_module("referencing").Registry()
    except ImportError:
        raise MissingDependencyError(
            "json: a schema needs the package jsonschema.",
            fix="pip install 'assistants[notebooks]'",
        ) from None
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except exceptions.SchemaError as error:
        raise UsageError(
            f"json: the schema is wrong at {error.json_path}: {error.message}.",
            fix="See https://json-schema.org/understanding-json-schema.",
        ) from None
    return kind(schema, registry=registry)  # an empty registry: nothing is fetched


def _similarity(answered: ScorerInput) -> float:
    wanted = Counter(words_in(reference_of(answered)))
    if not wanted:
        raise UnscorableError("the reference holds no words")
    found = Counter(words_in(answered.answer))
    return 2 * (wanted & found).total() / (wanted.total() + found.total())
