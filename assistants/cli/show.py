"""What there is, and whether it works: personas, models, results, weights, the installation."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from rich.console import Console

from assistants.cli import options
from assistants.cli.console import out, say, show, table
from assistants.errors import UnknownNameError, UsageError
from assistants.utils import escape_control_chars, pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

    from assistants.models import Catalogue
    from assistants.results import Run

PACKAGE = Path(__file__).parents[1]


def personas(name: options.PersonaName = None, personas: options.Folders = None) -> int:
    """List the personas, or show the text of one."""
    from assistants.personas import Library

    library = Library.default(personas or ())
    if name is None:
        rows = [[p.name, p.description, _file(p.source)] for p in library.all()]
        out.print(table(["persona", "description", "file"], rows))
        say(f"\nBuilt-in ones are in {PACKAGE / 'personas'}.")
        return 0
    persona = library.find(name)
    say(f"{persona} ({persona.source})")
    show("(no system message)" if persona.text is None else persona.text)
    return 0


def models(
    check: Annotated[
        str,
        typer.Argument(metavar="[check]", help="`check` asks each server whether it is there."),
    ] = "",
) -> int:
    """List the models and where they are, or check the servers."""
    from assistants.models import IN_PROCESS, Catalogue, base_url, user_file

    if check not in ("", "check"):
        raise UnknownNameError("action", check, ["check"])
    catalogue = Catalogue.default()
    if check:
        return asyncio.run(_check(catalogue))
    rows = [
        [name, catalogue.find(name).name, _file(catalogue.sources[name])]
        for name in catalogue.models
    ]
    out.print(table(["model", "stands for", "file"], rows))
    out.print()
    servers = [
        [f"{name}:", base_url(server), server.key, _file(catalogue.sources[f"{name}:"])]
        for name, server in catalogue.providers.items()
    ]
    inside = [[f"{name}:", "(no server needed)", None, "built in"] for name in IN_PROCESS]
    out.print(table(["provider", "address", "key from", "file"], servers + inside))
    say(
        "\nAny provider:id works, for example vllm:Qwen3-8B.\n"
        f"Your own: in models.toml here, or in {user_file()}."
    )
    return 0


def results(
    experiment: options.Experiment = None,
    results: options.ResultsFolder = Path("results"),
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="table, csv, json or parquet.")
    ] = "table",
    to: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write to this file.")
    ] = None,
) -> int:
    """Show the newest run: one row a trial."""
    from assistants.results import Results
    from assistants.runs import tables

    if form not in get_args(tables.Format):
        raise UnknownNameError("format", form, get_args(tables.Format))
    run = Results(results).latest(experiment)
    frame = run.trials()
    if form == "table":
        several = [name for name in ("model", "repeat") if frame[name].nunique() > 1]
        columns = ["case", "persona", *several, "status", "output_tokens", "answer"]
        rows = [
            [truncate_line(value) if isinstance(value, str) else value for value in row]
            for row in frame[columns].itertuples(index=False)
        ]
        names = [name.removeprefix("output_") for name in columns]
        counts = ", ".join(f"{count} {status}" for status, count in run.statuses().items())
        title = f"{run.experiment}, run {run.id}: {counts}"
        with _onto(to) as console:
            console.print(table(names, rows, title=title))
        return _written(frame, to)
    text = tables.export(frame, form, to)  # type: ignore[arg-type]  # checked above
    if text is not None:
        # To a file or a pipe go the answers as they are; to a screen, nothing that could drive it.
        text = escape_control_chars(text) if sys.stdout.isatty() else text
        typer.echo(text, nl=not text.endswith("\n"))
    return _written(frame, to)


@contextmanager
def _onto(file: Path | None) -> Iterator[Console]:
    """The screen, or a file in its place."""
    if file is None:
        yield out
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        yield Console(file=stream, width=160, highlight=False, markup=False, emoji=False)


def _written(frame: pd.DataFrame, to: Path | None) -> int:
    if to is not None:
        say(f"{pluralize(len(frame), 'row')} in {to}.")
    return 0


def effects(
    experiment: options.Experiment = None,
    results: options.ResultsFolder = Path("results"),
    score: Annotated[
        str | None,
        typer.Option(
            "--score", metavar="SCORER", help="What to measure; the experiment's first scorer."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="PERSONA", help="In place of the experiment's own.")
    ] = None,
    as_json: options.Json = False,
) -> int:
    """Say what each persona changed, and whether it is real."""
    from assistants.results import Results
    from assistants.runs import VOTES, tables

    run = Results(results).latest(experiment)
    score = score or run.statistics.main_score
    frame = run.effects(score, baseline=baseline)
    scored = run.scores(score)
    if scored["value"].isna().all() and (reasons := scored["reason"].dropna()).size:
        raise UsageError(
            f"{score} scores no answer of {run.experiment}: {reasons.mode()[0]}.",
            fix="Votes are cast with `Rate(run)` in a notebook." if score == VOTES else "",
        )
    if as_json:
        typer.echo(tables.export(frame, "json"))
        return 0
    columns = ["persona", "model", "n_cases", "effect", "low", "high", "p_adjusted", "verdict"]
    if frame["model"].nunique() == 1:
        columns.remove("model")
    against = baseline or run.manifest["baseline"]
    title = f"{run.experiment}: {score}, against {against}, 95% intervals, p adjusted by Holm"
    shown = frame[columns].rename(columns={"n_cases": "cases", "p_adjusted": "p"})
    out.print(table(list(shown), shown.itertuples(index=False), title=title))
    _notes(frame)
    if run.controls and baseline is None:
        _contrasts(run, score)
    return 0


def _contrasts(run: Run, score: str) -> None:
    frame = run.control_contrasts(score)
    columns = ["persona", "model", "part", "n_cases", "effect", "low", "high", "verdict"]
    if frame["model"].nunique() == 1:
        columns.remove("model")
    shown = frame[columns].rename(columns={"n_cases": "cases"})
    out.print()
    title = "having a prompt, its meaning, its wording: what of each effect is which"
    out.print(table(list(shown), shown.itertuples(index=False), title=title))
    _notes(frame)


def _notes(frame: pd.DataFrame) -> None:
    for text in dict.fromkeys(frame["note"]):
        if text:
            say(text)


def fetch(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="An embedded model: smollm2.")],
    again: Annotated[bool, typer.Option("--again", help="Measure the speed again.")] = False,
) -> int:
    """Fetch an embedded model, and measure how it runs best."""
    from assistants.clients import fetch_weights, measure_threads, stored_thread_benchmark

    path = fetch_weights(name, report=say)
    known = None if again else stored_thread_benchmark(name)
    found = known or measure_threads(name, report=say)
    say(f"{name}: {path}")
    say(
        f"{found.tokens_per_second:.0f} tokens/s with {pluralize(found.threads, 'thread')}, measured."
    )
    return 0


def doctor() -> int:
    """Say what is missing here, and how to mend it."""
    from assistants.cli.doctor import examine

    findings = examine()
    rows = [
        [
            "ok" if each.ok else "no" if each.needed else "-",
            each.what,
            each.found,
            "" if each.ok else each.fix,
        ]
        for each in findings
    ]
    out.print(table(["", "part", "found", "to mend it"], rows))
    missing = ", ".join(each.what for each in findings if each.needed and not each.ok)
    if missing:
        say(f"\nMissing or broken: {missing}.", style="red")
    else:
        say("\nAll that is needed is there. A `-` is something that only some uses need.")
    return 1 if missing else 0


async def _check(catalogue: Catalogue) -> int:
    from assistants.clients import check_providers

    findings = await check_providers(catalogue)
    rows = [["ok" if each.is_reachable else "no", each.provider, each.detail] for each in findings]
    out.print(table(["", "provider", "found"], rows))
    return 0


def _file(source: str) -> str:
    """Where something comes from, short enough for a column."""
    return "built in" if Path(source).resolve().is_relative_to(PACKAGE) else source
