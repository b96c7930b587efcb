"""Answers against a reference: matches, numbers, choices, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, MissingDependencyError, UsageError
from assistants.scoring import Score, ScorerInput, apply_scorer, make_scorer
from assistants.scoring import reference as matching_scorers
from support.scoring import score, value


@pytest.mark.parametrize(
    ("entry", "answer", "reference", "expected"),
    [
        ("exact", "Paris", "Paris", 1),
        ("exact", " **paris**.\n", "Paris", 1),
        ("exact", '"New  York"', "new york", 1),
        ("exact", "It is Paris", "Paris", 0),
        ("exact", "-5", "5", 0),
        ("exact", ".5", "5", 0),
        ("exact", "Paris", None, None),
        ("exact", "Paris", "  ", None),
        ({"exact": {"strict": True}}, "paris", "Paris", 0),
        ("contains", "The capital is PARIS.", "paris", 1),
        ("contains", "x", None, None),
        ({"contains": "inverse"}, "The Inverse\nfunction", None, 1),
        ({"contains": {"text": "Inverse", "ignore_case": False}}, "inverse", None, 0),
        ({"contains": "cafe\u0301"}, "the café", None, 1),
        ({"regex": r"\d{3}"}, "room 101", None, 1),
        ({"regex": r"^b$"}, "a\nb\nc", None, 1),
        ({"regex": r"A"}, "a", None, 0),
        ({"regex": {"pattern": "A", "ignore_case": True}}, "a", None, 1),
        ({"regex": r"(\w+) \1 \w+"}, "that that is", None, 1),
        ("similarity", "the cat", "the cat", 1),
        ("similarity", "Cat, the!", "the cat", 1),
        ("similarity", "a dog", "the cat", 0),
        ("similarity", "the red cat sat", "the cat", 2 / 3),
        ("similarity", "", "the cat", 0),
        ("similarity", "x", None, None),
    ],
)
def test_matching(entry: Any, answer: str, reference: str | None, expected: float | None) -> None:
    """Golden answers in the ways models write them."""
    got = value(entry, answer, reference)
    assert got == (pytest.approx(expected) if expected is not None else None)


def test_a_catastrophic_pattern_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take for ever; it fails that score, not the run."""
    monkeypatch.setattr(matching_scorers, "REGEX_SECONDS", 0.5)
    got = score({"regex": "(a+)+$"}, "a" * 40 + "b")
    assert got == Score(None, "the pattern took more than 0.5 s")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("42", 42),
        ("The answer is 6 × 7 = 42.", 42),
        ("Answer: 42 (see section 3)", 42),
        ("First 10, then 20, so 42", 42),
        ("**Answer:** $1,234.50", 1234.5),
        ("#### 12\n", 12),
        ("So \\boxed{7}, as in step 3.", 7),
        ("x = -5", -5),
        ("it is −7 degrees", -7),
        ("pages 3-5", 5),
        ("3,14", 3.14),
        ("1e-5", 1e-5),
        ("The answer is 1/2", 0.5),
        ("12%", 12),
        ("10m", 10),
        ("The answer is below:\n\n 17", 17),
        ("To answer this question, we multiply 5 by 3. The total is 15.", 15),
        ("As a result, of the 16 eggs she sells 9, so she makes $18.", 18),
        ("The answer is 42. Do you want another answer with 3 decimals?", 42),
        ("The answer to the 3 questions is 9, as 1 shows", 9),
        ("Die Antwort lautet 5, nicht 6.", 5),
        ("Answer\n\n42\n\nSee section 3.", 42),
        (r"\boxed{\frac{1}{2}}, not 3", 0.5),
        (r"\boxed{-\dfrac{7}{4}}", -1.75),
        (r"$x=\frac34$", 0.75),
        (r"\boxed{12{,}345}", 12345),
        ("Answer: 3 × 10^5", 3e5),
        (r"Answer: $3 \times 10^{−2}$", 0.03),
    ],
)
def test_the_number_of_an_answer(answer: str, expected: float) -> None:
    """Read in the ways numbers are written."""
    assert value("number", answer, repr(expected)) == 1, score("number", answer, repr(expected))
    assert value("number", answer, repr(expected + 1)) == 0


