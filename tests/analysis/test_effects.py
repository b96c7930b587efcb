"""The effect table says what is known, and says so where nothing is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.analysis.effects import COLUMNS, effects
from assistants.errors import MissingDependencyError, UnknownNameError, UsageError

stats = import_module("scipy.stats")
NUMBERS = [
    "n_cases", "n_trials", "n_missing", "mean", "baseline_mean", "effect", "low", "high", "p",
    "p_adjusted", "size", "noise_floor", "mcnemar_p",
]  # fmt: skip


def scores(values: np.ndarray, model: str = "m", names: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table of ``values[persona, case, repeat]``; persona 0 is ``none``, the baseline."""
    persona, case, repeat = (axis.ravel() for axis in np.indices(values.shape))
    names = names or ["none", *(f"p{i}" for i in range(1, len(values)))]
    return pd.DataFrame(
        {
            "persona": np.array(names, dtype=object)[persona],
            "model": model,
            "case": [f"c{i}" for i in case],
            "repeat": repeat,
            "status": "ok",
            "value": values.ravel().astype(float),
        }
    )


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def one(values: np.ndarray, **more: object) -> pd.Series:
    """Return the only row of the table of one persona."""
    table = effects(scores(values), "words", baseline="none", **more)  # type: ignore[arg-type]
    assert len(table) == 1
    return table.iloc[0]


