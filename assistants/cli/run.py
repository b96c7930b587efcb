"""``assistants run``: forecast, run, compare, report."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from assistants.cli import options
from assistants.cli.console import err, out, say, show, table
from assistants.cli.controls import make as make_controls
from assistants.design import Design
from assistants.errors import MissingDependencyError, ReportError, UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    from assistants.design import Limits
    from assistants.experiment import Experiment
    from assistants.results import Run
    from assistants.runs import Budget, Forecast, Progress, ProgressCallback

EXIT = {"complete": 0, "failures": 1, "limit": 3}


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiment file (.yaml).")],
    results: options.ResultsFolder = Path("results"),
    personas: options.Folders = None,
    model: options.Models = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Draws of each cell.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the first N cases.")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option(min=0, metavar="X", help="Stop at so many dollars.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Stop at so many tokens.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Calls in flight.")
    ] = None,
    tape: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record every answer; replay if the file is there."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would ask.")] = False,
    yes: options.Yes = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    as_json: options.Json = False,
) -> int:
    """Run an experiment file: ask, compare, report."""
    from assistants.experiment import Experiment
    from assistants.runs import Budget, draft_controls, forecast_design, missing_controls

    changes: dict[str, Any] = {"models": model, "repeats": repeats, "concurrency": concurrency}
    caps = {"usd": max_usd, "tokens": max_tokens}
    changes = {name: value for name, value in changes.items() if value is not None}
    budget: Budget | None = None
    if missing := len(missing_controls(file, personas or (), **changes)):
        said = pluralize(missing, "control text")
        if dry_run:
            say(f"{said} would be made first (`assistants controls {file}`); counted in below.")
        else:
            say(f"making {said}")
            plain = Experiment.load(file, personas=personas or (), **changes | {"controls": {}})
            budget = Budget(_capped(plain.limits, caps))
            written = make_controls(
                file, personas or (), results, yes=yes, budget=budget, **changes
            )
            say(f"They stand in {written}; read and edit them there.")
    if dry_run:
        draft = draft_controls(file, personas=personas or (), **changes)
        forecast = forecast_design(_trimmed(draft, limit, tape, caps), results)
        say(f"{draft.name}: {forecast}")
        if as_json:
            out.print_json(json.dumps({**asdict(forecast), "to_ask": forecast.to_ask}))
        return 0
    experiment = Experiment.load(file, personas=personas or (), **changes)
    experiment = _trimmed(experiment, limit, tape, caps)
    forecast = experiment.forecast(results)
    say(f"{experiment.name}: {forecast}")
    if not yes:
        _confirm(experiment, forecast)
    done = _execute(experiment, results, budget)
    done.export()
    page = None if no_report else _report(done, file)
    if as_json:
        out.print_json(json.dumps(_as_json(done, page)))
    else:
        _show(done, page, replayed=forecast.replays)
    return EXIT[done.outcome]


DesignT = TypeVar("DesignT", bound=Design)


def _trimmed(
    design: DesignT, limit: int | None, tape: Path | None, caps: dict[str, Any]
) -> DesignT:
    """Return the design with the changes of the command line."""
    return replace(
        design,
        cases=design.cases[:limit],
        tape=tape or design.tape,
        limits=_capped(design.limits, caps),
    )


def _capped(limits: Limits, caps: dict[str, Any]) -> Limits:
    """The limits with those of the command line, which win."""
    return replace(limits, **{name: cap for name, cap in caps.items() if cap is not None})


def _execute(experiment: Experiment, results: Path, budget: Budget | None) -> Run:
    left = total = len(experiment)

    async def go() -> Run:
        with _bar() as bar:

            def report(progress: Progress) -> None:
                nonlocal left, total
                total = progress.total
                left = progress.total - progress.reused - progress.answered
                bar(progress)

            return await experiment.run(results, on_progress=report, budget=budget)

    try:
        return asyncio.run(go())
    except KeyboardInterrupt:
        say(
            f"Interrupted. Every complete answer is kept; {left} of {total} trials are "
            "left. Run the same command to go on."
        )
        raise


def _confirm(experiment: Experiment, forecast: Forecast) -> None:
    """Nobody spends money by accident: with a price, known or not, there is a cap or a yes."""
    if not forecast.to_ask or forecast.usd == 0 or experiment.limits.usd is not None:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            "This may cost money, and there is no cap on it.",
            fix="Add --yes, --max-usd X, or `limits: {usd: X}` to the experiment.",
        )
    typer.confirm("Go on?", abort=True, err=True)


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    """A bar with time left on a terminal; a line every tenth of the way elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[left]}"), TimeElapsedColumn(),
    )  # fmt: skip
    told = -1

    with Bar(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("asking", total=None, left="")

        def report(progress: Progress) -> None:
            nonlocal told
            bar.update(task, total=progress.total, completed=progress.done, left=_left(progress))
            tenth = 10 * progress.done // max(1, progress.total)
            if not err.is_terminal and tenth > told and progress.done > progress.reused:
                told = tenth
                say(f"{progress.done} of {progress.total}: {_left(progress)}")

        yield report


def _left(progress: Progress) -> str:
    parts = [f"{progress.tokens:,} tokens"]
    if progress.usd:
        parts.append(f"${progress.usd:.4f}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.left_s is not None and progress.done < progress.total:
        parts.append(f"about {progress.left_s:.0f} s left")
    return ", ".join(parts)


def _report(done: Run, file: Path) -> Path | None:
    from assistants.report import write_report

    try:
        with err.status("writing the report"):
            return write_report(done, file)
    except (MissingDependencyError, ReportError) as error:
        say(f"warning: {error}")
        return None


def _show(done: Run, page: Path | None, *, replayed: bool) -> None:
    """The comparison in the terminal: what each persona answered, and how much."""
    from assistants.runs import word_counts

    frame = done.trials()
    for (case, question), of_case in frame.groupby(["case", "question"], sort=False):
        if of_case["model"].nunique() > 1:
            of_case = of_case.assign(persona=of_case["persona"] + " on " + of_case["model"])
        rows = [
            [
                persona,
                f"{len(answers)}",
                _mean(word_counts(answers["answer"])),
                " / ".join(f"{n} {s}" for s, n in answers["status"].value_counts().items()),
                truncate_line(_first(answers), 160),
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
    _account(done, replayed=replayed)
    if page is not None:
        show(f"report: {page}")


def _account(done: Run, *, replayed: bool) -> None:
    """Every status counted aloud, and what is left to do: a tape says the same again."""
    counts = done.statuses()
    say(f"{done.experiment}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
    if "length" in counts:
        say("  length: cut at the token limit (`max_tokens`, or the model's own).")
    failed = done.trials().dropna(subset=["error"])
    for judge in _judged(done):
        counts_of = ", ".join(f"{n} {status}" for status, n in judge.statuses().items())
        say(f"{judge.experiment}: {counts_of}")
        _errors(judge)
    for scorer, reasons in _not_scored(done):
        say(f"  {scorer}: {reasons}", style="red")
    for error, count in failed["error"].value_counts().head(3).items():
        say(f"  {count} x {truncate_line(str(error), 300)}", style="red")
    if done.outcome == "limit":
        left = sum(n for status, n in counts.items() if status not in FINISHED)
        say(f"A limit stopped the run; {left} left. Raise it and run again to go on with the rest.")
    elif done.outcome == "failures" and not replayed:
        say("Run the same command again to ask only for what failed.")


def _errors(done: Run) -> None:
    """The most frequent errors of a run."""
    failed = done.trials().dropna(subset=["error"])
    for error, count in failed["error"].value_counts().head(3).items():
        say(f"  {count} x {truncate_line(str(error), 300)}", style="red")


def _judged(done: Run) -> list[Run]:
    """The runs in which the judges of this one were asked."""
    from assistants.results import Results

    names = [f"{done.experiment}.{judge['name']}" for judge in done.manifest["judges"]]
    runs = [run for name in names for run in Results(done.results).runs(name)]
    return [run for run in runs if run.manifest.get("judge_of") == done.id]


def _not_scored(done: Run) -> Iterator[tuple[str, str]]:
    """Scorers that failed on answers, with the reason that is most frequent."""
    for frame in (done.scores(), *(done.scores(name) for name in done.statistics.comparing)):
        failed = frame[frame["value"].isna() & frame["status"].isin(AVERAGED)]
        for scorer, rows in failed.groupby("scorer", sort=False):
            reason = rows["reason"].value_counts().index[0]
            yield (
                str(scorer),
                f"no score of {pluralize(len(rows), 'answer')}: {truncate_line(reason, 200)}",
            )


def _as_json(done: Run, page: Path | None) -> dict[str, Any]:
    return {
        "run": done.id,
        "experiment": done.experiment,
        "outcome": done.outcome,
        "counts": done.statuses(),
        "folder": str(done.folder),
        "report": str(page) if page else None,
    }


def _first(answers: Any) -> str:
    texts = answers["answer"].dropna()
    errors = answers["error"].dropna()
    return str(texts.iloc[0]) if len(texts) else str(errors.iloc[0]) if len(errors) else ""


def _mean(values: Any) -> str:
    return "" if values.isna().all() else f"{values.mean():.0f}"