def test_number_tolerances() -> None:
    """Absolute or relative, whichever is larger; nothing to read is no 0."""
    assert value({"number": 0.01}, "3.145", "3.14") == 1
    assert value({"number": 0.01}, "3.16", "3.14") == 0
    assert value({"number": {"relative": 0.1}}, "95", "100") == 1
    assert value("number", "0.1", "1/10") == 1
    assert value("number", "none", "3") is None
    assert value("number", "9" * 400, "3") is None
    assert value("number", "3", "none") is None
    assert value("number", "3") is None
    assert score("number", "so 42", "41").detail == "read 42"


@pytest.mark.parametrize(
    "answer",
    [
        "B", "b", "(B)", "b)", "**B**", "B.", "B) Paris", "B. Paris", "B: Paris", "`B`",
        "The answer is (B).", "The answer is B", "the answer is b.", "The correct answer is **B**.",
        "Answer: B because A is wrong", "**Answer:** B", "**Answer: B**", "### Answer\nB",
        "Final answer: B", "A? No. C? No.\nFinal answer: B", "\\boxed{B}", "$\\boxed{\\text{B}}$",
        "I choose B.", "I would go with option B, not A.", "Option B is correct; A is not.",
        "B is the right answer.", "I think it's B", "The answer is **B) Paris**.",
        "Let me think about A and C.\n\nThe correct choice is: B", "A is too small. (B)",
        "The correct option is **B**, since C is false.",
    ],
)  # fmt: skip
def test_a_choice_is_read(answer: str) -> None:
    """However a model says that it picks B."""
    assert value("choice", answer, "B") == 1, score("choice", answer, "B")
    assert value("choice", answer, "C") == 0


@pytest.mark.parametrize(
    "answer",
    [
        "", "I do not know.", "Both B and C", "A) one\nB) two", "The answer is a good one.",
        "The answer is A. No, the answer is B.", "A cat.", "I think so.", "Maybe **B** or **C**.",
    ],
)  # fmt: skip
def test_an_ambiguous_choice_is_no_zero(answer: str) -> None:
    """An answer that picks nothing, or two, says nothing about the letter."""
    got = score("choice", answer, "B")
    assert got.value is None
    assert "names" in str(got.reason)


@given(st.sampled_from("ABCDEFGHIJ"), st.sampled_from(["{}", "({})", "**{}**", "Answer: {}"]))
def test_every_letter_is_read(letter: str, style: str) -> None:
    """A and I are letters too, not only words."""
    assert value("choice", style.format(letter), letter) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', 1),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', 1),
        ("```\n[1, 2]\n```", 1),
        ("{'a': 1}", 0),
        ('{"a": NaN}', 0),
        ("Here: {}", 0),
        ("", 0),
        ("[" * 100_000, 0),
        ("9" * 5_000, 1),
        ("```python\n1\n```", 0),
    ],
)
def test_json_is_valid_or_not(answer: str, expected: float) -> None:
    """The standard's JSON, bare or in its block; being wrong is a 0, not a failure."""
    assert value("json", answer) == expected


def test_json_fits_a_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file beside the experiment or in place; without the package it says what to do."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    filed = make_scorer({"json": "schema.json"}, folder=tmp_path)
    assert filed.version == make_scorer({"json": {"schema": schema}}).version
    assert apply_scorer(filed, ScorerInput("?", '{"a": 1}')).value == 1
    wrong = apply_scorer(filed, ScorerInput("?", '{"a": "x"}'))
    assert (wrong.value, wrong.detail) == (0, "$.a: 'x' is not of type 'integer'")
    with pytest.raises(UsageError, match="the schema is wrong"):
        make_scorer({"json": {"schema": {"type": "objekt"}}})
    with pytest.raises(FileError, match="no such file"):
        make_scorer({"json": "missing.json"}, folder=tmp_path)
    away = make_scorer({"json": {"schema": {"$ref": "http://127.0.0.1:9/x.json"}}})
    assert apply_scorer(away, ScorerInput("?", "{}")).value is None, "nothing is fetched"
    monkeypatch.setitem(__import__("sys").modules, "jsonschema.validators", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'assistants\[notebooks\]'"):
        make_scorer({"json": "schema.json"}, folder=tmp_path)
