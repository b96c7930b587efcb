"""Scorers say what they claim to say, and never raise, hang or drop a row."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, UnknownNameError, UsageError
from assistants.scoring import (
    SCORER_NAMES,
    FunctionScorer,
    Score,
    ScoredValue,
    ScorerInput,
    UnscorableError,
    apply_scorer,
    make_scorer,
    make_scorers,
    measure,
)
from support.scoring import ANY, BUSY, score

ENTRIES: list[Any] = [
    *("words", "characters", "sentences", "reading_ease", "lexical_diversity", "refusal"),
    *("repetition", "exact", "contains", "number", "choice", "json", "similarity"),
    {"language": "en"},
    {"contains": "a"},
    {"regex": "a+"},
    {"json": {"schema": {"type": "object"}}},
    {"lexical_diversity": 5},
    "stale_facts",
    {"stale_facts": {"new": "a", "old": "b"}},
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
@given(ANY | BUSY, st.none() | ANY | BUSY)
def test_every_answer_has_a_score_or_a_reason(
    entry: Any, answer: str, reference: str | None
) -> None:
    """Whatever a model writes: a finite number in bounds or a reason, and no other surprise."""
    scorer = make_scorer(entry)
    got = apply_scorer(scorer, ScorerInput("?", answer, reference))
    assert (got.value is None) == (got.reason is not None)
    if got.value is None:
        assert not str(got.reason).split(":")[0].endswith(("Error", "error")), got
        return
    assert math.isfinite(got.value)
    if scorer.kind == "binary":
        assert got.value in (0, 1)
    if scorer.unit in ("share", "0 to 1"):
        assert 0 <= got.value <= 1
    assert apply_scorer(scorer, ScorerInput("?", answer, reference)) == got


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "." * 300_000 + "a",
        "\n" * 300_000,
        "1," * 150_000,
        "``` " * 50_000,
        "# \n" * 100_000,
        "[" * 300_000,
        "I " * 150_000,
        "*" * 300_000,
        "answer " * 40_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_a_huge_answer_takes_no_time(text: str) -> None:
    """No pattern of ours goes wild on an answer that loops."""
    for entry in ENTRIES:
        began = time.process_time()
        score(entry, text, "a")
        assert time.process_time() - began < 3, entry


def test_versions_differ_exactly_with_what_changes_a_score() -> None:
    """Every parameter is in the version; the name of the column is not."""
    entries: list[Any] = [
        *ENTRIES,
        {"contains": "b"},
        {"contains": {"text": "a", "ignore_case": False}},
        {"regex": "b"},
        {"regex": {"pattern": "a+", "ignore_case": True}},
        {"number": 0.1},
        {"number": {"relative": 0.1}},
        {"language": "de"},
        {"repetition": 4},
        {"exact": {"strict": True}},
        {"json": {"schema": {"type": "array"}}},
    ]
    versions = [make_scorer(entry).version for entry in entries]
    assert len(set(versions)) == len(entries)
    assert versions == [make_scorer(entry).version for entry in entries]
    assert make_scorer({"contains": {"text": "a", "name": "has_a"}}).version == versions[14]
    assert make_scorer({"contains": {"text": "a", "name": "has_a"}}).name == "has_a"
    assert make_scorer({"number": 1}).version == make_scorer({"number": 1.0}).version
    assert make_scorer({"number": None}).version == make_scorer("number").version


@pytest.mark.parametrize(
    ("entry", "error", "said"),
    [
        ("wrods", UnknownNameError, "unknown scorer 'wrods'. Did you mean 'words'"),
        ({"number": {"tolerence": 1}}, FileError, "Did you mean 'tolerance'"),
        ({"number": -1}, FileError, "tolerance: Input should be greater"),
        ({"number": "0.1"}, FileError, "tolerance has to be a number."),
        ({"number": True}, FileError, "tolerance has to be a number."),
        ({"words": 3}, FileError, "words takes no value"),
        ({"contains": 3}, FileError, "text has to be text."),
        ({"contains": " "}, UsageError, "the text is empty"),
        ({"regex": "("}, UsageError, "is no regular expression"),
        ("regex", FileError, "pattern is missing. Write `pattern`"),
        ({"words": {}, "exact": {}}, FileError, "one per entry"),
        (7, FileError, "7 is not a scorer"),
        ({"python": "graders:own"}, UsageError, "allow_code: true"),
        ({"json": {"shema": {}}}, FileError, "Did you mean 'schema'"),
        ("code_runs", UsageError, "allow_code: true"),
    ],
)
def test_a_wrong_entry_is_refused(entry: Any, error: type[UsageError], said: str) -> None:
    """Before anything is paid for, and with the nearest right word."""
    with pytest.raises(error) as refused:
        make_scorer(entry, where="experiments/x.yaml:7")
    assert said in str(refused.value)
    if error is not UsageError:
        assert "experiments/x.yaml:7" in str(refused.value)


def test_two_columns_of_one_name_are_refused() -> None:
    entries: list[Any] = [{"contains": "a"}, {"contains": "b"}]
    with pytest.raises(FileError, match="two scorers are called 'contains'"):
        make_scorers(entries)
    made = make_scorers([entries[0], {"contains": {"text": "b", "name": "has_b"}}, "words"])
    assert [scorer.name for scorer in made] == ["contains", "has_b", "words"]
    assert set(SCORER_NAMES) >= {"words", "code_runs", "python", "similarity"}


def test_an_interrupt_is_not_a_score() -> None:
    """Ctrl-C stops the program, not one row of it."""

    def interrupted(answered: ScorerInput) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_scorer(measure(interrupted, "interrupted/1", unit="x"), ScorerInput("?", "x"))


def test_reasons_are_safe_to_store_and_show() -> None:
    """One line, no lone surrogates, no escape sequences, and not a novel."""

    def rude(answered: ScorerInput) -> float:
        raise ValueError("\ud800\n\x1b[2J" + "x" * 10_000)

    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def unprintable(answered: ScorerInput) -> float:
        raise UnprintableError

    reason = str(apply_scorer(measure(rude, "rude/1", unit="x"), ScorerInput("?", "x")).reason)
    reason.encode()
    assert len(reason) <= 300
    assert not set(reason) & {"\n", "\x1b"}
    got = apply_scorer(measure(unprintable, "unprintable/1", unit="x"), ScorerInput("?", "x"))
    assert got == Score(None, "UnprintableError")


def test_what_is_graded_has_a_digest_of_all_that_is_seen() -> None:
    """A changed reference is another score, though the answer is the same."""
    parts: list[ScorerInput] = [
        ScorerInput("q", "a"),
        ScorerInput("q", "a", "r"),
        ScorerInput("q", "b"),
        ScorerInput("p", "a"),
        ScorerInput("q", "a", None, {"x": 1}),
    ]
    assert len({each.digest for each in parts}) == len(parts)
    assert ScorerInput("q", "a").digest == parts[0].digest


def test_a_scorer_needs_no_base_class() -> None:
    """Name, unit, direction, kind, version and one method are enough."""

    class Shouting:
        name, unit, version = "shouting", "share", "1"
        direction, kind = "lower", "binary"

        def score(self, answered: ScorerInput) -> float:
            if not answered.answer:
                raise UnscorableError("nothing said")
            return ScoredValue(answered.answer.isupper(), "all capitals")

    assert apply_scorer(Shouting(), ScorerInput("?", "HEY")) == Score(1.0, None, "all capitals")  # type: ignore[arg-type]
    assert apply_scorer(Shouting(), ScorerInput("?", "")) == Score(None, "nothing said")  # type: ignore[arg-type]
    assert isinstance(make_scorer("words"), FunctionScorer)
