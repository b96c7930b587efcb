"""``assistants improve``: have a model edit a persona, and say what the edit is worth."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from assistants.cli import options
from assistants.cli.console import out, say, show, table
from assistants.cli.run import EXIT, confirm, merge_limits, progress_bar
from assistants.errors import BudgetExceededError

if TYPE_CHECKING:
    from assistants.runs.improvement import Improvement, ImprovementPlan


def improve(
    persona: Annotated[str, typer.Argument(metavar="PERSONA", help="A persona of the experiment.")],
    file: Annotated[
        Path,
        typer.Option("--experiment", metavar="FILE", help="An experiment file (.yaml)."),
    ],
    score: Annotated[
        str | None,
        typer.Option(metavar="SCORE", help="What to improve; the first scorer if not given."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="The model that proposes edits; by default the one that answers.",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="MODEL", help="The model that answers, if not the file's."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, metavar="N", help="How often edits are proposed.")
    ] = 2,
    candidates: Annotated[
        int, typer.Option(min=1, metavar="N", help="Proposals in each round.")
    ] = 3,
    optimizer: Annotated[
        Literal["edits", "gepa"],
        typer.Option("--optimizer", help="What searches; gepa needs the extra `improve`."),
    ] = "edits",
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option("--better", help="Which scores are better, if the scorer does not say."),
    ] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where the improved persona goes; beside the old one if not given.",
        ),
    ] = None,
    results: options.ResultsFolder = Path("results"),
    personas: options.Folders = None,
    repeats: options.Repeats = None,
    limit_usd: options.LimitUsd = None,
    limit_tokens: options.LimitTokens = None,
    limit_minutes: options.LimitMinutes = None,
    concurrency: options.Concurrency = None,
    tape: options.Tape = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> int:
    """Have a model edit a persona, and say what the edit is worth on cases held out.

    The persona's file stays as it is. One that helped is written beside it, under a name of its
    own.
    """
    from assistants.experiment import Experiment
    from assistants.runs.improvement import ImprovementPlan

    changes = {
        "models": None if on is None else [on], "repeats": repeats, "concurrency": concurrency,
    }  # fmt: skip
    given = {name: value for name, value in changes.items() if value is not None}
    experiment = Experiment.load(file, personas=personas or (), controls={}, **given)
    limits = {"usd": limit_usd, "tokens": limit_tokens, "minutes": limit_minutes}
    experiment = replace(
        experiment, limits=merge_limits(experiment.limits, limits), tape=tape or experiment.tape
    )
    plan = ImprovementPlan.make(
        persona, experiment, score=score, model=model, rounds=rounds, candidates=candidates,
        optimizer=optimizer, better=better,
    )  # fmt: skip
    forecast = plan.forecast(results)
    say(f"{plan.original.name}: {plan.split}")
    say(f"at most: {forecast}")
    for warning in forecast.warnings:
        say(f"warning: {warning}")
    if dry_run:
        if as_json:
            out.print_json(json.dumps({**asdict(forecast), "to_ask": forecast.to_ask}))
        return 0
    if not yes:
        confirm(plan.design, forecast)
    try:
        found = _run(plan, results)
    except BudgetExceededError as error:
        say(f"error: {error.message}", style="red")
        say(error.fix)
        return EXIT["limit"]
    saved = found.save(out_folder) if found.has_helped else None
    page = _page(found, results)
    if as_json:
        out.print_json(json.dumps(_as_json(found, saved, page)))
    else:
        _show(found, saved, page)
    return 0


def _run(plan: ImprovementPlan, results: Path) -> Improvement:
    from assistants.runs.improvement import run_plan

    async def run() -> Improvement:
        with progress_bar() as report:
            return await run_plan(plan, results, on_progress=report)

    try:
        return asyncio.run(run())
    except KeyboardInterrupt:
        say("Interrupted. Every complete answer is kept. Run the same command to continue.")
        raise


def _page(found: Improvement, results: Path) -> Path | None:
    from assistants.report import write_improvement
    from assistants.results import Results

    return write_improvement(Results(results).get(found.run), found) if found.run else None


def _show(found: Improvement, saved: Path | None, page: Path | None) -> None:
    if found.improved is not None:
        rows = [
            [row.persona, row.baseline, row.n_cases, row.effect, _interval(row), row.verdict]
            for row in found.held_out.itertuples()
        ]
        names = ["persona", "against", "cases", "difference", "95% interval", "verdict"]
        out.print(table(names, rows, title=f"{found.score}, on the cases held out"))
        out.print()
        show(found.diff)
        out.print()
    for note in found.notes:
        say(note)
    show(found.summary)
    if saved is not None:
        show(f"persona: {saved}")
    if page is not None:
        show(f"page: {page}")


def _interval(row: Any) -> str:
    return "" if math.isnan(row.low) else f"{row.low:.4g} to {row.high:.4g}"


def _as_json(found: Improvement, saved: Path | None, page: Path | None) -> dict[str, Any]:
    return {
        "experiment": found.experiment,
        "persona": found.original.name,
        "outcome": found.outcome,
        "summary": found.summary,
        "notes": found.notes,
        "score": found.score,
        "unit": found.unit,
        "cases": {
            "work": len(found.split.work),
            "choose": len(found.split.choose),
            "held_out": len(found.split.held_out),
        },
        "held_out": json.loads(found.held_out.to_json(orient="records")),
        "choice": json.loads(found.choice.to_json(orient="records")),
        "diff": found.diff,
        "copied": asdict(found.copied),
        "earlier_looks": found.earlier_looks,
        "run": found.run or None,
        "saved": None if saved is None else str(saved),
        "page": None if page is None else str(page),
    }
