"""A user's own function as a scorer."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistants.errors import UsageError
from assistants.scoring import Score, ScorerInput, apply_scorer, make_scorer

GRADERS = """
from assistants.scoring import UnscorableError

def polite(answered):
    return "please" in answered.answer

polite.direction = "higher"
polite.kind = "binary"
polite.unit = "share"

def raising(answered):
    raise KeyError("oops")

def leaving(answered):
    raise SystemExit(2)

def silent(answered):
    return None

def infinite(answered):
    return float("inf")

def nan(answered):
    return float("nan")

def text(answered):
    return "0.5"

def half(answered):
    return 0.5
half.kind = "binary"

def declines(answered):
    raise UnscorableError("not mine")
"""


def test_a_users_own_function(tmp_path: Path) -> None:
    """Loaded from a file beside the experiment or in a folder of them, with what it says it is."""
    (tmp_path / "graders").mkdir()
    (tmp_path / "graders" / "tone.py").write_text(GRADERS)
    for spec in ("graders/tone.py:polite", "graders.tone:polite"):
        made = make_scorer({"python": spec}, allow_code=True, folder=tmp_path)
        assert (made.name, made.direction, made.kind) == ("polite", "higher", "binary")
        assert apply_scorer(made, ScorerInput("?", "Yes please")) == Score(1.0)
    given = {"function": spec, "direction": "lower", "name": "manners"}
    other = make_scorer({"python": given}, allow_code=True, folder=tmp_path)
    assert (other.name, other.direction, other.version) == ("manners", "lower", made.version)
    assert (
        apply_scorer(
            make_scorer({"python": "math:sqrt"}, allow_code=True), ScorerInput("?", "")
        ).value
        is None
    )
    (tmp_path / "graders" / "tone.py").write_text(GRADERS + "\n# changed")
    assert make_scorer({"python": spec}, allow_code=True, folder=tmp_path).version != made.version


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("raising", "KeyError: 'oops'"),
        ("leaving", "SystemExit: 2"),
        ("silent", "TypeError"),
        ("infinite", "returned inf"),
        ("nan", "returned nan"),
        ("text", "returned the text '0.5'"),
        ("half", "a binary score is 0 or 1"),
        ("declines", "not mine"),
        ("absent", "there is no function 'absent'"),
    ],
)
def test_a_broken_function_fails_its_scores(tmp_path: Path, function: str, reason: str) -> None:
    """With the reason, for every row, and without stopping anything."""
    (tmp_path / "graders.py").write_text(GRADERS)
    made = make_scorer({"python": f"graders:{function}"}, allow_code=True, folder=tmp_path)
    got = apply_scorer(made, ScorerInput("?", "x"))
    assert got.value is None
    assert reason in str(got.reason)


def test_a_file_that_cannot_be_loaded_fails_its_scores(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    for spec, reason in {
        "bad:f": "ZeroDivisionError",
        "gone.py:f": "there is no file gone.py",
        "no_such_module_here:f": "ModuleNotFoundError",
        "../outside.py:f": "there is no file",
    }.items():
        got = apply_scorer(
            make_scorer({"python": spec}, allow_code=True, folder=tmp_path), ScorerInput("?", "x")
        )
        assert reason in str(got.reason), got


def test_no_code_runs_without_consent(tmp_path: Path) -> None:
    """The file is not even loaded; the error says what to read and what to write."""
    (tmp_path / "graders.py").write_text("open('ran', 'w')\ndef grade(seen): return 1\n")
    with pytest.raises(UsageError, match=r"graders:grade.*allow_code: true"):
        make_scorer({"python": "graders:grade"}, folder=tmp_path)
    assert not (tmp_path / "ran").exists()
    assert not Path("ran").exists()


def test_a_function_has_a_module(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="module:function"):
        make_scorer({"python": "nothing"}, allow_code=True, folder=tmp_path)
