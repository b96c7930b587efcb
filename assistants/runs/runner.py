"""The runner of trials, and the only owner of tasks: concurrency, retries, caps, progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal, TypeVar

from assistants.assistant import Assistant, Prepared
from assistants.clients import Client, Tape, TapedClient
from assistants.errors import (
    MISCONFIGURED,
    AssistantsError,
    BudgetExceededError,
    CallError,
    ParameterRefusedError,
    UsageError,
)
from assistants.messages import (
    Completion,
    Message,
    TechniqueRecord,
    Transcript,
    Usage,
    partial_completion,
)
from assistants.models import total_cost
from assistants.runs.budget import Budget, counted_usage
from assistants.runs.lane import Lane, Request
from assistants.runs.retry import RetryPolicy
from assistants.runs.side_calls import SideCalls
from assistants.runs.store import Store
from assistants.trial import Trial

Outcome = Literal["complete", "failures", "limit", "interrupted"]

BATCH = 500
"""Trials looked up in the store at a time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run. ``reused`` answers were there before and cost nothing.

    ``timed`` of those answered or failed came within ``elapsed_s``: the first calls, which go alone
    and may load a model, do not. ``waiting`` says what a run by batch waits for.
    """

    total: int
    reused: int = 0
    answered: int = 0
    failed: int = 0
    tokens: int = 0
    usd: float = 0.0
    statuses: Mapping[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0
    timed: int = 0
    in_flight: int = 0
    waiting: str = ""

    @property
    def done(self) -> int:
        """Trials that need nothing more in this run."""
        return self.reused + self.answered + self.failed

    @property
    def left_s(self) -> float | None:
        """Seconds left at the pace so far; ``None`` before the first timed answer.

        Calls in flight count as half done. Otherwise the first of several that are answered
        together would promise a run of several times its length.
        """
        if not self.timed:
            return None
        work_done = self.timed + self.in_flight / 2
        return (self.total - self.done - self.in_flight / 2) * self.elapsed_s / work_done


ProgressCallback = Callable[[Progress], None]
Price = Callable[[Client, Usage], float | None]


@contextmanager
def progress_bar(reused: int, what: str) -> Iterator[ProgressCallback]:
    """Show a tqdm bar with time left; ``reused`` answers were there before and are no progress.

    It writes plain text to stderr, so that a saved notebook keeps it.
    """
    from tqdm import tqdm

    with tqdm(desc=what, unit="trial", dynamic_ncols=True, leave=False) as bar:

        def on_progress(progress: Progress) -> None:
            bar.total = progress.total - reused
            bar.n = max(0, progress.done - reused)
            bar.set_postfix(
                failed=progress.failed,
                tokens=progress.tokens,
                refresh=False,
                **({"waiting": progress.waiting} if progress.waiting else {}),
            )
            bar.update(0)

        yield on_progress


@dataclass(frozen=True, slots=True)
class FirstCalls:
    """Outcomes of the calls that go alone.

    Attributes
    ----------
    answered
        Keys of trials that were answered whole.
    failures
        Failures by the key of the trial.
    hopeless
        Failures that every other call would meet too, by model: a wrong key, an unknown model.
    """

    answered: set[str] = field(default_factory=set)
    failures: dict[str, CallError] = field(default_factory=dict)
    hopeless: dict[str, CallError] = field(default_factory=dict)


class Runner:
    """A runner that asks for what the store lacks, and stores each answer once it is complete.

    Trials of one client are asked in the order they come in. ``concurrency`` calls are in flight
    over all clients; without it, each client's number finds its level (``Concurrency``). A refused
    parameter ends the run, as a limit does: ``refused`` says whose it is.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        *,
        price: Price,
        budget: Budget,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        concurrency: int | None = None,
        on_progress: ProgressCallback = lambda progress: None,
        first: FirstCalls | None = None,
        tape: Tape | None = None,
    ) -> None:
        self.store = store
        self.run = run
        self.stopped_by: BudgetExceededError | None = None
        self.refused: tuple[Assistant, ParameterRefusedError] | None = None
        self.first = first or FirstCalls()
        self._price = price
        self._retry = retry
        self._budget = budget
        self._concurrency = concurrency
        self._cap = asyncio.Semaphore(concurrency) if concurrency else nullcontext()
        self._on_progress = on_progress
        self._side_calls = SideCalls(
            store,
            run,
            price=lambda client, completion: price(client, completion.usage),
            budget=budget,
            retry=retry,
            tape=tape,
            concurrency=concurrency,
        )
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._started = time.monotonic()
        self._statuses: dict[str, int] = {}
        self.progress = Progress(total=0)

    async def ask(self, trials: Mapping[Client, Iterable[Trial]], total: int) -> Outcome:
        """Run every trial to an answer, a recorded failure, or the first cap that is reached.

        Raises
        ------
        StoreError
            If an answer cannot be stored: a run that cannot keep what it pays for stops.
        """
        self.progress = Progress(total=total)
        self._on_progress(self.progress)
        try:
            async with asyncio.TaskGroup() as group:
                for client, those in trials.items():
                    group.create_task(self._pool(client, those))
        except ExceptionGroup as group:
            raise _first_error(group) from None
        finally:
            for client in trials:
                await client.aclose()
            await self._side_calls.aclose()
        if self._is_stopping:
            return "limit"
        # Never silently fewer rows: whoever hands in trials has to hand in all that it announced.
        assert self.progress.done == total, f"{self.progress.done} of {total} trials were run"
        return "failures" if self.progress.failed else "complete"

    async def first_call(self, trial: Trial) -> None:
        """Ask the first turn of a trial once, and store the answer, unless it is stored already.

        A failure is kept in ``first``: it counts as the first try of the run itself.

        Raises
        ------
        ParameterRefusedError
            If the model refuses a setting, which has cost nothing.
        """
        key = trial.key
        if self.store.completions(key):
            return
        prepared = None
        try:
            prepared = await self._prepare(trial, [Message("user", trial.case.questions[0])])
            async with self._cap:
                self._budget.check()
                reply = await trial.resolved_assistant.reply(prepared, repeat=trial.draw_index)
        except ParameterRefusedError:
            raise
        except BudgetExceededError:
            return
        except CallError as error:
            if prepared is not None:
                self._spend_failure(trial, prepared, error)
            self.first.failures[key] = error
            if prepared is not None and isinstance(error, MISCONFIGURED):
                self.first.hopeless[trial.assistant.model] = error
            return
        is_last = len(trial.case.questions) == 1
        self._keep(trial, key, 0, reply, is_last=is_last, attempts=1)
        if is_last or not reply.completion.text:
            self.first.answered.add(key)

    async def _pool(self, client: Client, trials: Iterable[Trial]) -> None:
        lane = Lane(
            self.store,
            client,
            budget=self._budget,
            retry=self._retry,
            cap=self._cap,
            concurrency=self._concurrency,
        )
        if (hopeless := self.first.hopeless.get(client.model)) is not None:
            lane.breaker.give_up(hopeless)
        async with asyncio.TaskGroup() as group:
            for batch in batches(trials, BATCH):
                for trial in await self._open(batch):
                    await lane.concurrency.acquire()
                    if self._is_stopping:
                        return
                    group.create_task(self._one(trial, lane))
                await asyncio.sleep(0)

    async def _open(self, batch: tuple[Trial, ...]) -> list[Trial]:
        keys = [trial.key for trial in batch]
        done = self.store.finished(keys)
        answered = [t for t, key in zip(batch, keys, strict=True) if key in done]
        for trial in answered:
            await self._copy_to_tape(trial)
        new = len(done & self.first.answered)
        if answered:
            self._count(reused=len(answered) - new, answered=new, timed=0)
        return [t for t, key in zip(batch, keys, strict=True) if key not in done]

    async def _one(self, trial: Trial, lane: Lane) -> None:
        """Run one trial, unless the same key is being asked for: then wait for that answer."""
        key = trial.key
        while key in self._asking:
            await asyncio.wait([self._asking[key]])
        self._asking[key] = asyncio.get_running_loop().create_future()
        try:
            await self._converse(trial, key, lane)
        finally:
            self._asking.pop(key).set_result(None)
            lane.concurrency.release()

    async def _converse(self, trial: Trial, key: str, lane: Lane) -> None:
        """Ask each turn with the history before it; turns that are stored are not asked again."""
        stored = self.store.completions(key)
        if stored:
            await self._copy_to_tape(trial)
        last = len(trial.case.questions) - 1
        if stored and (len(stored) > last or not stored[-1].text):
            self._count(reused=1)  # answered since, by a trial like it or another process
            return
        history: list[Message] = []
        for turn, question in enumerate(trial.case.questions):
            history.append(Message("user", question))
            if turn == len(stored):
                try:
                    stored = await self._turn(trial, key, stored, history, last, lane)
                except BudgetExceededError as reached:
                    self.stopped_by = reached
                    return
                except _TrialFailedError:
                    self._count(failed=1)
                    return
            completion = stored[turn]
            if not completion.text:
                break  # there is nothing to go on from
            history.append(Message("assistant", completion.text))
        self._count(answered=1, status=completion.status)

    async def _turn(
        self,
        trial: Trial,
        key: str,
        stored: list[Completion],
        history: list[Message],
        last: int,
        lane: Lane,
    ) -> list[Completion]:
        """Ask for the next turn, and return the turns that are stored then."""
        turn, who, tried = len(stored), str(trial.assistant), 0
        assistant, repeat = trial.resolved_assistant, trial.draw_index
        try:
            prepared = await self._prepare(trial, history)
            request = Request(
                who,
                prepared.messages,
                assistant.effective_sampling,
                lambda: _completion_of(assistant.reply(prepared, repeat=repeat)),
            )
            completion, tried = await lane.ask(
                request,
                lambda error: self._spend_failure(trial, prepared, error),
                self.first.failures.pop(key, None),
            )
        except (BudgetExceededError, UsageError):
            raise
        except AssistantsError as error:
            if isinstance(error, ParameterRefusedError):
                self.refused = (trial.assistant, error)
            if isinstance(error, CallError):
                tried = error.tries
            lane.breaker.failed(who, error)
            self.store.add_failure(key, turn, error, run=self.run, attempts=tried)
            raise _TrialFailedError from None
        lane.breaker.succeeded(who)
        reply = Transcript(prepared.messages, completion, prepared.techniques)
        is_first = self._keep(trial, key, turn, reply, is_last=turn == last, attempts=tried)
        # Where another process was first, the conversation goes on from what it has stored.
        return [*stored, reply.completion] if is_first else self.store.completions(key)

    def _keep(
        self, trial: Trial, key: str, turn: int, reply: Transcript, *, is_last: bool, attempts: int
    ) -> bool:
        """Store a reply and count its cost; return whether it was the first to this turn."""
        completion = reply.completion
        is_first = self.store.add_answer(
            key,
            turn,
            completion,
            final=is_last or not completion.text,
            run=self.run,
            cost_usd=self._price(trial.assistant.client, completion.usage),
            attempts=attempts,
            techniques=[(record, self._side_cost(trial, record)) for record in reply.techniques],
            sent=[message for message in reply.messages if message.role != "system"],
        )
        self._spend(trial, reply.messages, completion)
        return is_first

    def _side_cost(self, trial: Trial, record: TechniqueRecord) -> float | None:
        """Return the dollars of a technique's own calls; ``None`` if a price is unknown."""
        clients = {s.client.model: s.client for t in trial.assistant.techniques for s in t.sidecars}
        return total_cost(self._price(clients[c.model], c.completion.usage) for c in record.calls)

    def _spend_failure(self, trial: Trial, sent: Prepared, error: CallError) -> None:
        """Count a failed call, if the model was at work."""
        if error.billable:
            self._spend(trial, sent.messages, partial_completion(error) or Completion(""))

    async def _prepare(self, trial: Trial, history: Sequence[Message]) -> Prepared:
        """Return what is sent; the calls of techniques are made, or looked up."""
        return await trial.resolved_assistant.prepare(
            history, repeat=trial.draw_index, call=self._side_calls
        )

    async def _copy_to_tape(self, trial: Trial) -> None:
        """Record stored answers too, so that a tape holds every answer of its run."""
        client = trial.assistant.client
        if not isinstance(client, TapedClient) or client.tape.replays:
            return
        sampling = trial.resolved_assistant.effective_sampling.for_repeat(trial.draw_index)
        history: list[Message] = []
        completions = self.store.completions(trial.key)
        for question, completion in zip(trial.case.questions, completions, strict=False):
            history.append(Message("user", question))
            sent = await self._prepare(trial, history)
            client.tape.record(client, sent.messages, sampling, completion)
            history.append(Message("assistant", completion.text))

    @property
    def _is_stopping(self) -> bool:
        """True once a limit is reached or a parameter was refused: nothing more is asked."""
        return self.stopped_by is not None or self.refused is not None

    def _spend(self, trial: Trial, sent: Sequence[Message], completion: Completion) -> None:
        """Count a call."""
        usage = counted_usage(sent, completion)
        self._budget.add(usage, self._price(trial.assistant.client, usage))

    def _count(
        self,
        *,
        reused: int = 0,
        answered: int = 0,
        failed: int = 0,
        timed: int | None = None,
        status: str | None = None,
    ) -> None:
        if status is not None:
            self._statuses[status] = self._statuses.get(status, 0) + 1
        now = self.progress
        self.progress = replace(
            now,
            reused=now.reused + reused,
            answered=now.answered + answered,
            failed=now.failed + failed,
            tokens=self._budget.tokens,
            usd=self._budget.usd,
            statuses=dict(self._statuses),
            elapsed_s=time.monotonic() - self._started,
            timed=now.timed + (answered + failed if timed is None else timed),
            in_flight=max(0, len(self._asking) - answered - failed),
        )
        self._on_progress(self.progress)


Item = TypeVar("Item")


def batches(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Yield tuples of ``size`` items, the last perhaps shorter (as Python 3.12's ``batched``)."""
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch


class _TrialFailedError(Exception):
    """A trial has ended in a recorded failure."""


async def _completion_of(reply: Awaitable[Transcript]) -> Completion:
    return (await reply).completion


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that was raised, out of groups within groups."""
    inner = group.exceptions[0]
    return _first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner
