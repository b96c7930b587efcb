"""Commands that list things: personas, models, results, weights and the installation."""

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
from assistants.cli.download_progress import download_progress
from assistants.errors import UnknownNameError, UsageError
from assistants.utils import escape_control_chars, pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

    from assistants.models import Catalogue, Model
    from assistants.results import Run

PACKAGE = Path(__file__).parents[1]


def personas(name: options.PersonaName = None, personas: options.Folders = None) -> int:
    """List the personas, or show the text of one."""
    from assistants.personas import Library

    library = Library.default(personas or ())
    if name is None:
        rows = [
            [p.name, p.description, p.source if p.plugin else _short_path(p.source)]
            for p in library.all()
        ]
        out.print(table(["persona", "description", "source"], rows))
        say(f"\nBuilt-in ones are in {PACKAGE / 'personas'}.")
        return 0
    persona = library.find(name)
    say(f"{persona} ({persona.source})")
    show("(no system message)" if persona.text is None else persona.text)
    return 0


def models(
    check: Annotated[
        str,
        typer.Argument(metavar="[check]", help="`check` calls each server."),
    ] = "",
) -> int:
    """List the models and their providers, or check the servers."""
    from assistants.clients import all_observed, describe_observations
    from assistants.models import IN_PROCESS, PROVIDER_PLUGINS, Catalogue, base_url, user_file

    if check not in ("", "check"):
        raise UnknownNameError("action", check, ["check"])
    catalogue = Catalogue.default()
    if check:
        return asyncio.run(_check_providers(catalogue))
    rows = [
        [
            name,
            catalogue.find(name).name,
            _about(catalogue.find(name)),
            _short_path(catalogue.sources[name]),
        ]
        for name in catalogue.models
    ]
    out.print(table(["model", "full name", "about", "source"], rows))
    seen = [
        [identity, ", ".join(describe_observations(value)), value.seen]
        for identity, value in all_observed().items()
    ]
    if seen:
        out.print()
        out.print(table(["seen of", "what", "last"], seen))
    out.print()
    providers: list[list[str | None]] = [
        [
            f"{name}:",
            base_url(server) or f"(set {server.address_from})",
            server.key,
            _short_path(catalogue.sources[f"{name}:"]),
        ]
        for name, server in catalogue.providers.items()
    ]
    providers += [[f"{name}:", "(no server needed)", None, "built in"] for name in IN_PROCESS]
    providers += [
        [f"{name}:", "", None, plugin.source]
        for name, plugin in PROVIDER_PLUGINS.usable().items()
        if name not in catalogue.providers
    ]
    out.print(table(["provider", "address", "key from", "source"], providers))
    say(
        "\nAny provider:id works, for example vllm:Qwen3-8B.\n"
        f"Add your own to models.toml here, or to {user_file()}."
    )
    return 0


def _about(model: Model) -> str:
    """Return what a models.toml says of a model, in a few words."""
    settings = ", ".join(f"{name} {value}" for name, value in model.sampling.as_dict().items())
    ends = f"ends {model.ends}" if model.ends else ""
    return "; ".join(filter(None, [settings, "reasons" if model.reasons else "", ends]))


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
    """Show the newest run of an experiment, one row per trial.

    A conversation or another helping run is shown by its name only: `assistants results ask`.
    """
    from assistants.results import Results
    from assistants.runs import tables

    if form not in get_args(tables.Format):
        raise UnknownNameError("format", form, get_args(tables.Format))
    run = Results(results).latest(experiment)
    frame = run.trials()
    if form == "table":
        varying = [name for name in ("model", "repeat") if frame[name].nunique() > 1]
        columns = ["case", "persona", *varying, "status", "output_tokens", "answer"]
        rows = [
            [truncate_line(value) if isinstance(value, str) else value for value in row]
            for row in frame[columns].itertuples(index=False)
        ]
        names = [name.removeprefix("output_") for name in columns]
        counts = ", ".join(f"{count} {status}" for status, count in run.statuses().items())
        title = f"{run.experiment}, run {run.id}: {counts}"
        with _console(to) as console:
            console.print(table(names, rows, title=title))
        return _report_written(frame, to)
    text = tables.export(frame, form, to)  # type: ignore[arg-type]  # checked above
    if text is not None:
        # A file or a pipe gets the answers unchanged; a screen nothing that could control it.
        text = escape_control_chars(text) if sys.stdout.isatty() else text
        typer.echo(text, nl=not text.endswith("\n"))
    return _report_written(frame, to)


@contextmanager
def _console(file: Path | None) -> Iterator[Console]:
    """Open a console on the file, or on the screen if there is none."""
    if file is None:
        yield out
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        yield Console(file=stream, width=160, highlight=False, markup=False, emoji=False)


