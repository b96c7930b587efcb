"""Votes, the side they were cast for, and the order of personas that follows from them."""

from __future__ import annotations

import sys

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.analysis.paired import wilson
from assistants.analysis.pairwise_votes import BIAS, COMBINED, combine_orders, position_bias
from assistants.analysis.ranking import COLUMNS, ranking, strength, strengths
from assistants.errors import MissingDependencyError, UsageError


def vote(left: str, right: str, winner: str | None, case: object = 0, **more: object) -> dict:
    known = {"model": "m", "repeat": 0, "rater": "judge", "kind": "judge"}
    return {"case": str(case), "left": left, "right": right, "winner": winner} | known | more


def judged(
    seed: int, strengths: dict[str, float], cases: int, *, bias: float = 0.0, both: bool = True
) -> pd.DataFrame:
    """Return votes of a judge that takes the left answer unread in a share ``bias`` of its votes.

    In one order only, the name that is first in ``strengths`` is always on the left.
    """
    generator = np.random.default_rng(seed)
    names = list(strengths)
    rows = []
    for case in range(cases):
        for i, one in enumerate(names):
            for other in names[i + 1 :]:
                for left, right in [(one, other), (other, one)][: 1 + both]:
                    chance = strengths[left] / (strengths[left] + strengths[right])
                    blind = generator.random() < bias
                    won = blind or generator.random() < chance
                    rows.append(vote(left, right, "left" if won else "right", case))
    return pd.DataFrame(rows)


def test_both_orders_become_one_comparison() -> None:
    """The same verdict counts; two verdicts are a tie, and are reported as such."""
    votes = pd.DataFrame(
        [
            vote("b", "a", "left", 0), vote("a", "b", "right", 0),
            vote("a", "b", "left", 1), vote("b", "a", "left", 1),
            vote("b", "a", "right", 2),
            vote("a", "b", "both bad", 3), vote("b", "a", "both bad", 3),
            vote("a", "b", "left", 4), vote("b", "a", None, 4),
            vote("a", "b", "tie", 5), vote("b", "a", "both bad", 5),
        ]
    )  # fmt: skip
    table = combine_orders(votes)
    assert tuple(table.columns) == COMBINED
    assert list(table["winner"]) == ["second", "tie", "first", "both bad", "first", "tie"]
    assert list(table["orders"]) == [2, 2, 1, 2, 1, 2]
    assert table["agree"].isna().tolist() == [False, False, True, False, True, False]
    assert table["agree"].dropna().tolist() == [True, False, True, False]
    assert set(table["first"]) == {"a"}


def test_the_order_of_votes_changes_nothing() -> None:
    """Shuffled votes give the same comparisons and the same ranking."""
    votes = judged(0, {"a": 1, "b": 2, "c": 3}, 12, bias=0.2)
    mixed = votes.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(combine_orders(votes), combine_orders(mixed))
    pd.testing.assert_frame_equal(ranking(votes), ranking(mixed))


@pytest.mark.parametrize("bias", [0.0, 0.3, 0.6])
def test_the_bias_is_reported(bias: float) -> None:
    """A judge that takes the left in a share b of its votes chose it in b + (1 - b) / 2."""
    row = position_bias(judged(1, {"a": 1, "b": 1, "c": 3}, 400, bias=bias)).iloc[0]
    truth = bias + (1 - bias) / 2
    assert row["left"] == pytest.approx(truth, abs=0.03)
    assert row["low"] - 0.01 <= truth <= row["high"] + 0.01
    assert ("Prefers the left" in row["note"]) == (bias > 0)
    assert (row["comparisons"], row["asked_both_ways"]) == (1200, 1200)


