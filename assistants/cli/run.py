"""``assistants run``: forecast and run an experiment, show and report its results."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from assistants.cli import options
from assistants.cli.console import err, out, say, show, table
from assistants.cli.controls import make_controls
from assistants.design import Design
from assistants.errors import MissingDependencyError, ReportError, UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    from assistants.design import Limits
    from assistants.experiment import Experiment
    from assistants.results import Run
    from assistants.runs import Budget, Forecast, Progress, ProgressCallback

_SETTLED = {"reasoning_limit"}
"""Failures that asking again, with nothing changed, would most likely repeat."""

DesignT = TypeVar("DesignT", bound=Design)

EXIT = {"complete": 0, "failures": 1, "limit": 3}


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file (.yaml).")],
    results: options.ResultsFolder = Path("results"),
    personas: options.Folders = None,
    model: options.Models = None,
    repeats: options.Repeats = None,
    cases: options.FirstCases = None,
    temperature: options.Temperature = None,
    max_tokens: options.MaxTokens = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    reasoning_effort: options.ReasoningEffort = None,
    settings: options.Settings = None,
    limit_usd: options.LimitUsd = None,
    limit_tokens: options.LimitTokens = None,
    limit_minutes: options.LimitMinutes = None,
    concurrency: options.Concurrency = None,
    batch: options.ByBatch = None,
    tape: options.Tape = None,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    as_json: options.Json = False,
) -> int:
    """Run an experiment file: ask, compare, report.

    Settings such as --temperature win over `sampling:` of the file, of its personas and of its
    pairs. Judges keep theirs. Limits win over `limits:` of the file.
    """
    sampling = options.read_sampling(
        settings,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        seed=seed,
        reasoning_effort=reasoning_effort,
    )
    finished = forecast_and_run(
        file,
        results,
        personas or (),
        changes={
            "models": model,
            "repeats": repeats,
            "concurrency": concurrency,
            "batch": batch,
        },
        limits={"usd": limit_usd, "tokens": limit_tokens, "minutes": limit_minutes},
        cases=cases,
        sampling=sampling,
        tape=tape,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
    if finished is None:
        return 0
    page = None if no_report else _report(finished.run, file)
    if as_json:
        out.print_json(json.dumps(_as_json(finished.run, page)))
    else:
        _show(finished.run, page, replayed=finished.replayed)
    return EXIT[finished.run.outcome]


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that has ended; ``replayed`` says that its answers came from a tape."""

    run: Run
    replayed: bool


