"""Options that several commands share, with completion of names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def _personas(incomplete: str) -> list[str]:
    from assistants.personas import Library

    return [name for name in Library.default().names() if name.startswith(incomplete)]


def _models(incomplete: str) -> list[str]:
    from assistants.models import Catalogue

    return [name for name in Catalogue.default().models if name.startswith(incomplete)]


def _experiments(incomplete: str) -> list[str]:
    from assistants.results import Results

    names = {run.experiment for run in Results().runs()}
    return sorted(name for name in names if name.startswith(incomplete))


Personas = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        "--persona",
        metavar="PERSONA",
        help="A persona; may be repeated.",
        autocompletion=_personas,
    ),
]
Persona = Annotated[
    str,
    typer.Option("-p", "--persona", metavar="PERSONA", help="A persona.", autocompletion=_personas),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A short name or provider:id; may be repeated.",
        autocompletion=_models,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A short name or provider:id.",
        autocompletion=_models,
    ),
]
Folders = Annotated[
    list[Path] | None,
    typer.Option(
        "--personas",
        metavar="DIR",
        help="A folder of personas, which takes precedence over all others.",
    ),
]
ResultsFolder = Annotated[
    Path, typer.Option("--results", metavar="DIR", help="The results folder.")
]
NoRecord = Annotated[bool, typer.Option("--no-record", help="Store no answers.")]
Experiment = Annotated[
    str | None,
    typer.Argument(
        metavar="[EXPERIMENT]", help="The name of an experiment.", autocompletion=_experiments
    ),
]
PersonaName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", help="Show the text of this persona.", autocompletion=_personas
    ),
]
Place = Literal["system", "user"]
SystemPromptIn = Annotated[
    Place,
    typer.Option(
        "--system-prompt-in",
        help="Send the persona as the system message, or at the head of the first question (user) "
        "for a template without a system role.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Repeats = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Answers of each assistant to each case.")
]
FirstCases = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N cases.")]
MaxUsd = Annotated[
    float | None, typer.Option(min=0, metavar="X", help="Stop at this cost in dollars.")
]
MaxTokens = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Stop at this number of tokens.")
]
Concurrency = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Number of calls in flight; found by itself if not given.")
]
ByBatch = Annotated[
    bool | None,
    typer.Option(
        "--batch/--no-batch",
        help="Send files of questions, for part of the price; answers may take a day.",
    ),
]
Tape = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Record every answer; replay the file if it exists."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be asked, and ask nothing.")
]