def test_both_orders_cancel_the_bias() -> None:
    """Two equal personas: asked in one order the left one wins, asked in both neither does."""
    equal = {"a": 1.0, "b": 1.0}
    one = ranking(judged(2, equal, 400, bias=0.5, both=False)).set_index("persona")
    assert one["low"]["a"] > 0.7
    both = ranking(judged(2, equal, 400, bias=0.5)).set_index("persona")
    assert both["low"]["a"] < 0.5 < both["high"]["a"]
    assert both["strength"]["a"] == pytest.approx(0.5, abs=0.03)
    better = ranking(judged(3, {"a": 1.0, "b": 3.0}, 400, bias=0.5))
    assert list(better["persona"]) == ["b", "a"]
    assert better["low"][0] > 0.5


def test_a_bias_of_one_order_is_said_to_be_no_proof() -> None:
    """Side and persona cannot be told apart there."""
    table = position_bias(judged(2, {"a": 1, "b": 9}, 50, both=False))
    assert tuple(table.columns) == BIAS
    assert "in one order only" in table["note"][0]
    assert np.isnan(table["agree"][0])
    ties = position_bias(pd.DataFrame([vote("a", "b", "tie")]))
    assert ties[["left", "low", "high"]].isna().all(axis=None)
    assert "nothing is known of a bias" in ties["note"][0]


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_interval_is_wilsons(one: int, other: int) -> None:
    """As statsmodels computes it."""
    from statsmodels.stats.proportion import proportion_confint

    hits, tries = min(one, other), max(one, other)
    if tries == 0:
        assert np.isnan(wilson(np.array(np.nan), np.array(0.0))).all()
        return
    assert wilson(np.array(hits / tries), np.array(float(tries))) == pytest.approx(
        proportion_confint(hits, tries, method="wilson"), abs=1e-9
    )


def test_strengths_are_those_of_evalica() -> None:
    """To 1e-9: ties count half, and both bad is a tie."""
    generator = np.random.default_rng(4)
    said = ["left", "right", "tie", "both bad"]
    rows = [
        vote(f"p{i}", f"p{j}", said[generator.integers(4)], case)
        for case in range(40)
        for i in range(5)
        for j in range(i + 1, 5)
    ]
    table = ranking(pd.DataFrame(rows)).set_index("persona")
    winner = {"left": evalica.Winner.X, "right": evalica.Winner.Y}
    direct = evalica.bradley_terry(
        [r["left"] for r in rows],
        [r["right"] for r in rows],
        [winner.get(r["winner"], evalica.Winner.Draw) for r in rows],
        tolerance=1e-12,
        limit=10_000,
    ).scores
    chances = evalica.pairwise_frame(direct)
    for name in table.index:
        others = [other for other in table.index if other != name]
        expected = chances.loc[name, others].mean()
        assert table["strength"][name] == pytest.approx(expected, abs=1e-9)
    assert table["rank"].sort_values().tolist() == [1, 2, 3, 4, 5]
    assert list(table.index) == direct.sort_values(ascending=False).index.tolist()


def test_resamples_are_fitted_as_the_whole_is() -> None:
    """Many at once, and each as evalica does, unbounded ones too."""
    wins = np.random.default_rng(5).poisson(0.8, size=(60, 4, 4)) * (1 - np.eye(4))
    wins[:, 0, 1:] += 0.5
    many = strengths(wins)
    for one, ours in zip(wins, many, strict=True):
        assert ours == pytest.approx(strength(one), abs=1e-7)


def test_a_row_a_persona_with_its_counts() -> None:
    """What was bad on both sides has a column of its own."""
    votes = [vote("a", "b", w, i) for i, w in enumerate(["left", "left", "tie", "both bad"])]
    table = ranking(pd.DataFrame([*votes, vote("a", "b", "right", 9)])).set_index("persona")
    assert tuple(table.reset_index().columns) == COLUMNS
    counts = table[["comparisons", "wins", "losses", "ties", "both_bad"]]
    assert counts.loc["a"].tolist() == [5, 2, 1, 1, 1]
    assert counts.loc["b"].tolist() == [5, 1, 2, 1, 1]
    assert table["strength"]["a"] == pytest.approx(0.6)
    assert "Only 5 comparisons." in table["note"]["a"]
    assert "both were bad" in table["note"]["a"]


