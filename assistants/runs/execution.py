"""One execution of an experiment: its trials are asked, then its judges, then it is scored."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assistants.clients import Client, Tape, TapedClient, prefix_cache_usage, read_prefix_caches
from assistants.models import call_cost
from assistants.runs import audit as delivery
from assistants.runs import judging, scores, tables
from assistants.runs.audit import PromptAudit
from assistants.runs.audit.records import (
    audits_of_reused_answers,
    merge_with_previous,
    unanswered_assistants,
)
from assistants.runs.budget import Budget
from assistants.runs.manifest import final_manifest, initial_manifest
from assistants.runs.progress import progress_bar
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import BATCH, Outcome, ProgressCallback, Runner, batches
from assistants.runs.store import Store
from assistants.scoring.base import Scorer
from assistants.scoring.judge import Judge, Pairwise
from assistants.trial import Trial

if TYPE_CHECKING:
    from assistants.experiment import Experiment


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """What an execution and those of its judges share: the store, the tape, what may be spent."""

    store: Store
    tape: Tape | None
    spending: Budget
    attempts: RetryPolicy
    report: ProgressCallback | None

    async def run(self, experiment: Experiment) -> str:
        """Ask for what is missing, store each answer as it arrives, score; returns the run's id."""
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        known = [
            *experiment.scorers,
            *(s for judge in experiment.judges for s in judge.scorers({})),
        ]
        with self._recorded(run, experiment, scorers=scores.describe_scorers(known)) as end:
            outcomes: list[Outcome] = [await self._ask(run, experiment, end)]
            scorers = [*experiment.scorers]
            if outcomes[0] in ("complete", "failures"):
                for judge in experiment.judges:
                    outcome, added = await self._judge(judge, run, experiment)
                    outcomes.append(outcome)
                    scorers += added
            await _score(self.store, run, scorers)
            end.outcome = max(outcomes, key=_WORST.index)
        return run

    @contextmanager
    def _recorded(self, run: str, experiment: Experiment, **more: Any) -> Iterator[_End]:
        """A run is written down when it begins and, however it ends, when it ends."""
        end = _End(initial_manifest(experiment) | more)
        self.store.add_run(run, experiment.name, end.manifest)
        try:
            yield end
        finally:
            self.store.end_run(run, end.outcome, final_manifest(end.manifest, self.store, run))

    async def _ask(self, run: str, experiment: Experiment, end: _End) -> Outcome:
        taped = _with_tape(experiment, self.tape)
        reused = await _add_trials(self.store, run, taped)
        end.manifest["delivery"] = [each.as_dict() for each in await self._audit(run, experiment)]
        self.store.describe_run(run, end.manifest)
        telling = self._telling(experiment)
        before = await read_prefix_caches(telling)
        bar = progress_bar(reused, experiment.name)
        with bar if self.report is None else nullcontext(self.report) as report:
            runner = Runner(
                self.store,
                run,
                price=lambda client, usage: call_cost(experiment.model(client.model), usage),
                spending=self.spending,
                attempts=self.attempts,
                concurrency=experiment.concurrency,
                report=report,
            )
            outcome = await runner.ask(_trials_by_client(taped), len(experiment))
        end.manifest["prefix_cache"] = prefix_cache_usage(before, await read_prefix_caches(telling))
        for client in telling:
            await client.aclose()
        return outcome

    def _telling(self, experiment: Experiment) -> list[Client]:
        """The clients of own servers, which may tell what their prefix cache found.

        Neither hosted ones nor the embedded model do, and a replay asks nobody.
        """
        if self.tape is not None and self.tape.replays:
            return []
        clients = dict.fromkeys(assistant.client for assistant in experiment.assistants)
        models = {client: experiment.model(client.model) for client in clients}
        return [client for client, model in models.items() if model.is_self_hosted]

    async def _audit(self, run: str, experiment: Experiment) -> list[PromptAudit]:
        """What becomes of each persona on its way, for those that are still to be asked."""
        if not experiment.cases:
            return []
        cases = experiment.cases
        if self.tape is not None and self.tape.replays:
            return audits_of_reused_answers(
                self.store, run, experiment.assistants, cases, "It replays from a tape."
            )
        wanted = unanswered_assistants(self.store, run)
        opened = [a for a in experiment.assistants if (a.name, a.model) in wanted]
        models = [experiment.model(assistant.model) for assistant in opened]
        closed = [a for a in experiment.assistants if (a.name, a.model) not in wanted]
        found = await delivery.audit(opened, cases, models, concurrency=experiment.concurrency)
        then = audits_of_reused_answers(self.store, run, opened, cases)
        found = [merge_with_previous(*each) for each in zip(found, then, strict=True)]
        return found + audits_of_reused_answers(self.store, run, closed, cases)

    async def _judge(
        self, judge: Judge, run: str, experiment: Experiment
    ) -> tuple[Outcome, Sequence[Scorer]]:
        """Ask a judge about every answer; what became of that, and the scorers it comes to."""
        frame = tables.trials(self.store, run)
        cases = judging.judge_cases(judge, frame, experiment.baseline)
        outcome: Outcome = "complete"
        if cases:
            outcome = await self._ask_judge(run, experiment.of_judge(judge, cases))
        said = judging.judge_replies(judge, cases, self.store)
        if isinstance(judge, Pairwise):
            self.store.add_votes(judging.votes(judge, frame, experiment.baseline, said))
        return outcome, judge.scorers(said)

    async def _ask_judge(self, judged: str, experiment: Experiment) -> Outcome:
        """In a run of its own, so that what a judge said can be read like every other answer."""
        run = f"{judged}-{secrets.token_hex(2)}"
        with self._recorded(run, experiment, judge_of=judged) as end:
            end.outcome = outcome = await self._ask(run, experiment, end)
        return outcome


_WORST: list[Outcome] = ["complete", "failures", "limit", "interrupted"]


@dataclass(slots=True)
class _End:
    """How a run ended, and what is written down of it."""

    manifest: dict[str, Any]
    outcome: Outcome = "interrupted"


async def _score(store: Store, run: str, scorers: list[Scorer]) -> None:
    """In a thread, since code from answers may take seconds; an interrupt ends it after one."""
    if not scorers:
        return
    stopped = threading.Event()

    def work() -> None:
        with Store(store.folder) as own:  # a connection belongs to one thread
            scores.scores(own, run, scorers, stopped.is_set)

    try:
        await asyncio.to_thread(work)
    finally:
        stopped.set()


def _with_tape(experiment: Experiment, tape: Tape | None) -> Experiment:
    """The experiment with every client recorded, or replayed."""
    if tape is None:
        return experiment
    taped = {a.client: TapedClient(a.client, tape) for a in experiment.assistants}
    return replace(
        experiment,
        assistants=tuple(replace(a, client=taped[a.client]) for a in experiment.assistants),
    )


def _trials_by_client(experiment: Experiment) -> Mapping[Client, Iterator[Trial]]:
    clients = dict.fromkeys(assistant.client for assistant in experiment.assistants)
    return {client: experiment.trials(client) for client in clients}


async def _add_trials(store: Store, run: str, experiment: Experiment) -> int:
    """Write down every trial of the run; returns how many are answered already."""
    reused = position = 0
    for batch in batches(experiment.trials(), BATCH):
        reused += store.add_trials(run, position, batch)
        position += len(batch)
        await asyncio.sleep(0)  # millions of trials take a while, and an interrupt must not wait
    return reused
