"""Scores of single answers, as tests ask for them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from assistants.scoring import Score, ScorerInput, apply_scorer, make_scorer

ANY = st.text(st.characters(), max_size=200)  # lone surrogates, NUL and bidi marks included
BUSY = st.text(st.sampled_from("aA b.B)(\n`*#1,-=/{}[]\"'日ё"), max_size=80)


def score(entry: Any, answer: str, reference: str | None = None) -> Score:
    """What a scorer, as an experiment file names it, says of an answer."""
    return apply_scorer(make_scorer(entry), ScorerInput("?", answer, reference))


def value(entry: Any, answer: str, reference: str | None = None) -> float | None:
    """The number alone."""
    return score(entry, answer, reference).value
