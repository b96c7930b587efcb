"""An effect taken apart: having a prompt, its meaning, its wording; and the baseline's own."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.analysis.control_contrasts import (
    COLUMNS,
    ITSELF,
    MEANING,
    PROMPT,
    UNSPLIT_PROMPT,
    UNSPLIT_WORDING,
    WHOLE,
    WORDING,
    control_contrasts,
)
from assistants.analysis.permutation import holm
from assistants.design import Control
from assistants.errors import UnknownNameError, UsageError

stats = import_module("scipy.stats")

NAMES = ["none", "none.same", "art", "art.neutral", "art.p1", "art.p2"]

SAME = Control("none.same", "same", "none")
NEUTRAL = Control("art.neutral", "neutral", "art")
FIRST, SECOND = (Control(f"art.p{i}", "paraphrase", "art") for i in (1, 2))
ALL = (SAME, NEUTRAL, FIRST, SECOND)


def scores(values: np.ndarray, model: str = "m") -> pd.DataFrame:
    """Return a table of ``values[persona, case, repeat]``, personas as in ``NAMES``."""
    persona, case, repeat = (axis.ravel() for axis in np.indices(values.shape))
    return pd.DataFrame(
        {
            "persona": np.array(NAMES, dtype=object)[persona],
            "model": model,
            "case": [f"c{i:03}" for i in case],
            "repeat": repeat,
            "value": values.ravel().astype(float),
        }
    )


def drawn(seed: int, cases: int = 40, repeats: int = 2) -> np.ndarray:
    """Having a prompt adds 1, its meaning 2, and the wording of ``art`` itself 3."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(len(NAMES), cases, repeats)) + 3 * generator.normal(
        size=(1, cases, 1)
    )
    values[2:] += 1
    values[[2, 4, 5]] += 2
    values[2] += 3
    return values


def parts(values: np.ndarray, controls: object = ALL, **more: object) -> pd.DataFrame:
    """Index the rows by their part."""
    table = control_contrasts(scores(values), "words", baseline="none", controls=controls, **more)  # type: ignore[arg-type]
    return table.set_index("part")


def test_each_part_is_found() -> None:
    """What the scores were made with: 1, 2 + a third of 3, two thirds of 3; and 6 in all."""
    table = parts(drawn(0, cases=400))
    assert tuple(table.reset_index()[list(COLUMNS)].columns) == COLUMNS
    assert list(table.index) == [PROMPT, MEANING, WORDING, WHOLE, ITSELF]
    truth = np.array([1, 3, 2, 6, 0])
    assert table["effect"].to_numpy() == pytest.approx(truth, abs=0.25)
    assert table["verdict"].tolist()[:3] == ["more"] * 3
    assert table["verdict"][ITSELF].startswith("no difference larger than")
    assert table["wording_spread"][MEANING] == pytest.approx(3 / np.sqrt(3), abs=0.1)
    assert np.isnan(table["wording_spread"][ITSELF])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(2, 8),
    st.sampled_from([ALL, (NEUTRAL,), (FIRST,), (NEUTRAL, SECOND), (FIRST, SECOND)]),
    st.booleans(),
    st.booleans(),
)
def test_parts_add_up(
    seed: int, cases: int, controls: tuple[Control, ...], missing: bool, binary: bool
) -> None:
    """Whatever controls there are, and whatever is missing: the parts are the whole."""
    values = drawn(seed, cases)
    if binary:
        values = (values > 2).astype(float)
    if missing:
        values[np.random.default_rng(seed).random(values.shape) < 0.2] = np.nan
    table = parts(values, controls, binary=binary).drop(index=ITSELF, errors="ignore")
    whole = table["effect"][WHOLE]
    rest = table.drop(index=WHOLE)["effect"]
    assert rest.sum(skipna=False) == pytest.approx(whole, nan_ok=True, abs=1e-9)
    assert table["n_cases"].nunique() == 1


def test_the_figures_are_those_of_scipy() -> None:
    """A paired t interval over case means, and Holm over the parts that are questions."""
    values = drawn(1)
    table = parts(values)
    mean = values.mean(axis=2)
    middle = mean[[2, 4, 5]].mean(axis=0)
    for part, one, other in [
        (PROMPT, mean[3], mean[0]), (MEANING, middle, mean[3]), (WORDING, mean[2], middle),
        (WHOLE, mean[2], mean[0]), (ITSELF, mean[1], mean[0]),
    ]:  # fmt: skip
        test = stats.ttest_rel(one, other)
        interval = test.confidence_interval(0.95)
        ours = table.loc[part, ["effect", "low", "high"]].astype(float).to_numpy()
        theirs = ((one - other).mean(), interval.low, interval.high)
        assert ours == pytest.approx(theirs, abs=1e-9)
    asked = table.drop(index=[WHOLE, ITSELF])
    assert asked["p_adjusted"].to_numpy() == pytest.approx(holm(asked["p"].to_numpy()))
    assert table.loc[[WHOLE, ITSELF], "p_adjusted"].isna().all()