def same(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Equal but for rounding, whatever the order of the rows."""
    key = ["model", "persona"]
    ours, theirs = (t.sort_values(key).reset_index(drop=True) for t in (ours, theirs))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_row_a_persona_and_model() -> None:
    """These columns in this order; the baseline is what the others are compared with."""
    values = normal(0, 4, 20, 2)
    frame = pd.concat([scores(values, "b"), scores(values[:3], "a")])
    table = effects(frame, "words", baseline="none", unit="words")
    assert tuple(table.columns) == COLUMNS
    assert list(zip(table["model"], table["persona"], strict=True)) == [
        ("b", "p1"), ("b", "p2"), ("b", "p3"), ("a", "p1"), ("a", "p2"),
    ]  # fmt: skip
    assert not table[NUMBERS[:-1]].isna().any().any()
    apart = (table["mean"] - table["baseline_mean"]).to_numpy()
    assert apart == pytest.approx(table["effect"].to_numpy())


def test_the_figures_are_those_of_scipy() -> None:
    """Means, interval and size of the paired t-test over case means."""
    values = normal(1, 2, 30, 3)
    values[1] += 0.4
    row = one(values)
    ours, theirs = values[1].mean(1), values[0].mean(1)
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert row["effect"] == pytest.approx((ours - theirs).mean(), abs=1e-12)
    assert row["size"] == pytest.approx((ours - theirs).mean() / (ours - theirs).std(ddof=1))


def test_holm_counts_every_row_of_the_table() -> None:
    """Two models are two chances of a false alarm."""
    values = normal(2, 2, 40, 1)
    values[1] += 0.45
    alone = effects(scores(values), "words", baseline="none")
    both = pd.concat([scores(values), scores(normal(3, 2, 40, 1), "other")])
    table = effects(both, "words", baseline="none")
    assert table["p"][0] == alone["p"][0]
    assert table["p_adjusted"][0] == pytest.approx(2 * alone["p_adjusted"][0])


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    cases=st.integers(2, 25),
    shift=st.floats(-1e3, 1e3),
    gone=st.floats(0, 0.6),
)
def test_laws(seed: int, cases: int, shift: float, gone: float) -> None:
    """Order is nothing; a shift of all scores is nothing; signs mirror; names are names."""
    generator = np.random.default_rng(seed)
    values = np.round(generator.normal(size=(4, cases, 2)), 1)
    values[generator.random(values.shape) < gone] = np.nan
    table = effects(scores(values), "words", baseline="none")
    shuffled = scores(values).sample(frac=1, random_state=seed)
    same(effects(shuffled, "words", baseline="none"), table)
    moved = effects(scores(values + shift), "words", baseline="none")
    unmoved = [c for c in NUMBERS if c not in ("mean", "baseline_mean")]
    pd.testing.assert_frame_equal(moved[unmoved], table[unmoved], rtol=1e-6, atol=1e-6)
    mirrored = effects(scores(-values), "words", baseline="none")
    for left, right in (("effect", "effect"), ("low", "high"), ("size", "size")):
        expected = pytest.approx(table[right].to_numpy(), abs=1e-9, nan_ok=True)
        assert -mirrored[left].to_numpy() == expected
    assert (mirrored["p"].isna() == table["p"].isna()).all()
    assert (mirrored["p"].dropna() == table["p"].dropna()).all()
    names = ["none", "p3", "p1", "p2"]
    renamed = effects(scores(values, names=names), "words", baseline="none")
    renamed["persona"] = renamed["persona"].map({"p3": "p1", "p1": "p2", "p2": "p3"})
    same(renamed.astype(table.dtypes), table)


def test_swapping_persona_and_baseline_mirrors_the_effect() -> None:
    """A is as much more than B as B is less than A."""
    values = normal(5, 2, 40, 2)
    values[1] += 1
    there = one(values, unit="words")
    back = one(values[::-1], unit="words")
    assert there["effect"] == pytest.approx(-back["effect"])
    assert there["p"] == back["p"]
    assert (there["verdict"], back["verdict"]) == ("more", "less")


def test_no_difference_is_said_with_its_size() -> None:
    """Many cases and no effect: how large a difference is ruled out, and never rounded down."""
    values = normal(6, 2, 400, 1) * 10
    row = one(values, unit="words")
    assert row["verdict"].startswith("no difference larger than ")
    assert row["verdict"].endswith(" words")
    said = float(row["verdict"].split()[-2])
    assert said >= max(abs(row["low"]), abs(row["high"]))
    assert (
        one(values, unit="words", smallest_effect=5)["verdict"]
        == "no difference larger than 5 words"
    )
    assert one(values, unit="words", smallest_effect=0.5)["verdict"] == "too little data to tell"


def test_few_cases_rule_nothing_out() -> None:
    """Nine cases that happen to agree are no proof of no difference."""
    values = normal(7, 2, 9, 1)
    values[1] = values[0] + normal(8, 9, 1) * 1e-3
    assert one(values, smallest_effect=100)["verdict"] == "too little data to tell"


def test_real_and_small() -> None:
    """An effect can be certain and still not matter; the note says which."""
    values = normal(9, 2, 200, 1)
    values[1] = values[0] + 0.1 + values[1] * 0.01
    row = one(values, smallest_effect=5, unit="words")
    assert row["verdict"] == "more"
    assert "smaller than the 5 words that would matter" in row["note"]


@pytest.mark.parametrize("cases", [0, 1])
def test_fewer_than_two_cases(cases: int) -> None:
    """No effect is shown: not 0, but unknown, with the reason."""
    values = normal(1, 2, 3, 2)
    values[1, cases:] = np.nan
    row = one(values)
    unknown = ["effect", "low", "high", "p", "p_adjusted", "size", "cases_needed"]
    assert row[unknown].isna().all()
    assert row["n_cases"] == cases
    assert row["verdict"].startswith("too little data to tell: ")
    assert ("only one case" if cases else "no case") in row["verdict"]
    assert "4 of 6 trials missing" in row["note"] or cases == 0


def test_missing_trials_are_counted_and_cases_paired() -> None:
    """Only cases with a score on both sides; a row that is absent is missing as well."""
    values = normal(2, 2, 20, 2)
    values[1, :2] = np.nan  # two cases gone
    values[1, 5, 0] = np.nan  # one draw gone: its case stays
    values[0, 19] = np.nan
    frame = scores(values)
    frame = frame.drop(index=frame.index[(frame["persona"] == "p1") & (frame["case"] == "c7")])
    row = effects(frame, "words", baseline="none").iloc[0]
    assert (row["n_cases"], row["n_trials"], row["n_missing"]) == (16, 33, 7)
    assert "7 of 40 trials missing, 2 of the baseline's." in row["note"]
    assert "Paired over 16 of 20 cases." in row["note"]
    kept = [i for i in range(20) if i not in (0, 1, 7, 19)]
    ours = np.nanmean(values[1, kept], axis=1)
    assert row["mean"] == pytest.approx(ours.mean())
    assert row["baseline_mean"] == pytest.approx(values[0, kept].mean())


@pytest.mark.parametrize(("ours", "theirs", "who"), [(12, 0, "persona"), (0, 12, "baseline")])
def test_a_warning_where_missingness_differs(ours: int, theirs: int, who: str) -> None:
    """A persona that refuses the hard cases looks better than it is."""
    values = normal(3, 2, 60, 1)
    values[1, :ours] = np.nan
    values[0, :theirs] = np.nan
    assert f"Warning: more is missing of the {who}" in one(values)["note"]


@pytest.mark.parametrize(("cases", "lost"), [(10, 3), (600, 12)])
def test_a_warning_needs_neither_many_trials_nor_a_large_share(cases: int, lost: int) -> None:
    """3 of 10 may be chance and is a lot; 12 of 600 is little and no chance."""
    values = normal(3, 2, cases, 1)
    values[1, :lost] = np.nan
    assert "Warning" in one(values)["note"]


def test_many_personas_can_all_be_real() -> None:
    """600 personas leave room for Holm: there are flips enough for p to fall that far."""
    values = normal(4, 601, 20, 1)
    values[1:] += 9
    assert (effects(scores(values), "words", baseline="none")["verdict"] == "more").all()


def test_no_warning_where_it_does_not() -> None:
    """One lost trial in sixty, or as many on both sides, is reported and no more."""
    values = normal(3, 2, 60, 1)
    values[1, 0] = np.nan
    assert "missing" in one(values)["note"]
    assert "Warning" not in one(values)["note"]
    values[0, 1:9] = values[1, 10:17] = np.nan
    assert "Warning" not in one(values)["note"]


def test_equal_scores_are_no_certainty() -> None:
    """An effect of 0 without an interval, and the verdict says that it says nothing."""
    row = one(np.ones((2, 20, 3)), unit="words")
    assert row["effect"] == 0
    assert row[["low", "high", "size", "cases_needed"]].isna().all()
    assert row["p"] == 1
    assert row["verdict"] == "too little data to tell: every case differs by exactly 0 words"
    assert "no certainty" in row["note"]
    assert "13.9% of cases" in row["note"]


def test_equal_binary_scores_have_a_width() -> None:
    """20 right answers each: the interval shows what that leaves open."""
    row = one(np.ones((2, 20, 1)), binary=True)
    assert row["low"] < -10 < 10 < row["high"]
    assert row["verdict"] == "no difference larger than 14 percentage points"
    assert "no certainty" in row["note"]
    assert one(np.ones((2, 5, 1)), binary=True)["verdict"].startswith("too little data to tell: ")


def test_the_same_difference_everywhere() -> None:
    """Real, by the permutation; but a spread of 0 gives no interval."""
    values = normal(4, 1, 12, 1).repeat(2, axis=0)
    values[1] += 3.3
    row = one(values, unit="words")
    assert row["verdict"] == "more"
    assert row[["low", "high", "size"]].isna().all()
    assert "the same 3.3 words" in row["note"]
    assert one(values[:, :4])["verdict"].startswith("too little data to tell: every case")


def test_one_repeat_leaves_the_noise_floor_unknown() -> None:
    """Not 0; and the note says why."""
    row = one(normal(5, 2, 20, 1))
    assert np.isnan(row["noise_floor"])
    assert "the noise floor is unknown" in row["note"]
    values = normal(5, 2, 20, 1).repeat(3, axis=2)
    assert one(values)["noise_floor"] == 0
    assert "what was seen" in one(values)["note"]


def test_too_few_cases_for_any_p() -> None:
    """Five cases cannot give 0.05; eight cannot among ten personas. The note says so."""
    values = normal(6, 11, 8, 1)
    values[1] += 100
    table = effects(scores(values), "words", baseline="none")
    assert "cannot fall below 0.078" in table["note"][0]
    assert table["verdict"][0] == "too little data to tell"
    assert one(values[:2])["verdict"] == "more"
    assert "cannot fall below 0.062" in one(values[:2, :5])["note"]


def test_a_few_wild_cases_are_named() -> None:
    """An interval that leans on one case in thirty says so."""
    values = normal(7, 2, 30, 1)
    assert "too narrow" not in one(values)["note"]
    values[1, 0] += 50
    assert "too narrow" in one(values)["note"]


def test_binary_scores_are_percentage_points() -> None:
    """With McNemar where there is one draw a case."""
    values = (normal(8, 2, 200, 1) > np.array([0.5, -0.3])[:, None, None]).astype(float)
    row = one(values, binary=True)
    more, less = (values[1] > values[0]).sum(), (values[1] < values[0]).sum()
    assert row["effect"] == pytest.approx((more - less) / 2)
    assert row["mean"] == pytest.approx(values[1].mean() * 100)
    assert row["mcnemar_p"] == pytest.approx(stats.binomtest(less, more + less).pvalue, abs=1e-9)
    assert np.isnan(one(values)["mcnemar_p"])
    assert np.isnan(one(values.repeat(2, axis=2), binary=True)["mcnemar_p"])
    plain = one(values)
    assert row["cases_needed"] == plain["cases_needed"]
    assert row["size"] == plain["size"]
    assert (row["low"], row["high"]) == pytest.approx((plain["low"] * 100, plain["high"] * 100))


def test_a_model_that_never_met_the_baseline() -> None:
    """Its personas are in the table, compared with nothing."""
    frame = pd.concat([scores(normal(0, 2, 20, 1)), scores(normal(0, 1, 5, 1), "b", ["p9"])])
    row = effects(frame, "words", baseline="none").set_index("model").loc["b"]
    assert row["n_cases"] == 0
    assert row["n_trials"] == 5
    assert row["verdict"].startswith("too little data to tell: no case")


def test_a_table_of_the_baseline_alone_is_empty() -> None:
    """No rows, and the columns all the same."""
    table = effects(scores(normal(0, 1, 5, 1)), "words", baseline="none")
    assert tuple(table.columns) == COLUMNS
    assert table.empty


def test_the_seed_is_all_the_chance_there_is() -> None:
    """The same seed gives the same table; another one moves p a little."""
    frame = scores(normal(1, 4, 50, 1))
    first, again, other = (effects(frame, "words", baseline="none", seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["p"] != other["p"]).any()
    assert first["p"].to_numpy() == pytest.approx(other["p"].to_numpy(), abs=0.03)


def test_what_cannot_be_read_is_refused() -> None:
    """Each message says what is wrong and where."""
    frame = scores(normal(0, 2, 5, 1))
    with pytest.raises(UnknownNameError, match=r"unknown persona 'nome'.*'none'"):
        effects(frame, "words", baseline="nome")
    with pytest.raises(UsageError, match="no column 'value'"):
        effects(frame.drop(columns="value"), "words", baseline="none")
    with pytest.raises(UsageError, match="two values for persona 'p1', model 'm', case 'c0'"):
        effects(pd.concat([frame, frame.iloc[5:6]]), "words", baseline="none")
    with pytest.raises(UsageError, match="infinite for persona 'none', case 'c0'"):
        effects(frame.replace({"value": {frame["value"][0]: np.inf}}), "words", baseline="none")
    with pytest.raises(UsageError, match="other than 0 and 1"):
        effects(frame, "words", baseline="none", binary=True)
    with pytest.raises(UsageError, match="not numbers"):
        effects(frame.assign(value="much"), "words", baseline="none")
    with pytest.raises(UsageError, match="names no persona"):
        effects(frame.assign(case=None), "words", baseline="none")
    with pytest.raises(UsageError, match="smallest_effect is -1"):
        effects(frame, "words", baseline="none", smallest_effect=-1)


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing part names the command that brings it."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'assistants\[analysis\]'"):
        one(normal(0, 2, 5, 1))
