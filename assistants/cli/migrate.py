"""``assistants migrate``: say what replacing one model by another would change."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assistants.cli import options
from assistants.cli.console import out, say, show, table
from assistants.cli.run import EXIT, forecast_and_run, print_counts
from assistants.errors import UnknownNameError, UsageError
from assistants.utils import truncate_line

if TYPE_CHECKING:
    from assistants.design import Design
    from assistants.runs import Migration

_SHOWN_ANSWER = 400
"""Characters of an answer on a terminal; the page has all of it."""


def migrate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file (.yaml).")],
    old: Annotated[str, typer.Option("--from", metavar="OLD", help="The model in use now.")],
    new: Annotated[str, typer.Option("--to", metavar="NEW", help="The model to replace it by.")],
    margin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SCORER=]X",
            help="The largest difference that would not matter, in the scorer's unit; may be "
            "repeated, for each scorer.",
        ),
    ] = None,
    results: options.ResultsFolder = Path("results"),
    personas: options.Folders = None,
    repeats: options.Repeats = None,
    cases: options.FirstCases = None,
    limit_usd: options.LimitUsd = None,
    limit_tokens: options.LimitTokens = None,
    limit_minutes: options.LimitMinutes = None,
    concurrency: options.Concurrency = None,
    batch: options.ByBatch = None,
    tape: options.Tape = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> int:
    """Compare a model with the one to replace it: run what is missing, then give the verdicts."""
    from assistants.experiment import Experiment
    from assistants.models import Catalogue
    from assistants.report import write_migration

    catalogue = Catalogue.default()
    old_name = catalogue.find(old, where="--from").name
    new_name = catalogue.find(new, where="--to").name
    if old_name == new_name:
        raise UsageError(f"--from and --to are both {old_name}.", fix="Name two models.")
    margins = _margins(margin or ())
    models = {"models": [old_name, new_name]}
    if isinstance(margins, dict):
        # Without controls, whose texts may not have been made yet.
        plain = Experiment.load(file, personas=personas or (), **models, controls={})
        _check_scorers(margins, plain)
    finished = forecast_and_run(
        file,
        results,
        personas or (),
        changes={**models, "repeats": repeats, "concurrency": concurrency, "batch": batch},
        limits={"usd": limit_usd, "tokens": limit_tokens, "minutes": limit_minutes},
        cases=cases,
        sampling=options.GivenSampling(),
        tape=tape,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
    if finished is None:
        return 0
    run = finished.run
    migration = run.migration(old_name, new_name, margin=margins)
    page = write_migration(run, migration)
    print_counts(run, replayed=finished.replayed)
    if as_json:
        out.print_json(json.dumps(_as_json(migration, run.id, run.outcome, page)))
    else:
        _show(migration)
        show(f"page: {page}")
    return EXIT[run.outcome]


def _margins(given: list[str] | tuple[()]) -> float | dict[str, float] | None:
    """Return the margins of ``X`` (for all scorers) or of several ``SCORER=X``."""
    margins: dict[str, float] = {}
    for text in given:
        scorer, _, amount = text.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise UsageError(
                f"--margin {text}: {amount!r} is not a number above 0.",
                fix="Write `--margin 5`, or `--margin words=5` for one scorer.",
            )
        if scorer in margins or ("" in margins) or (margins and not scorer):
            raise UsageError(
                "--margin is either one number, or one for each scorer.",
                fix="Write `--margin words=5 --margin contains=10`.",
            )
        margins[scorer] = value
    return margins.get("", margins or None)


def _check_scorers(margins: Mapping[str, float], design: Design) -> None:
    """Check that the margins are of scorers of the experiment, before anything is asked."""
    known = [scorer.name for scorer in design.scorers]
    known += [scorer.name for judge in design.judges for scorer in judge.scorers({})]
    for name in margins:
        if name not in known:
            raise UnknownNameError("scorer", name, known, where="--margin")


def _show(migration: Migration) -> None:
    rows = [
        [row.scorer, row.persona, row.n_cases, row.effect, _interval(row), row.verdict]
        for row in migration.verdicts.itertuples()
    ]
    names = ["scorer", "persona", "cases", "difference", "95% interval", "verdict"]
    title = f"{migration.experiment}: {migration.new} less {migration.old}, paired by case"
    out.print(table(names, rows, title=title))
    for note in migration.notes:
        say(note)
    for row in migration.differing.itertuples():
        repeats = "" if math.isnan(row.noise) else f", repeats {row.noise:.2f}"
        title = f"{row.persona}, case {row.case}: {truncate_line(row.question, 90)}"
        out.print()
        answers = [truncate_line(text, _SHOWN_ANSWER) for text in (row.old_answer, row.new_answer)]
        out.print(table([migration.old, migration.new], [answers], title=title))
        show(f"distance {row.distance:.2f}{repeats}")
    show(migration.summary)


def _interval(row: Any) -> str:
    return "" if math.isnan(row.low) else f"{row.low:.4g} to {row.high:.4g}"


def _as_json(migration: Migration, run: str, outcome: str, page: Path) -> dict[str, Any]:
    return {
        "run": run,
        "experiment": migration.experiment,
        "outcome": outcome,
        "from": migration.old,
        "to": migration.new,
        "verdicts": json.loads(migration.verdicts.to_json(orient="records")),
        "differing": json.loads(migration.differing.to_json(orient="records")),
        "page": str(page),
    }
