"""Scorers that compare an answer with a text, a pattern, a number or the case's reference."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
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
from assistants.utils import words_in

_QUOTES = "*_`\"'“”‘’«» \n\t"

REGEX_SECONDS = 2.0
"""Longest time that one pattern may search one answer."""

_SEARCH = """
import json, re, sys
pattern, flags, text = json.load(sys.stdin)
sys.exit(10 if re.search(pattern, text, flags) else 11)
"""


def required_reference(scorer_input: ScorerInput) -> str:
    """Return the case's reference.

    Raises
    ------
    UnscorableError
        If it has none: a missing reference is no wrong answer.
    """
    if scorer_input.reference is None or not scorer_input.reference.strip():
        raise UnscorableError("the case has no reference")
    return scorer_input.reference


def _binary(
    grade: Callable[..., float], method: str, name: str, **parameters: Any
) -> FunctionScorer:
    return measure(
        grade, method, name=name, unit="share", direction="higher", kind="binary", **parameters
    )


def exact(strict: bool = False) -> FunctionScorer:
    """Return a scorer that gives 1 where the answer is the reference.

    Case, white space, surrounding quotes or emphasis and a final full stop do not count, unless
    ``strict``: then every character does.
    """
    return _binary(_exact, "_exact/1", "exact", strict=strict)


def contains(text: str | None = None, ignore_case: bool = True) -> FunctionScorer:
    """Return a scorer that gives 1 where the answer contains ``text``, or else the reference.

    It may stand within a word.
    """
    if text is not None and not text.strip():
        raise UsageError("contains: the text is empty.", fix="Say what the answer should contain.")
    return _binary(_contains, "_contains/1", "contains", text=text, ignore_case=ignore_case)


def regex(pattern: str, ignore_case: bool = False) -> FunctionScorer:
    """Return a scorer that gives 1 where the regular expression ``pattern`` matches somewhere.

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
    return _binary(_regex, "_regex/1", "regex", pattern=pattern, ignore_case=ignore_case)


def number(tolerance: float = 0.0, relative: float = 1e-9) -> FunctionScorer:
    """Return a scorer that gives 1 where the answer's number is close to the reference's.

    Parameters
    ----------
    tolerance
        Largest difference allowed, in the unit of the number.
    relative
        Largest difference allowed, as a share of the reference; the larger of the two holds.
    """
    return _binary(
        _number, "_number/2", "number", tolerance=float(tolerance), relative=float(relative)
    )


def choice() -> FunctionScorer:
    """Return a scorer that gives 1 where the answer picks the reference's letter, A to J.

    See ``answer_extraction.choice_in`` for how a letter is found.
    """
    return _binary(_choice, "_choice/1", "choice")


def valid_json(schema: Mapping[str, Any] | bool | None = None) -> FunctionScorer:
    """Return a scorer that gives 1 where the answer is JSON, or its first fenced block, and fits.

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
    return _binary(_json, "_json/1", "json", schema=schema)


def similarity() -> FunctionScorer:
    """Return a scorer of how many words answer and reference share: token F1, 0 to 1.

    The harmonic mean of precision and recall over the bags of their words, so order and case do
    not count and a long answer to a short reference scores low.

    Notes
    -----
    Rajpurkar et al. (2016), "SQuAD", arXiv:1606.05250, without its removal of English articles.
    """
    return measure(
        _similarity, "_similarity/1", name="similarity", unit="0 to 1", direction="higher"
    )


def _exact(scorer_input: ScorerInput, *, strict: bool) -> float:
    wanted = required_reference(scorer_input)
    if strict:
        return float(scorer_input.answer == wanted)
    return float(_bare(scorer_input.answer) == _bare(wanted))


def _bare(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return plain.strip(_QUOTES).removesuffix(".").strip(_QUOTES)


def _contains(scorer_input: ScorerInput, *, text: str | None, ignore_case: bool) -> float:
    wanted = required_reference(scorer_input) if text is None else text
    return float(_normalized(wanted, ignore_case) in _normalized(scorer_input.answer, ignore_case))


def _normalized(text: str, ignore_case: bool) -> str:
    text = " ".join(unicodedata.normalize("NFC", text).split())
    return text.casefold() if ignore_case else text


def _regex(scorer_input: ScorerInput, *, pattern: str, ignore_case: bool) -> float:
    flags = re.MULTILINE | (re.IGNORECASE if ignore_case else re.NOFLAG)
    if not _may_explode(pattern, len(scorer_input.answer)):
        return float(re.search(pattern, scorer_input.answer, flags) is not None)
    question = json.dumps([pattern, int(flags), scorer_input.answer])
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
    """Return whether a search may take seconds, so that it needs a process that can be ended.

    ``re`` cannot be interrupted outside the main thread. With one thing that repeats, a search is
    at worst quadratic in the text; a second may make it cubic, and a nested one exponential.
    """
    repeats = sum(map(pattern.count, "*+{?")) - pattern.count("(?")
    return repeats > 1 or length > 10_000


def _number(scorer_input: ScorerInput, *, tolerance: float, relative: float) -> float:
    wanted = number_in(required_reference(scorer_input))
    if wanted is None:
        raise UnscorableError("the reference holds no number")
    found = number_in(scorer_input.answer)
    if found is None:
        raise UnscorableError("the answer holds no number")
    near = abs(found - wanted) <= max(tolerance, relative * abs(wanted))
    return ScoredValue(float(near), f"read {found:.12g}")


def _choice(scorer_input: ScorerInput) -> float:
    wanted = choice_in(required_reference(scorer_input))
    picked = choice_in(scorer_input.answer)
    return ScoredValue(float(picked == wanted), f"picked {picked}")


def _json(scorer_input: ScorerInput, *, schema: Any) -> float:
    value, error = _parsed(scorer_input.answer)
    if error:
        return ScoredValue(0.0, error)
    if schema is None:
        return 1.0
    try:
        first = next(iter(_validator(schema).iter_errors(value)), None)
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
    """Return a JSON integer: Python reads none of more than 4,300 digits."""
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


def _similarity(scorer_input: ScorerInput) -> float:
    wanted = Counter(words_in(required_reference(scorer_input)))
    if not wanted:
        raise UnscorableError("the reference holds no words")
    found = Counter(words_in(scorer_input.answer))
    return 2 * (wanted & found).total() / (wanted.total() + found.total())
