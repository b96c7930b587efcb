"""Experiments whose truth is known: the figures keep their promise. More: bench/simulate.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assistants.analysis.effects import effects
from assistants.analysis.paired import binary_interval, by_case, differences, moments, t_interval
from assistants.analysis.permutation import holm, sign_flip
from assistants.analysis.power import cases_needed, sd_of_difference

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import pipeline

EXPERIMENTS = 1_000
PERSONAS = 10


def normal(effect: float, between: float, personas: int, cases: int, repeats: int) -> np.ndarray:
    """Scores of ``EXPERIMENTS``: ``(experiment, 1 + persona, case, repeat)``, baseline first.

    Cases differ in difficulty, and a persona's true effect differs between cases by ``between``,
    so that the repeats of a case are alike; a draw has noise of 1 around that.
    """
    generator = np.random.default_rng(20)
    truth = generator.normal(scale=2, size=(EXPERIMENTS, 1, cases, 1)).repeat(1 + personas, axis=1)
    shape = (EXPERIMENTS, personas, cases, 1)
    truth[:, 1:] += effect + generator.normal(scale=between, size=shape)
    return truth + generator.normal(size=(EXPERIMENTS, 1 + personas, cases, repeats))


def binary(effect: float, personas: int, cases: int, repeats: int) -> np.ndarray:
    """Right or wrong, half the time; the chance belongs to the case, and in part to the persona."""
    generator = np.random.default_rng(21)
    chance = generator.beta(1, 1, (EXPERIMENTS, 1, cases, 1)).repeat(1 + personas, axis=1)
    turned = generator.random((EXPERIMENTS, personas, cases, 1)) < 0.3
    again = generator.beta(1, 1, (EXPERIMENTS, personas, cases, 1))
    chance[:, 1:] = np.where(turned, again, chance[:, 1:])
    chance[:, 1:] += (1 - chance[:, 1:]) * effect / 0.5
    return (generator.random((EXPERIMENTS, 1 + personas, cases, repeats)) < chance).astype(float)


def differences_of(scores: np.ndarray) -> np.ndarray:
    return differences(by_case(scores[:, 1:]), by_case(scores[:, :1]))


@pytest.mark.parametrize("effect", [0.0, 0.5])
@pytest.mark.parametrize(("cases", "repeats"), [(5, 3), (10, 1), (30, 3), (30, 10)])
def test_intervals_cover(effect: float, cases: int, repeats: int) -> None:
    """95% intervals hold the truth in 93 to 97 of 100 experiments, with repeats that are alike."""
    low, high = t_interval(differences_of(normal(effect, 0.7, 3, cases, repeats)))
    assert 0.93 <= ((low <= effect) & (effect <= high)).mean() <= 0.97


@pytest.mark.parametrize("effect", [0.0, 0.2])
@pytest.mark.parametrize(("cases", "repeats"), [(50, 1), (30, 3), (100, 5)])
def test_binary_intervals_cover(effect: float, cases: int, repeats: int) -> None:
    """And of right or wrong, where not too few cases differ."""
    low, high = binary_interval(differences_of(binary(effect, 3, cases, repeats)))
    assert 0.93 <= ((low <= effect) & (effect <= high)).mean() <= 0.97


@pytest.mark.parametrize(("share", "cases"), [(0.02, 20), (0.05, 30), (0.05, 100)])
def test_binary_intervals_cover_where_few_cases_differ(share: float, cases: int) -> None:
    """An interval of t holds the truth in 33 to 88 of 100; ours errs to the wide side."""
    d = (np.random.default_rng(0).random((4_000, cases)) < share).astype(float)
    low, high = binary_interval(d)
    assert ((low <= share) & (share <= high)).mean() >= 0.93
    low, high = t_interval(d)
    assert ((low <= share) & (share <= high)).mean() < 0.9


@pytest.mark.parametrize(("cases", "repeats"), [(10, 3), (25, 3)])
def test_false_alarms_stay_in_the_family(cases: int, repeats: int) -> None:
    """No effect, 10 personas: at most 5% of experiments raise any alarm (within 3 errors)."""
    d = differences_of(normal(0.0, 0.7, PERSONAS, cases, repeats))
    p = sign_flip(d.reshape(-1, cases), flips=9_999).reshape(EXPERIMENTS, PERSONAS)
    alarms = np.mean([(holm(row) <= 0.05).any() for row in p])
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    assert 0.03 <= (p <= 0.05).mean() <= 0.065


def test_repeats_taken_for_independent_raise_false_alarms() -> None:
    """What it saves people from: the test can tell, so the ones above mean something."""
    scores = normal(0.0, 0.7, 1, 25, 10)
    trials = (scores[:, 1] - scores[:, 0]).reshape(EXPERIMENTS, -1)
    low, high = t_interval(trials)
    assert ((low > 0) | (high < 0)).mean() > 0.15


@pytest.mark.parametrize(
    ("effect", "between", "repeats"), [(0.5, 0.5, 1), (0.5, 0.5, 3), (1, 0.7, 2)]
)
def test_cases_needed_find_it_four_times_in_five(
    effect: float, between: float, repeats: int
) -> None:
    """80% power within 5 points, at the number of cases that was named."""
    cases = cases_needed(effect, sd_of_difference(between, 1.0, repeats))
    d = differences_of(normal(effect, between, 1, cases, repeats))[:, 0]
    assert (sign_flip(d, flips=1_999) <= 0.05).mean() == pytest.approx(0.8, abs=0.05)
    assert moments(d)[1].mean() == pytest.approx(effect, abs=0.03)


def test_cases_needed_count_all_personas() -> None:
    """Also where 10 are compared and Holm adjusts: the one that has the effect is found."""
    cases = cases_needed(1.0, sd_of_difference(0.5, 1.0, 3), personas=PERSONAS)
    scores = normal(0.0, 0.5, PERSONAS, cases, 3)
    scores[:, 1] += 1.0
    d = differences_of(scores)
    p = sign_flip(d.reshape(-1, cases), flips=9_999).reshape(EXPERIMENTS, PERSONAS)
    found = np.array([holm(row) <= 0.05 for row in p])
    assert found[:, 0].mean() == pytest.approx(0.8, abs=0.05)
    assert found[:, 1:].any(axis=1).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)


@pytest.mark.parametrize("seed", range(20))
async def test_the_pipeline_changes_no_figure(here: Path, seed: int) -> None:
    """Asked, stored, scored and read back: the table of the scores that the script drew."""
    script = pipeline.Script(seed, (0.0, 0.1, 0.4))
    scores = script.scores(cases=20, repeats=2)
    expected = effects(
        pipeline.table_of(scores, f"scripted:{script.name}"),
        "exact",
        baseline=pipeline.BASELINE,
        unit="share",
        binary=True,
    )
    found = await pipeline.effects_of(script, cases=20, repeats=2, folder=here)
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=1e-9)


def test_the_script_is_right_as_often_as_it_says() -> None:
    """The known amounts are the true ones: effect, spread over cases, repeats that are alike."""
    truth, cases, repeats = (0.0, 0.1, 0.4), 4_000, 2
    scores = pipeline.Script(0, truth).scores(cases, repeats)
    d = differences(by_case(scores[1:]), by_case(scores[:1]))
    _, effect, sd = moments(d)
    spread = np.array([pipeline.sd_of(each, repeats) for each in truth])
    assert np.abs(effect - truth).max() < 4 * spread.max() / np.sqrt(cases)
    assert sd == pytest.approx(spread, rel=0.05)
    # Repeats of a case share its chance, which is uniform: a correlation of (1/12) / (1/4).
    assert np.corrcoef(scores[0].T)[0, 1] == pytest.approx(1 / 3, abs=0.06)
