"""Models as arms: the same paired table, and whether a persona's effect differs between models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from assistants.analysis import ScoreTable, effects, effects_of_scores, interactions
from assistants.analysis.effect_table import COLUMNS
from assistants.analysis.paired import (
    binary_interval,
    by_case,
    double_differences,
    noise_floor,
    t_interval,
)
from assistants.analysis.permutation import holm, sign_flip
from assistants.errors import UnknownNameError, UsageError

EXPERIMENTS = 500


def scores(values: np.ndarray, models: str = "old new", personas: str = "") -> pd.DataFrame:
    """Return a table of ``values[model, persona, case, repeat]``; persona 0 is ``none``."""
    model, persona, case, repeat = (axis.ravel() for axis in np.indices(values.shape))
    names = personas.split() or ["none", *(f"p{i}" for i in range(1, values.shape[1]))]
    return pd.DataFrame(
        {
            "persona": np.array(names, dtype=object)[persona],
            "model": np.array(models.split(), dtype=object)[model],
            "case": [f"c{i}" for i in case],
            "repeat": repeat,
            "status": "ok",
            "value": values.ravel().astype(float),
        }
    )


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_models_are_compared_on_the_same_cases_and_persona() -> None:
    """The table by model is the one by persona with the two words exchanged."""
    frame = scores(normal(0, 3, 2, 30, 2), "old new newer")
    table = effects(frame, "words", by="model", baseline="old", unit="words")
    assert tuple(table.columns) == COLUMNS
    assert list(zip(table["persona"], table["model"], strict=True)) == [
        ("none", "new"), ("none", "newer"), ("p1", "new"), ("p1", "newer"),
    ]  # fmt: skip
    swapped = frame.rename(columns={"persona": "model", "model": "persona"})
    theirs = effects(swapped, "words", baseline="old", unit="words")
    theirs = theirs.rename(columns={"persona": "model", "model": "persona"})
    pd.testing.assert_frame_equal(table, theirs[list(COLUMNS)])


def test_a_planted_difference_between_models_is_named() -> None:
    """More of one persona, less of another, and no word of the third."""
    values = normal(1, 2, 3, 40, 2)
    values[1, 0] += 2
    values[1, 1] -= 2
    table = effects(scores(values), "words", by="model", baseline="old", smallest_effect=1.0)
    assert list(table["verdict"]) == ["more", "less", "no difference larger than 1"]
    assert table["effect"].tolist()[:2] == pytest.approx([2, -2], abs=0.5)


def test_trials_that_a_model_lacks_are_said_to_be_the_model_s() -> None:
    """The warning names what is compared."""
    values = normal(2, 2, 1, 20, 3)
    values[1, 0, :8] = np.nan
    (note,) = effects(scores(values), "words", by="model", baseline="old")["note"]
    assert "more is missing of the model" in note
    assert "not of the model." in note
    assert "24 of 60 trials missing" in note


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"by": "model", "baseline": "odl"}, "unknown model 'odl'. Did you mean 'old'?"),
        ({"by": "modle", "baseline": "old"}, "unknown comparison 'modle'. Did you mean 'model'?"),
        ({"by": "model", "baseline": "none"}, "unknown model 'none'."),
    ],
)
def test_wrong_names_get_the_nearest_ones(more: dict[str, str], words: str) -> None:
    """A model where a persona belongs is a mistake, and so is the reverse."""
    with pytest.raises(UnknownNameError) as error:
        effects(scores(normal(0, 2, 2, 5, 1)), "words", **more)  # type: ignore[arg-type]
    assert words in str(error.value)
    with pytest.raises(UnknownNameError, match="unknown model 'nwe'"):
        interactions(
            ScoreTable("words", scores(normal(0, 2, 2, 5, 1))),
            baseline="none", baseline_model="nwe",
        )  # fmt: skip
    with pytest.raises(UnknownNameError, match="unknown persona 'old'"):
        interactions(
            ScoreTable("words", scores(normal(0, 2, 2, 5, 1))),
            baseline="old", baseline_model="old",
        )  # fmt: skip


def test_a_mistake_in_the_table_is_told_in_its_own_words() -> None:
    """Also by model, where the two columns are exchanged inside."""
    frame = scores(normal(0, 2, 2, 5, 1))
    with pytest.raises(UsageError, match="persona 'none', model 'old', case 'c0'"):
        effects(pd.concat([frame, frame[:1]]), "words", by="model", baseline="old")


def test_an_interaction_is_the_difference_of_two_effects() -> None:
    """Where all is there, it is exactly what the two effect tables say, model less model."""
    values = normal(3, 3, 3, 25, 2)
    frame = scores(values, "old new newer")
    table = interactions(ScoreTable("words", frame), baseline="none", baseline_model="old")
    assert tuple(table.columns) == COLUMNS
    assert list(zip(table["persona"], table["model"], strict=True)) == [
        ("p1", "new"), ("p2", "new"), ("p1", "newer"), ("p2", "newer"),
    ]  # fmt: skip
    plain = effects(frame, "words", baseline="none").set_index(["persona", "model"])["effect"]
    for row in table.itertuples():
        here, there = plain[row.persona, row.model], plain[row.persona, "old"]
        assert (row.mean, row.baseline_mean) == pytest.approx((here, there), abs=1e-9)
        assert row.effect == pytest.approx(here - there, abs=1e-9)
    sides = [by_case(values[m, p]) for m, p in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert table["noise_floor"][0] == pytest.approx(float(noise_floor(*sides)))
    d = values.mean(axis=3)
    d = d[1:, 1:] - d[1:, :1] - (d[:1, 1:] - d[:1, :1])
    low, high = t_interval(d.reshape(4, -1))
    assert table["low"].to_numpy() == pytest.approx(low, abs=1e-9)
    assert table["high"].to_numpy() == pytest.approx(high, abs=1e-9)
    assert table["p_adjusted"].to_numpy() == pytest.approx(holm(table["p"].to_numpy()))


def test_a_planted_interaction_is_found_and_a_shared_effect_is_none() -> None:
    """A persona that adds 2 on one model only; another adds 2 on both."""
    values = normal(4, 2, 3, 60, 2)
    values[1, 1] += 2
    values[:, 2] += 2
    frame = scores(values)
    table = interactions(
        ScoreTable("words", frame, smallest_effect=1.0), baseline="none", baseline_model="old"
    )
    assert list(table["verdict"]) == ["more", "no difference larger than 1"]


def test_only_cases_with_all_four_scores_count() -> None:
    """A case that one model never met is left out of both effects, and said to be."""
    values = normal(5, 2, 2, 20, 1)
    frame = scores(values)
    frame = frame[~((frame["model"] == "new") & frame["case"].isin(["c0", "c1", "c2"]))]
    frame = frame[~((frame["model"] == "old") & (frame["case"] == "c19"))]
    table = interactions(ScoreTable("words", frame), baseline="none", baseline_model="old")
    assert table["n_cases"].tolist() == [16]
    d = values[1, 1] - values[1, 0] - values[0, 1] + values[0, 0]
    assert table["effect"][0] == pytest.approx(d[3:19].mean(), abs=1e-9)
    assert "Paired over 16 of 20 cases." in table["note"][0]
    assert "6 of 40 trials missing, 2 of the baseline's." in table["note"][0]


def test_a_persona_of_one_model_has_no_interaction() -> None:
    """It is a row that says that nothing can be said, and takes nothing from the others."""
    frame = scores(normal(6, 2, 3, 20, 1))
    frame = frame[~((frame["model"] == "old") & (frame["persona"] == "p2"))]
    table = interactions(ScoreTable("words", frame), baseline="none", baseline_model="old")
    assert table["n_cases"].tolist() == [20, 0]
    assert table["verdict"][1] == "too little data to tell: no case has both scores"
    assert np.isnan(table["effect"][1])
    assert table["p"][0] == table["p_adjusted"][0]


def test_equal_effects_are_equal_whatever_the_rounding() -> None:
    """Three times 0.1 on both models is no difference of 1e-17 that is "always the same"."""
    values = np.full((2, 2, 12, 3), 1e5)
    values[:, 1] += 0.1
    values[1] += 0.3
    table = interactions(ScoreTable("x", scores(values)), baseline="none", baseline_model="old")
    assert table["effect"].tolist() == [0]
    assert table["p"].tolist() == [1]


def test_several_scores_are_one_family() -> None:
    """The same p as in the table of one score, adjusted over all of them together."""
    one, two = (scores(normal(seed, 2, 2, 30, 1)) for seed in (7, 8))
    both = effects_of_scores(
        [ScoreTable("a", one), ScoreTable("b", two.assign(value=two["value"] > 0), binary=True)],
        by="model", baseline="old",
    )  # fmt: skip
    assert list(both["scorer"]) == ["a", "a", "b", "b"]
    alone = effects(one, "a", by="model", baseline="old")
    assert both["p"][:2].tolist() == alone["p"].tolist()
    assert both["p_adjusted"].to_numpy() == pytest.approx(holm(both["p"].to_numpy()))


def test_cases_needed_are_for_whichever_verdict_is_nearer() -> None:
    """With a smallest effect, a difference of about 0 needs some number of cases; else none."""
    generator = np.random.default_rng(9)
    d = generator.normal(size=14)
    d -= d.mean()
    values = np.zeros((2, 1, 14, 1))
    values[1, 0, :, 0] = d / d.std(ddof=1)
    frame = scores(values)
    without = effects(frame, "words", by="model", baseline="old")
    assert without["cases_needed"].isna().all() or without["cases_needed"][0] > 1e9
    row = effects(frame, "words", by="model", baseline="old", smallest_effect=0.4).iloc[0]
    assert row["verdict"] == "too little data to tell"
    # Both ends of the interval are within 0.4 of 0 four times in five, with so many cases.
    cases = int(row["cases_needed"])
    drawn = generator.normal(size=(4_000, cases))
    low, high = t_interval(drawn)
    assert ((low >= -0.4) & (high <= 0.4)).mean() == pytest.approx(0.8, abs=0.04)


# -- experiments whose truth is known --------------------------------------------------------------


def drawn(effect: float, personas: int, cases: int, repeats: int, seed: int = 10) -> np.ndarray:
    """Scores of ``EXPERIMENTS``: ``(experiment, model, 1 + persona, case, repeat)``.

    Cases differ in difficulty, on either model otherwise; personas have effects that differ
    between cases, and by ``effect`` between the two models; a draw has noise of 1.
    """
    generator = np.random.default_rng(seed)
    truth = generator.normal(scale=2, size=(EXPERIMENTS, 1, 1, cases, 1))
    truth = truth + generator.normal(scale=0.5, size=(EXPERIMENTS, 2, 1, cases, 1))
    truth = truth.repeat(1 + personas, axis=2)
    truth[:, :, 1:] += generator.normal(scale=0.5, size=(EXPERIMENTS, 2, personas, cases, 1))
    truth[:, :, 1:] += 1.5
    truth[:, 1, 1:] += effect
    return truth + generator.normal(size=(EXPERIMENTS, 2, 1 + personas, cases, repeats))


def interaction_differences(values: np.ndarray) -> np.ndarray:
    sides = (values[:, 1, 1:], values[:, 1, :1], values[:, 0, 1:], values[:, 0, :1])
    return double_differences(*map(by_case, sides))


@pytest.mark.parametrize("effect", [0.0, 0.7])
@pytest.mark.parametrize(("cases", "repeats"), [(8, 3), (25, 1)])
def test_intervals_of_interactions_cover(effect: float, cases: int, repeats: int) -> None:
    """95% intervals hold the truth in 93 to 97 of 100 experiments."""
    low, high = t_interval(interaction_differences(drawn(effect, 4, cases, repeats)))
    assert 0.93 <= ((low <= effect) & (effect <= high)).mean() <= 0.97


@pytest.mark.parametrize(("share", "cases", "least"), [(0.02, 20, 0.95), (0.5, 40, 0.93)])
def test_binary_intervals_of_interactions_cover(share: float, cases: int, least: float) -> None:
    """Also where few of them differ, at which an interval of t holds the truth in 78 of 100."""
    right = np.random.default_rng(11).random((2_000, 4, cases, 1)) < share
    d = double_differences(*(by_case(right[:, i].astype(float)) for i in range(4)))
    low, high = binary_interval(d, bound=2.0)
    assert ((low <= 0) & (high >= 0)).mean() >= least
    assert (low >= -2).all()
    assert (high <= 2).all()


def test_a_difference_of_differences_may_be_two() -> None:
    """Right where wrong before, and the reverse without a persona: 200 percentage points."""
    values = np.array([[1.0, 0.0], [0.0, 1.0]])[:, :, None, None].repeat(30, axis=2)
    values[0, 0, :10] = 0
    table = interactions(
        ScoreTable("right", scores(values), binary=True), baseline="none", baseline_model="old"
    )
    assert table["effect"][0] == pytest.approx(100 * (20 * 2 + 10 * 1) / 30)
    assert 100 < table["effect"][0] < table["high"][0] <= 200


def test_false_alarms_of_interactions_stay_in_the_family() -> None:
    """Personas that do the same on both models: at most 5% of experiments raise any alarm."""
    d = interaction_differences(drawn(0.0, 6, 20, 2))
    p = sign_flip(d.reshape(-1, 20), flips=1_999).reshape(EXPERIMENTS, 6)
    alarms = np.mean([(holm(row) <= 0.05).any() for row in p])
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / EXPERIMENTS)
    assert 0.035 <= (p <= 0.05).mean() <= 0.065


def test_the_noise_floor_of_an_interaction_holds_noise() -> None:
    """Four sets of draws of one persona: 95 of 100 differences of differences lie below it."""
    values = np.random.default_rng(12).normal(size=(2_000, 4, 15, 3))
    sides = [by_case(values[:, i]) for i in range(4)]
    floor = noise_floor(*sides)
    assert (np.abs(double_differences(*sides).mean(axis=-1)) <= floor).mean() == pytest.approx(
        0.95, abs=0.015
    )


@pytest.mark.slow
def test_whole_tables_by_model_keep_their_word() -> None:
    """No difference between models: verdicts of 100 tables, alarms and wrong "no difference"."""
    alarms = wrong = 0
    for values in drawn(0.0, 3, 20, 2, seed=100)[:100]:
        frame = scores(values)
        table = effects(frame, "words", by="model", baseline="old")
        crossed = interactions(ScoreTable("w", frame), baseline="none", baseline_model="old")
        alarms += any(v in ("more", "less") for v in table["verdict"])
        alarms += any(v in ("more", "less") for v in crossed["verdict"])
        values[1] += 1.0
        shifted = effects(scores(values), "w", by="model", baseline="old", smallest_effect=1.0)
        wrong += sum(v.startswith("no difference") for v in shifted["verdict"])
    assert alarms <= 200 * (0.05 + 3 * np.sqrt(0.05 * 0.95 / 200))
    # A true difference of exactly the margin is called "no larger" 1 time in 40.
    assert wrong <= 400 * (0.025 + 3 * np.sqrt(0.025 * 0.975 / 400))
