"""Text distance: an excess over what repeats differ, and no more than that."""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.analysis.text_distance import COLUMNS, MOVED, NOT_MOVED, text_distance
from assistants.analysis.text_vectors import distances, tfidf
from assistants.errors import MissingDependencyError, UnknownNameError, UsageError

WORDS = np.array([f"word{i}" for i in range(300)])


def trials(
    personas: int, cases: int, repeats: int, model: str = "m"
) -> tuple[pd.DataFrame, tuple[np.ndarray, ...]]:
    """Return a table without answers, and the number of each row's persona, case and repeat."""
    places = tuple(axis.ravel() for axis in np.indices((personas, cases, repeats)))
    names = np.array(["none", *(f"p{i}" for i in range(1, personas))], dtype=object)
    table = pd.DataFrame(
        {
            "persona": names[places[0]],
            "model": model,
            "case": [f"c{i:03}" for i in places[1]],
            "repeat": places[2],
            "answer": "said",
        }
    )
    return table, places


def embedded(
    seed: int, personas: int, cases: int, repeats: int, shift: float = 0.0
) -> tuple[pd.DataFrame, np.ndarray]:
    """Vectors that vary with the case and by chance; persona ``i`` moves them by ``i * shift``."""
    generator = np.random.default_rng(seed)
    table, (persona, case, _) = trials(personas, cases, repeats)
    vectors = 3 * generator.normal(size=(cases, 6))[case] + generator.normal(size=(len(table), 6))
    vectors[:, 0] += shift * persona
    return table, vectors


def spoken(seed: int, personas: int, cases: int, repeats: int, moved: int = 0) -> pd.DataFrame:
    """Answers of 40 words, half of them the case's own; a persona sets ``moved`` of them."""
    generator = np.random.default_rng(seed)
    table, (persona, case, _) = trials(personas, cases, repeats)
    own = generator.integers(len(WORDS), size=(cases, 40))
    said = np.where(
        generator.random((len(table), 40)) < 0.5,
        own[case],
        generator.integers(len(WORDS), size=(len(table), 40)),
    )
    said[persona > 0, :moved] = np.arange(moved)
    return table.assign(answer=[" ".join(WORDS[row]) for row in said])


def test_a_persona_that_speaks_otherwise_is_found() -> None:
    """Its answers lie further from the baseline's than repeats from one another."""
    table = text_distance(spoken(0, 3, 15, 3, moved=8), baseline="none")
    assert tuple(table.columns) == COLUMNS
    assert list(table["persona"]) == ["p1", "p2"]
    assert (table["verdict"] == MOVED).all()
    assert (table["low"] > 0).all()
    assert table["excess"].to_numpy() == pytest.approx(table["distance"] - table["noise"])
    assert table["distance"].between(0, 1).all()
    assert list(table["n_trials"]) == [45, 45]


def test_one_that_does_not_is_told_apart_from_noise() -> None:
    """Many cases without a change: it is said that there is none, and the excess is about 0."""
    row = text_distance(spoken(1, 2, 60, 3), baseline="none").iloc[0]
    assert row["verdict"] == NOT_MOVED
    assert row["distance"] > 0.3
    assert row["low"] < 0 < row["high"]


def test_false_alarms_are_as_rare_as_promised() -> None:
    """No change: 1 in 20 p below 0.05 in 200 experiments (within 3 errors), and no bias."""
    rows = []
    for seed in range(200):
        frame, vectors = embedded(seed, 2, 8, 3)
        rows.append(text_distance(frame, baseline="none", vectors=vectors, seed=seed).iloc[0])
    table = pd.DataFrame(rows)
    assert (table["p"] <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(table))
    assert (table["p"] <= 0.5).mean() == pytest.approx(0.5, abs=0.11)
    assert abs(table["excess"].mean()) < 3 * table["excess"].std() / np.sqrt(len(table))
    covered = (table["low"] <= 0) & (table["high"] >= 0)
    assert covered.mean() == pytest.approx(0.95, abs=0.05)


def test_real_changes_are_found() -> None:
    """And the same experiments find a change as large as the cases differ, nearly always."""
    found = 0
    for seed in range(30):
        frame, vectors = embedded(seed, 2, 8, 3, shift=3.0)
        found += text_distance(frame, baseline="none", vectors=vectors)["p"][0] <= 0.05
    assert found > 24


def test_repeats_taken_for_cases_would_not_fool_it() -> None:
    """Distance without its noise would call every persona a change: noise is what is taken off."""
    frame, vectors = embedded(3, 2, 40, 3)
    row = text_distance(frame, baseline="none", vectors=vectors).iloc[0]
    assert row["distance"] > 0.05
    assert row["noise"] == pytest.approx(row["distance"], rel=0.1)


def test_the_p_of_few_cases_counts_every_exchange() -> None:
    """Two cases, two repeats: 3 ways each, listed here one by one."""
    frame, vectors = embedded(4, 2, 2, 2, shift=2.0)
    unit = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    sums = []
    for case in ("c000", "c001"):
        rows = np.flatnonzero(frame["case"] == case)
        found = []
        for first in combinations(rows, 2):
            second = [i for i in rows if i not in first]
            one, other = unit[list(first)], unit[second]
            within = (2 - one[0] @ one[1] - other[0] @ other[1]) / 2
            found.append((1 - one @ other.T).mean() - within)
        sums.append(found)
    every = np.add.outer(*sums)
    row = text_distance(frame, baseline="none", vectors=vectors).iloc[0]
    assert row["p"] == pytest.approx((every >= every[0, 0] - 1e-12).mean())
    assert row["excess"] == pytest.approx(every[0, 0] / 2, abs=1e-12)