def forecast_and_run(
    file: Path,
    results: Path,
    personas: Sequence[Path],
    *,
    changes: Mapping[str, Any],
    limits: Mapping[str, Any],
    cases: int | None,
    sampling: options.GivenSampling,
    tape: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> Finished | None:
    """Show the forecast of an experiment file, ask for consent, run it, and export the run.

    Parameters
    ----------
    changes, limits
        What replaces words of the file, and its limits; ``None`` replaces nothing.
    cases
        The number of cases to ask, from the first one; ``None`` asks all.

    Returns
    -------
    Finished | None
        ``None`` after a dry run, which only shows the forecast.
    """
    from assistants.experiment import Experiment
    from assistants.runs import Budget, draft_controls, forecast_design, missing_controls

    changes = {name: value for name, value in changes.items() if value is not None}

    def adjusted(design: DesignT) -> DesignT:
        """Return the design with the options of the command line."""
        return replace(
            design.with_sampling(sampling.sampling, sampling.origins),
            cases=design.cases[:cases],
            tape=tape or design.tape,
            limits=merge_limits(design.limits, limits),
        )

    budget: Budget | None = None
    if missing := len(missing_controls(file, personas, **changes)):
        texts = pluralize(missing, "control text")
        if dry_run:
            say(f"{texts} would be made first (`assistants controls {file}`); included below.")
        else:
            say(f"making {texts}")
            plain = Experiment.load(file, personas=personas, **changes | {"controls": {}})
            budget = Budget(merge_limits(plain.limits, limits))
            written = make_controls(file, personas, results, yes=yes, budget=budget, **changes)
            say(f"They are in {written}; read and edit them there.")
    if dry_run:
        draft = draft_controls(file, personas=personas, **changes)
        forecast = forecast_design(adjusted(draft), results)
        say(f"{draft.name}: {forecast}")
        for warning in forecast.warnings:
            say(f"warning: {warning}")
        if as_json:
            out.print_json(json.dumps({**asdict(forecast), "to_ask": forecast.to_ask}))
        return None
    experiment = adjusted(Experiment.load(file, personas=personas, **changes))
    forecast = experiment.forecast(results)
    say(f"{experiment.name}: {forecast}")
    for warning in forecast.warnings:
        say(f"warning: {warning}")
    if not yes:
        confirm(experiment, forecast)
    finished = _execute(experiment, results, budget)
    finished.export()
    return Finished(finished, replayed=forecast.replays)


def merge_limits(limits: Limits, given: Mapping[str, Any]) -> Limits:
    """Return the limits, with those of the command line in their place."""
    return replace(limits, **{name: cap for name, cap in given.items() if cap is not None})


def _execute(experiment: Experiment, results: Path, budget: Budget | None) -> Run:
    left = total = len(experiment)
    waiting = ""

    async def execute() -> Run:
        with progress_bar() as show_progress:

            def report(progress: Progress) -> None:
                nonlocal left, total, waiting
                total, waiting = progress.total, progress.waiting
                left = progress.total - progress.reused - progress.answered
                show_progress(progress)

            return await experiment.run(results, on_progress=report, budget=budget)

    try:
        return asyncio.run(execute())
    except KeyboardInterrupt:
        say(
            f"Interrupted. Every complete answer is kept; {left} of {total} trials are "
            "left. Run the same command to continue."
        )
        if waiting:
            say("What was sent by batch goes on without us; `assistants batches` lists it.")
        raise


def confirm(design: Design, forecast: Forecast) -> None:
    """Ask for consent where the run may cost money and no limit caps it."""
    if not forecast.to_ask or forecast.usd == 0 or design.limits.usd is not None:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "This may cost money, and there is no cap on it.",
            fix="Add --yes, --limit-usd X, or `limits: {usd: X}` to the experiment.",
        )
    typer.confirm("Continue?", abort=True, err=True)


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Show a bar with the time left on a terminal; print a line every tenth elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"), TimeElapsedColumn(),
    )  # fmt: skip
    last_tenth = -1
    last_waiting = ""

    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("asking", total=None, left="")

        def report(progress: Progress) -> None:
            nonlocal last_tenth, last_waiting
            bar.update(
                task, total=progress.total, completed=progress.done, left=_status_line(progress)
            )
            if progress.waiting != last_waiting:
                last_waiting = progress.waiting
                if last_waiting and not err.is_terminal:
                    say(f"waiting for {last_waiting}")
            tenth = 10 * progress.done // max(1, progress.total)
            if tenth < last_tenth:
                last_tenth = -1  # another run, of several in a row
            if not err.is_terminal and tenth > last_tenth and progress.done > progress.reused:
                last_tenth = tenth
                say(f"{progress.done} of {progress.total}: {_status_line(progress)}")

        yield report


