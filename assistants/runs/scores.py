"""Scores of a stored run: one row a trial and scorer, and no model is asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assistants.errors import UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.runs import tables
from assistants.runs.store import Store
from assistants.scoring import (
    FunctionScorer,
    Score,
    ScorePendingError,
    Scorer,
    ScorerInput,
    apply_scorer,
)
from assistants.techniques import UNUSED, Knowledge
from assistants.utils import from_utf8

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("persona", "model", "case", "repeat", "status", "scorer", "value", "reason", "detail")
"""Of the scores table, in order."""

KEPT_AT_ONCE = 200
"""New scores between two writes: so many an interrupt may cost."""


def scores(
    store: Store, run: str, scorers: Sequence[Scorer], stop: Callable[[], bool] = lambda: False
) -> pd.DataFrame:
    """Score every trial of a run with every scorer; what is stored is not scored again.

    Parameters
    ----------
    store
        Of the run; new scores are stored beside its answers.
    run
        Its id.
    scorers
        In the order of the table.
    stop
        Asked before each new score; when it says yes, the rest is left for another time.

    Returns
    -------
    pd.DataFrame
        One row a trial and scorer, with ``COLUMNS``. ``value`` is missing where there is no
        answer to score or the scorer failed, and ``reason`` then says why.
    """
    import pandas as pd

    frame = tables.trials(store, run)
    sources = {
        from_utf8(case): from_utf8(source)
        for case, source in store.read(
            "SELECT case_id, source FROM cases WHERE run = ? AND source IS NOT NULL", [run]
        )
    }
    seen = [
        _with_passages(store, row, sources.get(from_utf8(row["case"])), scorer_input(row))
        for row in frame.to_dict("records")
    ]
    parts = [_scored(store, run, frame, seen, scorer, stop) for scorer in scorers]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)] if parts else empty()


def empty() -> pd.DataFrame:
    """Return the table of scores without a row."""
    import pandas as pd

    return pd.DataFrame({name: [] for name in COLUMNS})


def scorer_input(row: Mapping[str, Any]) -> ScorerInput | None:
    """Return what a scorer sees of a row of the trials table; ``None`` without an answer."""
    if row["status"] not in FINISHED:
        return None
    reference = row["reference"]
    return ScorerInput(
        question=from_utf8(row["question"]),
        answer=from_utf8(row["answer"]),
        reference=from_utf8(reference) if isinstance(reference, str) else None,
    )


def _with_passages(
    store: Store, row: Mapping[str, Any], source: str | None, seen: ScorerInput | None
) -> ScorerInput | None:
    """Return what a scorer sees with the passages that the last question was sent with.

    ``source`` is the place that answers it.
    """
    if seen is None or row.get(Knowledge.name, UNUSED) == UNUSED:
        return seen
    turns = store.technique_records(row["key"])
    last = turns[max(turns)] if turns else []
    record = next((r for r in last if r.technique == Knowledge.name), None)
    return replace(seen, knowledge=record, source=source)


def describe_scorers(scorers: Iterable[Scorer]) -> list[dict[str, str]]:
    """Return scorers as a manifest keeps them."""
    return [
        {"name": s.name, "unit": s.unit, "direction": s.direction, "kind": s.kind,
         "version": s.version}
        for s in scorers
    ]  # fmt: skip


def scorers_from_manifest(described: Iterable[Mapping[str, Any]]) -> list[FunctionScorer]:
    """Return the scorers that a run was scored with, to read their scores.

    They score nothing themselves: a store may come from a stranger, and reading it runs no code.
    """
    known = ("name", "unit", "direction", "kind", "version")
    try:
        return [
            FunctionScorer(**{k: entry[k] for k in known}, grade=_unread) for entry in described
        ]
    except (KeyError, TypeError, AttributeError):
        raise UsageError(
            "A manifest in this results folder lists its scorers in a way nobody here wrote.",
            fix="Name what to measure, as in `run.scores('words')`.",
        ) from None


def _unread(answered: ScorerInput) -> float:
    raise ScorePendingError("no score yet: run the experiment again")


def _scored(
    store: Store,
    run: str,
    frame: pd.DataFrame,
    seen: Sequence[ScorerInput | None],
    scorer: Scorer,
    stop: Callable[[], bool],
) -> pd.DataFrame:
    known = store.scores(scorer.version, run)
    new: dict[tuple[str, str], Score] = {}
    found: list[Score] = []
    for key, status, each in zip(frame["key"], frame["status"], seen, strict=True):
        if each is None:
            found.append(Score(None, "there is no answer"))
            continue
        place = (key, each.digest)
        if place not in known:
            if stop():
                break
            score = apply_scorer(scorer, each)
            if score.pending and status not in AVERAGED:
                score = replace(score, reason=f"not judged: the answer is {status}")
            known[place] = score
            if not score.pending:
                new[place] = score
        if len(new) >= KEPT_AT_ONCE:
            store.add_scores(scorer.version, new)
            new = {}
        found.append(known[place])
    store.add_scores(scorer.version, new)
    found += [Score(None, "not scored yet")] * (len(frame) - len(found))
    return frame[["persona", "model", "case", "repeat", "status"]].assign(
        scorer=scorer.name,
        value=[float("nan") if s.value is None else s.value for s in found],
        reason=[s.reason for s in found],
        detail=[s.detail for s in found],
    )
