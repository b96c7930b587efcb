"""Agreement of raters: people, judges, and judges as against people."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.pairwise_votes import FEWEST_CASES, combine_orders
from assistants.analysis.permutation import Floats
from assistants.analysis.ranking import evalica
from assistants.utils.text import pluralize

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple("who raters comparisons agree alpha low high note".split())
"""Columns of the agreement table, in order."""

PEOPLE, JUDGES, ALL = "people", "judges", "people and judges"

BOOTSTRAP = 2_000
"""Resamples of the cases."""

FEW = 30
"""Shared comparisons below which a row says that they are few."""

_AT_ONCE = 256
_UNIT = ["case", "model", "repeat", "first", "second"]
_OUTCOMES = ("first", "second", "tie", "both bad")


def agreement(votes: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Measure how far raters agree, beyond what they would by chance.

    Parameters
    ----------
    votes
        As in ``combine_orders``: where a rater contradicts itself between the two orders,
        its verdict is a tie.
    seed
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``: a row for ``people``, for ``judges`` and for all of them together, where
        there are any, and one for each two raters that share a comparison. ``comparisons`` counts
        those that at least two of the row's raters judged. ``agree`` is the share of pairs of
        raters that gave the same verdict, averaged over these. ``alpha`` is Krippendorff's, with
        verdicts as nominal values, each entered both ways round; ``low`` and ``high`` are of its
        95% interval, from resampling whole cases. NaN is "not known", with the reason in ``note``.

    Raises
    ------
    UsageError
        As ``combine_orders`` does.
    MissingDependencyError
        If evalica is not installed.

    Notes
    -----
    Krippendorff (2018), "Content Analysis", 4th edition, chapter 12. Comparisons of one case
    share its answers, so that cases are resampled and not comparisons; percentiles.
    """
    import pandas as pd

    combined = combine_orders(votes)
    if combined.empty:
        return pd.DataFrame({name: [] for name in COLUMNS})
    sheet = combined.assign(
        verdict=combined["winner"]
        .map({word: i for i, word in enumerate(_OUTCOMES)})
        .astype("float64")
    ).pivot(index=_UNIT, columns="rater", values="verdict")
    kinds = combined.groupby("rater")["kind"].first()
    people, judges = (sorted(kinds.index[kinds == kind]) for kind in ("person", "judge"))
    groups = [(PEOPLE, people), (JUDGES, judges), (ALL, [*people, *judges])]
    rows = [
        _row(who, sheet[raters], seed)
        for who, raters in groups
        if raters and (who != ALL or (people and judges))
    ]
    for one, other in combinations([*people, *judges], 2):
        shared = sheet[[one, other]].dropna()
        if len(shared):
            rows.append(_row(f"{one} and {other}", shared, seed))
    types = dict.fromkeys(("agree", "alpha", "low", "high"), "float64")
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"who": "str", **types, "note": "str"})


def alpha_of(counts: Floats) -> Floats:
    """Return Krippendorff's nominal alpha of many resamples at once.

    Parameters
    ----------
    counts
        Shape ``(..., 1 + n_outcomes)``, summed over comparisons: pairs of raters that disagree,
        each divided by the comparison's raters less one; then verdicts of each outcome.

    Returns
    -------
    Floats
        Shape ``(...)``; NaN where all verdicts are the same.
    """
    disagreement, verdict_counts = counts[..., 0], counts[..., 1:]
    n = verdict_counts.sum(axis=-1)
    chance = n**2 - (verdict_counts**2).sum(axis=-1)
    known = chance > 1e-9
    ratio = np.divide(disagreement * (n - 1), chance, out=np.full(n.shape, np.nan), where=known)
    return np.asarray(1.0 - ratio)


