"""Cases that an effect needs: the same figures as statsmodels gives."""

from __future__ import annotations

import math
import sys
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants import Experiment
from assistants.analysis.power import cases_needed, power_of, sd_of_difference
from assistants.errors import MissingDependencyError, UsageError


@pytest.mark.parametrize("size", [0.05, 0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("cases", [2, 3, 10, 30, 200, 5_000])
@pytest.mark.parametrize(("alpha", "personas"), [(0.05, 1), (0.05, 10), (0.01, 200)])
def test_power_is_that_of_statsmodels(size: float, cases: int, alpha: float, personas: int) -> None:
    """The noncentral t, exactly, at the strictest step of Holm's correction.

    Unless no p of a sign-flip test is small enough: then nothing can be found.
    """
    theirs = import_module("statsmodels.stats.power").TTestPower()
    expected = theirs.power(size, cases, alpha / personas)
    ours = power_of(size * 7, 7, cases, alpha=alpha, personas=personas)
    # Where the far tail underflows theirs is NaN; one-sided power is then the same number.
    if math.isnan(expected):
        expected = theirs.power(size, cases, alpha / personas / 2, alternative="larger")
    possible = 2 ** (1 - cases) <= alpha / personas
    assert ours == pytest.approx(expected if possible else 0, abs=1e-6)


@pytest.mark.parametrize("size", [0.03, 0.1, 0.2, 0.5, 0.8, 1.5])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_cases_needed_are_those_of_statsmodels(size: float, power: float) -> None:
    """Rounded up, since there is no half of a case; with five, no p can be below 5%."""
    theirs = import_module("statsmodels.stats.power").TTestPower()
    expected = theirs.solve_power(effect_size=size, alpha=0.05, power=power)
    assert cases_needed(size, 1, power=power) == max(6, math.ceil(expected - 1e-6))


@given(
    effect=st.floats(0.01, 20),
    sd=st.floats(0.1, 10),
    power=st.floats(0.1, 0.99),
    personas=st.integers(1, 50),
)
def test_fewest_means_fewest(effect: float, sd: float, power: float, personas: int) -> None:
    """So many cases reach the power, and one fewer do not; the sign of the effect is nothing."""
    cases = cases_needed(effect, sd, power=power, personas=personas)
    assert power_of(effect, sd, cases, personas=personas) >= power
    assert cases == 6 or power_of(effect, sd, cases - 1, personas=personas) < power
    assert cases == cases_needed(-effect, sd, power=power, personas=personas)


def test_more_personas_need_more_cases() -> None:
    """Looking in more places costs cases."""
    assert cases_needed(1, 3) < cases_needed(1, 3, personas=2) < cases_needed(1, 3, personas=200)


def test_huge_numbers_join_on_smoothly() -> None:
    """Where the normal distribution takes over, nothing jumps."""
    below, above = (power_of(0.003, 1, n) for n in (999_999, 1_000_000))
    assert below == pytest.approx(above, abs=1e-5)
    assert cases_needed(1e-6, 1) == pytest.approx((1.959964 + 0.841621) ** 2 * 1e12, rel=1e-5)


def test_a_certain_find_is_certain() -> None:
    """Far out in the tail the library's own numbers give way; ours stay within 0 and 1."""
    for size in (10, 100, 1e4, 1e8):
        for cases in (2, 5, 50, 10_000):
            assert 0 <= power_of(size, 1, cases) <= 1
    assert power_of(100, 1, 50) == 1
    assert cases_needed(1e9, 1) == 6


@pytest.mark.parametrize(("personas", "fewest"), [(1, 6), (2, 7), (3, 7), (50, 11)])
def test_so_few_cases_prove_nothing(personas: int, fewest: int) -> None:
    """However large the effect: the p of a sign-flip test, adjusted, has a floor."""
    assert cases_needed(1e9, 1, personas=personas) == fewest
    assert power_of(1e9, 1, fewest - 1, personas=personas) == 0
    assert 2.0 ** (1 - fewest) * personas <= 0.05 < 2.0 ** (2 - fewest) * personas


def test_repeats_wear_down_only_the_noise_within_a_case() -> None:
    """However many draws, the spread between cases stays."""
    assert sd_of_difference(3, 4, 2) == 5
    assert sd_of_difference(3, 4, 10**9) == pytest.approx(3)
    with pytest.raises(ValueError, match="at least once"):
        sd_of_difference(3, 4, 0)


@pytest.mark.parametrize(
    ("effect", "sd", "more", "what"),
    [
        (0, 1, {}, "effect is 0"),
        (math.nan, 1, {}, "effect is nan"),
        (1, 0, {}, "sd is 0"),
        (1, math.nan, {}, "sd is nan"),
        (1, 1, {"power": 1}, "power is 1"),
        (1, 1, {"power": 0.01}, "power is 0.01"),
        (1, 1, {"alpha": 0}, "alpha is 0"),
        (1, 1, {"personas": 0}, "personas is 0"),
        (1e-12, 1, {}, "too small"),
    ],
)
def test_no_number_is_made_up(effect: float, sd: float, more: dict[str, float], what: str) -> None:
    """Where there is no answer there is an error that says why."""
    with pytest.raises(ValueError, match=what):
        cases_needed(effect, sd, **more)  # type: ignore[arg-type]


def test_one_case_has_no_power() -> None:
    """Nor is it 0: the question has no answer."""
    with pytest.raises(ValueError, match="one case"):
        power_of(1, 1, 1)


def test_without_scipy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing part names the command that brings it."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'assistants\[analysis\]'"):
        power_of(1, 1, 10)


def planned(**changes: object) -> Experiment:
    content: dict[str, object] = {
        "personas": ["none", "art", "math"], "models": ["echo"], "cases": ["a", "b", "c"],
    }  # fmt: skip
    return Experiment.define("planned", **(content | changes))


def test_an_experiment_says_what_an_effect_would_need() -> None:
    """Fewest cases for 80% power at each number of repeats, and the trials that they make."""
    table = planned().power(5.0, sd=4.0, sd_within_case=10.0).set_index("repeats")
    assert list(table.index) == [1, 2, 3, 5, 10]
    for repeats, row in table.iterrows():
        sd = sd_of_difference(4.0, 10.0, int(str(repeats)))
        assert row["cases"] == cases_needed(5.0, sd, personas=2)
        assert row["trials"] == row["cases"] * int(str(repeats)) * 3
        assert row["usd"] == 0
    assert table["cases"].is_monotonic_decreasing
    assert table["power_now"].between(0, 1).all()


def test_controls_are_asked_but_are_no_comparison() -> None:
    """They cost trials, and do not make the others' effects harder to find."""
    bare, controlled = planned(), planned(controls={"neutral": True, "same": True})
    few, many = (e.power(5.0, sd=4.0).set_index("repeats").loc[1] for e in (bare, controlled))
    assert few["cases"] == many["cases"]
    assert many["trials"] == 2 * few["trials"]


@pytest.mark.parametrize("numbers", [{"effect": 0.0, "sd": 1.0}, {"effect": 1.0, "sd": -1.0}])
def test_impossible_plans_are_refused(numbers: dict[str, float]) -> None:
    """With the number that is wrong."""
    with pytest.raises(UsageError):
        planned().power(**numbers)


def test_without_a_baseline_there_is_nothing_to_plan() -> None:
    """Power is that of a comparison."""
    with pytest.raises(UsageError, match="baseline"):
        planned(personas=["art", "math"]).power(1.0, sd=1.0)
