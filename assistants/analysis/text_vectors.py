"""Text vectors: answers as vectors, and the distances between those of one case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from assistants.analysis.permutation import Floats
from assistants.errors import MissingDependencyError, UsageError
from assistants.utils import words_in

if TYPE_CHECKING:
    import pandas as pd

Vectors: TypeAlias = Any
"""A scipy sparse matrix or an array, of shape ``(n_answers, n_dimensions)``."""

_SAME = 1e-12
"""Distances below this are the order of addition: the answers are the same."""


def tfidf(answers: Sequence[str]) -> Vectors:
    """Return one row per answer: its words, each weighted by how few of all the answers use it.

    Parameters
    ----------
    answers
        All of a run, so that "few" means the same for every case. Words are those that the scorer
        ``words`` counts, in lower case, of any language.

    Returns
    -------
    scipy.sparse matrix
        Shape ``(n_answers, n_words)``, each row of length 1, or 0 where an answer has no word.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    """
    try:
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError as e:
        raise MissingDependencyError(
            "Answers are compared word by word with scikit-learn, which is not installed.",
            fix="pip install 'assistants[analysis]'",
        ) from e
    if not any(words_in(answer) for answer in answers):  # nothing to fit on, and no mistake
        return csr_matrix((len(answers), 1), dtype=np.float64)
    return TfidfVectorizer(analyzer=words_in).fit_transform(answers)


def of_answers(frame: pd.DataFrame, given: Vectors | None) -> tuple[NDArray[np.bool_], Vectors]:
    """Return which rows hold an answer that counts, and vectors of length 1 for all rows.

    Parameters
    ----------
    frame
        With a column ``answer``, NA where the trial does not count.
    given
        Embeddings, in the order of the rows, or None for ``tfidf``. Rows without an answer may
        hold anything.

    Returns
    -------
    tuple
        Shape ``(n_rows,)``, and a matrix of ``n_rows`` rows. An answer whose vector is 0, as one
        without words is, gets a dimension of its own: it equals others like it, and nothing else.

    Raises
    ------
    UsageError
        If there is no column ``answer``, or the vectors do not fit the rows.
    """
    if "answer" not in frame.columns:
        raise UsageError(
            "The table has no column 'answer'.", fix="Give one row a trial, as `trials` does."
        )
    known = frame["answer"].notna().to_numpy(dtype=bool)
    if given is None:
        vectors = tfidf([a if k else "" for a, k in zip(frame["answer"], known, strict=True)])
        empty = np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel() == 0
        from scipy.sparse import csr_matrix, hstack

        own = csr_matrix(empty[:, None].astype(np.float64))
        return known, hstack([vectors, own], format="csr")
    rows = np.asarray(given)
    if rows.ndim != 2 or len(rows) != len(frame):
        raise UsageError(
            f"The vectors have the shape {rows.shape}, and the table has {len(frame):,} rows.",
            fix="Give one vector a row, in the order of the rows.",
        )
    rows = np.where(known[:, None], rows, 0).astype(np.float64)
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise UsageError(f"The vector of row {row} is not finite, and its answer counts.")
    length = np.linalg.norm(rows, axis=1)
    rows /= np.where(length > 0, length, 1.0)[:, None]
    return known, np.column_stack([rows, length == 0])


def distances(rows: Vectors) -> Floats:
    """Return the cosine distance of each answer from each, for the answers of one case.

    Parameters
    ----------
    rows
        Some rows of what ``of_answers`` gives, ``(n, n_dimensions)``.

    Returns
    -------
    Floats
        Shape ``(n, n)``, symmetric: 0 for the same words in the same proportions, 1 for no word
        in common. Embeddings that point away from each other lie up to 2 apart.
    """
    product = rows @ rows.T
    cosine = np.asarray(product.toarray() if hasattr(product, "toarray") else product)
    apart = 1.0 - (cosine + cosine.T) / 2
    apart[apart < _SAME] = 0.0
    np.fill_diagonal(apart, 0.0)
    return np.asarray(apart)
