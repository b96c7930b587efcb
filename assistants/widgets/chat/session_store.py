"""Live conversations in the store: a session is a run, and each answer a trial of it.

The case of a trial is all questions up to its turn. Its key may be shared with a batch only if a
batch could have the same history: the same assistant gave every earlier answer, in the same
repeat. Otherwise the history becomes part of the model's identity, so that no run ever reuses the
answer.

A trial of several turns holds the earlier answers too, so its tokens and seconds are of the whole
conversation, as in a batch. Its dollars are of its last answer alone: the others were paid for
where they were given, and the sum over a session's trials is what the session cost.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistants.assistant import Assistant
from assistants.clients import IsolatedClient
from assistants.design import Design
from assistants.errors import AssistantsError, IncompleteReplyError, StoreError
from assistants.messages import Completion, TechniqueRecord, Transcript, Usage
from assistants.models import Model, call_cost, total_cost
from assistants.runs import Store, final_manifest, initial_manifest, transcripts
from assistants.trial import Case, Trial
from assistants.utils import display_path, to_json, to_utf8
from assistants.widgets.background import STORE_TIMEOUT_S, run_with_timeout
from assistants.widgets.chat.session_log import SessionLog
from assistants.widgets.chat.turns import Answer, Turn

_LOOKUP_BATCH = 50
"""Draws of a request that are looked up in the store at a time."""

_STORED_TEXT = "SELECT answer FROM answers WHERE key = ? AND turn = ?"


class SessionStore:
    """The run of one live session; nothing is written before the first question.

    It writes in a thread of its own, one call after the other, so that no answer waits for a disk.

    Parameters
    ----------
    results
        The results folder, made absolute at once; ``None`` stores nothing.
    experiment
        The name that the run has in place of an experiment's: ``chat``, ``compare`` or ``ask``.
    models
        The catalogue entries of the models by name, for the cost of an answer.
    """

    def __init__(
        self, results: str | Path | None, experiment: str, models: Mapping[str, Model]
    ) -> None:
        self.results = Path(results).absolute() if results is not None else None
        self.experiment = experiment
        self.models = models
        self.run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self._assistants: dict[str, Assistant] = {}
        self._cases: dict[tuple[str, ...], str] = {}
        self._trials: dict[str, tuple[int, Trial]] = {}
        self._manifest: dict[str, Any] | None = None
        folder = self.folder
        title = f"{experiment}, {self.run}"
        self._log = SessionLog(folder / "conversation.md", title) if folder is not None else None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="session store")

    def __repr__(self) -> str:
        return f"SessionStore({self.experiment!r}, run {self.run!r}: {len(self._trials)} trials)"

    @property
    def assistants(self) -> list[Assistant]:
        """Every assistant that was asked in this session."""
        return list(self._assistants.values())

    @property
    def folder(self) -> Path | None:
        """The folder of ``conversation.md`` and of one transcript per trial."""
        return self.results / self.experiment / self.run if self.results is not None else None

    def cost(self, answer: Answer) -> float | None:
        """Return the US dollars of an answer; ``None`` if unknown."""
        if answer.is_pending:
            return None
        usage = answer.completion.usage if answer.completion is not None else Usage()
        return call_cost(self._model(answer.assistant.model), usage)

    async def begin(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Write down the draws that are about to be asked for, and set their ``repeat``.

        Raises
        ------
        StoreError
            If the store cannot be written, or is busy for ``STORE_TIMEOUT_S`` seconds.
        """
        if self.results is None:
            return
        begin = functools.partial(self._begin, self.results, turn, answers)
        await run_with_timeout(self._executor, self.results, begin, seconds=STORE_TIMEOUT_S)

    async def store(self, turn: Turn, answer: Answer) -> None:
        """Write an answer that has ended to the store and as Markdown.

        Raises
        ------
        StoreError
            If either cannot be written.
        """
        if self.results is not None:
            await asyncio.get_running_loop().run_in_executor(
                self._executor, self._store, self.results, turn, answer
            )

    # -- in the thread of this store -------------------------------------------------------------

    def _begin(
        self, results: Path, turn: Turn, answers: Sequence[Answer], too_late: threading.Event
    ) -> None:
        with Store(results) as store:  # which waits for as long as it is locked
            if too_late.is_set():
                return
            self._begin_run(store, [answer.assistant for answer in answers])
            for answer in answers:
                trial = self._free_trial(store, turn, answer)
                answer.repeat = trial.repeat
                position = len(self._trials)
                self._trials[answer.id] = (position, trial)
                store.add_trials(self.run, position, [trial])

    def _store(self, results: Path, turn: Turn, answer: Answer) -> None:
        if answer.id not in self._trials:
            return  # it was stopped before it was asked for
        with Store(results) as store:
            if answer.state == "done":
                self._add(store, turn, answer)
            else:
                _, trial = self._trials[answer.id]
                failure = _failure(answer)
                store.add_failure(trial.key, len(turn.before), failure, run=self.run, attempts=1)
            self._end_run(store)
        try:
            if answer.state == "done":
                self._write(*self._trials[answer.id], turn, answer)
            if self._log is not None:
                self._log.add(turn, answer, self.cost(answer))
        except OSError as error:
            assert self.folder is not None
            raise StoreError(
                f"{display_path(self.folder)} cannot be written: {error.strerror or error}.",
                fix="What was said is in the store all the same.",
            ) from None

    def _add(self, store: Store, turn: Turn, answer: Answer) -> None:
        """Store an answer as the draw that it was begun as, or as the next free one.

        Another program may have stored an answer to the same request meanwhile: the first stays.
        """
        position, trial = self._trials[answer.id]
        while not self._try_add(store, trial, (*turn.before, answer)):
            trial = self._free_trial(store, turn, answer)
            store.move_trial(self.run, position, trial)
            self._trials[answer.id] = (position, trial)
            answer.repeat = trial.repeat

    def _try_add(self, store: Store, trial: Trial, answers: Sequence[Answer]) -> bool:
        """Store the answers of a trial; return ``False`` at the first turn with another text."""
        for number, answer in enumerate(answers):
            if answer.completion is None:
                continue
            is_last = answer is answers[-1]
            is_first = store.add_answer(
                trial.key,
                number,
                answer.completion,
                final=is_last,
                run=self.run,
                cost_usd=self.cost(answer) if is_last else 0.0,
                attempts=1,
                techniques=[(record, self._side_cost(record)) for record in answer.techniques],
                sent=[m for m in answer.sent.messages if m.role != "system"],
            )
            if not is_first:
                ((stored,),) = store.read(_STORED_TEXT, [trial.key, number])
                if stored != to_utf8(answer.completion.text):
                    return False
        return True

    def _side_cost(self, record: TechniqueRecord) -> float | None:
        """Return the dollars of a technique's own calls; ``None`` if a price is unknown."""
        return total_cost(call_cost(self._model(c.model), c.completion.usage) for c in record.calls)

    def _free_trial(self, store: Store, turn: Turn, answer: Answer) -> Trial:
        """Return the trial of the first repeat that has no answer, nor earlier turns of its own."""
        questions = tuple(m.content for m in answer.history if m.role == "user")
        case = Case(self._case_id(questions), questions)
        taken = {trial.key for _, trial in self._trials.values()}
        used = {(t.case.id, t.assistant.name, t.assistant.model, t.repeat)
                for _, t in self._trials.values()}  # fmt: skip

        def is_free(trial: Trial) -> bool:
            place = (trial.case.id, trial.assistant.name, trial.assistant.model, trial.repeat)
            return trial.key not in taken and place not in used

        assistant = _unwrapped(answer.assistant)
        if turn.before:
            digests = {before.assistant.digest for before in turn.before}
            repeats = {before.repeat for before in turn.before}
            if digests == {assistant.digest} and len(repeats) == 1:
                shared = Trial(case, assistant, min(repeats))
                if is_free(shared) and not _taken_keys(store, [shared], turn.before):
                    return shared
            content = to_json([message.content for message in answer.history])
            history = hashlib.sha256(content.encode()).hexdigest()[:16]
            assistant = replace(assistant, client=IsolatedClient(assistant.client, history))
        first = 0
        while True:
            ahead = [Trial(case, assistant, first + i) for i in range(_LOOKUP_BATCH)]
            stored = _taken_keys(store, ahead, turn.before)
            for trial in ahead:
                if trial.key not in stored and is_free(trial):
                    return trial
            first += _LOOKUP_BATCH

    def _case_id(self, questions: tuple[str, ...]) -> str:
        return self._cases.setdefault(questions, f"question-{len(self._cases) + 1}")

    def _begin_run(self, store: Store, assistants: Sequence[Assistant]) -> None:
        new = {str(a): a for a in assistants if str(a) not in self._assistants}
        self._assistants |= new
        if new or self._manifest is None:
            design = Design(self.experiment, tuple(self._assistants.values()), ())
            manifest = {
                **initial_manifest(design),
                "description": "a live session",
                "source": "live",
            }
            if self._manifest is None:
                store.add_run(self.run, self.experiment, manifest)
            self._manifest = manifest

    def _end_run(self, store: Store) -> None:
        """End the run after every answer, because a live session may end at any moment."""
        assert self._manifest is not None
        manifest = {**self._manifest, "cases": len(self._cases)}
        counts = store.statuses(self.run)
        has_failed = any(counts.get(status) for status in ("error", "truncated"))
        outcome = "failures" if has_failed else "complete"
        store.end_run(self.run, outcome, final_manifest(manifest, store, self.run))

    def _write(self, position: int, trial: Trial, turn: Turn, answer: Answer) -> None:
        assert self.folder is not None
        assert answer.completion is not None
        assistant, case = answer.assistant, trial.case.id
        about = {"persona": assistant.name, "model": assistant.model, "case": case,
                 "repeat": trial.repeat, "key": trial.key}  # fmt: skip
        before = [str(earlier.assistant) for earlier in turn.before]
        if set(before) - {str(assistant)}:
            about["before"] = before  # other assistants gave some of the earlier answers
        name = transcripts.file_name(position, assistant.name, case, trial.repeat)
        sent = answer.sent
        transcript = Transcript(sent.messages, answer.completion, sent.techniques)
        transcripts.write(self.folder / "transcripts" / name, transcript, about)

    def _model(self, name: str) -> Model:
        return self.models.get(name, Model(name))


def _unwrapped(assistant: Assistant) -> Assistant:
    """Return the assistant without the isolation that a chat from a stored trial may have."""
    client = assistant.client
    return (
        replace(assistant, client=client.client)
        if isinstance(client, IsolatedClient)
        else assistant
    )


def _taken_keys(store: Store, trials: Sequence[Trial], before: Sequence[Answer]) -> set[str]:
    """Return the keys of trials that are answered, or have another text in an earlier turn."""
    keys = [trial.key for trial in trials]
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, turn, answer FROM answers WHERE key IN ({marks}) AND NOT final"  # noqa: S608 - marks only
    texts = dict(enumerate(to_utf8(answer.text) for answer in before))
    other = {key for key, turn, text in store.read(query, keys) if texts.get(turn) != text}
    return store.finished(keys) | other


def _failure(answer: Answer) -> AssistantsError:
    if answer.state == "stopped":
        text = answer.text
        partial = answer.completion or Completion(text=text, status="truncated") if text else None
        return IncompleteReplyError("Stopped by the reader.", partial=partial)
    failure = IncompleteReplyError(answer.error)
    failure.partial = answer.completion
    return failure
