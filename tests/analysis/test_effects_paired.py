"""The parts of the effect table agree with scipy and statsmodels, and obey their laws."""

from __future__ import annotations

import itertools
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from assistants.analysis.paired import (
    binary_interval,
    by_case,
    differences,
    mcnemar,
    moments,
    noise_floor,
    skewness,
    t_interval,
)
from assistants.analysis.permutation import holm, sign_flip

stats = import_module("scipy.stats")


def draws(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("cases", [2, 3, 10, 200])
def test_the_interval_is_that_of_the_paired_t_test(cases: int) -> None:
    """Repeats averaged, cases paired: what scipy gives for the case means."""
    ours, theirs = draws(1, 4, cases, 3) + 0.5, draws(2, cases, 3)
    low, high = t_interval(differences(by_case(ours), by_case(theirs)))
    for i in range(4):
        expected = stats.ttest_rel(ours[i].mean(1), theirs.mean(1)).confidence_interval(0.95)
        assert low[i] == pytest.approx(expected.low, abs=1e-9)
        assert high[i] == pytest.approx(expected.high, abs=1e-9)


@pytest.mark.parametrize("cases", [2, 5, 9, 13])
def test_few_cases_are_permuted_exactly(cases: int) -> None:
    """Every combination of signs, as scipy counts them."""
    d = draws(cases, 3, cases) + 0.3
    d[2] = np.round(d[2] * 2)  # with ties and zeros
    expected = stats.permutation_test(
        (d,), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=np.inf,
        vectorized=True, axis=1,
    ).pvalue  # fmt: skip
    assert sign_flip(d) == pytest.approx(np.minimum(expected, 1.0), abs=1e-9)


def test_many_zeros_leave_few_signs_to_flip() -> None:
    """A thousand cases of which 12 differ are counted exactly too: McNemar's p."""
    d = np.zeros((1, 1_000))
    d[0, :12] = [1] * 10 + [-1] * 2
    assert sign_flip(d)[0] == pytest.approx(stats.binomtest(2, 12).pvalue, abs=1e-12)


def test_many_cases_are_permuted_at_random() -> None:
    """Close to the exact p, never 0, and the same for the same seed."""
    d = draws(5, 20, 16) + 0.3
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=16)))
    exact = np.array([(np.abs(signs @ r) >= abs(r.sum()) - 1e-9).mean() for r in d])
    p = sign_flip(d, seed=3)
    assert np.abs(p - exact).max() < 5 * np.sqrt(0.25 / 9_999)
    assert (sign_flip(np.full((2, 50), 3.0)) == 1 / 10_000).all()
    assert (p == sign_flip(d, seed=3)).all()
    assert (p != sign_flip(d, seed=4)).any()


def test_a_p_does_not_depend_on_the_other_rows() -> None:
    """More personas in the table leave each one's p as it is (at the same number of flips)."""
    d = draws(6, 300, 40)
    together = sign_flip(d, flips=1_500)
    alone = np.array([sign_flip(row[None], flips=1_500)[0] for row in d])
    assert (together == alone).all()


def test_enough_flips_for_many_personas() -> None:
    """The p can fall far enough below 0.05 / personas for Holm to let it pass."""
    p = sign_flip(np.full((400, 20), 1.0))
    assert (holm(p) <= 0.01).all()


@settings(deadline=None, max_examples=40)
@given(arrays(float, st.integers(1, 30), elements=st.floats(0, 1)))
def test_holm_is_that_of_statsmodels(p: np.ndarray) -> None:
    """The same numbers, in the same order."""
    theirs = import_module("statsmodels.stats.multitest").multipletests(p, method="holm")[1]
    assert holm(p) == pytest.approx(theirs, abs=1e-9)


def test_what_was_not_tested_does_not_count() -> None:
    """A persona without a p makes the others' no larger."""
    adjusted = holm(np.array([0.01, np.nan, 0.04]))
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])
    assert np.isnan(adjusted[1])


