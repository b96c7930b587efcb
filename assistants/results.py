"""Results: the runs of a folder, read back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from assistants.design import Control
from assistants.errors import AssistantsError, UnknownNameError, UsageError
from assistants.messages import AVERAGED, Transcript
from assistants.runs import (
    FILE,
    Migration,
    RunPlots,
    RunRecord,
    RunStatistics,
    Store,
    migration,
    tables,
)
from assistants.scoring import FunctionScorer
from assistants.utils import (
    Displayable,
    check_name,
    display_path,
    notebook_html,
    pluralize,
    run_sections,
    truncate_line,
)

if TYPE_CHECKING:
    import pandas as pd

    from assistants.clients import Client
    from assistants.runs import ProgressCallback
    from assistants.runs.attribution import Attribution

__all__ = ["Results", "Run"]


class Run:
    """An execution of an experiment, read from the store each time it is asked.

    What the answers say comes from ``statistics`` and is offered here under the same names:
    ``scores``, ``means``, ``effects``, ``headline``, ``interactions``, ``control_contrasts``,
    ``mixed_model``, ``text_distance``, ``embeddings``, ``votes``, ``ranking``, ``agreement``,
    ``position_bias``, ``prompt_audit``.
    ``plot`` draws it: ``run.plot.effects("words")``.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.results = folder
        self.record = record
        self.statistics = statistics = RunStatistics(folder, record)
        self.plot = RunPlots(folder, statistics)
        # Bound here, so that a reader's tools see the real signatures and docstrings.
        self.scores = statistics.scores
        self.means = statistics.means
        self.effects = statistics.effects
        self.headline = statistics.headline
        self.interactions = statistics.interactions
        self.control_contrasts = statistics.control_contrasts
        self.mixed_model = statistics.mixed_model
        self.text_distance = statistics.text_distance
        self.embeddings = statistics.embeddings
        self.votes = statistics.votes
        self.ranking = statistics.ranking
        self.agreement = statistics.agreement
        self.position_bias = statistics.position_bias
        self.prompt_audit = statistics.prompt_audit

    def __repr__(self) -> str:
        try:
            counts = ", ".join(f"{count} {status}" for status, count in self.statuses().items())
        except AssistantsError:  # a repr is for looking into what is wrong, so it never fails
            counts = "cannot be read"
        return truncate_line(f"Run({self.id!r} of {self.experiment}: {counts or 'no trials'})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def id(self) -> str:
        """The run's name, and that of its folder."""
        return self.record.run

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.record.experiment

    @property
    def outcome(self) -> str:
        """The way it ended: ``complete``, ``failures``, ``limit`` or ``interrupted``.

        ``unfinished`` while it goes on, and for good if it was killed.
        """
        return self.record.outcome or "unfinished"

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The record of what ran: persona texts, models, sampling, versions, order, counts."""
        return self.record.manifest

    @property
    def scorers(self) -> list[FunctionScorer]:
        """The scorers of the experiment, judges included."""
        return self.statistics.scorers

    @property
    def controls(self) -> list[Control]:
        """The personas that are there as controls."""
        return self.statistics.controls

    @property
    def folder(self) -> Path:
        """The folder that ``export`` and the report write to."""
        # A store may come from somebody else, and its names are parts of a path here.
        experiment = check_name(self.experiment, "experiment")
        return Path(display_path(self.results)) / experiment / check_name(self.id, "run")

    def trials(self) -> pd.DataFrame:
        """Return one row per trial; columns as in ``tables.COLUMNS``."""
        with Store(self.results) as store:
            return tables.trials(store, self.id)

    def statuses(self) -> dict[str, int]:
        """Count trials by status, most frequent first; ``open`` ones were never asked."""
        with Store(self.results) as store:
            return store.statuses(self.id)

    def status_counts(self) -> pd.DataFrame:
        """Count trials by persona, model and status: one row per persona and model."""
        return tables.status_counts(self.trials())

    def pivot(self, values: str = "answer") -> pd.DataFrame:
        """Return a column of ``trials`` with cases as rows and personas as columns."""
        return tables.pivot(self.trials(), values)

    def summary(self) -> pd.DataFrame:
        """Return one row per persona and model: trials that count, mean words, tokens, seconds."""
        return tables.summary(self.trials())

    def migration(
        self,
        old: str,
        new: str,
        *,
        margin: float | Mapping[str, float] | None = None,
        statuses: Collection[str] = AVERAGED,
        most: int = 5,
    ) -> Migration:
        """Return what this run says of replacing one of its models by another.

        ``experiment = Experiment.load(file, models=[old, new])`` has both, and its run asks only
        for answers that are missing. Control personas are left out.

        Parameters
        ----------
        old, new
            Models of the run, by short name or ``provider:id``.
        margin
            The largest difference that would not matter, in each scorer's unit (percentage points
            for a binary one): a number for all scorers, or one by the name of a scorer. Without
            it, "no difference" is said of narrow intervals, with how narrow they are.
        statuses
            The statuses of trials that count.
        most
            Cases in ``differing``, at most.

        Returns
        -------
        Migration
            ``verdicts``: one row per scorer and persona, all of them tested as one family.
            ``differing``: the answers that differ most, side by side.

        Raises
        ------
        UsageError
            For two names of one model, or a margin that is not above 0.
        UnknownNameError
            For a model or a scorer that the run does not have.
        """
        return migration(self.statistics, old, new, margin=margin, statuses=statuses, most=most)

    def show(self, *sections: str) -> Displayable:
        """Return sections of the report for a notebook to show: ``run.show("effects")``.

        Parameters
        ----------
        sections
            ``headline``, ``overview``, ``means``, ``answers``, ``effects``, ``distributions``,
            ``models``, ``techniques``, ``control_contrasts``, ``text_distance``, ``votes``,
            ``costs``, ``status_counts``, ``failures``, ``prompt_audit``, ``prompts``; all of them,
            in this order, if none is named.

        Raises
        ------
        UnknownNameError
            For another section.
        """
        return run_sections(self, sections)

    async def sentence_attribution(
        self,
        persona: str,
        case: str | None = None,
        *,
        model: str | None = None,
        client: Client | None = None,
        statuses: Collection[str] = AVERAGED,
        regenerate: bool = False,
        max_usd: float | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> Attribution:
        """Measure which sentence of a persona matters: each is left out in turn.

        On a server that returns log-probabilities of its input (vLLM), nothing is generated:
        an effect is how much likelier, in nats, the stored answers are under the whole
        persona than without the sentence. An answer counts with the token that ended it, where the
        model ended it itself and the server's template shows that token; one of several turns is
        the sum over its turns, each after the answers that were given before it. Of a persona of
        one sentence, an empty system message is left; that is also what ``logprob_empty`` is under.

        A hosted model is not sent its answers for this, unless ``client`` is given.
        Other models are asked again, without each sentence, and the wording is compared with how
        far repeats of the whole persona differ. That costs calls, so it needs ``regenerate=True``
        or ``max_usd``.

        Parameters
        ----------
        persona
            As in the table of trials, with its variables.
        case
            One case only; all of them by default.
        model
            One model only; all of them by default.
        client
            What reaches the model, where its name alone does not (an SDK object of your own).
        statuses
            The statuses of trials that count.
        regenerate
            Ask again, where the server returns no log-probabilities.
        max_usd
            The same, and a cap on what it may cost.
        on_progress
            As in ``Experiment.run``; for asking again.

        Raises
        ------
        UnknownNameError
            For a persona, case or model that the run does not have.
        UsageError
            If no answer counts, the persona sends no text, or the model would have to be asked
            again and neither ``regenerate`` nor ``max_usd`` allows it: the message says how many
            calls that is, and what they would cost.
        CallError
            If there is no whole reply.
        """
        from assistants.runs.attribution import attribute

        return await attribute(
            self.results,
            self.id,
            self.experiment,
            persona,
            case,
            model=model,
            client=client,
            statuses=statuses,
            regenerate=regenerate,
            max_usd=max_usd,
            on_progress=on_progress,
        )

    def transcripts(self) -> Iterator[tuple[str, Transcript, dict[str, Any]]]:
        """Yield name, transcript and facts of every answered trial."""
        from assistants.runs.export import answered_transcripts

        yield from answered_transcripts(self.results, self.id)

    @overload
    def export(
        self, to: Literal["files", "inspect", "huggingface"] = ..., out: str | Path | None = ...
    ) -> Path: ...

    @overload
    def export(self, to: Literal["otel"], out: None = ...) -> str: ...

    def export(self, to: str = "files", out: str | Path | None = None) -> Path | str:
        """Write the run for other programs, and return where it is.

        A trial without an answer is exported as the failure that it is.

        Parameters
        ----------
        to
            ``files``: manifest, table and transcripts. ``inspect``: logs of inspect_ai, one per
            persona and model. ``huggingface``: a dataset folder with a card. ``otel``:
            OpenTelemetry spans, sent to the collector that ``OTEL_EXPORTER_OTLP_ENDPOINT`` names.
        out
            A folder that is new or empty; a place in ``folder`` by default. Not for ``otel``.

        Returns
        -------
        Path or str
            The folder, or the address of the collector.

        Raises
        ------
        UnknownNameError
            For another ``to``.
        UsageError
            If there is something in ``out``, or the extra that ``to`` needs is missing.
        ExportError
            If the collector does not take the spans.
        """
        from assistants.runs import export

        if to == "otel":
            if out is not None:
                raise UsageError(
                    "Spans are sent to a collector, not written to a path.",
                    fix="Leave out the path, and name the collector in "
                    "OTEL_EXPORTER_OTLP_ENDPOINT.",
                )
            return export.export_otel(self.results, self.record)
        writers = {
            "files": export.export_files,
            "inspect": export.export_inspect,
            "huggingface": export.export_huggingface,
        }
        if to not in writers:
            raise UnknownNameError("export", to, [*writers, "otel"])
        own = self.folder if to == "files" else self.folder / to
        folder = export.output_folder(own, Path(out) if out is not None else None)
        writers[to](self.results, self.record, folder)
        return folder


class Results:
    """The runs of a results folder."""

    def __init__(self, folder: str | Path = "results") -> None:
        self.folder = Path(folder).absolute()

    def __repr__(self) -> str:
        try:
            holds = pluralize(len(self.runs()), "run")
        except AssistantsError:  # a repr is for looking into what is wrong, so it never fails
            holds = "cannot be read"
        return truncate_line(
            f"Results({truncate_line(display_path(self.folder), 80)!r}: {holds})", 120
        )

    def _repr_html_(self) -> str:
        return notebook_html(self)

    def runs(self, experiment: str | None = None) -> list[Run]:
        """Return the runs, oldest first; those of one experiment if it is named."""
        if not (self.folder / FILE).exists():
            return []
        with Store(self.folder) as store:
            return [Run(self.folder, record) for record in store.runs(experiment)]

    def get(self, run_id: str) -> Run:
        """Return the run of that id.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        runs = {run.id: run for run in self.runs()}
        if run_id not in runs:
            raise UnknownNameError("run", run_id, runs, where=display_path(self.folder))
        return runs[run_id]

    def latest(self, experiment: str | None = None) -> Run:
        """Return the newest run, of one experiment or of all.

        Conversations, and runs in which judges were asked, paraphrases made or a persona improved,
        have names of their own (``chat``, ``compare``, ``ask``), and are found by those only.

        Raises
        ------
        UsageError
            If there is none.
        """
        runs = self.runs(experiment)
        if experiment is None:
            runs = [run for run in runs if not _helps(run)]
        if runs:
            return runs[-1]
        known = {run.experiment for run in self.runs()}
        if experiment is not None and known:
            raise UnknownNameError("experiment", experiment, known, where=display_path(self.folder))
        fix = "Make one: `assistants run FILE`."
        if known:
            fix += f" What there is has names of its own: {', '.join(sorted(known))}."
        raise UsageError(f"{display_path(self.folder)} holds no run of an experiment.", fix=fix)


def _helps(run: Run) -> bool:
    """Return whether a run is a conversation, or serves another run (judge, controls, ...)."""
    made = (".paraphrases", ".attribution")
    if run.manifest.get("source") == "live":  # as ``SessionStore`` marks it
        return True
    served = ("judge_of", "improvement")
    return any(key in run.manifest for key in served) or run.experiment.endswith(made)
