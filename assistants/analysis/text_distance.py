"""Text distance: how far a persona moved the wording, beyond what repeats differ anyway."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistants.analysis.paired import moments, t_interval
from assistants.analysis.permutation import FLIPS, LabelPermutationTest, holm
from assistants.analysis.score_matrix import Grid, grids
from assistants.analysis.text_vectors import Vectors, distances, of_answers
from assistants.analysis.verdict import ALPHA, FEWEST_CASES, TOO_LITTLE
from assistants.errors import UnknownNameError
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple(
    "persona model n_cases n_trials distance noise excess low high p p_adjusted "
    "verdict note".split()
)
"""Columns of the table, in order."""

MOVED = "moved beyond the noise"
NOT_MOVED = "no more than repeats differ"
"""A verdict is one of these, or begins with ``verdict.TOO_LITTLE``."""

SMALL = 0.5
"""Share of the noise. "No more than repeats differ" is said where the interval of the excess
reaches 0 and stays below this: whatever moved is less than half of what repeats differ."""


def text_distance(
    frame: pd.DataFrame, *, baseline: str, vectors: Vectors | None = None, seed: int = 0
) -> pd.DataFrame:
    """Measure how far answers lie from the baseline's: one row per persona and model.

    Two draws of one persona are worded differently too. So the distance of a persona's answers
    from the baseline's is compared with that among the repeats of either, on the same case.

    Parameters
    ----------
    frame
        One row a trial: ``persona``, ``model``, ``case``, ``repeat`` and ``answer``, which is NA
        where the trial does not count.
    baseline
        The persona that the others are compared with.
    vectors
        Embeddings of shape ``(n_rows, n_dimensions)``, in the order of the rows. Without them,
        answers are compared by their words (``text_vectors.tfidf``).
    seed
        Of the random permutations.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``. ``distance`` is the mean cosine distance between a persona's and the
        baseline's answers to a case, ``noise`` that between repeats (the mean of the persona's
        and the baseline's), ``excess`` their difference: 0 on average where the persona changes
        nothing, and below 0 by chance. ``low`` and ``high`` are of its 95% interval, from one
        number a case. ``p`` exchanges the labels of the two personas within each case, and asks
        how often the excess is as large. All over the ``n_cases`` cases with two answers on both
        sides; without such a case ``distance`` alone is given, and the rest is not known (NaN).
        ``n_trials`` counts the persona's answers.

    Raises
    ------
    UsageError
        If a column is missing, a trial occurs twice, or ``vectors`` do not fit.
    UnknownNameError
        If no row is of ``baseline``.
    MissingDependencyError
        If scikit-learn or scipy is not installed.

    Notes
    -----
    The excess is half the energy distance of Székely and Rizzo (2013), "Energy statistics", here
    of cosine distances, averaged over cases. The permutation holds the case fixed, as in Anderson
    (2001), "A new method for non-parametric multivariate analysis of variance".
    """
    import pandas as pd

    known, rows = of_answers(frame, vectors)
    places = np.where(known, np.arange(len(frame), dtype=np.float64), np.nan)
    models = grids(frame.assign(value=places), "answer")
    names = {name for grid in models for name in grid.personas}
    if baseline not in names:
        raise UnknownNameError("persona", baseline, names)
    count = sum(len(set(grid.personas) - {baseline}) for grid in models)
    draws = max(FLIPS, 200 * count - 1)
    persona_distances = [
        row for grid in models for row in _of_model(grid, baseline, rows, seed, draws)
    ]
    adjusted = holm(np.array([row.p for row in persona_distances]))
    table = pd.DataFrame(
        [row.cells(float(p)) for row, p in zip(persona_distances, adjusted, strict=True)],
        columns=list(COLUMNS),
    )
    return table.astype(dict.fromkeys(("persona", "model", "verdict", "note"), "str"))


@dataclass(frozen=True, slots=True)
class _PersonaDistance:
    """One persona of one model; NaN is not known."""

    persona: str
    model: str
    n_cases: int
    n_all_cases: int
    n_trials: int
    distance: float
    noise: float
    excess: float
    low: float
    high: float
    p: float

    def cells(self, adjusted: float) -> list[object]:
        facts = (self.distance, self.noise, self.excess, self.low, self.high, self.p, adjusted)
        about = (self.persona, self.model, self.n_cases, self.n_trials)
        return [*about, *facts, self.verdict(adjusted), " ".join(self.note())]

    def verdict(self, adjusted: float) -> str:
        if self.n_cases == 0:
            return f"{TOO_LITTLE}: no case has both answers"
        if math.isnan(self.noise):
            return f"{TOO_LITTLE}: no case has two draws on both sides, so the noise is unknown"
        if adjusted <= ALPHA:
            return MOVED
        if self.distance == 0:
            return f"{TOO_LITTLE}: all answers to a case are the same"
        enough = self.n_cases >= FEWEST_CASES and self.low <= 0
        if enough and self.high <= SMALL * self.noise:
            return NOT_MOVED
        return f"{TOO_LITTLE}: {self._reason()}"

    def note(self) -> Iterator[str]:
        if 0 < self.n_cases < self.n_all_cases:
            yield f"Over {self.n_cases:,} of {pluralize(self.n_all_cases, 'case')}."
        if self.n_cases and math.isnan(self.noise):
            yield "How much of the distance is noise cannot be told from one draw a case."
        elif self.n_cases == 1:
            yield "Only one case: nothing is known of others, and there is no interval."
        if self.distance == 0:
            yield (
                "All answers were the same, the persona's and the baseline's: that is what was "
                "seen, and no certainty."
            )
        elif self.noise == 0:
            yield (
                "Repeats were the same each time (temperature 0?): a noise of 0 is what was seen, "
                "and they say no more than one draw."
            )

    def _reason(self) -> str:
        if self.n_cases < FEWEST_CASES:
            return f"{pluralize(self.n_cases, 'case')}"
        return "the interval is too wide"


def _of_model(
    grid: Grid, baseline: str, rows: Vectors, seed: int, draws: int
) -> list[_PersonaDistance]:
    others = [i for i, name in enumerate(grid.personas) if name != baseline]
    ours = [grid.values[i] for i in others]
    # A model that never met the baseline is compared with nothing, and says so.
    met = baseline in grid.personas
    base = grid.of(baseline) if met else np.full(grid.values.shape[1:], np.nan)
    many_ours = np.array([(~np.isnan(one)).sum(axis=1) for one in ours], dtype=np.int64)
    many_ours = many_ours.reshape(len(ours), len(base))
    many_theirs = (~np.isnan(base)).sum(axis=1)
    repeated = (many_ours > 1) & (many_theirs > 1)
    once = (many_ours > 0) & (many_theirs > 0)
    counted = np.where(repeated.any(axis=1)[:, None], repeated, once)
    test = LabelPermutationTest(
        np.where(repeated, many_ours, 0), many_theirs, seed=seed, draws=draws
    )
    across, excess = np.full((2, *counted.shape), np.nan)
    for case in np.flatnonzero(counted.any(axis=0)):
        sides = [*(one[case] for one in ours), base[case]]
        answers = [side[~np.isnan(side)].astype(np.intp) for side in sides]
        apart = distances(rows[np.concatenate(answers)])
        ends = np.cumsum([0, *map(len, answers)])
        theirs = np.arange(ends[-2], ends[-1])
        for i in np.flatnonzero(counted[:, case]):
            across[i, case] = apart[ends[i] : ends[i + 1], theirs].mean()
        for size in np.unique(many_ours[repeated[:, case], case]):
            which = np.flatnonzero(repeated[:, case] & (many_ours[:, case] == size))
            mine = ends[which][:, None] + np.arange(size)
            positions = np.hstack([mine, np.tile(theirs, (len(which), 1))])
            blocks = apart[positions[:, :, None], positions[:, None, :]]
            excess[which, case] = test.add(int(case), which, blocks, int(size))
    n, distance, _ = moments(across)
    _, mean, _ = moments(excess)
    low, high = t_interval(excess)
    return [
        _PersonaDistance(
            persona=grid.personas[other],
            model=grid.model,
            n_cases=int(n[i]),
            n_all_cases=len(base),
            n_trials=int(many_ours[i].sum()),
            distance=float(distance[i]),
            noise=_noise(float(distance[i]), float(mean[i])),
            excess=float(mean[i]),
            low=float(low[i]),
            high=float(high[i]),
            p=test.p(i),
        )
        for i, other in enumerate(others)
    ]


def _noise(distance: float, excess: float) -> float:
    """Return the part of the distance that is no excess; exactly 0 where only rounding is left."""
    rest = distance - excess
    return 0.0 if abs(rest) < 1e-12 else rest
