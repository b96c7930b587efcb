"""The mixed model: statsmodels' own figures, and its doubts in plain words."""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from statsmodels.regression.mixed_linear_model import MixedLM

from assistants.analysis.effects import effects
from assistants.analysis.mixed_model import COLUMNS, mixed_model
from assistants.errors import MissingDependencyError, UnknownNameError


def scores(
    seed: int, personas: int, cases: int, models: int = 1, repeats: int = 2, case: float = 1.0
) -> pd.DataFrame:
    """Persona ``i`` adds ``0.3 * i``; cases, models and draws vary at random."""
    generator = np.random.default_rng(seed)
    shape = (personas, models, cases, repeats)
    p, m, c, r = (axis.ravel() for axis in np.indices(shape))
    value = 0.3 * p + generator.normal(size=len(p))
    value += case * generator.normal(size=cases)[c] + generator.normal(size=models)[m]
    names = np.array(["none", *(f"p{i}" for i in range(1, personas))], dtype=object)
    return pd.DataFrame(
        {
            "persona": names[p],
            "model": [f"m{i}" for i in m],
            "case": [f"c{i:03}" for i in c],
            "repeat": r,
            "value": value,
        }
    )


def cells(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.groupby(["persona", "model", "case"], as_index=False)["value"].mean().dropna()


def agrees(table: pd.DataFrame, fit: object) -> None:
    ends = fit.conf_int()  # type: ignore[attr-defined]
    for row in table.itertuples():
        name = f"C(persona, Treatment('none'))[T.{row.persona}]"
        theirs = (fit.params[name], *ends.loc[name], fit.pvalues[name])  # type: ignore[attr-defined]
        assert (row.effect, row.low, row.high, row.p) == pytest.approx(theirs, abs=1e-9)


def test_one_model_is_that_of_statsmodels() -> None:
    """Cases at random, repeats averaged: the same to 1e-9, with cells missing too."""
    frame = scores(0, 4, 40)
    gone = np.random.default_rng(1).random(len(frame)) < 0.2
    frame.loc[gone, "value"] = np.nan
    table = mixed_model(frame, baseline="none")
    assert tuple(table.columns) == COLUMNS
    assert table["converged"].all()
    assert (table["note"] == "").all()
    formula = "value ~ C(persona, Treatment('none'))"
    agrees(table, MixedLM.from_formula(formula, cells(frame), groups="case").fit())


def test_models_are_crossed_with_cases() -> None:
    """Both at random through variance components: the same to 1e-9."""
    table = mixed_model(scores(1, 3, 25, models=4), baseline="none")
    assert table["converged"].all()
    fit = MixedLM.from_formula(
        "value ~ C(persona, Treatment('none'))",
        cells(scores(1, 3, 25, models=4)).assign(all=0),
        groups="all",
        vc_formula={"case": "0 + C(case)", "model": "0 + C(model)"},
        re_formula="0",
    ).fit()
    agrees(table, fit)


def test_it_says_what_the_effect_table_says() -> None:
    """Balanced scores of one model have one mean difference, whoever computes it."""
    frame = scores(2, 4, 60, repeats=3)
    table = mixed_model(frame, baseline="none")
    first = effects(frame, "words", baseline="none")
    assert table["effect"].to_numpy() == pytest.approx(first["effect"].to_numpy(), abs=1e-9)
    assert (table["high"] - table["low"]).to_numpy() == pytest.approx(
        (first["high"] - first["low"]).to_numpy(), rel=0.25
    )


def test_repeats_are_not_taken_for_independent() -> None:
    """The same score three times is one score."""
    once = scores(3, 3, 30, repeats=1)
    thrice = pd.concat([once.assign(repeat=i) for i in range(3)])
    one, three = mixed_model(once, baseline="none"), mixed_model(thrice, baseline="none")
    pd.testing.assert_frame_equal(one, three, rtol=1e-6, atol=1e-6)


def test_right_or_wrong_is_in_percentage_points() -> None:
    """And the note says that it is a linear model."""
    frame = scores(4, 3, 40)
    frame["value"] = (frame["value"] > 0).astype(float)
    table, plain = (
        mixed_model(frame, baseline="none", binary=True),
        mixed_model(frame, baseline="none"),
    )
    assert table["effect"].to_numpy() == pytest.approx(100 * plain["effect"].to_numpy())
    assert table["p"].to_numpy() == pytest.approx(plain["p"].to_numpy())
    assert table["note"].str.contains("Percentage points, of a linear model").all()


def test_warnings_become_notes(capsys: pytest.CaptureFixture[str]) -> None:
    """Cases that do not differ: the library's doubt is in the note, and nowhere else."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        table = mixed_model(scores(2, 3, 20, case=0.0), baseline="none")
    assert not heard
    assert "".join(capsys.readouterr()) == ""
    assert table["note"].str.contains("came out as 0").all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f[f["case"] < "c003"], "3 cases, and at least 5"),
        (lambda f: f.assign(value=1.0), "all scores are equal"),
        (
            lambda f: f.assign(value=(f["persona"] == "p1") * 1.0),
            "The fit is singular: do not use these figures.",
        ),
        (
            lambda f: f.assign(value=(f["persona"] == "p1") + f["case"].str[1:].astype(int) * 0.7),
            "The fit is singular: do not use these figures.",
        ),
        (lambda f: f.assign(value=f["value"].mask(f["persona"] == "none")), "no score to compare"),
    ],
)
def test_what_cannot_be_fitted_says_why(change: object, said: str) -> None:
    """Never converged, never a certainty."""
    table = mixed_model(change(scores(0, 3, 20)), baseline="none")  # type: ignore[operator]
    assert not table["converged"].any()
    assert table["note"].str.contains(said).all()


def test_a_persona_without_a_score_keeps_its_row() -> None:
    """And does not stop the others."""
    frame = scores(0, 3, 20)
    frame["value"] = frame["value"].mask(frame["persona"] == "p1")
    table = mixed_model(frame, baseline="none").set_index("persona")
    assert np.isnan(table["effect"]["p1"])
    assert "no score" in table["note"]["p1"]
    assert table["converged"].to_dict() == {"p1": False, "p2": True}


def test_many_cases_make_models_fixed_and_quick() -> None:
    """The note says so, and it takes seconds of CPU; so do 10 personas, 200 cases, 3 repeats."""
    start = time.process_time()
    table = mixed_model(scores(5, 3, 401, models=2, repeats=1), baseline="none")
    assert table["note"].str.contains("models are fixed effects").all()
    assert table["converged"].all()
    assert mixed_model(scores(6, 11, 200, repeats=3), baseline="none")["converged"].all()
    assert time.process_time() - start < 240


def test_its_intervals_hold_the_truth() -> None:
    """95 in 100 experiments, within 4 errors."""
    hits = []
    for seed in range(100):
        table = mixed_model(scores(seed, 2, 20, repeats=1), baseline="none")
        hits.append(table["low"][0] <= 0.3 <= table["high"][0])
    assert np.mean(hits) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 100))


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown baseline; a missing library."""
    with pytest.raises(UnknownNameError, match="'noone'"):
        mixed_model(scores(0, 2, 6), baseline="noone")
    monkeypatch.setitem(sys.modules, "statsmodels.regression.mixed_linear_model", None)
    with pytest.raises(MissingDependencyError, match=r"assistants\[analysis\]"):
        mixed_model(scores(0, 2, 6), baseline="none")
