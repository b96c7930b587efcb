"""The statistics of a run as figures and tables: effects, controls, wording, votes, delivery."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from assistants.analysis import FEWEST_TO_TELL, PERCENTAGE_POINTS, Arm
from assistants.results import Run
from assistants.runs import Migration, case_names, status_counts
from assistants.runs.audit import AS_WITHOUT, GOOD, OPEN
from assistants.scoring import Scorer
from assistants.utils import pluralize
from assistants.widgets.html.markdown import to_html
from assistants.widgets.html.render import Absent, Html, heading, sentence, table, ui

if TYPE_CHECKING:
    import pandas as pd

_EFFECTS = [
    "persona", "model", "verdict", "effect", "low", "high", "p_adjusted", "mean", "baseline_mean",
]  # fmt: skip
"""Columns that a reader needs first; the CSV has all of them."""

_DISTANCES = [
    "persona", "model", "verdict", "excess", "low", "high", "p_adjusted", "distance", "noise",
]  # fmt: skip

_SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z])")

_MIGRATION = {
    "scorer": "scorer", "persona": "persona", "n_cases": "n_cases", "baseline_mean": "old",
    "mean": "new", "effect": "difference", "low": "low", "high": "high",
    "p_adjusted": "p_adjusted", "noise_floor": "noise_floor", "verdict": "verdict",
}  # fmt: skip

_TECHNIQUE_CONTROLS = ("shuffled", "echo", "paraphrase", "full")
"""Labels of settings that a technique is compared with besides its absence."""

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


def techniques(run: Run) -> OutputGroup:
    """Show for each technique what it took, and what it changed against its absence and control."""
    return OutputGroup(lambda: _techniques(run))


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


def details(run: Run) -> OutputGroup:
    """Show for each score the mean of each case, and how the scores are distributed."""
    return OutputGroup(lambda: _details(run))


def costs(run: Run) -> OutputGroup:
    """Show what the answers cost, and what one gets for it."""
    return OutputGroup(lambda: _costs(run))


def endings(run: Run) -> Html:
    """Return how many trials of each persona ended how: a refusal is an effect too."""
    counts = status_counts(run.trials())
    if list(counts.columns[2:]) == ["ok"]:
        return Absent("Every trial ended with a whole answer.")
    return table(_without_one_model(counts))


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
    rows = _folded("Persona by persona", table(frame))
    body = ui.sentence(counts) + warned + ui.bullets(warnings, bad=True) + rows.body
    return Html(body, "\n".join([counts, *warnings, rows.plain]), rows.csv)


def _effects(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import forest

    baseline = run.manifest["baseline"]
    if baseline is None:
        yield Absent("No baseline is named, so there is nothing to compare with.")
        return
    by_score = {scorer: run.effects(scorer.name) for scorer in _scorers(run)}
    if run.manifest["cases"] and not any(map(len, by_score.values())):
        yield Absent("There is only the baseline, so there is nothing to compare it with.")
        return
    if not any((rows["n_cases"] > 1).any() for rows in by_score.values()):
        yield Absent(run.headline())
        return
    said: set[str] = set()
    for scorer, rows in by_score.items():
        yield heading(scorer.name)
        yield _opening(run, scorer.name)
        if rows["n_cases"].max() < FEWEST_TO_TELL:
            yield _folded("The numbers", _with_notes(rows, _EFFECTS, said))
        else:
            yield forest(rows, score=scorer.name, unit=_unit(scorer), baseline=baseline)
            yield _with_notes(rows, _EFFECTS, said)
        yield from _missing_scores(run.scores(scorer.name))
    yield from _further(run)


def _details(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import distributions, heat_map

    trials = run.trials()
    if trials["case"].nunique() < 2:
        yield Absent("There is one case, whose answers stand above.")
        return
    names = case_names(trials)
    for scorer in _scorers(run):
        frame = run.scores(scorer.name)
        if frame["value"].notna().any():
            is_binary = scorer.kind == "binary"
            frame = frame.assign(case=frame["case"].map(names))
            yield heading(scorer.name)
            yield heat_map(frame, score=scorer.name, unit=scorer.unit)
            yield distributions(frame, score=scorer.name, unit=scorer.unit, binary=is_binary)


def _costs(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import cost

    trials, main = run.trials(), _scorers(run)[0]
    names = {"output_tokens": "tokens", "total_s": "seconds", "cost_usd": "dollars in all"}
    spent = run.summary()[["persona", "model", *names]].rename(columns=names)
    known = {
        "dollars": trials["cost_usd"].sum() or None,
        "tokens read": trials["input_tokens"].sum() or None,
        "tokens written": trials["output_tokens"].sum() or None,
    }
    facts = {name: f"{value:,.4g}" if name == "dollars" else f"{value:,}"
             for name, value in known.items() if value}  # fmt: skip
    frame = run.scores(main.name)
    if not facts:
        yield Absent("Neither tokens nor a price are known of any answer.")
        return
    yield Html(ui.facts(facts), ", ".join(f"{value} {name}" for name, value in facts.items()))
    several = frame[frame["value"].notna()].groupby(["persona", "model"]).ngroups > 1
    if several and trials["case"].nunique() >= FEWEST_TO_TELL:
        is_binary = main.kind == "binary"
        yield cost(frame, trials, score=main.name, unit=main.unit, binary=is_binary)
    yield table(_without_one_model(spent))


def _models(run: Run) -> Iterator[Any]:
    from assistants.analysis.plots import forest

    if len(run.statistics.models) < 2:
        yield Absent("One model was asked, so there is none to compare it with.")
        return
    first = run.statistics.baseline_model()
    yield sentence(f"Differences from {first}, on the same cases and the same persona.")
    for scorer in _scorers(run):
        rows = run.effects(scorer.name, by="model")
        yield heading(scorer.name)
        yield _opening(run, scorer.name, by="model")
        if len(rows) and rows["n_cases"].max() >= FEWEST_TO_TELL:
            yield forest(rows, score=scorer.name, unit=_unit(scorer), baseline=first, by="model")
        if len(rows):
            yield _folded("The numbers", _with_notes(rows, _EFFECTS))
        against = run.manifest["baseline"]
        if against is not None and len(by_persona := run.interactions(scorer.name)):
            said = sentence(
                f"Each persona's effect against {against}, on the row's model "
                f"(mean) and on {first} (baseline_mean), and how far these two differ (effect):"
            )
            rows_of = _with_notes(by_persona, _EFFECTS)
            both = Html(said.body + rows_of.body, f"{said.plain}\n{rows_of.plain}", rows_of.csv)
            yield _folded("Does a persona do more on one model than on another?", both)
    for model in run.statistics.models:
        if model != first:
            yield differing(run.migration(first, model))


def _techniques(run: Run) -> Iterator[Any]:
    names = run.statistics.techniques
    if not names:
        yield Absent("No assistant has a technique: knowledge, enrichment or memory.")
        return
    trials = run.trials()
    for name in names:
        arms = run.statistics.technique_arms(name)
        yield heading(name)
        spent = {"input_tokens": "tokens read", "technique_tokens": "tokens of its own calls",
                 "technique_s": "seconds of its own calls",
                 "technique_cost_usd": "dollars of its own calls"}  # fmt: skip
        means = trials.groupby(name, sort=False)[list(spent)].mean().rename(columns=spent)
        means.insert(0, "answers", trials.groupby(name, sort=False).size())
        failed = trials["technique_failure"].str.contains(f"{name}: ", regex=False, na=False)
        means["failed, left out"] = failed.groupby(trials[name], sort=False).sum()
        yield sentence("What a question takes with each setting, on average:")
        yield table(means.dropna(axis="columns", how="all").reset_index())
        for baseline in arms.labels[:1] + [n for n in arms.labels[1:] if n in _TECHNIQUE_CONTROLS]:
            for scorer in _scorers(run):
                rows = run.effects(scorer.name, by=name, baseline=baseline)
                if len(rows):
                    yield sentence(f"{scorer.name}, against {name}: {baseline}.")
                    yield _with_notes(rows, [name, *_EFFECTS])


def _contrasts(run: Run) -> Iterator[Any]:
    if not run.statistics.control_personas:
        yield Absent(
            "The experiment has no controls, so what is shown above may be the effect of having "
            "any prompt at all. `controls: {neutral: true, paraphrases: 3, same: true}` tells."
        )
        return
    for scorer in _scorers(run):
        frame = run.control_contrasts(scorer.name)
        if len(frame):
            yield heading(scorer.name)
            yield _with_notes(frame, [name for name in frame.columns if name != "p"])


def _wording(run: Run) -> Iterator[Any]:
    frame = run.text_distance() if run.manifest["baseline"] is not None else None
    if frame is None or not len(frame):
        yield Absent("There is no baseline with answers, so no wording to compare with.")
    elif frame["n_cases"].max() < 2:
        yield Absent("One case says nothing about how far wording moves in general.")
    elif frame["n_cases"].max() < FEWEST_TO_TELL:
        yield _folded("The numbers", _with_notes(frame, _DISTANCES))
    else:
        yield _with_notes(frame, _DISTANCES)


def _votes(run: Run) -> Iterator[Any]:
    if run.votes().empty:
        yield Absent("Nobody has compared answers yet: `Rate(run)` asks people, blind.")
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


def _with_notes(frame: pd.DataFrame, columns: Sequence[str], said: set[str] | None = None) -> Html:
    """Return columns of a table, its whole as CSV, and its notes in words below, each once.

    ``said`` holds the notes of tables above, which are not repeated, and is added to.
    """
    alone = ["model"] if frame["model"].nunique() == 1 else []
    shown = [name for name in columns if name not in (*alone, "note")]
    rows = table(frame[shown], frame)
    names = frame["persona"] if alone else frame["persona"] + " on " + frame["model"]
    notes: dict[str, list[str]] = {}
    for name, note in zip(names, frame["note"], strict=True):
        for part in _SENTENCE_END.split(note):
            notes.setdefault(part, []).append(name)
    notes.pop("", None)
    of_all = [note for note, of in notes.items() if len(of) == len(frame)]
    merged = [f"{', '.join(of)}: {note}" for note, of in notes.items() if note not in of_all]
    merged += of_all
    if said is not None:
        new = [note for note in merged if note not in said]
        said.update(new)
        merged = new + ["Notes as above, too."] * (len(new) < len(merged))
    return Html(rows.body + ui.bullets(merged), "\n".join([rows.plain, *merged]), rows.csv)


def _opening(run: Run, score: str, by: Arm = "persona") -> Html:
    text = run.headline(score, by=by)
    return Html(to_html(text), text)


def _folded(title: str, inside: Html) -> Html:
    return Html(ui.folded(title, inside.body), f"{title}\n{inside.plain}", inside.csv)


def _without_one_model(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if frame["model"].nunique() > 1 else frame.drop(columns="model")


def _unit(scorer: Scorer) -> str:
    return PERCENTAGE_POINTS if scorer.kind == "binary" else scorer.unit


def _further(run: Run) -> Iterator[Html]:
    further = [scorer.name for scorer in run.scorers[MAX_SCORES:]]
    if further:
        yield sentence(f"Not shown here: {', '.join(further)}. See run.effects(name).")
