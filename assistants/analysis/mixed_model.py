"""A second opinion on the effects: one model of all scores, with cases and models at random."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.permutation import Floats
from assistants.analysis.score_matrix import grids
from assistants.errors import MissingDependencyError, UnknownNameError
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple("persona effect low high p converged note".split())
"""Columns of the table, in order."""

FEWEST_CASES = 5
"""Below this, no variance between cases can be estimated that deserves the name."""

CROSSED_CASES = 400
"""Above this, models are fixed effects: with cases and models both random, the time grows with
the cube of the cases, and is minutes. The personas' effects are the same to several digits."""

Codes = NDArray[np.intp]

_Z = 1.959963984540054  # 97.5% of the normal distribution lie below


def mixed_model(frame: pd.DataFrame, *, baseline: str, binary: bool = False) -> pd.DataFrame:
    """Fit a mixed model of all cases, models and personas: one row per persona.

    Parameters
    ----------
    frame
        As ``effects.effects`` takes it: ``persona``, ``model``, ``case``, ``repeat`` and
        ``value``, NaN where a trial does not count. Unlike there, cases that lack a persona help.
    baseline
        The persona that the others are compared with.
    binary
        Scores are 0 or 1: effects are in percentage points, of a linear model.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``: ``effect`` in the score's units, ``low`` and ``high`` of its 95% interval
        and ``p`` by Wald's test, not adjusted for the number of personas. ``converged`` is False
        where the model could not be fitted, or its figures cannot be trusted; ``note`` then says
        why. Figures that were never found are NaN.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, or a value is infinite.
    UnknownNameError
        If no row is of ``baseline``.
    MissingDependencyError
        If statsmodels is not installed.

    Notes
    -----
    ``value ~ persona + (1 | case) + (1 | model)``, fitted by restricted maximum likelihood with
    ``statsmodels``; without ``model`` where there is one. Repeats are averaged first, so that they
    do not count as independent. One variance is assumed for all personas, and the effects are
    assumed to be equal in all models: where the effect table disagrees, believe that one.
    Laird and Ware (1982), "Random-effects models for longitudinal data".
    """
    import pandas as pd

    personas = {name for grid in grids(frame, "value") for name in grid.personas}
    if baseline not in personas:
        raise UnknownNameError("persona", baseline, personas)
    order = pd.unique(frame["persona"].astype(str))
    names = [baseline, *(name for name in order if name != baseline)]
    fit = _fit(_cells(frame, names), names)
    rows = [_row(name, fit, 100.0 if binary else 1.0) for name in names[1:]]
    table = pd.DataFrame(rows, columns=list(COLUMNS[1:]))
    table.insert(0, "persona", names[1:])
    if binary:
        table["note"] = ("Percentage points, of a linear model. " + table["note"]).str.strip()
    types = dict.fromkeys(("effect", "low", "high", "p"), "float64")
    return table.astype({"persona": "str", **types, "converged": "bool", "note": "str"})


@dataclass(frozen=True, slots=True)
class _Cells:
    """Scores, repeats averaged: one a persona, model and case; all of shape ``(n_cells,)``."""

    value: Floats
    persona: Codes
    model: Codes
    case: Codes

    @property
    def cases(self) -> int:
        return int(self.case.max(initial=-1)) + 1

    @property
    def models(self) -> int:
        return int(self.model.max(initial=-1)) + 1


@dataclass(frozen=True, slots=True)
class _Fit:
    """Effects and standard errors by persona; empty where nothing was fitted."""

    effect: dict[str, float] = field(default_factory=dict)
    error: dict[str, float] = field(default_factory=dict)
    converged: bool = False
    notes: tuple[str, ...] = ()


def _cells(frame: pd.DataFrame, names: list[str]) -> _Cells:
    import pandas as pd

    known = frame[frame["value"].notna()]
    keys = [known["persona"].astype(str), known["model"], known["case"]]
    means = known["value"].astype("float64").groupby(keys, sort=True).mean()
    persona, model, case = (means.index.get_level_values(i) for i in range(3))
    return _Cells(
        means.to_numpy(),
        pd.Index(names).get_indexer(persona),
        pd.factorize(model, sort=True)[0],
        pd.factorize(case, sort=True)[0],
    )


