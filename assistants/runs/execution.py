"""The execution of a design: trials are asked, then judges, then the answers are scored."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistants.clients import Client, Tape, TapedClient, prefix_cache_usage, read_prefix_caches
from assistants.design import Design
from assistants.errors import UsageError
from assistants.models import call_cost, is_cost_known
from assistants.runs import judging, scores, tables
from assistants.runs.audit import PromptAudit, audit
from assistants.runs.audit.records import (
    audits_of_reused_answers,
    merge_with_previous,
    unanswered_assistants,
)
from assistants.runs.batch import BatchRunner, check_batches
from assistants.runs.budget import Budget
from assistants.runs.first_calls import refusal_error, settle_parameters, with_known_refusals
from assistants.runs.manifest import final_manifest, initial_manifest
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import (
    BATCH,
    FirstCalls,
    Outcome,
    ProgressCallback,
    Runner,
    batches,
    progress_bar,
)
from assistants.runs.store import Store
from assistants.scoring import Judge, Pairwise, Scorer
from assistants.trial import Trial


async def execute(
    design: Design,
    results: str | Path,
    *,
    on_progress: ProgressCallback | None = None,
    retry: RetryPolicy | None = None,
    budget: Budget | None = None,
) -> str:
    """Ask for what is missing, store each answer as it arrives, score, and return the run's id.

    Parameters are those of ``Experiment.run``.

    Raises
    ------
    UsageError
        Before anything is asked.
    StoreError
        If an answer cannot be stored.
    """
    check_design(design)
    with execution_context(
        design, results, on_progress=on_progress, retry=retry, budget=budget
    ) as context:
        run, outcome = await context.execute(design)
        if outcome == "complete":
            context.finish_tape()
    return run


@contextmanager
def execution_context(
    design: Design,
    results: str | Path,
    *,
    on_progress: ProgressCallback | None = None,
    retry: RetryPolicy | None = None,
    budget: Budget | None = None,
) -> Iterator[ExecutionContext]:
    """Open the store, the tape and the budget with which one design, or several, are executed.

    Parameters are those of ``Experiment.run``; ``design`` gives the tape and the limits.
    """
    tape = Tape(design.tape) if design.tape is not None else None
    try:
        with Store(results) as store:
            yield ExecutionContext(
                store, tape, budget or Budget(design.limits), retry or RetryPolicy(), on_progress
            )
    finally:
        if tape is not None:
            tape.close()


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """The store, the tape and the budget that an execution shares with those of its judges."""

    store: Store
    tape: Tape | None
    budget: Budget
    retry: RetryPolicy
    on_progress: ProgressCallback | None

    async def execute(self, design: Design, **more: Any) -> tuple[str, Outcome]:
        """Ask, judge and score; return the run's id and its outcome.

        ``more`` is written into the run's manifest before anything is asked.
        """
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        known = [*design.scorers, *(s for judge in design.judges for s in judge.scorers({}))]
        described = scores.describe_scorers(known)
        with self._recorded(run, design, scorers=described, **more) as record:
            outcomes: list[Outcome] = [await self._ask(run, design, record)]
            scorers = [*design.scorers]
            if outcomes[0] in ("complete", "failures"):
                for judge in design.judges:
                    outcome, judge_scorers = await self._judge(judge, run, design)
                    outcomes.append(outcome)
                    scorers += judge_scorers
            await _score(self.store, run, scorers)
            record.outcome = max(outcomes, key=_FROM_BEST_TO_WORST.index)
        return run, record.outcome

    @contextmanager
    def _recorded(self, run: str, design: Design, **more: Any) -> Iterator[_RunRecord]:
        """Write the run down when it begins and, however it ends, when it ends."""
        record = _RunRecord(initial_manifest(design) | more)
        self.store.add_run(run, design.name, record.manifest)
        try:
            yield record
        finally:
            manifest = final_manifest(record.manifest, self.store, run)
            self.store.end_run(run, record.outcome, manifest)

    def finish_tape(self) -> None:
        """Give a recording its final name: all that was to be asked has been answered."""
        if self.tape is not None:
            self.tape.finish()

    async def _collect(self, run: str, design: Design) -> BatchRunner:
        """Wait for batches of earlier runs, also where this one asks call by call.

        What they hold is paid for. Return the runner that knows what they answered.
        """
        runner = BatchRunner(
            self.store, run, model_of=design.model, budget=self.budget, retry=self.retry
        )
        if not self._is_replay:
            with self._progress(0, f"{design.name}, sent before") as on_progress:
                await runner.collect(with_known_refusals(design), on_progress)
        return runner

    def _progress(self, reused: int, what: str) -> AbstractContextManager[ProgressCallback]:
        """Return the caller's callback, or a bar where there is none."""
        return (
            progress_bar(reused, what)
            if self.on_progress is None
            else nullcontext(self.on_progress)
        )

    @property
    def _is_replay(self) -> bool:
        return self.tape is not None and self.tape.replays

    async def _ask(self, run: str, design: Design, record: _RunRecord) -> Outcome:
        taped = _with_tape(design, self.tape)
        reused = await _add_trials(self.store, run, taped)
        batch_runner = await self._collect(run, design)
        audits = await self._audit(run, design)
        record.manifest["delivery"] = [each.as_dict() for each in audits]
        self.store.describe_run(run, record.manifest)
        reporting_clients = self._reporting_clients(design)
        before = await read_prefix_caches(reporting_clients)
        first = FirstCalls(answered=set(batch_runner.collected))
        if not (self._is_replay or batch_runner.is_over_limit):
            settled = await self._first_calls(run, taped, first)
            if settled != taped:  # other settings are other keys
                taped = settled
                record.manifest["models"] = initial_manifest(settled)["models"]
                self.store.remove_trials(run)
                reused = await _add_trials(self.store, run, taped) - len(first.answered)
        refused = None
        with self._progress(reused, design.name) as on_progress:
            if batch_runner.is_over_limit:
                outcome: Outcome = "limit"
            elif design.batch and not self._is_replay:
                outcome = await batch_runner.ask(taped, first.answered, on_progress)
            else:
                runner = self._runner(
                    run, design, first, concurrency=design.concurrency, on_progress=on_progress
                )
                outcome = await runner.ask(_trials_by_client(taped), len(design))
                refused = runner.refused
        after = await read_prefix_caches(reporting_clients)
        record.manifest["prefix_cache"] = prefix_cache_usage(before, after)
        for client in reporting_clients:
            await client.aclose()
        if refused is not None:
            raise refusal_error(design, *refused)
        return outcome

    async def _first_calls(self, run: str, design: Design, first: FirstCalls) -> Design:
        """Ask each model once, alone, and return the design with settings that all of them take."""
        try:
            return await settle_parameters(
                design, self._runner(run, design, first, concurrency=design.concurrency)
            )
        except BaseException as error:
            for client in dict.fromkeys(assistant.client for assistant in design.assistants):
                await client.aclose()
            if isinstance(error, UsageError):  # nothing was asked: there is no run to look at
                self.store.remove_run(run)
            raise

    def _runner(self, run: str, design: Design, first: FirstCalls, **more: Any) -> Runner:
        return Runner(
            self.store,
            run,
            price=lambda client, usage: call_cost(design.model(client.model), usage),
            budget=self.budget,
            retry=self.retry,
            first=first,
            tape=self.tape,
            **more,
        )

    def _reporting_clients(self, design: Design) -> list[Client]:
        """Return the clients of own servers, which may report on their prefix cache.

        Hosted ones and the embedded model do not, and a replay asks nobody.
        """
        if self._is_replay:
            return []
        clients = dict.fromkeys(assistant.client for assistant in design.assistants)
        models = {client: design.model(client.model) for client in clients}
        return [client for client, model in models.items() if model.is_self_hosted]

    async def _audit(self, run: str, design: Design) -> list[PromptAudit]:
        """Audit the prompts of the assistants that are still to be asked; look up the others."""
        if not design.cases:
            return []
        cases = design.cases
        if self._is_replay:
            return audits_of_reused_answers(
                self.store, run, design.assistants, cases, "It replays from a tape."
            )
        unanswered = unanswered_assistants(self.store, run)
        asked = [a for a in design.assistants if (a.name, a.model) in unanswered]
        reused = [a for a in design.assistants if (a.name, a.model) not in unanswered]
        models = [design.model(assistant.model) for assistant in asked]
        new = await audit(asked, cases, models, concurrency=design.concurrency)
        previous = audits_of_reused_answers(self.store, run, asked, cases)
        merged = [merge_with_previous(*pair) for pair in zip(new, previous, strict=True)]
        return merged + audits_of_reused_answers(self.store, run, reused, cases)

    async def _judge(
        self, judge: Judge, run: str, design: Design
    ) -> tuple[Outcome, Sequence[Scorer]]:
        """Ask a judge about every answer; return the outcome and the scorers it amounts to."""
        frame = tables.trials(self.store, run)
        cases = judging.judge_cases(judge, frame, design.baseline)
        outcome: Outcome = "complete"
        if cases:
            outcome = await self._ask_judge(run, design.judge_design(judge, cases))
        replies = judging.judge_replies(judge, cases, self.store)
        if isinstance(judge, Pairwise):
            self.store.add_votes(judging.votes(judge, frame, design.baseline, replies))
        return outcome, judge.scorers(replies)

    async def _ask_judge(self, judged_run: str, design: Design) -> Outcome:
        """Ask in a run of its own, so that a judge's replies can be read like other answers."""
        run = f"{judged_run}-{secrets.token_hex(2)}"
        with self._recorded(run, design, judge_of=judged_run) as record:
            record.outcome = outcome = await self._ask(run, design, record)
        return outcome


