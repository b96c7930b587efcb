"""The answers of two models that differ most, each beside how far repeats differ anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.permutation import Floats
from assistants.analysis.text_vectors import Vectors, distances, of_answers

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = tuple("persona case distance noise excess old_row new_row".split())
"""Columns of the table, in order."""


def answer_differences(
    frame: pd.DataFrame, *, old: str, new: str, vectors: Vectors | None = None
) -> pd.DataFrame:
    """Rank the cases of each persona by how far two models' answers lie apart.

    Parameters
    ----------
    frame
        One row per trial: ``persona``, ``model``, ``case`` and ``answer``, which is NA where the
        trial does not count.
    old, new
        The two models; rows of others are not compared.
    vectors
        Embeddings of shape ``(n_rows, n_dimensions)``, in the order of the rows. Without them,
        answers are compared by their words (``text_vectors.tfidf``).

    Returns
    -------
    pandas.DataFrame
        With ``COLUMNS``: one row per persona and case that both models answered, the largest
        excess first. ``distance`` is the mean cosine distance between the answers of the two
        models, ``noise`` the mean distance among repeats of one model (the mean of both models'),
        ``excess`` the distance beyond that noise. Where a model answered once the noise is not
        known (NaN), and ``excess`` is the whole distance. ``old_row`` and ``new_row`` are the
        positions in ``frame`` of the pair of answers whose distance is nearest to the mean, as
        an example that is typical rather than extreme.

    Raises
    ------
    UsageError
        If there is no column ``answer``, or ``vectors`` do not fit.
    MissingDependencyError
        If scikit-learn is not installed.
    """
    import pandas as pd

    known, rows = of_answers(frame, vectors)
    places = frame[["persona", "case", "model"]].reset_index(drop=True)[known]
    table = []
    for (persona, case), of_case in places.groupby(["persona", "case"], sort=False):
        ours, theirs = (of_case.index[of_case["model"] == model].to_numpy() for model in (old, new))
        if not len(ours) or not len(theirs):
            continue
        apart = distances(rows[np.concatenate([ours, theirs])])
        across = apart[: len(ours), len(ours) :]
        distance = float(across.mean())
        noise = _noise(apart, len(ours))
        typical = np.unravel_index(np.abs(across - distance).argmin(), across.shape)
        excess = distance if np.isnan(noise) else distance - noise
        pair = (int(ours[typical[0]]), int(theirs[typical[1]]))
        table.append((persona, case, distance, noise, excess, *pair))
    ranked = pd.DataFrame(table, columns=list(COLUMNS))
    return ranked.sort_values("excess", ascending=False, kind="stable", ignore_index=True)


def _noise(apart: Floats, first: int) -> float:
    """Return the mean distance among repeats, averaged over both groups; NaN of single draws."""
    groups: list[NDArray[np.float64]] = [apart[:first, :first], apart[first:, first:]]
    means = [g.sum() / (len(g) * (len(g) - 1)) for g in groups if len(g) > 1]
    return float(np.mean(means)) if len(means) == len(groups) else float("nan")