def _status_line(progress: Progress) -> str:
    parts = [f"{progress.tokens:,} tokens"]
    if progress.usd:
        parts.append(f"${progress.usd:.4f}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.waiting:
        parts.append(f"waiting for {progress.waiting}")
    elif progress.left_s is not None and progress.done < progress.total:
        seconds = progress.left_s
        amount = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
        parts.append(f"about {amount} left")
    return ", ".join(parts)


def _report(run: Run, file: Path) -> Path | None:
    from assistants.report import write_report

    try:
        with err.status("writing the report"):
            return write_report(run, file)
    except (MissingDependencyError, ReportError) as error:
        say(f"warning: {error}")
        return None


def _show(run: Run, page: Path | None, *, replayed: bool) -> None:
    """Print answers to the first cases, then what they say together: the means and the headline."""
    from assistants.runs import word_counts

    frame = run.trials()
    for (case, question), of_case in frame.groupby(["case", "question"], sort=False):
        if of_case["model"].nunique() > 1:
            of_case = of_case.assign(persona=of_case["persona"] + " on " + of_case["model"])
        rows = [
            [
                persona,
                f"{len(answers)}",
                _mean(word_counts(answers["answer"])),
                " / ".join(f"{n} {s}" for s, n in answers["status"].value_counts().items()),
                truncate_line(_first_answer(answers), 160),
            ]
            for persona, answers in of_case.groupby("persona", sort=False)
        ]
        title = f"case {case}: {truncate_line(question, 90)}"
        names = ["persona", "n", "words", "status", "first answer begins"]
        out.print(table(names, rows, title=title))
        out.print()
        if frame["case"].nunique() > 3:
            show(f"... and {frame['case'].nunique() - 1} more cases, in the report.")
            break
    means = run.means()
    if means["model"].nunique() == 1:
        means = means.drop(columns="model")
    out.print(table(list(means.columns), means.itertuples(index=False), title="means"))
    out.print()
    show(run.headline())
    if len(run.statistics.models) > 1:
        show(run.headline(by="model"))
    print_counts(run, replayed=replayed)
    if page is not None:
        show(f"report: {page}")


def print_counts(run: Run, *, replayed: bool) -> None:
    """Print counts by status, errors, and what is left to do, which a tape would not change."""
    from assistants.runs import changes_of_served_model

    counts = run.statuses()
    say(f"{run.experiment}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    if "length" in counts:
        say("  length: cut at the token limit (`max_tokens`, or the model's own).")
    for judge_run in _judge_runs(run):
        judge_counts = ", ".join(f"{n} {status}" for status, n in judge_run.statuses().items())
        say(f"{judge_run.experiment}: {judge_counts}")
        _print_errors(judge_run)
    for scorer, reasons in _scoring_failures(run):
        say(f"  {scorer}: {reasons}", style="red")
    _print_errors(run)
    for sentence in changes_of_served_model(run.manifest):
        say(f"  {sentence}")
    for model in run.manifest["models"]:
        if dropped := model.get("unsupported"):
            say(f"  {model['name']} was asked without {' and '.join(dropped)}, which it refuses.")
    if run.outcome == "limit":
        left = sum(n for status, n in counts.items() if status not in FINISHED)
        say(f"A limit stopped the run; {left} left. Raise it and run again for the rest.")
    elif run.outcome == "failures" and not replayed and counts.keys() - FINISHED - _SETTLED:
        say("Run the same command again to ask only for what failed.")


def _print_errors(run: Run) -> None:
    """Print the most frequent errors of a run."""
    failed = run.trials().dropna(subset=["error"])
    for error, count in failed["error"].value_counts().head(3).items():
        say(f"  {count} x {truncate_line(str(error), 300)}", style="red")


def _judge_runs(run: Run) -> list[Run]:
    """Return the runs in which the judges of this run were asked."""
    from assistants.results import Results

    names = [f"{run.experiment}.{judge['name']}" for judge in run.manifest["judges"]]
    candidates = [found for name in names for found in Results(run.results).runs(name)]
    return [found for found in candidates if found.manifest.get("judge_of") == run.id]


def _scoring_failures(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the scorers that failed on answers, with the most frequent reason."""
    for frame in (run.scores(), *(run.scores(name) for name in run.statistics.comparing)):
        failed = frame[frame["value"].isna() & frame["status"].isin(AVERAGED)]
        for scorer, rows in failed.groupby("scorer", sort=False):
            reason = rows["reason"].value_counts().index[0]
            yield (
                str(scorer),
                f"no score of {pluralize(len(rows), 'answer')}: {truncate_line(reason, 200)}",
            )


def _as_json(run: Run, page: Path | None) -> dict[str, Any]:
    return {
        "run": run.id,
        "experiment": run.experiment,
        "outcome": run.outcome,
        "counts": run.statuses(),
        "folder": str(run.folder),
        "report": str(page) if page else None,
    }


def _first_answer(answers: Any) -> str:
    texts = answers["answer"].dropna()
    errors = answers["error"].dropna()
    return str(texts.iloc[0]) if len(texts) else str(errors.iloc[0]) if len(errors) else ""


def _mean(values: Any) -> str:
    return "" if values.isna().all() else f"{values.mean():.0f}"