def test_intervals_hold_the_truth() -> None:
    """Cases differ in which persona they suit: 95 of 100 intervals cover, within 3 errors."""
    hits = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        rows = []
        for case, chance in enumerate(generator.choice([0.3, 0.9], size=60)):
            for rater in range(5):
                won = "left" if generator.random() < chance else "right"
                rows.append(vote("a", "b", won, case, rater=f"r{rater}"))
        row = ranking(pd.DataFrame(rows), seed=seed).set_index("persona").loc["a"]
        hits += row["low"] <= 0.6 <= row["high"]
    assert hits >= 57 - 3 * np.sqrt(57 * 0.05)


def test_personas_never_compared_have_no_rank() -> None:
    """Two groups without a comparison between them: a statement, not a number."""
    votes = pd.concat(
        [judged(0, {"a": 1, "b": 2}, 9), judged(0, {"c": 1, "d": 2}, 9)], ignore_index=True
    )
    table = ranking(votes)
    assert table[["rank", "strength", "low", "high"]].isna().all(axis=None)
    assert "Never compared with c, d" in table["note"][0]
    linked = ranking(pd.concat([votes, judged(0, {"b": 1, "c": 1}, 9)], ignore_index=True))
    assert linked["rank"].notna().all()


def test_winning_always_is_no_certainty() -> None:
    """A strength without a bound gets no interval, and the made-up ties are said aloud."""
    votes = judged(0, {"a": 1, "b": 2}, 9)
    votes = pd.concat([votes, judged(0, {"star": 1e12, "a": 1}, 5)], ignore_index=True)
    table = ranking(votes).set_index("persona")
    assert table["rank"]["star"] == 1
    assert table["strength"]["star"] < 1
    assert table.loc["star", ["low", "high"]].isna().all()
    assert "Won every comparison" in table["note"]["star"]
    assert "made-up tie" in table["note"]["b"]


@pytest.mark.parametrize("cases", [1, 4])
def test_few_cases_have_no_interval(cases: int) -> None:
    """A handful of cases says nothing of how cases differ; and no votes have no rows."""
    votes = judged(0, {"a": 1, "b": 1, "c": 1}, cases)
    assert ranking(votes)[["low", "high"]].isna().all(axis=None)
    assert ranking(votes[:0]).empty
    assert position_bias(votes[:0]).empty
    assert "too few for an interval" in ranking(votes)["note"][0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_chances_against_each_other_add_up(seed: int, size: int) -> None:
    """What one wins another loses: strengths average one half."""
    names = {f"p{i}": 1.0 + i for i in range(size)}
    table = ranking(judged(seed, names, 3))
    assert table["strength"].mean() == pytest.approx(0.5)
    assert table["wins"].sum() == table["losses"].sum()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"winner": "lefty"}, "Unknown winner 'lefty'. Did you mean 'left'"),
        ({"kind": "robot"}, "Unknown kind"),
        ({"right": "a"}, "with itself"),
        ({"rater": None}, "has no rater"),
    ],
)
def test_votes_that_mean_nothing_are_refused(change: dict, said: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(UsageError, match=said):
        combine_orders(pd.DataFrame([vote("a", "b", "left") | change]))


def test_the_same_vote_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a table without a column, a rater of two kinds, and a missing library."""
    row = vote("a", "b", "left")
    with pytest.raises(UsageError, match="voted twice"):
        combine_orders(pd.DataFrame([row, row]))
    with pytest.raises(UsageError, match="no column 'winner'"):
        ranking(pd.DataFrame([row]).drop(columns="winner"))
    with pytest.raises(UsageError, match="a person and a judge"):
        ranking(pd.DataFrame([row, row | {"kind": "person", "case": "9"}]))
    monkeypatch.setitem(sys.modules, "evalica", None)
    with pytest.raises(MissingDependencyError, match=r"assistants\[analysis\]"):
        ranking(pd.DataFrame([row]))