def _fit(cells: _Cells, names: list[str]) -> _Fit:
    """Fit, and put what the library warns of in plain words."""
    scored = [i for i in range(len(names)) if (cells.persona == i).any()]
    if 0 not in scored:
        return _Fit(notes=(f"{names[0]!r} has no score to compare with.",))
    if len(scored) == 1:
        return _Fit()
    if cells.cases < FEWEST_CASES:
        few = (
            f"Not fitted: {pluralize(cells.cases, 'case')}, and at least {FEWEST_CASES} are needed."
        )
        return _Fit(notes=(few,))
    if np.ptp(cells.value) == 0:
        return _Fit(notes=("Not fitted: all scores are equal.",))
    crossed = cells.models > 1 and cells.cases <= CROSSED_CASES
    notes = []
    if cells.models > 1 and not crossed:
        notes.append(f"With {cells.cases:,} cases, models are fixed effects and not random.")
    model = _model(cells, scored, crossed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = model.fit()
            effect, error = np.asarray(result.fe_params), np.asarray(result.bse_fe)
        except np.linalg.LinAlgError:
            # The linear algebra library's own words differ by processor.
            return _Fit(notes=(*notes, _SINGULAR))
        except ValueError as e:
            return _Fit(notes=(*notes, f"Not fitted: {e}."))
    notes += list(dict.fromkeys(_plain(str(one.message)) for one in caught))
    if _SINGULAR not in notes and result.scale <= _EXACT * np.var(cells.value):
        notes.append(_SINGULAR)  # nothing is left for chance, and errors of 0 are no certainty
    good = bool(result.converged) and _SINGULAR not in notes and bool(np.isfinite(error).all())
    if not result.converged:
        notes.append("It did not converge, so that these are no estimates.")
    elif not np.isfinite(error).all():
        notes.append("Standard errors could not be computed.")
    shown = [names[i] for i in scored[1:]]
    return _Fit(
        dict(zip(shown, effect[1 : len(scored)].tolist(), strict=True)),
        dict(zip(shown, error[1 : len(scored)].tolist(), strict=True)),
        good,
        tuple(notes),
    )


def _model(cells: _Cells, scored: list[int], crossed: bool) -> Any:
    try:
        from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
    except ImportError as e:
        raise MissingDependencyError(
            "The mixed model is fitted with statsmodels, which is not installed.",
            fix="pip install 'assistants[analysis]'",
        ) from e
    columns = [np.ones(len(cells.value)), *(cells.persona == i for i in scored[1:])]
    if not crossed:
        columns += [cells.model == i for i in range(1, cells.models)]
        return MixedLM(cells.value, np.column_stack(columns).astype(float), groups=cells.case)
    levels = {"case": cells.case, "model": cells.model}
    parts = VCSpec(
        list(levels),
        [[[str(i) for i in range(codes.max() + 1)]] for codes in levels.values()],
        [[np.eye(codes.max() + 1)[codes]] for codes in levels.values()],
    )
    # One group that holds all, so that cases and models can cross in it.
    one_group = np.zeros(len(cells.value), dtype=np.intp)
    design = np.column_stack(columns).astype(float)
    return MixedLM(cells.value, design, groups=one_group, exog_vc=parts)


_EXACT = 1e-8
"""Share of the variance: what is left below it is the search's own step."""

_SINGULAR = "The fit is singular: do not use these figures."
_WORDS = {
    "singular": _SINGULAR,
    "not positive definite": _SINGULAR,
    "boundary": "A variance between cases or models came out as 0, the least there is.",
    **dict.fromkeys(
        ("retrying", "failed", "converge", "gradient", "encountered in"),
        "The search for the best fit had trouble.",
    ),
}


def _plain(message: str) -> str:
    return next(
        (words for part, words in _WORDS.items() if part in message.casefold()),
        f"statsmodels says: {message.rstrip('.')}.",
    )


def _row(name: str, fit: _Fit, scale: float) -> tuple[Any, ...]:
    if name not in fit.effect:
        notes = fit.notes or (f"{name!r} has no score.",)
        return (math.nan, math.nan, math.nan, math.nan, False, " ".join(notes))
    effect, error = fit.effect[name], fit.error[name]
    half = _Z * error
    p = math.erfc(abs(effect) / error / math.sqrt(2)) if error > 0 else math.nan
    ends = (effect - half, effect + half)
    return (effect * scale, *(e * scale for e in ends), p, fit.converged, " ".join(fit.notes))
