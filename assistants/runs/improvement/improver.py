"""The way of an improvement: proposals, the choice, and one look at the held-out cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistants.clients import Client
from assistants.design import Control, Design
from assistants.messages import AVERAGED
from assistants.personas import Persona
from assistants.runs.budget import Budget
from assistants.runs.execution import execution_context
from assistants.runs.improvement.copied_text import CopiedText, copied_text
from assistants.runs.improvement.edits import best_persona, choice_effects, search_by_edits
from assistants.runs.improvement.gepa_search import search_by_gepa
from assistants.runs.improvement.plan import ImprovementPlan, Optimizer
from assistants.runs.improvement.proposals import shown_text
from assistants.runs.improvement.result import Improvement
from assistants.runs.improvement.session import Session
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import ProgressCallback
from assistants.runs.statistics import RunStatistics

if TYPE_CHECKING:
    import pandas as pd

_SEARCHES = {"edits": search_by_edits, "gepa": search_by_gepa}


async def improve(
    persona: str,
    experiment: str | Path | Design,
    *,
    score: str | None = None,
    model: str | Client | None = None,
    rounds: int = 2,
    candidates: int = 3,
    optimizer: Optimizer = "edits",
    better: Literal["higher", "lower"] | None = None,
    results: str | Path = "results",
    on_progress: ProgressCallback | None = None,
    retry: RetryPolicy | None = None,
    budget: Budget | None = None,
) -> Improvement:
    """Have a model edit a persona, choose the best edit, and say what it is worth on other cases.

    The cases are split by a digest of what they ask. From scored answers to the cases *to work on*,
    a model proposes edits. They are asked about the cases *to choose by*, and the best one, if it
    is better than the original, once about the cases *held out*, beside the original and a
    paraphrase of it. Every answer is stored; the same call again asks only for what is missing.

    Parameters
    ----------
    persona
        One of the experiment's, which is asked on one model.
    experiment
        A file, or an experiment. Its limits hold for the whole improvement; its other personas and
        its controls are not asked.
    score
        A scorer that grades each answer; the experiment's first by default.
    model
        The model that proposes edits and writes the paraphrase; the persona's own by default.
    rounds
        How often edits are proposed, each time of the best persona so far.
    candidates
        Proposals in each round.
    optimizer
        ``edits``, or ``gepa`` for the search of that package, which makes no more proposals.
    better
        Whether ``higher`` or ``lower`` scores are better, where the scorer does not say.
    results
        The folder of the store.
    on_progress, retry, budget
        As in ``Experiment.run``; called for one stage after the other.

    Returns
    -------
    Improvement
        No file is written; ``save`` writes the improved persona under a name of its own.

    Raises
    ------
    UsageError
        If the held-out cases are too few to show an effect, with the number that could, or
        something is unknown, all before anything is asked. If the model gives no paraphrase.
    MissingDependencyError
        If gepa or scipy is not installed.
    BudgetExceededError
        If a limit stops it.
    """
    plan = ImprovementPlan.make(
        persona, experiment, score=score, model=model, rounds=rounds, candidates=candidates,
        optimizer=optimizer, better=better,
    )  # fmt: skip
    return await run_plan(plan, results, on_progress=on_progress, retry=retry, budget=budget)


async def run_plan(
    plan: ImprovementPlan,
    results: str | Path = "results",
    *,
    on_progress: ProgressCallback | None = None,
    retry: RetryPolicy | None = None,
    budget: Budget | None = None,
) -> Improvement:
    """Run a plan; parameters and errors are those of ``improve``."""
    with execution_context(
        plan.design, results, on_progress=on_progress, retry=retry, budget=budget
    ) as context:
        session = Session(plan, context)
        await _SEARCHES[plan.optimizer](session)
        choice = await choice_effects(session)
        chosen = best_persona(session, choice)
        improvement = (
            _without_candidate(session, choice)
            if chosen is session.original
            else await _looked(session, choice, chosen)
        )
        context.finish_tape()
    return improvement


async def _looked(session: Session, choice: pd.DataFrame | None, chosen: Persona) -> Improvement:
    """Ask about the held-out cases, once, and return what that says."""
    plan = session.plan
    original = session.original
    paraphrase = await session.paraphrase()
    looks = session.earlier_looks(chosen)
    improved = replace(
        chosen,
        name=f"{original.name[:52]}-improved",
        label=f"{original.label or original.name} (improved)",
    )
    names = (
        plan.assistant(original).name,
        plan.assistant(improved).name,
        plan.assistant(paraphrase).name,
    )
    statistics = await session.ask(
        "held-out", [original, improved, paraphrase], plan.split.held_out,
        [Control(names[2], "paraphrase", names[0])], **session.look(chosen),
    )  # fmt: skip
    found = _without_candidate(session, choice)
    renamed = {plan.assistant(chosen).name: names[1], chosen.name: improved.name}
    return replace(
        found,
        improved=improved,
        paraphrase=paraphrase,
        names=names,
        choice=found.choice.assign(persona=found.choice["persona"].replace(renamed)),
        candidates=found.candidates.assign(persona=found.candidates["persona"].replace(renamed)),
        held_out=_held_out(statistics, plan.score.name, names),
        audit=statistics.prompt_audit(),
        copied=_copied(plan, improved),
        earlier_looks=looks,
        run=statistics.id,
    )


def _without_candidate(session: Session, choice: pd.DataFrame | None) -> Improvement:
    """Return an improvement as far as it is known before the held-out cases are asked."""
    import pandas as pd

    from assistants.analysis import PERCENTAGE_POINTS

    plan = session.plan
    rows = [
        (c.round, c.persona.name if c.persona else None, c.refusal,
         len(shown_text(c.persona).split()) if c.persona else None)
        for c in session.candidates
    ]  # fmt: skip
    candidates = pd.DataFrame(rows, columns=["round", "persona", "refusal", "words"])
    name = plan.original.name
    return Improvement(
        experiment=plan.design.name,
        original=session.original,
        improved=None,
        paraphrase=None,
        names=(name, name, name),
        model=plan.original.model,
        writer=plan.writer[0].model,
        optimizer=plan.optimizer,
        score=plan.score.name,
        unit=PERCENTAGE_POINTS if plan.score.kind == "binary" else plan.score.unit,
        sign=plan.sign,
        split=plan.split,
        candidates=candidates.astype({"words": "Int64"}),
        choice=pd.DataFrame() if choice is None else choice,
        held_out=pd.DataFrame(),
        audit=pd.DataFrame(),
    )


def _held_out(statistics: RunStatistics, score: str, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the effect tables of the three comparisons, one below the other."""
    import pandas as pd

    from assistants.analysis import effects, note_truncation

    _, unit, binary = statistics.plot_unit(score)
    scores = statistics.scores(score)
    frame = scores.assign(value=scores["value"].where(scores["status"].isin(AVERAGED)))
    original, improved, paraphrase = names
    parts = []
    # Each is a question of its own: a gain is believed if the first and the last say so.
    for pair in ((improved, original), (paraphrase, original), (improved, paraphrase)):
        rows = frame[frame["persona"].isin(pair)]
        table = effects(rows, score, baseline=pair[1], unit=unit, binary=binary)
        table = note_truncation(table, rows, pair[1])
        table.insert(1, "baseline", pair[1])
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def _copied(plan: ImprovementPlan, improved: Persona) -> CopiedText:
    texts = [text for case in plan.design.cases for text in (*case.questions, case.reference or "")]
    return copied_text(shown_text(improved), shown_text(plan.original.persona), texts)