def test_one_repeat_leaves_the_noise_unknown() -> None:
    """A distance, and no claim about what of it is noise."""
    row = text_distance(spoken(0, 2, 30, 1, moved=8), baseline="none").iloc[0]
    assert row["distance"] > 0
    assert row[["noise", "excess", "low", "high", "p", "p_adjusted"]].isna().all()
    assert row["verdict"].startswith("too little data to tell: ")
    assert "one draw a case" in row["note"]


def test_one_case_has_a_p_and_no_interval() -> None:
    """Repeats of one case can be exchanged; nothing is known of other cases."""
    frame, vectors = embedded(0, 2, 1, 6, shift=4.0)
    row = text_distance(frame, baseline="none", vectors=vectors).iloc[0]
    assert row["p"] == pytest.approx(1 / 462)
    assert row[["low", "high"]].isna().all()
    assert "Only one case" in row["note"]


def test_equal_answers_are_no_certainty() -> None:
    """Temperature 0: the same answers from all, or from each persona its own, is said."""
    frame, _ = trials(2, 12, 3)
    row = text_distance(frame, baseline="none").iloc[0]
    assert row["distance"] == row["noise"] == row["excess"] == 0
    assert row["p"] == 1
    assert row["verdict"].startswith("too little data to tell")
    assert "no certainty" in row["note"]
    frame["answer"] = frame["persona"] + " " + frame["case"]
    row = text_distance(frame, baseline="none").iloc[0]
    assert (row["noise"], row["verdict"]) == (0, MOVED)
    assert "Repeats were the same each time" in row["note"]


def test_missing_answers_are_left_out_and_said() -> None:
    """A case without two answers on both sides does not count; its vector may be anything."""
    frame, vectors = embedded(5, 3, 12, 3, shift=0.5)
    lost = (frame["case"] == "c004") & (frame["persona"] == "p1") & (frame["repeat"] > 0)
    gone = frame.assign(answer=frame["answer"].mask(lost))
    vectors[lost] = np.nan
    table = text_distance(gone, baseline="none", vectors=vectors)
    assert list(table["n_cases"]) == [11, 12]
    assert list(table["n_trials"]) == [34, 36]
    assert "11 of 12 cases" in table["note"][0]
    apart = text_distance(frame[~lost], baseline="none", vectors=vectors[~lost])
    pd.testing.assert_frame_equal(table, apart)


def test_a_model_that_never_met_the_baseline_says_so() -> None:
    """And does not stop the others."""
    frame = spoken(0, 2, 12, 2, moved=8)
    other = frame[frame["persona"] == "p1"].assign(model="other")
    table = text_distance(pd.concat([frame, other]), baseline="none")
    assert list(table["model"]) == ["m", "other"]
    assert "no case has both answers" in table["verdict"][1]
    assert table.loc[1, ["distance", "p"]].isna().all()


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_order_of_rows_changes_nothing(random: object, repeats: int) -> None:
    """Nor does it matter which other personas there are."""
    frame, vectors = embedded(6, 3, 12, repeats, shift=0.3)
    order = list(range(len(frame)))
    random.shuffle(order)  # type: ignore[attr-defined]
    table = text_distance(frame, baseline="none", vectors=vectors).set_index("persona")
    mixed = text_distance(frame.iloc[order], baseline="none", vectors=vectors[order]).set_index(
        "persona"
    )
    pd.testing.assert_frame_equal(mixed.loc[table.index], table, rtol=1e-9, atol=1e-9)
    kept = (frame["persona"] != "p2").to_numpy()
    alone = text_distance(frame[kept], baseline="none", vectors=vectors[kept]).set_index("persona")
    assert alone["p"]["p1"] == pytest.approx(table["p"]["p1"], nan_ok=True)


def test_distances_are_between_words() -> None:
    """Case and marks do not count, any script does, and answers without words equal each other."""
    said = ["The cat sat.", "the CAT sat", "Ein Hund bellt", "猫坐", "猫坐"]
    rows = tfidf(said)
    apart = distances(rows)
    assert apart[0, 1] == apart[3, 4] == 0
    assert apart[0, 2] == pytest.approx(1)
    frame, _ = trials(2, 1, 2)
    row = text_distance(frame.assign(answer=["", "...", "", "word"]), baseline="none").iloc[0]
    assert row["distance"] == pytest.approx(0.5)


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what to do."""
    frame, vectors = embedded(0, 2, 3, 2)
    with pytest.raises(UnknownNameError, match="persona 'noone'"):
        text_distance(frame, baseline="noone")
    with pytest.raises(UsageError, match="12 rows"):
        text_distance(frame, baseline="none", vectors=vectors[1:])
    with pytest.raises(UsageError, match="row 0 is not finite"):
        text_distance(frame, baseline="none", vectors=vectors * np.nan)
    with pytest.raises(UsageError, match="no column 'answer'"):
        text_distance(frame.drop(columns="answer"), baseline="none")
    with pytest.raises(UsageError, match="two values"):
        text_distance(pd.concat([frame, frame]), baseline="none")
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingDependencyError, match=r"assistants\[analysis\]"):
        text_distance(frame, baseline="none")
