"""The statistics of a run as figures and tables: effects, controls, wording, votes, delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from assistants.analysis import PERCENTAGE_POINTS
from assistants.results import Run
from assistants.runs import Migration, status_counts
from assistants.runs.audit import AS_WITHOUT, GOOD, OPEN
from assistants.scoring import Scorer
from assistants.utils import pluralize
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.render import Html, heading, sentence, table, ui

if TYPE_CHECKING:
    import pandas as pd

_EFFECTS = [
    "persona", "model", "n_cases", "n_trials", "mean", "baseline_mean", "effect", "low", "high",
    "p_adjusted", "noise_floor", "cases_needed", "verdict", "note",
]  # fmt: skip

_MIGRATION = {
    "scorer": "scorer", "persona": "persona", "n_cases": "n_cases", "baseline_mean": "old",
    "mean": "new", "effect": "difference", "low": "low", "high": "high",
    "p_adjusted": "p_adjusted", "noise_floor": "noise_floor", "verdict": "verdict",
}  # fmt: skip

MAX_SCORES = 6
"""Scores shown with figures; the tables of further ones are one call away."""


class OutputGroup:
    """Figures and tables, one below the other, made when they are shown."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self._make = make

    def __repr__(self) -> str:
        return "\n".join(repr(part) for part in self._make())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for part in self._make():
            display(part)  # type: ignore[no-untyped-call]


def effects(run: Run) -> OutputGroup:
    """Show for each score what each persona changed, and whether the change is real."""
    return OutputGroup(lambda: _effects(run))


def models(run: Run) -> OutputGroup:
    """Show for each score what another model changed, and for which personas it did."""
    return OutputGroup(lambda: _models(run))


def migration(value: Migration) -> Html:
    """Return the verdicts on replacing a model, and the answers that differ most."""
    rows = table(value.verdicts[list(_MIGRATION)].rename(columns=_MIGRATION))
    notes = value.notes
    different = differing(value)
    body = ui.emphasis(value.summary) + rows.body + ui.bullets(notes) + different.body
    return Html(body, "\n".join([value.summary, rows.plain, *notes, different.plain]))


def differing(value: Migration) -> Html:
    """Return the answers of two models that differ most, side by side."""
    if value.differing.empty:
        return sentence("No answers differ.")
    parts = [ui.emphasis("The answers that differ most")]
    for row in value.differing.itertuples():
        repeats = f", repeats {row.noise:.2f}" if row.noise == row.noise else ""
        facts = f"{row.persona}, case {row.case}: distance {row.distance:.2f}{repeats}"
        cards = [
            ui.card(model, [f"repeat {repeat}"], to_html(answer))
            for model, repeat, answer in (
                (value.old, row.old_repeat, row.old_answer),
                (value.new, row.new_repeat, row.new_answer),
            )
        ]
        parts += [ui.sentence(facts), ui.question(to_html(row.question)), ui.cards(cards)]
    plain = f"The answers that differ most, of {pluralize(len(value.differing), 'case')}"
    return Html(Markup().join(parts), plain)


def contrasts(run: Run) -> OutputGroup:
    """Show for each score how much is due to having a prompt, to its meaning and its wording."""
    return OutputGroup(lambda: _contrasts(run))


def wording(run: Run) -> OutputGroup:
    """Show how far the answers' wording itself moved."""
    return OutputGroup(lambda: _wording(run))


def votes(run: Run) -> OutputGroup:
    """Show who wins the comparisons of people and judges, and how far those agree."""
    return OutputGroup(lambda: _votes(run))


def endings(run: Run) -> Html:
    """Return how many trials of each persona ended how: a refusal is an effect too."""
    return table(status_counts(run.trials()))


def prompt_audit(run: Run) -> Html:
    """Return a warning for each persona that was not delivered as written, and the table of all.

    There is none for words of the template's own that stand there without a persona too: they are
    no part of a persona's effect.
    """
    frame = run.prompt_audit()
    proven = int(frame["verdict"].isin(GOOD).sum())
    unproven = int(frame["verdict"].isin(OPEN).sum())
    counts = f"{proven} of {pluralize(len(frame), 'persona')} proven to be delivered as written"
    counts += f", {unproven} neither proven nor refuted." if unproven else "."
    failed = frame[frame["ok"].eq(False).fillna(False).astype(bool)]
    warnings = [
        f"{persona} on {model}: {verdict}. {note}"
        for persona, model, verdict, note in zip(
            failed["persona"], failed["model"], failed["verdict"], failed["note"], strict=True
        )
        if not note.endswith(AS_WITHOUT)
    ]
    warned = ui.emphasis("Effects of these personas are not what they seem:") if warnings else ""
    rows = table(frame)
    body = ui.sentence(counts) + warned + ui.bullets(warnings, bad=True) + rows.body
    return Html(body, "\n".join([counts, *warnings, rows.plain]))


