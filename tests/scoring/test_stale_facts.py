"""A corrected fact that comes back in an answer is caught, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, UsageError
from assistants.scoring import make_scorer
from support.scoring import ANY, score, value

MAY = "14 May or May 14, not 12 May or May 12"


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("It is on **14 May**.", MAY, 1),
        ("On May 14th? On May 14.", MAY, 1),
        ("On 12 May, as you said.", MAY, 0),
        ("May 12!", MAY, 0),
        ("It was 12 May, and is now 14 May.", MAY, 1),
        ("On 114 May, or 12 Mayday.", MAY, None),
        ("I do not know.", MAY, None),
        ("", MAY, None),
        ("Anna Maria comes.", "Anna, not Anna Maria", 0),
        ("Anna comes.", "Anna, not Anna Maria", 1),
        ("Anna Maria comes.", "Anna Maria, not Anna", 1),
        ("Anna comes.", "Anna Maria, not Anna", 0),
        ("3.50 euros", "3.50 euros, not 2.50 euros.", 1),
        ("Red; in Rome.", "blue, not red\nRome, not Oslo", 0),
        ("In Rome.", "blue, not red\n\nRome, not Oslo", 1),
        ("会议在五月十四日", "十四日, not 十二日", 1),
        ("会议在五月十二日", "十四日, not 十二日", 0),
        ("14 May", "14 May", None),
        ("14 May", "14 May, not 12 May\nand more", None),
        ("14 May", None, None),
        ("a", "a, not A", None),
    ],
)
def test_facts_of_a_reference(answer: str, reference: str | None, expected: float | None) -> None:
    assert value("stale_facts", answer, reference) == expected


@pytest.mark.parametrize(
    ("entry", "answer", "expected"),
    [
        ({"new": "blue", "old": "red"}, "Red.", 0),
        ({"new": ["blue", "azure"], "old": "red"}, "Azure.", 1),
    ],
)
def test_facts_of_the_settings(entry: dict[str, Any], answer: str, expected: float) -> None:
    got = score({"stale_facts": entry}, answer, "green, not yellow")
    assert got.value == expected
    assert (got.detail or "").startswith("states ")


@pytest.mark.parametrize(
    "entry", [{"new": "blue"}, {"new": "blue", "old": "Blue!"}, {"new": "-", "old": "red"}]
)
def test_settings_that_cannot_work_are_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="stale_facts"):
        make_scorer({"stale_facts": entry})
    with pytest.raises(FileError):
        make_scorer({"stale_facts": "blue"})


@given(ANY, st.none() | ANY)
def test_every_answer_is_corrected_stale_or_neither(answer: str, reference: str | None) -> None:
    assert value("stale_facts", answer, reference) is None
    assert value("stale_facts", f"{answer} zorp", "zorp, not blib") == 1
    assert value("stale_facts", f"{answer} blib", "zorp, not blib") == 0
