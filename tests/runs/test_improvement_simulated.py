"""Worlds whose truth is known: an improvement keeps its promise. More: bench/improve.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from improve import counts

WORLDS = range(15)


@pytest.fixture(autouse=True)
def folder(here: Path) -> None:
    """Work in an empty folder."""


def test_a_sentence_that_helps_is_found_and_its_effect_measured() -> None:
    """The true effect on held-out cases lies in the interval, as often as 95% says."""
    planted = counts(0.3, WORLDS, 200, "edits")
    assert planted.found == len(WORLDS)
    assert planted.within >= 13  # of 15, fewer has a chance of 4 in 100
    assert planted.helped >= 14


def test_where_nothing_matters_nothing_is_claimed() -> None:
    """Whatever looked best on the cases to choose by."""
    flat = counts(0.0, WORLDS, 200, "edits")
    assert flat.helped <= 1
    assert flat.within >= 13 - (len(WORLDS) - len(flat.gains))