@given(arrays(float, (2, 40), elements=st.sampled_from([0.0, 1.0])))
def test_mcnemar_is_the_binomial_test(scores: np.ndarray) -> None:
    """Of the cases that differ, exactly; with one draw a case."""
    persona, baseline = by_case(scores[0][:, None]), by_case(scores[1][:, None])
    more, less = (scores[0] > scores[1]).sum(), (scores[0] < scores[1]).sum()
    expected = stats.binomtest(more, more + less).pvalue if more + less else 1.0
    assert mcnemar(persona, baseline) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_knows_of_no_repeats() -> None:
    """Two draws of a case are not two cases."""
    scores = by_case((draws(1, 2, 30, 2) > 0).astype(float))
    assert np.isnan(mcnemar(scores, scores)).all()


def test_the_noise_floor_is_what_a_persona_differs_from_itself() -> None:
    """95% of the differences of two sets of draws of one persona stay below it."""
    truth = draws(0, 1, 25, 1) * 3
    ours, theirs = (by_case(truth + draws(seed, 4_000, 25, 3)) for seed in (1, 2))
    effect = moments(differences(ours, theirs))[1]
    assert np.mean(np.abs(effect) <= noise_floor(ours, theirs)) == pytest.approx(0.95, abs=0.015)


def test_one_draw_leaves_the_noise_floor_unknown() -> None:
    """Unknown, and not 0; one case with two draws is enough to know something."""
    ours, theirs = draws(1, 20, 2), draws(2, 20, 2)
    once = by_case(ours[:, :1]), by_case(theirs[:, :1])
    assert np.isnan(noise_floor(*once))
    ours[1:, 1] = np.nan
    assert noise_floor(by_case(ours), once[1]) > 0


def test_rounding_is_no_difference() -> None:
    """Three times 0.1 on average is 0.1."""
    tenth = by_case(np.full((20, 3), 0.1))
    once = by_case(np.full((20, 1), 0.1))
    assert (differences(tenth, once) == 0).all()
    assert tenth.squares.sum() == 0
    assert moments(np.full(20, 0.1))[2] == 0
    thousands = draws(0, 50, 1) * 1_000
    assert moments(differences(by_case(thousands + 0.1), by_case(thousands)))[2] == 0
    assert np.isnan(t_interval(np.full(20, 0.1))[0])


def test_equal_binary_scores_leave_an_honest_width() -> None:
    """20 cases without a difference do not exclude one of 10 percentage points."""
    low, high = binary_interval(np.zeros(20))
    assert -0.2 < low < -0.1
    assert 0.1 < high < 0.2
    low, high = binary_interval(np.ones(20))
    assert 0.7 < low < 0.9
    assert high == 1


@given(arrays(float, st.integers(2, 30), elements=st.sampled_from([-1, -0.5, 0, 0.5, 1])))
def test_a_binary_interval_holds_its_effect(d: np.ndarray) -> None:
    """And stays where a difference can be."""
    low, high = binary_interval(d)
    assert -1 <= low <= d.mean() + 1e-12
    assert d.mean() - 1e-12 <= high <= 1
    assert low < high


def test_skewness_is_that_of_scipy() -> None:
    """The third moment, biased; 0 without a spread."""
    d = np.exp(draws(1, 5, 30))
    assert skewness(d) == pytest.approx(stats.skew(d, axis=1), abs=1e-9)
    assert skewness(np.ones(5)) == 0


@settings(deadline=None, max_examples=40)
@given(
    arrays(float, (3, 8), elements=st.integers(-50, 50).map(float)),
    st.randoms(use_true_random=False),
)
def test_laws_of_the_permutation(d: np.ndarray, shuffle: object) -> None:
    """Signs and the order of cases are nothing to p."""
    p = sign_flip(d)
    assert (sign_flip(-d) == p).all()
    assert (sign_flip(d[:, ::-1]) == p).all()
    assert (sign_flip(d[::-1])[::-1] == p).all()
    assert (sign_flip(d * 4) == p).all()
    assert ((p > 0) & (p <= 1)).all()