def _report_written(frame: pd.DataFrame, to: Path | None) -> int:
    if to is not None:
        say(f"{pluralize(len(frame), 'row')} in {to}.")
    return 0


def effects(
    experiment: options.Experiment = None,
    results: options.ResultsFolder = Path("results"),
    score: Annotated[
        str | None,
        typer.Option("--score", metavar="SCORER", help="The scorer; by default the first one."),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A persona in place of the experiment's baseline; with `--by model` a model, with "
            "`--by knowledge` one of its settings.",
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by", metavar="ARM", help="What is compared: persona, model, or a technique."
        ),
    ] = "persona",
    as_json: options.Json = False,
) -> int:
    """Show the effect of each persona or model, with intervals and verdicts."""
    from assistants.results import Results
    from assistants.runs import VOTES, tables

    run = Results(results).latest(experiment)
    score = score or run.statistics.main_score
    frame = run.effects(score, by=by, baseline=baseline)
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
    statistics = run.statistics
    if by in statistics.techniques:
        columns.insert(0, by)
        reference = f"{by}: {statistics.technique_arms(by).baseline(baseline)}"
    elif by == "model":
        reference = statistics.baseline_model(baseline)
    else:
        reference = baseline or run.manifest["baseline"]
    title = f"{run.experiment}: {score}, against {reference}, 95% intervals, p adjusted by Holm"
    shown = frame[columns].rename(columns={"n_cases": "cases", "p_adjusted": "p"})
    out.print(table(list(shown), shown.itertuples(index=False), title=title))
    _print_notes(frame)
    if statistics.control_personas and baseline is None and by == "persona":
        _print_contrasts(run, score)
    return 0


def _print_contrasts(run: Run, score: str) -> None:
    frame = run.control_contrasts(score)
    columns = ["persona", "model", "part", "n_cases", "effect", "low", "high", "verdict"]
    if frame["model"].nunique() == 1:
        columns.remove("model")
    shown = frame[columns].rename(columns={"n_cases": "cases"})
    out.print()
    title = "parts of each effect: having a prompt, its meaning, its wording"
    out.print(table(list(shown), shown.itertuples(index=False), title=title))
    _print_notes(frame)


def _print_notes(frame: pd.DataFrame) -> None:
    for text in dict.fromkeys(frame["note"]):
        if text:
            say(text)


def fetch(
    name: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="qwen, smollm2, or hf:OWNER/REPO:QUANT."),
    ],
    again: Annotated[bool, typer.Option("--again", help="Measure the speed again.")] = False,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take this copy of the weights.")
    ] = None,
    new_name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Use what `hf:` names as local:NAME.")
    ] = "",
) -> int:
    """Download an embedded model, and measure its best number of threads."""
    from assistants.clients import (
        add_model,
        fetch_weights,
        is_hub_reference,
        measure_threads,
        stored_thread_benchmark,
    )

    name = name.removeprefix("local:")
    if is_hub_reference(name):
        name = add_model(name, new_name)
        say(f"It can be used as `-m local:{name}`.")
    elif new_name:
        raise UsageError("`--name` is for a model of the hub: hf:OWNER/REPO:QUANT.")
    with download_progress() as progress:
        path = fetch_weights(name, file=file, report=say, progress=progress)
    known = None if again else stored_thread_benchmark(name)
    benchmark = known or measure_threads(name, report=say)
    say(f"{name}: {path}")
    threads = pluralize(benchmark.threads, "thread")
    say(f"{benchmark.tokens_per_second:.0f} tokens/s with {threads}, measured.")
    return 0


def doctor() -> int:
    """Check this installation, and show how to fix what is missing."""
    from assistants.cli.doctor import examine

    checks = examine()
    rows = [
        [
            "ok" if check.ok else "no" if check.needed else "-",
            check.name,
            check.found,
            "" if check.ok else check.fix,
        ]
        for check in checks
    ]
    out.print(table(["", "part", "found", "fix"], rows))
    missing = ", ".join(check.name for check in checks if check.needed and not check.ok)
    if missing:
        say(f"\nMissing or broken: {missing}.", style="red")
    else:
        say("\nEverything needed is there. A `-` marks a part that only some uses need.")
    return 1 if missing else 0


async def _check_providers(catalogue: Catalogue) -> int:
    from assistants.clients import check_providers

    statuses = await check_providers(catalogue)
    rows = [
        ["ok" if status.is_reachable else "no", status.provider, status.detail]
        for status in statuses
    ]
    out.print(table(["", "provider", "found"], rows))
    return 0


def _short_path(source: str) -> str:
    """Return the file that something comes from, short enough for a column."""
    return "built in" if Path(source).resolve().is_relative_to(PACKAGE) else source
