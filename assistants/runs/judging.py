"""Judging: the cases that judges are asked about a run, and the votes in their replies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from assistants.design import Design
from assistants.messages import AVERAGED
from assistants.runs.scores import scorer_input
from assistants.runs.store import Store
from assistants.scoring.base import ScorerInput, UnscorableError
from assistants.scoring.judge import Judge, Pairwise, Replies, Rubric
from assistants.scoring.vote import Vote
from assistants.trial import Case, Trial
from assistants.utils.text import to_utf8

if TYPE_CHECKING:
    import pandas as pd


_USUAL_LENGTH = 1200
"""Characters of an answer, where there is none yet."""


def judge_cases(judge: Judge, frame: pd.DataFrame, baseline: str | None) -> list[Case]:
    """Return the cases that ``judge`` is asked about the trials of a run, each once.

    Only answers that count are judged: a refusal has no grade, and a call costs money.
    """
    if isinstance(judge, Rubric):
        cases = (judge.case(seen) for _, seen in _judged(frame))
    else:
        cases = (case for case, _, _ in _pairs(judge, frame, baseline))
    return list({case.id: case for case in cases}.values())


def judge_replies(judge: Judge, cases: Sequence[Case], store: Store) -> Replies:
    """Return the judge's replies so far, by the id of the case."""
    replies = {}
    for case in cases:
        if completions := store.completions(Trial(case, judge.assistant, 0).key):
            replies[case.id] = completions[0]
    return replies


def votes(
    judge: Pairwise, frame: pd.DataFrame, baseline: str | None, replies: Replies
) -> list[Vote]:
    """Return the judge's replies as votes; none of a pair unless both orders have a winner.

    One order alone could be a preference for the place.
    """
    found: dict[tuple[str, str], Vote] = {}
    for case, left, right in _pairs(judge, frame, baseline):
        with suppress(UnscorableError):
            winner, reason = judge.winner(replies, case)
            found[left, right] = Vote(judge.rater, "judge", left, right, winner, reason)
    return [vote for (left, right), vote in found.items() if (right, left) in found]


def expected_judge_trials(design: Design, store: Store | None) -> Iterator[Trial]:
    """Yield the trials of the judges, with a text of usual length where no answer is stored."""
    import pandas as pd

    rows = []
    for number, trial in enumerate(design.trials()):
        completions = store.completions(trial.key) if store is not None else []
        is_whole = len(completions) == len(trial.case.questions)
        rows.append(
            {
                "persona": trial.assistant.name,
                "model": trial.assistant.model,
                "case": trial.case.id,
                "repeat": trial.repeat,
                "key": trial.key,
                "question": to_utf8(trial.case.question),
                "reference": trial.case.reference,
                "status": completions[-1].status if is_whole else "ok",
                # A number, since two answers are hardly ever the same.
                "answer": to_utf8(completions[-1].text)
                if is_whole
                else f"{number} ".ljust(_USUAL_LENGTH, "."),
            }
        )
    frame = pd.DataFrame(rows)
    for judge in design.judges:
        for case in judge_cases(judge, frame, design.baseline):
            yield Trial(case, judge.assistant, 0)


def _judged(frame: pd.DataFrame) -> Iterator[tuple[Mapping[str, Any], ScorerInput]]:
    for row in frame[frame["status"].isin(AVERAGED)].to_dict("records"):
        seen = scorer_input(row)
        if seen is not None:
            yield row, seen


def _pairs(
    judge: Pairwise, frame: pd.DataFrame, baseline: str | None
) -> Iterator[tuple[Case, str, str]]:
    """Yield every pair of answers in both orders, with the keys of their trials.

    Personas with one system prompt share their answers, and so do not meet.
    """
    place = ("model", "case", "repeat")
    cells: dict[tuple[Any, ...], list[tuple[Mapping[str, Any], ScorerInput]]] = {}
    for row, seen in _judged(frame):
        cells.setdefault(tuple(row[name] for name in place), []).append((row, seen))
    for cell in cells.values():
        for (row, seen), (other, other_seen) in itertools.combinations(cell, 2):
            named = judge.pairs == "all" or baseline in (row["persona"], other["persona"])
            if named and row["key"] != other["key"]:
                yield judge.case(seen, other_seen), row["key"], other["key"]
                yield judge.case(other_seen, seen), other["key"], row["key"]
