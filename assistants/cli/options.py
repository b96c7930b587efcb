"""Options that several commands share, with completion of names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from assistants.errors import UsageError
from assistants.messages import Sampling, sampling_from


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
    str | None,
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A short name or provider:id. By default qwen, or smollm2 where only that was "
        "fetched.",
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
FirstCases = Annotated[
    int | None, typer.Option("--cases", min=1, metavar="N", help="Only the first N cases.")
]
LimitUsd = Annotated[
    float | None, typer.Option(min=0, metavar="X", help="Stop the run at this cost in dollars.")
]
LimitTokens = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Stop the run at this number of tokens.")
]
LimitMinutes = Annotated[
    float | None, typer.Option(min=0, metavar="X", help="Stop the run after this time.")
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Number of calls in flight; found by itself if not given."
    ),
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
Temperature = Annotated[
    str | None, typer.Option("--temperature", metavar="X", help="Randomness of an answer, 0 to 2.")
]
MaxTokens = Annotated[
    str | None, typer.Option("--max-tokens", metavar="N", help="Tokens of one answer, at most.")
]
TopP = Annotated[
    str | None,
    typer.Option("--top-p", metavar="X", help="Draw from the likeliest tokens, 0 to 1."),
]
Seed = Annotated[
    str | None, typer.Option("--seed", metavar="N", help="Seed of the draws; repeats count on.")
]
ReasoningEffort = Annotated[
    str | None,
    typer.Option("--reasoning-effort", metavar="WORD", help="A word of the model's provider."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting that `sampling:` of an experiment takes; the value is JSON or text; may "
        "be repeated.",
    ),
]


@dataclass(frozen=True, slots=True)
class GivenSampling:
    """Settings of the command line; ``origins`` are the options that gave them, by setting."""

    sampling: Sampling = field(default_factory=Sampling)
    origins: Mapping[str, str] = field(default_factory=dict)


def read_sampling(settings: Sequence[str] | None, **named: str | None) -> GivenSampling:
    """Return the settings of ``--set`` and of the options that are named after a setting.

    Raises
    ------
    UsageError
        For an unknown setting, one that is given twice, and a value that a file may not have.
    """
    given = [
        (f"--{name.replace('_', '-')}", name, text)
        for name, text in named.items()
        if text is not None
    ]
    for setting in settings or ():
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set {setting}: no value.", fix="Write `--set NAME=VALUE`.")
        given.append((f"--set {name}", name, text))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option, name, text in given:
        if name in values:
            raise UsageError(f"{option}: {name} is set by {origins[name]} already.")
        if sampling_from({name: _value(text)}, option) == Sampling():
            raise UsageError(
                f"{option}: {text!r} sets nothing.",
                fix="A setting that is left out of the file and the line is left to the server.",
            )
        values[name], origins[name] = _value(text), option
    return GivenSampling(sampling_from(values, "the command line"), origins)


def _value(text: str) -> Any:
    """Return a value as JSON reads it, and text where it is none."""
    if re.fullmatch(r"[+-]?\.\d+", text):
        return float(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
