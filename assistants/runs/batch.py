"""Runs by batch: trials go out in files, for a part of the price, and their answers come in files.

A kill does no harm at any step. A batch is recorded as intended before its file is uploaded, and as
uploaded before it is created with the record's token in its metadata; so the next run knows which
batch may have been created, and finds it at the provider by that token. Answers are stored by key
like all others, and a batch has ended for us only once all of its answers are stored.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TypeVar

from assistants.clients import Batch, BatchClient, BatchFile, Client, OpenAIClient
from assistants.design import Design
from assistants.errors import (
    AssistantsError,
    BatchError,
    BudgetExceededError,
    CallError,
    ModelNotFoundError,
    RateLimitError,
    UsageError,
)
from assistants.messages import Completion, Message, Sampling, Usage, partial_completion
from assistants.models import Model, batch_cost
from assistants.runs.budget import Budget
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import BATCH, Outcome, Progress, ProgressCallback, batches
from assistants.runs.store import BatchRecord, Store
from assistants.trial import Trial
from assistants.utils import pluralize

_FIRST_LOOK_S = 0.25
_LONGEST_LOOK_S = 60.0
"""Seconds between two looks at the batches that are out: short at first, then longer."""

_UNCERTAIN_S = 10.0
"""Seconds after which a provider lists a batch that it was creating when its sender was killed."""

_GUESSED_ANSWER = 300
"""Tokens of an answer that has no cap, for what a batch may cost."""

_NOT_SENT = "not sent"


def check_batches(design: Design) -> None:
    """Refuse a design that cannot go by batch, before anything is sent.

    Raises
    ------
    UsageError
        If a model's provider takes no batches, or answers are to be recorded on a tape.
    """
    asked = [*design.assistants, *(judge.assistant for judge in design.judges)]
    without = sorted({a.model for a in asked if not _takes_batches(a.client, design)})
    if without:
        raise UsageError(
            f"{' and '.join(without)} cannot be asked by batch: its provider has no "
            "`batch_discount` in models.toml.",
            fix="Run without `--batch` (and `batch: true`), or choose other models with `-m`.",
        )
    if with_techniques := [a.name for a in design.assistants if a.techniques]:
        raise UsageError(
            f"{with_techniques[0]} has a technique, which prepares each question when it is asked, "
            "and a batch is sent at once.",
            fix="Run without `--batch` (and `batch: true`).",
        )
    if design.tape is not None and not design.tape.exists():
        raise UsageError(
            "A run by batch records no tape.",
            fix="Run without `tape` first. Then run again with it, without `--batch`: the stored "
            "answers are recorded, and nothing is asked.",
        )


class BatchRunner:
    """A runner that sends what the store lacks in batches, waits, and stores what comes back.

    Parameters are those of ``Runner``; ``model_of`` returns a model's entry by its name, for the
    price.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        *,
        model_of: Callable[[str], Model],
        budget: Budget,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> None:
        self.store = store
        self.run = run
        self.collected: set[str] = set()
        """Keys of the trials that batches of earlier runs have answered."""
        self.is_over_limit = False
        """True once a cap was reached while ``collect`` waited."""
        self.progress = Progress(total=0)
        self._model_of = model_of
        self._budget = budget
        self._retry = retry
        self._on_progress: ProgressCallback = lambda progress: None
        self._started = time.monotonic()
        self._statuses: Counter[str] = Counter()
        self._failed: set[str] = set()
        self._copies: Counter[str] = Counter()  # further trials of a key, which share its answer
        self._room: dict[str, int] = {}  # requests that a provider lets wait, by model
        self._no_room: list[_Refused] = []
        self._accepted: Counter[str] = Counter()  # requests of this round, by model
        self._longest: Counter[str] = Counter()  # tokens of an answer, by model
        self._is_asking = False
        self._reused = 0  # trials that were answered before

    async def collect(self, design: Design, on_progress: ProgressCallback) -> None:
        """Wait for the batches of earlier runs that hold trials of ``design``.

        What they leave unanswered is recorded as failed, and is open.

        Raises
        ------
        CallError
            If the provider does not let us look.
        """
        self._on_progress = on_progress
        self.progress = Progress(total=len(design))
        out = self._batches_out(design)
        try:
            await self._wait(out)
        except BudgetExceededError:
            self.is_over_limit = True
        finally:
            for batch_client in out.values():
                await batch_client.client.aclose()

    async def ask(
        self, design: Design, first_answers: Collection[str], on_progress: ProgressCallback
    ) -> Outcome:
        """Ask every trial by batch, turn by turn, to an answer, a recorded failure, or a cap.

        ``first_answers`` are keys of trials that this run has answered already.

        Raises
        ------
        CallError
            If the provider does not let us look at what was sent; the next run goes on.
        StoreError
            If an answer cannot be stored.
        """
        self._is_asking = True
        self._on_progress = on_progress
        self.progress = Progress(total=len(design))
        self._reused = self._count_reused(design, first_answers)
        try:
            while True:
                self._recount(design)
                out, limit = await self._send_round(design)
                if not out:
                    break
                await self._wait(out)
                self._make_room()
        except BudgetExceededError as reached:
            limit = reached
        finally:
            for client in dict.fromkeys(a.client for a in design.assistants):
                await client.aclose()
        if limit is not None:
            return "limit"
        assert self.progress.done == len(design), f"{self.progress.done} of {len(design)} were run"
        return "failures" if self.progress.failed else "complete"

    # -- sending ---------------------------------------------------------------------------------

    async def _send_round(
        self, design: Design
    ) -> tuple[dict[str, BatchClient], BudgetExceededError | None]:
        """Send the next turn of every open trial; return the batches to wait for.

        Beside them the cap, if it left out a trial.
        """
        out: dict[str, BatchClient] = {}
        limit: BudgetExceededError | None = None
        async with self._sending_alone():
            await self._settle(self._batches_out(design))
            reserved = _Reserved(self._budget)
            for client in dict.fromkeys(a.client for a in design.assistants):
                batch_client = _batch_client(client)
                with ExitStack() as stack:
                    draft = stack.enter_context(self._draft(batch_client))
                    requests = self._requests(design, client, out)
                    for request in islice(requests, self._room.get(client.model)):
                        model = self._model_of(client.model)
                        try:
                            reserved.add(request, model, self._longest[model.name])
                        except BudgetExceededError as reached:
                            limit = reached
                            break
                        if not draft.add(request):
                            await self._send(draft, out)
                            draft.close()
                            draft = stack.enter_context(self._draft(batch_client))
                            draft.add(request)
                    await self._send(draft, out)
        return out, limit

    def _draft(self, batch_client: BatchClient) -> _Draft:
        return _Draft(batch_client, BatchFile(self.store.folder))

    def _requests(
        self, design: Design, client: Client, out: dict[str, BatchClient]
    ) -> Iterator[_Request]:
        """Yield the next request of each open trial, each key once; note the batches out."""
        seen: set[str] = set()
        for chunk in batches(design.trials(client), BATCH):
            keys = [trial.key for trial in chunk]
            done = self.store.finished(keys)
            sent = self.store.batches_of(keys)
            for trial, key in zip(chunk, keys, strict=True):
                if key in done or key in self._failed or key in seen:
                    continue
                if key in sent:  # by another process
                    out.setdefault(sent[key], _batch_client(client))
                    continue
                seen.add(key)
                yield _next_request(trial, key, self.store)

    async def _send(self, draft: _Draft, out: dict[str, BatchClient]) -> None:
        """Send a batch; a failure to do so is recorded for each of its trials."""
        if not draft.requests:
            return
        record = BatchRecord(
            token=secrets.token_hex(16),
            model=draft.client.model,
            run=self.run,
            requests=len(draft.requests),
            created_at=(now := _now()),
            updated_at=now,
        )
        self.store.add_batch(record, draft.requests)
        try:
            file = await self._tried(lambda: draft.client.upload(draft.file.file))
            record = replace(record, status="uploaded", input_file=file, updated_at=_now())
            self.store.update_batch(record)
            batch = await self._create(record, draft.client)
        except CallError as error:
            self._fail_all(record, error)
            # Whether a request that got no reply was carried out is for the next run to find out.
            if record.input_file is None or not error.retryable:
                self._end(record, _NOT_SENT)
            return
        self._note(record, batch)
        out[record.token] = draft.client

    async def _create(self, record: BatchRecord, batch_client: BatchClient) -> Batch:
        """Create a batch, once: after a failure it may be there nevertheless."""
        assert record.input_file is not None
        tried = 0
        while True:
            tried += 1
            try:
                return await batch_client.create(record.input_file, record.token)
            except CallError as error:
                wait = self._retry.wait_s(tried, error)
                if wait is None:
                    raise
                await asyncio.sleep(min(wait, self._budget.left_s))
                if isinstance(error, RateLimitError):
                    continue  # it was refused, for certain
                if (batch := await self._find_late(record, batch_client)) is not None:
                    return batch

    async def _settle(self, out: dict[str, BatchClient]) -> None:
        """Find out what became of batches whose sender was killed while it sent them."""
        for token, batch_client in out.items():
            record = self.store.batch(token)
            if record.id is not None or record.ended_at is not None:
                continue
            batch = None
            if record.input_file is not None:
                batch = await self._find_late(record, batch_client)
            if batch is not None:
                self._note(record, batch)
            else:
                self._end(record, _NOT_SENT)

    async def _find_late(self, record: BatchRecord, batch_client: BatchClient) -> Batch | None:
        """Look for a batch that may have been created, again when it must be there if it was."""
        batch = await self._find(record, batch_client)
        wait = _UNCERTAIN_S - (time.time() - _unix_time(record.updated_at))
        if batch is None and wait > 0:
            await asyncio.sleep(min(wait, _UNCERTAIN_S))
            batch = await self._find(record, batch_client)
        return batch

    async def _find(self, record: BatchRecord, batch_client: BatchClient) -> Batch | None:
        since = _unix_time(record.created_at)
        file = record.input_file
        assert file is not None
        return await self._tried(lambda: batch_client.find(record.token, file, since))

    @asynccontextmanager
    async def _sending_alone(self) -> AsyncIterator[None]:
        """Hold off other processes that would send batches of this store, or take ours for dead."""
        import fcntl

        handle = os.open(self.store.folder / "batches.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    self._show("another process, which sends batches")
                    self._budget.check()
                    await asyncio.sleep(_FIRST_LOOK_S)
            yield
        finally:
            os.close(handle)

    # -- waiting ---------------------------------------------------------------------------------

    def _batches_out(self, design: Design) -> dict[str, BatchClient]:
        """Return the batches that hold trials of the design, with what reaches them."""
        out: dict[str, BatchClient] = {}
        for client in dict.fromkeys(a.client for a in design.assistants):
            if not isinstance(client, OpenAIClient):
                continue
            for chunk in batches(design.trials(client), BATCH):
                for token in self.store.batches_of([trial.key for trial in chunk]).values():
                    out.setdefault(token, BatchClient(client))
        return out

    async def _wait(self, out: dict[str, BatchClient]) -> None:
        """Look at batches until all have ended and their answers are stored."""
        left = dict(out)
        seen: dict[str, Batch] = {}
        pause = _FIRST_LOOK_S
        while left:
            for token, batch_client in list(left.items()):
                record = self.store.batch(token)
                if record.ended_at is None and record.id is None:
                    async with self._sending_alone():
                        await self._settle({token: batch_client})
                    record = self.store.batch(token)
                if record.ended_at is not None:  # for another process has collected it
                    del left[token]
                    continue
                batch = await self._look(record, batch_client)
                if batch is None:
                    continue
                seen[token] = batch
                self._show(_waiting(seen.values()))
                if batch.has_ended:
                    await self._collect(record, batch, batch_client)
                    del left[token]
            if left:
                self._budget.check()
                await asyncio.sleep(min(pause, self._budget.left_s))
                pause = min(pause * 1.5, _LONGEST_LOOK_S)

    async def _look(self, record: BatchRecord, batch_client: BatchClient) -> Batch | None:
        """Return a batch as it is; ``None`` if the provider cannot be asked now."""
        assert record.id is not None
        try:
            batch = await batch_client.retrieve(record.id)
        except ModelNotFoundError:
            raise BatchError(
                f"{record.model}: the provider knows no batch {record.id}, which run {record.run} "
                "has sent and perhaps paid.",
                fix="Use the API key that sent it, or give it up with "
                f"`assistants batches cancel {record.id}`.",
            ) from None
        except CallError as error:
            if not error.retryable:
                raise
            self._show(f"the provider ({error.message})")
            return None
        if batch.status != record.status:
            self._note(record, batch)
        return batch

    async def _collect(self, record: BatchRecord, batch: Batch, batch_client: BatchClient) -> None:
        """Store all that a batch brought. Killed in the middle, the next run does it again."""
        asked = {
            _custom_id(key, turn): (key, turn, is_last)
            for key, turn, is_last in self.store.batch_requests(record.token)
        }
        for file in (batch.output_file, batch.error_file):
            if file is not None:
                with suppress(ModelNotFoundError):  # the provider keeps files for some weeks only
                    await self._tried(partial(self._read, record, file, asked, batch_client))
        if batch.error is not None and batch.found_no_room and self._is_asking:
            # It cost nothing. The trials stay open, and go out again when there is room.
            self._no_room.append(_Refused(record, batch.error))
        else:
            self._accepted[record.model] += record.requests
            for key, turn, _ in asked.values():
                self._fail(key, turn, batch.error or _missing_error(record, batch))
        self._end(record, batch.status)

    def _make_room(self) -> None:
        """Send less in the next round, if the provider let only a part of this one wait."""
        for refused in self._no_room:
            model, requests = refused.record.model, refused.record.requests
            if accepted := self._accepted[model]:
                self._room[model] = accepted
            elif requests > 1:
                self._room[model] = min(self._room.get(model, requests), max(1, requests // 2))
            else:  # not even one request: others fill the queue
                raise refused.error
        self._no_room.clear()
        self._accepted.clear()

    async def _read(
        self,
        record: BatchRecord,
        file: str,
        asked: dict[str, tuple[str, int, bool]],
        batch_client: BatchClient,
    ) -> None:
        """Store the replies of a file, and take each out of ``asked``."""
        async for entry in batch_client.replies(file):
            # A name that was not asked, or was answered already, is no reply of ours.
            if (request := asked.pop(entry.custom_id, None)) is None:
                continue
            key, turn, is_last = request
            if isinstance(entry.reply, CallError):
                self._spend(record.model, partial_completion(entry.reply))
                self._fail(key, turn, entry.reply)
            else:
                self._keep(record, key, turn, entry.reply, is_last=is_last)

    def _keep(
        self, record: BatchRecord, key: str, turn: int, completion: Completion, *, is_last: bool
    ) -> None:
        """Store an answer."""
        final = is_last or not completion.text
        self.store.add_answer(
            key,
            turn,
            replace(completion, started_at=record.created_at),
            final=final,
            run=record.run,
            cost_usd=batch_cost(self._model_of(record.model), completion.usage),
            attempts=1,
        )
        self._spend(record.model, completion)
        length = completion.usage.output_tokens or 0
        self._longest[record.model] = max(self._longest[record.model], length)
        if final:
            self._statuses[completion.status] += 1
            if self._is_asking:
                self._count(answered=1, reused=self._copies[key])
            else:
                self.collected.add(key)

    def _fail_all(self, record: BatchRecord, error: AssistantsError) -> None:
        for key, turn, _ in list(self.store.batch_requests(record.token)):
            self._fail(key, turn, error)

    def _fail(self, key: str, turn: int, error: AssistantsError) -> None:
        """Record why a request has no answer. Its trial is open again for the next run."""
        self.store.add_failure(key, turn, error, run=self.run, attempts=1)
        if self._is_asking and key not in self._failed:
            self._failed.add(key)
            self._count(failed=1 + self._copies[key])

    def _spend(self, model: str, completion: Completion | None) -> None:
        if completion is not None:
            self._budget.add(completion.usage, batch_cost(self._model_of(model), completion.usage))

    def _note(self, record: BatchRecord, batch: Batch) -> None:
        self.store.update_batch(
            replace(
                record,
                id=batch.id,
                status=batch.status,
                input_file=batch.input_file,
                output_file=batch.output_file,
                error_file=batch.error_file,
                updated_at=_now(),
            )
        )

    def _end(self, record: BatchRecord, status: str) -> None:
        latest = self.store.batch(record.token)
        self.store.update_batch(
            replace(latest, status=status, updated_at=(now := _now()), ended_at=now)
        )

    async def _tried(self, call: Callable[[], Awaitable[_Reply]]) -> _Reply:
        """Return what a call returns that may be sent again; try as often as calls are tried."""
        tried = 0
        while True:
            tried += 1
            try:
                return await call()
            except CallError as error:
                wait = self._retry.wait_s(tried, error)
                if wait is None:
                    raise
                await asyncio.sleep(min(wait, self._budget.left_s))

    # -- counting --------------------------------------------------------------------------------

    def _count_reused(self, design: Design, first_answers: Collection[str]) -> int:
        """Count the trials that were answered before, and the copies of each key."""
        reused = 0
        seen: set[str] = set()
        for chunk in batches(design.trials(), BATCH):
            keys = [trial.key for trial in chunk]
            done = self.store.finished(keys)
            reused += sum(key in done and key not in first_answers for key in keys)
            for key in keys:
                if key in seen:
                    self._copies[key] += 1
                seen.add(key)
        return reused

    def _recount(self, design: Design) -> None:
        """Count anew by what is stored: another process may have collected a batch of ours."""
        done = failed = 0
        for chunk in batches(design.trials(), BATCH):
            keys = [trial.key for trial in chunk]
            finished = self.store.finished(keys)
            done += sum(key in finished for key in keys)
            failed += sum(key in self._failed and key not in finished for key in keys)
        self.progress = replace(
            self.progress, reused=self._reused, answered=done - self._reused, failed=failed
        )
        self._show("")

    def _count(self, *, reused: int = 0, answered: int = 0, failed: int = 0) -> None:
        now = self.progress
        self.progress = replace(
            now,
            reused=now.reused + reused,
            answered=now.answered + answered,
            failed=now.failed + failed,
        )
        self._show(now.waiting)

    def _show(self, waiting: str) -> None:
        self.progress = replace(
            self.progress,
            tokens=self._budget.tokens,
            usd=self._budget.usd,
            statuses=dict(self._statuses),
            elapsed_s=time.monotonic() - self._started,
            waiting=waiting,
        )
        self._on_progress(self.progress)


_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class _Request:
    """The next request of a trial."""

    key: str
    turn: int
    is_last: bool
    messages: tuple[Message, ...]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class _Refused:
    """A batch that the provider had no room for."""

    record: BatchRecord
    error: BatchError


@dataclass(slots=True)
class _Draft:
    """A batch that is being put together."""

    client: BatchClient
    file: BatchFile
    requests: list[tuple[str, int, bool]] = field(default_factory=list)

    def __enter__(self) -> _Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, request: _Request) -> bool:
        """Add a request; return whether there was room for it."""
        custom_id = _custom_id(request.key, request.turn)
        if not self.file.add(
            self.client.request_line(custom_id, request.messages, request.sampling)
        ):
            return False
        self.requests.append((request.key, request.turn, request.is_last))
        return True

    def close(self) -> None:
        """Remove the file."""
        self.file.file.close()


@dataclass(slots=True)
class _Reserved:
    """Highest cost of the requests of a round, held against what is left of the budget."""

    budget: Budget
    usd: float = 0.0
    tokens: int = 0

    def add(self, request: _Request, model: Model, longest: int) -> None:
        """Count a request; where it has no cap on tokens, by the longest answer so far.

        Raises
        ------
        BudgetExceededError
            If it could go over a cap: what is sent is paid for.
        """
        self.budget.check()
        sent = sum(len(message.content) for message in request.messages)
        usage = Usage(sent // 4 + 1, request.sampling.max_tokens or max(longest, _GUESSED_ANSWER))
        usd = self.usd + (batch_cost(model, usage) or 0.0)
        tokens = self.tokens + (usage.input_tokens or 0) + (usage.output_tokens or 0)
        caps = self.budget.limits
        if caps.usd is not None and self.budget.usd + usd > caps.usd:
            raise BudgetExceededError(f"Another request could go over the cap of ${caps.usd:.2f}.")
        if caps.tokens is not None and self.budget.tokens + tokens > caps.tokens:
            raise BudgetExceededError(
                f"Another request could go over the cap of {caps.tokens:,} tokens."
            )
        self.usd, self.tokens = usd, tokens


def _next_request(trial: Trial, key: str, store: Store) -> _Request:
    """Return the request for the turn that comes after those stored."""
    questions = trial.case.questions
    stored = store.completions(key) if len(questions) > 1 else []
    history: list[Message] = []
    for question, completion in zip(questions, stored, strict=False):
        history += [Message("user", question), Message("assistant", completion.text)]
    turn = len(stored)
    history.append(Message("user", questions[turn]))
    assistant = trial.resolved_assistant
    return _Request(
        key,
        turn,
        turn == len(questions) - 1,
        assistant.messages(history),
        assistant.effective_sampling.for_repeat(trial.draw_index),
    )


def _custom_id(key: str, turn: int) -> str:
    return f"{key}-{turn}"


def _batch_client(client: Client) -> BatchClient:
    assert isinstance(client, OpenAIClient), "check_batches lets no other client pass"
    return BatchClient(client)


def _takes_batches(client: Client, design: Design) -> bool:
    is_there = design.model(client.model).batch_discount is not None
    return is_there and isinstance(client, OpenAIClient)


def _missing_error(record: BatchRecord, batch: Batch) -> BatchError:
    """Return why a request has no line in the files of its batch."""
    return BatchError(
        f"{record.model}: the batch {batch.id} is {batch.status}, and holds no reply to this.",
        fix="Run again: only what is missing is asked.",
        code=batch.status,
    )


def _waiting(batches_seen: Collection[Batch]) -> str:
    """Return what is waited for, in a few words."""
    done = sum(batch.completed + batch.failed for batch in batches_seen)
    total = sum(batch.total for batch in batches_seen)
    states = Counter(batch.status.replace("_", " ") for batch in batches_seen)
    parts = [state if len(batches_seen) == 1 else f"{n} {state}" for state, n in states.items()]
    names = [batch.id for batch in batches_seen]
    name = names[0] if len(names) == 1 else f"{len(names)} batches"
    return f"{name}: {', '.join(parts)}, {done:,} of {pluralize(total, 'request')} done"


def _unix_time(moment: str) -> float:
    """Return a stored time; 0, which is long ago, for a wrong one in a stranger's store."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return 0.0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
