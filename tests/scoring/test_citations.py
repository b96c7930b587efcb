"""The scorer of citations."""

from __future__ import annotations

import pytest

from assistants.messages import TechniqueRecord
from assistants.scoring import ScorerInput, apply_scorer, make_scorer

GIVEN = TechniqueRecord(
    "knowledge", {"passages": [{"source": "a.md", "line": 1}, {"source": "b.pdf", "line": 9}]}
)


@pytest.mark.parametrize(
    ("answer", "source", "value", "detail"),
    [
        ("Yes [1].", None, 1.0, "cites a.md"),
        ("Yes [1][2].", "b.pdf, page 3", 1.0, "cites a.md, b.pdf"),
        ("Yes [2].", "a.md:1", 0.0, "cites b.pdf, not a.md"),
        ("Yes [1][3].", "a.md", 0.0, "cites [3], which was not given"),
        ("Yes.", "a.md", 0.0, "cites nothing"),
    ],
)
def test_an_answer_cites_what_it_was_given(
    answer: str, source: str | None, value: float, detail: str
) -> None:
    """The right source where the case says one, and no number that was made up."""
    seen = ScorerInput("Why?", answer, knowledge=GIVEN, source=source)
    score = apply_scorer(make_scorer("cites_sources"), seen)
    assert (score.value, score.detail) == (value, detail)


def test_without_passages_there_is_no_score() -> None:
    """An assistant without knowledge is not graded as if it had hidden its sources."""
    score = apply_scorer(make_scorer("cites_sources"), ScorerInput("Why?", "Yes [1]."))
    assert (score.value, score.reason) == (None, "no passages were given")


def test_scores_of_inputs_without_knowledge_are_found_again() -> None:
    """A digest of what a scorer saw before there was knowledge stays equal."""
    assert ScorerInput("q", "a").digest == "ec4beb59caa37419372f554c34b2e1c0"
    digests = {
        ScorerInput("q", "a").digest,
        ScorerInput("q", "a", knowledge=GIVEN).digest,
        ScorerInput("q", "a", source="a.md").digest,
    }
    assert len(digests) == 3
