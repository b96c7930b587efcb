"""Raters against each other: more than chance, or not, or not known."""

from __future__ import annotations

import sys

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.analysis.agreement import COLUMNS, agreement, alpha_of, tally
from assistants.errors import MissingDependencyError

SIDES = ("left", "right", "tie", "both bad")
PAIRS = [("a", "b"), ("a", "c"), ("b", "c")]

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", sections B and C; 0 is missing.
TWO_OBSERVERS = [
    [1, 1, 2, 2, 4, 3, 3, 3, 5, 4, 4, 1],
    [2, 1, 2, 2, 2, 3, 3, 3, 5, 4, 4, 4],
]
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def votes_of(raters: dict[str, list[str | None]], *, judges: tuple[str, ...] = ()) -> pd.DataFrame:
    """One verdict a comparison and rater; three comparisons make a case."""
    return pd.DataFrame(
        [
            {
                "case": f"c{i // 3:03}", "model": "m", "repeat": 0, "left": PAIRS[i % 3][0],
                "right": PAIRS[i % 3][1], "winner": said, "rater": rater,
                "kind": "judge" if rater in judges else "person",
            }
            for rater, verdicts in raters.items()
            for i, said in enumerate(verdicts)
        ]
    )  # fmt: skip


def noisy(seed: int, raters: tuple[str, ...], size: int, same: float) -> dict[str, list[str]]:
    """Verdicts that are the truth's with chance ``same``, and otherwise any of three."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(3, size=size)
    return {
        rater: [
            SIDES[v]
            for v in np.where(
                generator.random(size) < same, truth, generator.integers(3, size=size)
            )
        ]
        for rater in raters
    }


def mirrored(votes: pd.DataFrame) -> float:
    """Return the alpha of evalica, with each comparison entered both ways round."""
    table = votes.pivot(index=["case", "left", "right"], columns="rater", values="winner")
    turned = table.replace({"left": "right", "right": "left"})
    return float(evalica.alpha(pd.concat([table, turned]).T, distance="nominal").alpha)


@pytest.mark.parametrize(
    ("observers", "published"), [(TWO_OBSERVERS, 0.692), (FOUR_OBSERVERS, 0.743)]
)
def test_krippendorffs_own_examples(observers: list[list[int]], published: float) -> None:
    """The nominal alphas that he computes by hand, and those of evalica to 1e-9."""
    verdicts = np.array(observers, dtype=float).T - 1
    verdicts[verdicts < 0] = np.nan
    verdicts = verdicts[(~np.isnan(verdicts)).sum(axis=1) > 1]
    ours = float(alpha_of(tally(verdicts, 5).sum(axis=0)))
    assert ours == pytest.approx(published, abs=5e-4)
    theirs = evalica.alpha(pd.DataFrame(verdicts.T), distance="nominal").alpha
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_a_row_for_people_judges_both_and_each_pair() -> None:
    """With the numbers of evalica, to 1e-9."""
    raters = noisy(0, ("ann", "bob", "gpt"), 60, 0.7)
    raters["bob"][40:] = [None] * 20  # type: ignore[assignment, list-item]
    votes = votes_of(raters, judges=("gpt",))
    table = agreement(votes).set_index("who")
    assert tuple(table.reset_index().columns) == COLUMNS
    assert list(table.index) == [
        "people", "judges", "people and judges", "ann and bob", "ann and gpt", "bob and gpt",
    ]  # fmt: skip
    assert table["comparisons"].tolist() == [40, 0, 60, 40, 60, 40]
    for who, names in [
        ("people", ["ann", "bob"]), ("people and judges", ["ann", "bob", "gpt"]),
        ("ann and gpt", ["ann", "gpt"]),
    ]:  # fmt: skip
        expected = mirrored(votes[votes["rater"].isin(names)])
        assert table["alpha"][who] == pytest.approx(expected, abs=1e-9)
    share = np.mean([a == b for a, b in zip(raters["ann"], raters["gpt"], strict=True)])
    assert table["agree"]["ann and gpt"] == pytest.approx(share)
    assert "nobody to agree with" in table["note"]["judges"]
    assert np.isnan(table["alpha"]["judges"])


@settings(max_examples=25, deadline=None)
@given(st.permutations(["a", "b", "c"]))
def test_renaming_personas_changes_nothing(names: list[str]) -> None:
    """Which persona is first is a matter of spelling, and no agreement."""
    votes = votes_of(noisy(1, ("ann", "bob"), 30, 0.5))
    new = dict(zip("abc", names, strict=True))
    renamed = votes.assign(left=votes["left"].map(new), right=votes["right"].map(new))
    numbers = ["comparisons", "agree", "alpha", "low", "high"]
    pd.testing.assert_frame_equal(agreement(votes)[numbers], agreement(renamed)[numbers])


def test_raters_at_random_agree_by_chance() -> None:
    """Their alpha is about 0 whatever they prefer, and its interval holds 0 in 95 of 100."""
    found = pd.concat(
        [agreement(votes_of(noisy(s, ("ann", "bob"), 90, 0.0)))[:1] for s in range(50)]
    )
    assert found["alpha"].mean() == pytest.approx(0, abs=0.03)
    held = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert held >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(found))


def test_a_judge_that_contradicts_itself_says_tie() -> None:
    """Both orders are one verdict, here as in the ranking."""
    votes = votes_of(noisy(2, ("ann", "gpt"), 30, 1.0), judges=("gpt",))
    judge = votes["rater"] == "gpt"
    other = votes[judge].rename(columns={"left": "right", "right": "left"})
    table = agreement(pd.concat([votes, other])).set_index("who")
    ties = (votes.loc[judge, "winner"] == "tie").mean()
    assert table["agree"]["ann and gpt"] == pytest.approx(ties)


def test_where_nobody_varies_alpha_is_not_defined() -> None:
    """All say tie: they agree on everything, and that says nothing."""
    row = agreement(votes_of({"ann": ["tie"] * 9, "bob": ["tie"] * 9})).iloc[0]
    assert row["agree"] == 1
    assert row[["alpha", "low", "high"]].isna().all()
    assert "not defined" in row["note"]


def test_little_is_called_little() -> None:
    """Few comparisons, one case, none shared, none at all."""
    few = agreement(votes_of(noisy(3, ("ann", "bob"), 3, 0.5))).iloc[0]
    assert np.isnan(few["low"])
    assert "too few for an interval" in few["note"]
    assert "Only 3 comparisons." in few["note"]
    apart = votes_of({"ann": ["left"] * 3 + [None] * 3, "bob": [None] * 3 + ["left"] * 3})
    table = agreement(apart)
    assert list(table["who"]) == ["people"]
    assert "No comparison was judged by two" in table["note"][0]
    assert agreement(apart[:0]).empty


def test_the_seed_decides_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same table; without evalica there is none, and what to install."""
    votes = votes_of(noisy(4, ("ann", "bob"), 60, 0.5))
    pd.testing.assert_frame_equal(agreement(votes, seed=1), agreement(votes, seed=1))
    assert agreement(votes, seed=1)["low"][0] != agreement(votes, seed=2)["low"][0]
    monkeypatch.setitem(sys.modules, "evalica", None)
    with pytest.raises(MissingDependencyError, match=r"assistants\[analysis\]"):
        agreement(votes)
