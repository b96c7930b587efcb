"""Scores of a stored run: one row a trial and scorer, and no model is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistants import tables
from assistants.messages import FINISHED
from assistants.scoring.base import Answered, Score, Scorer, apply
from assistants.store import Store
from assistants.text import from_utf8

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("persona", "model", "case", "repeat", "status", "scorer", "value", "reason", "detail")
"""Of the scores table, in order."""


def scores(store: Store, run: str, scorers: Sequence[Scorer]) -> pd.DataFrame:
    """Score every trial of a run with every scorer; what is stored is not scored again.

    Parameters
    ----------
    store
        Of the run; new scores are stored beside its answers.
    run
        Its id.
    scorers
        In the order of the table.

    Returns
    -------
    pd.DataFrame
        One row a trial and scorer, with ``COLUMNS``. ``value`` is missing where there is no
        answer to score or the scorer failed, and ``reason`` then says why.
    """
    import pandas as pd

    frame = tables.trials(store, run)
    answered = [_answered(row) for row in frame.to_dict("records")]
    parts = [_scored(store, run, frame, answered, scorer) for scorer in scorers]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _scored(
    store: Store,
    run: str,
    frame: pd.DataFrame,
    answered: Sequence[Answered | None],
    scorer: Scorer,
) -> pd.DataFrame:
    known = store.scores(scorer.version, run)
    new: dict[tuple[str, str], Score] = {}
    found: list[Score] = []
    for key, seen in zip(frame["key"], answered, strict=True):
        if seen is None:
            found.append(Score(None, "there is no answer"))
            continue
        place = (key, seen.digest)
        if place not in known:
            known[place] = new[place] = apply(scorer, seen)
        found.append(known[place])
    store.add_scores(scorer.version, new)
    return frame[["persona", "model", "case", "repeat", "status"]].assign(
        scorer=scorer.name,
        value=[float("nan") if s.value is None else s.value for s in found],
        reason=[s.reason for s in found],
        detail=[s.detail for s in found],
    )


def _answered(row: dict[str, Any]) -> Answered | None:
    """What a scorer sees of a row: never which persona or model answered."""
    if row["status"] not in FINISHED:
        return None
    reference = row["reference"]
    return Answered(
        question=from_utf8(row["question"]),
        answer=from_utf8(row["answer"]),
        reference=from_utf8(reference) if isinstance(reference, str) else None,
    )
