"""What a run says, as figures and tables: effects, controls, wording, votes, cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from assistants.analysis import PERCENTAGE_POINTS
from assistants.results import Run
from assistants.runs.tables import status_counts
from assistants.scoring.base import Scorer
from assistants.widgets.html.markdown import escape
from assistants.widgets.html.run_summary import Html, table

if TYPE_CHECKING:
    import pandas as pd

_EFFECTS = [
    "persona", "model", "n_cases", "n_trials", "mean", "baseline_mean", "effect", "low", "high",
    "p_adjusted", "noise_floor", "cases_needed", "verdict", "note",
]  # fmt: skip

MOST_SCORES = 6
"""Shown with figures; of more, the tables are one call away and a page stays readable."""


class OutputGroup:
    """Figures and tables, one below the other."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make

    def __repr__(self) -> str:
        return "\n".join(repr(part) for part in self._make())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for part in self._make():
            display(part)  # type: ignore[no-untyped-call]


def effects(run: Run) -> OutputGroup:
    """For each score of the run: what each persona changed, and whether the change is real."""
    return OutputGroup(lambda: _effects(run))


def contrasts(run: Run) -> OutputGroup:
    """For each score: what of it is having a prompt, its meaning and its wording."""
    return OutputGroup(lambda: _contrasts(run))


def wording(run: Run) -> OutputGroup:
    """Show how far the answers' wording itself moved."""
    return OutputGroup(lambda: _wording(run))


def votes(run: Run) -> OutputGroup:
    """Who wins the comparisons of people and judges, and how far those agree."""
    return OutputGroup(lambda: _votes(run))


def endings(run: Run) -> Html:
    """How the trials of each persona ended: a persona that is refused more often has changed."""
    return table(status_counts(run.trials))


def _effects(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import cost, distributions, forest, heat_map

    if run.manifest["baseline"] is None:
        yield _sentence("No baseline is named, so there is nothing to compare with.")
        return
    if run.manifest["cases"] and not len(run.effects("words")):
        yield _sentence("There is only the baseline, so there is nothing to compare it with.")
        return
    for scorer in _scorers(run):
        unit = PERCENTAGE_POINTS if scorer.kind == "binary" else scorer.unit
        binary = scorer.kind == "binary"
        frame, rows = run.scores(scorer.name), run.effects(scorer.name)
        yield _heading(scorer.name)
        yield forest(rows, score=scorer.name, unit=unit, baseline=run.manifest["baseline"])
        yield _noted(rows[_EFFECTS])
        yield from _failed(frame)
        if frame["value"].notna().any():
            yield heat_map(frame, score=scorer.name, unit=scorer.unit)
            yield distributions(frame, score=scorer.name, unit=scorer.unit, binary=binary)
            yield cost(frame, run.trials, score=scorer.name, unit=scorer.unit, binary=binary)
    left = [scorer.name for scorer in run.scorers[MOST_SCORES:]]
    if left:
        yield _sentence(f"Not shown here: {', '.join(left)}. See run.effects(name).")


def _contrasts(run: Run) -> Iterator[Any]:
    if not run.controls:
        yield _sentence(
            "The experiment has no controls, so what is shown above may be the effect of having "
            "any prompt at all. `controls: {neutral: true, paraphrases: 3, same: true}` tells."
        )
        return
    for scorer in _scorers(run):
        frame = run.contrasts(scorer.name)
        if len(frame):
            yield _heading(scorer.name)
            yield _noted(frame.drop(columns=["p"]))


def _wording(run: Run) -> Iterator[Any]:
    if run.manifest["baseline"] is not None:
        frame = run.change()
        if len(frame):
            yield _noted(frame.drop(columns=["p"]))


def _votes(run: Run) -> Iterator[Any]:
    frame = run.votes()
    if frame.empty:
        yield _sentence("Nobody has compared answers yet: `Rate(run)` asks people, blind.")
        return
    yield table(run.ranking())
    yield table(run.agreement())
    yield table(run.position_bias())


def _scorers(run: Run) -> list[Scorer]:
    """Those of the run, at most ``MOST_SCORES``; ``words`` where it has none."""
    from assistants.scoring import make_scorer

    return list(run.scorers[:MOST_SCORES]) or [make_scorer("words")]


def _failed(frame: pd.DataFrame) -> Iterator[Html]:
    """Why there is no score where there is an answer."""
    failed = frame[frame["value"].isna() & (frame["status"] != "error")]
    counts = failed.groupby(["persona", "reason"], sort=False).size().rename("trials")
    if len(counts):
        yield table(counts.reset_index())


def _noted(frame: pd.DataFrame) -> Html:
    """A table without what says nothing in it, and its notes in words below."""
    same = ["model"] if frame["model"].nunique() == 1 else []
    empty = [name for name in frame.columns if frame[name].isna().all()]
    shown = table(frame.drop(columns=[*same, *empty, "note"]))
    who = frame["persona"] if same else frame["persona"] + " on " + frame["model"]
    notes = [f"{name}: {note}" for name, note in zip(who, frame["note"], strict=True) if note]
    listed = "".join(f"<li>{escape(each)}</li>" for each in notes)
    body = f"{shown.body}<ul>{listed}</ul>" if notes else shown.body
    return Html(body, "\n".join([shown.plain, *notes]))


def _heading(text: str) -> Html:
    return Html(f"<h3>{escape(text)}</h3>", text)


def _sentence(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>", text)
