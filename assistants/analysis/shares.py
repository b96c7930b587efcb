"""What the answers' wording varies with: the case, the model, the persona, or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.score_matrix import grids
from assistants.analysis.text_vectors import Vectors, of_answers

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("part", "share", "note")
"""Of the table of shares, in order."""

CASE, MODEL, MODEL_BY_CASE, PERSONA, PERSONA_BY_CASE, NOISE = PARTS = (
    "case", "model", "model by case", "persona", "persona by case", "noise"
)  # fmt: skip
"""In the order in which variance is given to them."""

UNSPLIT = f"{PERSONA_BY_CASE} and {NOISE}"
"""The last part where every case was drawn once, so that the two cannot be told apart."""


def shares(frame: pd.DataFrame, *, vectors: Vectors | None = None) -> pd.DataFrame:
    """Share of the variance of the answers' vectors that goes with each factor.

    Parameters
    ----------
    frame
        One row a trial: ``persona``, ``model``, ``case``, ``repeat`` and ``answer``, which is NA
        where the trial does not count. It need not be balanced.
    vectors
        As in ``change``.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``, one row a part; ``share`` is within 0 and 1, and those that are known
        add up to 1. ``persona`` is what a persona changes in all cases alike, ``persona by case``
        what it changes in one case and not in another (or with one model and not another),
        ``noise`` what differs between repeats. NaN is "not known", with the reason in ``note``.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, or ``vectors`` do not fit.
    MissingDependencyError
        If scikit-learn is not installed.

    Notes
    -----
    Sums of squares over all dimensions together, each of what the parts above leave over: case,
    model, model by case, persona (so within the same case and model), persona by case, noise.
    Squares of chance alone are taken off, as in Kelley's (1935) epsilon squared: a part with ``df``
    degrees of freedom loses ``df`` mean squares of the part that it would be if it were chance. For
    ``persona`` that is ``persona by case``, and for that it is ``noise``. What falls below 0 is 0;
    the last part is what the others leave.
    """
    import pandas as pd

    known, rows = of_answers(frame, vectors)
    grids(frame.assign(value=0.0), "answer")  # refuses a table that does not hold a row a trial
    here = np.flatnonzero(known)
    codes = [pd.factorize(frame[name].iloc[here])[0] for name in ("case", "model", "persona")]
    table = pd.DataFrame(_rows(rows[here], *codes), columns=list(COLUMNS))
    return table.astype({"part": "str", "share": "float64", "note": "str"})


@dataclass(frozen=True, slots=True)
class _Squares:
    """Sum of squares of a part, and its degrees of freedom."""

    total: float
    df: int

    @property
    def mean(self) -> float:
        return max(self.total, 0.0) / self.df if self.df > 0 else math.nan


Codes = NDArray[np.intp]


def _rows(rows: Vectors, case: Codes, model: Codes, persona: Codes) -> list[tuple[str, float, str]]:
    if len(case) < 2:
        return [(part, math.nan, "Fewer than two answers.") for part in PARTS]
    stratum = _crossed(case, model)
    cell = _crossed(stratum, persona)
    whole, by_case, by_stratum, by_cell = (
        _sums(rows, codes) for codes in (np.zeros_like(case), case, stratum, cell)
    )
    everything = float((rows.multiply(rows) if hasattr(rows, "multiply") else rows * rows).sum())
    total = everything - whole.total
    found = {
        CASE: _Squares(by_case.total - whole.total, by_case.df - 1),
        MODEL: _within(rows, model, case),
        PERSONA: _within(rows, persona, stratum),
        NOISE: _Squares(everything - by_cell.total, len(case) - by_cell.df),
    }
    found[MODEL_BY_CASE] = _rest(by_stratum, by_case, found[MODEL])
    found[PERSONA_BY_CASE] = _rest(by_cell, by_stratum, found[PERSONA])
    drawn_once = found[NOISE].df == 0
    parts = [part for part in PARTS if part != MODEL_BY_CASE or model.any()]
    if drawn_once:
        parts = [*parts[:-2], UNSPLIT]
    if total <= 1e-12 * len(case):
        return [(part, math.nan, "All answers are the same.") for part in parts]
    known: dict[str, float] = {}
    for part in parts[:-1]:
        chance = next((found[e].mean for e in _CHANCE[part] if found[e].df > 0), math.nan)
        if found[part].df > 0:
            left = found[part].total - found[part].df * chance
            known[part] = min(1.0, max(0.0, left / total))
    if any(math.isnan(share) for share in known.values()):
        return [(part, math.nan, "Too few answers to tell chance from effect.") for part in parts]
    known[parts[-1]] = max(0.0, 1.0 - sum(known.values()))
    return [(part, known.get(part, math.nan), _note(part, part in known)) for part in parts]


_CHANCE = {
    CASE: (MODEL_BY_CASE, PERSONA_BY_CASE, NOISE),
    MODEL: (MODEL_BY_CASE, PERSONA_BY_CASE, NOISE),
    MODEL_BY_CASE: (PERSONA_BY_CASE, NOISE),
    PERSONA: (PERSONA_BY_CASE, NOISE),
    PERSONA_BY_CASE: (NOISE,),
}
"""What a part's squares are compared with: the first of these that has any."""


def _note(part: str, known: bool) -> str:
    if part == UNSPLIT:
        return "One draw a case: what a persona changes in one case only cannot be told from noise."
    return "" if known else f"There is only one {part.split()[0]} to look at."


def _crossed(first: Codes, second: Codes) -> Codes:
    """One code for each pair that occurs."""
    _, codes = np.unique(np.stack([first, second]), axis=1, return_inverse=True)
    return np.asarray(codes.ravel(), dtype=np.intp)


def _dummies(codes: Codes) -> Any:
    """Which level each answer has: sparse, shape ``(n_levels, n_answers)``."""
    from scipy.sparse import csr_matrix

    return csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))))


def _sums(rows: Vectors, codes: Codes) -> _Squares:
    """Squares of the groups' means, about 0; as many degrees of freedom as groups."""
    levels = _dummies(codes)
    sums = levels @ rows
    squares = sums.multiply(sums) if hasattr(sums, "multiply") else sums * sums
    counts = np.bincount(codes)
    return _Squares(float((np.asarray(squares.sum(axis=1)).ravel() / counts).sum()), len(counts))


def _within(rows: Vectors, codes: Codes, strata: Codes) -> _Squares:
    """Squares of a factor's levels, after the means of the strata: regression on its dummies."""
    levels, groups = _dummies(codes), _dummies(strata)
    shared = levels @ groups.T
    weighted = shared.multiply(1.0 / np.bincount(strata)[None, :]).tocsr()
    crossed = np.diag(np.bincount(codes).astype(np.float64)) - (weighted @ shared.T).toarray()
    sums = levels @ rows - weighted @ (groups @ rows)
    sums = sums.toarray() if hasattr(sums, "toarray") else sums
    rank = int(np.linalg.matrix_rank(crossed, hermitian=True, tol=1e-9 * len(codes)))
    solved = np.linalg.pinv(crossed, rcond=1e-9, hermitian=True) @ sums
    return _Squares(float((sums * solved).sum()), rank)


def _rest(all_of_it: _Squares, above: _Squares, between: _Squares) -> _Squares:
    return _Squares(
        all_of_it.total - above.total - between.total, all_of_it.df - above.df - between.df
    )