def _effects(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import cost, distributions, forest, heat_map

    if run.manifest["baseline"] is None:
        yield sentence("No baseline is named, so there is nothing to compare with.")
        return
    if run.manifest["cases"] and not len(run.effects("words")):
        yield sentence("There is only the baseline, so there is nothing to compare it with.")
        return
    for scorer in _scorers(run):
        unit = PERCENTAGE_POINTS if scorer.kind == "binary" else scorer.unit
        is_binary = scorer.kind == "binary"
        frame, rows = run.scores(scorer.name), run.effects(scorer.name)
        yield heading(scorer.name)
        yield forest(rows, score=scorer.name, unit=unit, baseline=run.manifest["baseline"])
        yield _with_notes(rows[_EFFECTS])
        yield from _missing_scores(frame)
        if frame["value"].notna().any():
            yield heat_map(frame, score=scorer.name, unit=scorer.unit)
            yield distributions(frame, score=scorer.name, unit=scorer.unit, binary=is_binary)
            yield cost(frame, run.trials(), score=scorer.name, unit=scorer.unit, binary=is_binary)
    further = [scorer.name for scorer in run.scorers[MAX_SCORES:]]
    if further:
        yield sentence(f"Not shown here: {', '.join(further)}. See run.effects(name).")


def _models(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import forest

    if len(run.statistics.models) < 2:
        yield sentence("One model was asked, so there is none to compare it with.")
        return
    first = run.statistics.baseline_model()
    yield sentence(f"Differences from {first}, on the same cases and the same persona.")
    for scorer in _scorers(run):
        unit = PERCENTAGE_POINTS if scorer.kind == "binary" else scorer.unit
        rows = run.effects(scorer.name, by="model")
        yield heading(scorer.name)
        if len(rows):
            yield forest(rows, score=scorer.name, unit=unit, baseline=first, by="model")
            yield _with_notes(rows[_EFFECTS])
        against = run.manifest["baseline"]
        if against is not None and len(by_persona := run.interactions(scorer.name)):
            yield sentence(
                f"Each persona's effect against {against}, on the row's model "
                f"(mean) and on {first} (baseline_mean), and how far these two differ (effect):"
            )
            yield _with_notes(by_persona[_EFFECTS])
    for model in run.statistics.models:
        if model != first:
            yield differing(run.migration(first, model))


def _contrasts(run: Run) -> Iterator[Any]:
    if not run.controls:
        yield sentence(
            "The experiment has no controls, so what is shown above may be the effect of having "
            "any prompt at all. `controls: {neutral: true, paraphrases: 3, same: true}` tells."
        )
        return
    for scorer in _scorers(run):
        frame = run.control_contrasts(scorer.name)
        if len(frame):
            yield heading(scorer.name)
            yield _with_notes(frame.drop(columns=["p"]))


def _wording(run: Run) -> Iterator[Any]:
    if run.manifest["baseline"] is not None:
        frame = run.text_distance()
        if len(frame):
            yield _with_notes(frame.drop(columns=["p"]))


def _votes(run: Run) -> Iterator[Any]:
    if run.votes().empty:
        yield sentence("Nobody has compared answers yet: `Rate(run)` asks people, blind.")
        return
    yield table(run.ranking())
    yield table(run.agreement())
    yield table(run.position_bias())


def _scorers(run: Run) -> list[Scorer]:
    """Return those of the run, at most ``MAX_SCORES``; ``words`` where it has none."""
    from assistants.scoring import make_scorer

    return list(run.scorers[:MAX_SCORES]) or [make_scorer("words")]


def _missing_scores(frame: pd.DataFrame) -> Iterator[Html]:
    """Yield a table of why there is no score where there is an answer."""
    failed = frame[frame["value"].isna() & (frame["status"] != "error")]
    counts = failed.groupby(["persona", "reason"], sort=False).size().rename("trials")
    if len(counts):
        yield table(counts.reset_index())


def _with_notes(frame: pd.DataFrame) -> Html:
    """Return a table, without the model if there is one only, and its notes in words below."""
    same = ["model"] if frame["model"].nunique() == 1 else []
    rows = table(frame.drop(columns=[*same, "note"]))
    names = frame["persona"] if same else frame["persona"] + " on " + frame["model"]
    notes = [f"{name}: {note}" for name, note in zip(names, frame["note"], strict=True) if note]
    return Html(rows.body + ui.bullets(notes), "\n".join([rows.plain, *notes]))
