"""What there is, and whether it works: ``personas``, ``models``, ``results``, ``fetch``, ``doctor``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, get_args

import typer

from assistants.cli import options
from assistants.cli.screen import err, out, table
from assistants.errors import UnknownName
from assistants.text import visible


def personas(name: options.PersonaName = None, personas: options.Folders = None) -> int:
    """List the personas and the file each comes from, or show the text of one."""
    from assistants.personas import Library

    library = Library.default(personas or ())
    if name is None:
        rows = [[p.name, p.label, p.description, p.source] for p in library.all()]
        out.print(table(["persona", "label", "description", "file"], rows))
        return 0
    persona = library.find(name)
    err.print(f"{persona} ({persona.source})")
    out.print(
        "(no system message)" if persona.text is None else visible(persona.text), soft_wrap=True
    )
    return 0


def models(
    check: Annotated[
        str, typer.Argument(help="`check` asks each server whether it is there.")
    ] = "",
) -> int:
    """List the models, where they are and which key they want."""
    from assistants.models import IN_PROCESS, Catalogue, user_file

    if check not in ("", "check"):
        raise UnknownName("action", check, ["check"])
    catalogue = Catalogue.default()
    rows = []
    for name in catalogue.models:
        model = catalogue.find(name)
        key = model.server.key if model.server else None
        address = model.server.address if model.server else "(comes with the install)"
        rows.append([name, model.name, address, key or "", catalogue.sources[name]])
    out.print(table(["name", "model", "address", "key from", "file"], rows))
    providers = ", ".join([*catalogue.providers, *IN_PROCESS])
    err.print(f"Any provider:id works too: {providers}.")
    err.print(f"Your own: models.toml here, or {user_file()}.")
    return asyncio.run(_check(catalogue)) if check else 0


def results(
    experiment: options.Experiment = None,
    results: options.ResultsFolder = Path("results"),
    form: Annotated[str, typer.Option("--format", help="table, csv, json or parquet.")] = "table",
    to: Annotated[Path | None, typer.Option("--out", help="Write to this file.")] = None,
) -> int:
    """Show the newest run: one row a trial."""
    from assistants import tables
    from assistants.results import Results

    if form not in get_args(tables.Format):
        raise UnknownName("format", form, get_args(tables.Format))
    run = Results(results).latest(experiment)
    frame = run.trials
    if form == "table" and to is None:
        columns = ["case", "persona", "model", "repeat", "status", "output_tokens", "answer"]
        shown = frame[columns].assign(
            answer=frame["answer"].str.slice(0, 80).str.split().str.join(" ")
        )
        out.print(table(columns, shown.itertuples(index=False), title=repr(run)))
        return 0
    text = tables.export(frame, form, to)  # type: ignore[arg-type]  # checked above
    if text is not None:
        typer.echo(text, nl=not text.endswith("\n"))
    return 0


def fetch(name: Annotated[str, typer.Argument(help="An embedded model: smollm2.")]) -> int:
    """Fetch the weights of an embedded model, check them, and measure how it runs best here."""
    from assistants.clients import pace, weights

    path = weights.fetch(name, report=err.print)
    err.print(f"{name}: {path}")
    err.print(f"{name}: {pace.measure(name, report=err.print)}")
    return 0


def doctor() -> int:
    """Check this installation, and say how to mend what is missing."""
    from assistants.doctor import examine

    findings = examine()
    rows = [["ok" if each.ok else "no", each.what, each.found, each.fix] for each in findings]
    out.print(table(["", "part", "found", "to mend it"], rows))
    return 1 if any(not each.ok and each.needed for each in findings) else 0


async def _check(catalogue: object) -> int:
    from assistants.clients.check import check_all
    from assistants.models import Catalogue

    assert isinstance(catalogue, Catalogue)
    findings = await check_all(catalogue)
    rows = [["ok" if each.ok else "no", each.provider, each.found] for each in findings]
    out.print(table(["", "provider", "found"], rows))
    return 0