def test_parts_that_cannot_be_told_apart_are_one() -> None:
    """No paraphrase: meaning and wording are one. No neutral text: prompt and meaning are."""
    values = drawn(2)
    assert list(parts(values, [NEUTRAL]).index) == [PROMPT, UNSPLIT_WORDING, WHOLE]
    assert list(parts(values, [FIRST]).index) == [UNSPLIT_PROMPT, WORDING, WHOLE]
    assert parts(values, [NEUTRAL])["wording_spread"].isna().all()
    assert list(parts(values, [SAME]).index) == [ITSELF]
    assert parts(values, []).empty


def test_false_alarms_are_as_rare_as_promised() -> None:
    """No effect at all: 1 table in 20 has an alarm among its parts (within 3 errors)."""
    alarms = []
    for seed in range(200):
        table = parts(np.random.default_rng(seed).normal(size=(len(NAMES), 9, 2)))
        alarms.append((table["p_adjusted"] <= 0.05).any())
    assert np.mean(alarms) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_only_cases_with_all_of_them_count() -> None:
    """A case that lacks one paraphrase is left out of every part, and the note says so."""
    values = drawn(3)
    values[5, 7] = np.nan
    table = parts(values)
    assert table.drop(index=ITSELF)["n_cases"].eq(39).all()
    assert table["n_cases"][ITSELF] == 40
    assert "Paired over 39 of 40 cases." in table["note"][PROMPT]
    whole = parts(np.delete(values, 7, axis=1))
    numbers = ["effect", "low", "high", "wording_spread"]
    pd.testing.assert_frame_equal(
        table.drop(index=ITSELF)[numbers], whole.drop(index=ITSELF)[numbers]
    )


def test_little_is_called_little() -> None:
    """One case, none, and equal scores: no number that reads as certainty."""
    one = parts(drawn(4, cases=1))
    assert one[["effect", "low", "high", "p", "p_adjusted"]].isna().all(axis=None)
    assert one.drop(index=WHOLE)["verdict"].str.startswith("too little data to tell").all()
    none = drawn(4)
    none[3] = np.nan
    assert parts(none).drop(index=ITSELF)["n_cases"].eq(0).all()
    equal = parts(np.zeros((len(NAMES), 20, 1)))
    assert equal[["low", "high"]].isna().all(axis=None)
    assert equal["note"].str.contains("no certainty").all()


def test_right_or_wrong_is_in_percentage_points() -> None:
    """With an interval although all scores are equal, and the unit in the verdict."""
    values = np.ones((len(NAMES), 20, 1))
    table = parts(values, binary=True)
    assert (table["high"] > 5).all()
    generator = np.random.default_rng(0)
    values = (generator.random((len(NAMES), 400, 1)) < 0.5).astype(float)
    table = parts(values, binary=True)
    assert "percentage points" in table["verdict"][PROMPT]
    with pytest.raises(UsageError, match="other than 0 and 1"):
        parts(drawn(0), binary=True)


def test_a_baseline_that_differs_from_itself_is_a_warning() -> None:
    """Something other than the persona changed."""
    values = drawn(5)
    values[1] += 2
    table = parts(values)
    assert table["verdict"][ITSELF] == "more"
    assert "the baseline differs from itself" in table["note"][ITSELF]


def test_a_model_without_the_controls_says_so() -> None:
    """And the other model has its parts."""
    frame = scores(drawn(6))
    other = frame[frame["persona"].isin(["none", "art"])].assign(model="b")
    table = control_contrasts(
        pd.concat([frame, other]), "words", baseline="none", controls=[NEUTRAL, SAME]
    )
    assert table.groupby("model")["n_cases"].max().to_dict() == {"m": 40, "b": 0}
    unknown = table[table["model"] == "b"]
    assert unknown[["effect", "low", "p"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("controls", "said"),
    [
        ([Control("art.p9", "paraphrase", "art")], "unknown persona 'art.p9'"),
        ([NEUTRAL, Control("art.p1", "neutral", "art")], "two neutral"),
        ([NEUTRAL, NEUTRAL], "control of two things"),
        ([Control("art", "paraphrase", "art")], "or of itself"),
        ([Control("art.p1", "same", "art")], "'same' is for the baseline"),
        ([Control("none.same", "neutral", "none")], "'same' is for the baseline"),
    ],
)
def test_controls_that_mean_nothing_are_refused(controls: list[Control], said: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(UsageError, match=said):
        parts(drawn(0), controls)
    with pytest.raises(UnknownNameError, match="'noone'"):
        control_contrasts(scores(drawn(0)), "words", baseline="noone", controls=[SAME])