_FROM_BEST_TO_WORST: list[Outcome] = ["complete", "failures", "limit", "interrupted"]


@dataclass(slots=True)
class _RunRecord:
    """The manifest of a run, and how the run ended."""

    manifest: dict[str, Any]
    outcome: Outcome = "interrupted"


def check_design(design: Design) -> None:
    """Refuse what could not be kept: a batch of a client without any, a cap without prices.

    Raises
    ------
    UsageError
        Naming the model, and what to write.
    """
    _check_prices(design)
    if design.batch:
        check_batches(design)


def _check_prices(design: Design) -> None:
    """Refuse a cap on dollars where a model's price is unknown: it could not be kept."""
    if design.limits.usd is None:
        return
    for name in design.asked_models:
        if not is_cost_known(design.model(name)):
            raise UsageError(
                f"The price of {name} is unknown, so the cap of ${design.limits.usd:g} could "
                "not be kept.",
                fix="Give `prices` in models.toml, or cap `tokens` instead of `usd`.",
            )


async def _score(store: Store, run: str, scorers: list[Scorer]) -> None:
    """Score in a thread: code from answers may take seconds. An interrupt ends it after one."""
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


def _with_tape(design: Design, tape: Tape | None) -> Design:
    """Return the design with every client recorded, or replayed."""
    if tape is None:
        return design
    taped = {a.client: TapedClient(a.client, tape) for a in design.assistants}
    return replace(
        design,
        assistants=tuple(replace(a, client=taped[a.client]) for a in design.assistants),
    )


def _trials_by_client(design: Design) -> Mapping[Client, Iterator[Trial]]:
    clients = dict.fromkeys(assistant.client for assistant in design.assistants)
    return {client: design.trials(client) for client in clients}


async def _add_trials(store: Store, run: str, design: Design) -> int:
    """Write down every trial of the run; return how many are answered already."""
    reused = position = 0
    for batch in batches(design.trials(), BATCH):
        reused += store.add_trials(run, position, batch)
        position += len(batch)
        await asyncio.sleep(0)  # millions of trials take a while, and an interrupt must not wait
    return reused
