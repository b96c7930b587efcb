"""Live turns in the store: a session is a run, and each answer a trial that was drawn once.

The trial of a turn is the case of all questions so far. Its key may be shared with a batch only
if a batch could have come to the same history: the same assistant gave every answer before it, in
in the same repeat. Otherwise the history is made part of the model's identity, so that no run ever
takes the answer for one of its own.

A trial of several turns holds the answers before its own too, so its tokens and seconds are of the
whole conversation, as a batch's are. Its dollars are of its last answer alone: the others were paid
for where they were given, and the sum of a session's trials is what the session cost.
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
from assistants.errors import AssistantsError, IncompleteReplyError, StoreError
from assistants.experiment import Experiment
from assistants.messages import Completion, Transcript, Usage
from assistants.models import Model, call_cost
from assistants.runs import transcripts
from assistants.runs.manifest import final_manifest, initial_manifest
from assistants.runs.store import Store
from assistants.trial import Case, Trial
from assistants.utils.config_files import display_path
from assistants.utils.text import to_json, to_utf8
from assistants.widgets.background import STORE_TIMEOUT_S, run_with_timeout
from assistants.widgets.chat.session_log import SessionLog
from assistants.widgets.chat.turns import Answer, Turn

_AHEAD = 50
"""Draws of a request that are looked up in the store at a time."""

_SAID = "SELECT answer FROM answers WHERE key = ? AND turn = ?"


class SessionStore:
    """The run of one live session; nothing is written before the first question.

    It is written in a thread of its own, one thing after the other: no answer waits for a disk.

    Parameters
    ----------
    results
        The results folder, which stays the same wherever the kernel goes; ``None`` keeps nothing.
    experiment
        ``chat`` or ``compare``: what the run is a run of.
    models
        The entries of the models by name, for what an answer costs.
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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live record")

    def __repr__(self) -> str:
        return f"Record({self.experiment!r}, run {self.run!r}: {len(self._trials)} trials)"

    @property
    def assistants(self) -> list[Assistant]:
        """Everybody who was asked in this session."""
        return list(self._assistants.values())

    @property
    def folder(self) -> Path | None:
        """Where the Markdown goes: ``conversation.md`` for all of it, and a transcript a trial."""
        return self.results / self.experiment / self.run if self.results is not None else None

    def cost(self, answer: Answer) -> float | None:
        """US dollars for an answer; ``None`` if unknown."""
        if answer.is_pending:
            return None
        usage = answer.completion.usage if answer.completion is not None else Usage()
        return call_cost(self._model(answer.assistant.model), usage)

    async def begin(self, turn: Turn, answers: Sequence[Answer]) -> None:
        """Write down which draws are about to be asked for.

        Raises
        ------
        StoreError
            If the record cannot be written, or is busy for ``PATIENCE_S`` seconds.
        """
        if self.results is None:
            return
        begin = functools.partial(self._begin, self.results, turn, answers)
        await run_with_timeout(self._thread, self.results, begin, seconds=STORE_TIMEOUT_S)

    async def keep(self, turn: Turn, answer: Answer) -> None:
        """Store an answer that has ended, in the store and as Markdown.

        Raises
        ------
        StoreError
            If the record cannot be written.
        """
        if self.results is not None:
            await asyncio.get_running_loop().run_in_executor(
                self._thread, self._keep, self.results, turn, answer
            )

    # -- the work, in the record's own thread ----------------------------------------------------

    def _begin(
        self, results: Path, turn: Turn, answers: Sequence[Answer], too_late: threading.Event
    ) -> None:
        with Store(results) as store:  # which waits for as long as it is locked
            if too_late.is_set():
                return
            self._begin_run(store, [answer.assistant for answer in answers])
            for answer in answers:
                trial = self._free(store, turn, answer)
                answer.repeat = trial.repeat
                position = len(self._trials)
                self._trials[answer.id] = (position, trial)
                store.add_trials(self.run, position, [trial])

    def _keep(self, results: Path, turn: Turn, answer: Answer) -> None:
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
        """Store an answer as the draw that it was begun as, or as the next that is free.

        Meanwhile somebody else may have had an answer to the same request: the first one stays.
        """
        position, trial = self._trials[answer.id]
        while not self._added(store, trial, (*turn.before, answer)):
            trial = self._free(store, turn, answer)
            store.move_trial(self.run, position, trial)
            self._trials[answer.id] = (position, trial)
            answer.repeat = trial.repeat

    def _added(self, store: Store, trial: Trial, said: Sequence[Answer]) -> bool:
        """Whether the store now says what was said; nothing is put behind somebody else's words."""
        for number, each in enumerate(said):
            if each.completion is None:
                continue
            last = each is said[-1]
            is_first = store.add_answer(
                trial.key,
                number,
                each.completion,
                final=last,
                run=self.run,
                cost_usd=self.cost(each) if last else 0.0,
                attempts=1,
            )
            if not is_first:
                ((stored,),) = store.read(_SAID, [trial.key, number])
                if stored != to_utf8(each.completion.text):
                    return False
        return True

    def _free(self, store: Store, turn: Turn, answer: Answer) -> Trial:
        """The trial of this draw: the first repeat to which nobody was told anything else."""
        questions = tuple(m.content for m in answer.history if m.role == "user")
        case = Case(self._case(questions), questions)
        taken = {trial.key for _, trial in self._trials.values()}
        used = {(t.case.id, t.assistant.name, t.assistant.model, t.repeat)
                for _, t in self._trials.values()}  # fmt: skip

        def is_free(trial: Trial) -> bool:
            place = (trial.case.id, trial.assistant.name, trial.assistant.model, trial.repeat)
            return trial.key not in taken and place not in used

        assistant = _plain(answer.assistant)
        if turn.before:
            digests = {before.assistant.digest for before in turn.before}
            repeats = {before.repeat for before in turn.before}
            if digests == {assistant.digest} and len(repeats) == 1:
                shared = Trial(case, assistant, min(repeats))
                if is_free(shared) and not _told(store, [shared], turn.before):
                    return shared
            said = to_json([message.content for message in answer.history])
            history = hashlib.sha256(said.encode()).hexdigest()[:16]
            assistant = replace(assistant, client=IsolatedClient(assistant.client, history))
        first = 0
        while True:
            ahead = [Trial(case, assistant, first + i) for i in range(_AHEAD)]
            told = _told(store, ahead, turn.before)
            for trial in ahead:
                if trial.key not in told and is_free(trial):
                    return trial
            first += _AHEAD

    def _case(self, questions: tuple[str, ...]) -> str:
        return self._cases.setdefault(questions, f"question-{len(self._cases) + 1}")

    def _begin_run(self, store: Store, assistants: Sequence[Assistant]) -> None:
        new = {str(a): a for a in assistants if str(a) not in self._assistants}
        self._assistants |= new
        if new or self._manifest is None:
            design = Experiment(self.experiment, tuple(self._assistants.values()), ())
            manifest = {
                **initial_manifest(design),
                "description": "a live session",
                "source": "live",
            }
            if self._manifest is None:
                store.add_run(self.run, self.experiment, manifest)
            self._manifest = manifest

    def _end_run(self, store: Store) -> None:
        """A live session may end at any moment, so it is ended after every answer."""
        assert self._manifest is not None
        manifest = {**self._manifest, "cases": len(self._cases)}
        counts = store.statuses(self.run)
        whole = not any(counts.get(status) for status in ("error", "truncated"))
        outcome = "complete" if whole else "failures"
        store.end_run(self.run, outcome, final_manifest(manifest, store, self.run))

    def _write(self, position: int, trial: Trial, turn: Turn, answer: Answer) -> None:
        assert self.folder is not None
        assert answer.completion is not None
        assistant, case = answer.assistant, trial.case.id
        about = {"persona": assistant.name, "model": assistant.model, "case": case,
                 "repeat": trial.repeat, "key": trial.key}  # fmt: skip
        before = [str(each.assistant) for each in turn.before]
        if set(before) - {str(assistant)}:
            about["before"] = before  # who gave the answers before it: somebody else, too
        name = transcripts.file_name(position, assistant.name, case, trial.repeat)
        said = Transcript(assistant.messages(answer.history), answer.completion)
        transcripts.write(self.folder / "transcripts" / name, said, about)

    def _model(self, name: str) -> Model:
        return self.models.get(name, Model(name))


def _plain(assistant: Assistant) -> Assistant:
    """The assistant itself, if a stored trial was opened and its client is one of ours."""
    client = assistant.client
    return (
        replace(assistant, client=client.client)
        if isinstance(client, IsolatedClient)
        else assistant
    )


def _told(store: Store, trials: Sequence[Trial], before: Sequence[Answer]) -> set[str]:
    """The keys of those that have their answer, or of which an earlier turn went another way."""
    keys = [trial.key for trial in trials]
    marks = ",".join("?" * len(keys))
    query = f"SELECT key, turn, answer FROM answers WHERE key IN ({marks}) AND NOT final"  # noqa: S608 - marks only
    said = dict(enumerate(to_utf8(each.text) for each in before))
    other = {key for key, turn, text in store.read(query, keys) if said.get(turn) != text}
    return store.finished(keys) | other


def _failure(answer: Answer) -> AssistantsError:
    if answer.state == "stopped":
        text = answer.text
        partial = answer.completion or Completion(text=text, status="truncated") if text else None
        return IncompleteReplyError("Stopped by the reader.", partial=partial)
    failure = IncompleteReplyError(answer.error)
    failure.partial = answer.completion
    return failure