def tally(verdicts: Floats, outcomes: int) -> Floats:
    """Return for each comparison the counts that ``alpha_of`` takes, summed over comparisons.

    Parameters
    ----------
    verdicts
        Shape ``(n_comparisons, n_raters)``: the number of an outcome, NaN where a rater gave none.
        Each comparison has two verdicts or more.
    outcomes
        How many there are.

    Returns
    -------
    Floats
        Shape ``(n_comparisons, 1 + outcomes)``.
    """
    verdict_counts = np.stack([(verdicts == i).sum(axis=1) for i in range(outcomes)], axis=1)
    return np.column_stack(
        [_disagreeing(verdict_counts) / (verdict_counts.sum(axis=1) - 1), verdict_counts]
    )


def _disagreeing(verdict_counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the ordered pairs of raters with different verdicts, per comparison."""
    judged = verdict_counts.sum(axis=1)
    return np.asarray(judged * (judged - 1) - (verdict_counts * (verdict_counts - 1)).sum(axis=1))


def _row(who: str, sheet: pd.DataFrame, seed: int) -> tuple[Any, ...]:
    raters = sheet.shape[1]
    sheet = sheet[sheet.notna().sum(axis=1) > 1]
    if sheet.empty:
        reason = (
            "Only one rater: there is nobody to agree with."
            if raters == 1
            else "No comparison was judged by two of them."
        )
        return (who, raters, 0, math.nan, math.nan, math.nan, math.nan, reason)
    verdicts = sheet.to_numpy(dtype=np.float64)
    counts = tally(verdicts, len(_OUTCOMES))
    verdict_counts = counts[:, 1:]
    agree = 1 - float((counts[:, 0] / verdict_counts.sum(axis=1)).mean())
    used = [
        word for word, number in zip(_OUTCOMES, verdict_counts.sum(axis=0), strict=True) if number
    ]
    if used in (["tie"], ["both bad"]):
        only = f"Every verdict is {used[0]!r}: nobody varies, so alpha is not defined."
        return (who, raters, len(sheet), agree, math.nan, math.nan, math.nan, only)
    import pandas as pd

    # Which persona is "first" is a matter of spelling: each comparison is entered both ways round.
    mirrored = np.vstack([verdicts, np.where(verdicts < 2, 1 - verdicts, verdicts)])
    value = float(evalica().alpha(pd.DataFrame(mirrored.T), distance="nominal").alpha)
    counts = np.column_stack([2 * counts[:, 0], verdict_counts + verdict_counts[:, [1, 0, 2, 3]]])
    low, high, cases = _interval(counts, sheet.index.get_level_values("case"), seed)
    note = " ".join(_note(len(sheet), cases))
    return (who, raters, len(sheet), agree, value, low, high, note)


def _interval(counts: Floats, cases: Any, seed: int) -> tuple[float, float, int]:
    import pandas as pd

    case, names = pd.factorize(cases)
    number = len(names)
    if number < FEWEST_CASES:
        return math.nan, math.nan, number
    by_case = np.zeros((number, counts.shape[1]))
    np.add.at(by_case, case, counts)
    alphas = _resampled(by_case, np.random.default_rng(seed))
    alphas = alphas[~np.isnan(alphas)]  # resamples in which nobody varies have no alpha
    if len(alphas) < BOOTSTRAP / 2:
        return math.nan, math.nan, number
    low, high = np.quantile(alphas, [0.025, 0.975])
    return float(low), float(high), number


def _resampled(by_case: Floats, generator: np.random.Generator) -> NDArray[np.float64]:
    number = len(by_case)
    alphas = []
    for start in range(0, BOOTSTRAP, _AT_ONCE):
        size = min(_AT_ONCE, BOOTSTRAP - start)
        drawn = generator.multinomial(number, np.full(number, 1 / number), size=size)
        alphas.append(alpha_of(drawn @ by_case))
    return np.concatenate(alphas)


def _note(comparisons: int, cases: int) -> list[str]:
    notes = []
    if cases < FEWEST_CASES:
        notes.append(f"Only {pluralize(cases, 'case')}: too few for an interval.")
    if comparisons < FEW:
        notes.append(f"Only {pluralize(comparisons, 'comparison')}.")
    return notes
