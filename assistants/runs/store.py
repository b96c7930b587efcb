"""The record: one SQLite file per results folder, written as each answer arrives.

An answer is stored under its trial's key and never asked for again, by whichever run. A failure
is a record of its own and leaves the trial open. Text is kept so that UTF-8 can hold it
(``text.to_utf8``); ``text.from_utf8`` is the way back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from assistants.errors import AssistantsError
from assistants.messages import Completion, Message, TechniqueRecord, Usage, partial_completion
from assistants.runs.sqlite import Database
from assistants.runs.token_bucket import TokenBucket
from assistants.scoring import Score, Vote
from assistants.trial import Trial
from assistants.utils import from_utf8, to_json, to_utf8

FILE = "answers.sqlite"
VERSION = 8
"""A later one may only add."""

PERSONA = "persona"
"""The factor whose value is an assistant's persona without its techniques."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, experiment TEXT NOT NULL, started_at TEXT NOT NULL,
    finished_at TEXT, outcome TEXT, manifest TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prompts (digest TEXT PRIMARY KEY, system_prompt TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS assistants (
    run TEXT, persona TEXT, model TEXT, sampling TEXT NOT NULL, applied_sampling TEXT,
    PRIMARY KEY (run, persona, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS placements (
    run TEXT, persona TEXT, model TEXT, persona_in TEXT NOT NULL,
    PRIMARY KEY (run, persona, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cases (
    run TEXT, case_id TEXT, turns TEXT NOT NULL, reference TEXT, source TEXT,
    PRIMARY KEY (run, case_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trials (
    run TEXT, position INTEGER, persona TEXT NOT NULL, model TEXT NOT NULL,
    case_id TEXT NOT NULL, repeat INTEGER NOT NULL, key TEXT NOT NULL, prompt TEXT NOT NULL,
    PRIMARY KEY (run, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    key TEXT, turn INTEGER, final INTEGER NOT NULL, run TEXT NOT NULL,
    answer TEXT NOT NULL, reasoning TEXT, status TEXT NOT NULL, finish_reason TEXT,
    input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, reasoning_tokens INTEGER,
    cost_usd REAL, served_model TEXT, started_at TEXT, first_token_s REAL, total_s REAL,
    attempts INTEGER NOT NULL, system_fingerprint TEXT, note TEXT, UNIQUE (key, turn));
CREATE TABLE IF NOT EXISTS failures (
    id INTEGER PRIMARY KEY, run TEXT NOT NULL, key TEXT NOT NULL, turn INTEGER NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, kind TEXT NOT NULL, partial TEXT,
    attempts INTEGER NOT NULL, started_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS failures_by_trial ON failures (run, key);
CREATE TABLE IF NOT EXISTS side_calls (
    digest TEXT PRIMARY KEY, run TEXT NOT NULL, model TEXT NOT NULL, completion TEXT NOT NULL,
    cost_usd REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS techniques (
    key TEXT, turn INTEGER, place INTEGER, technique TEXT NOT NULL, record TEXT NOT NULL,
    tokens INTEGER, cost_usd REAL, seconds REAL, failure TEXT,
    PRIMARY KEY (key, turn, place)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sent_messages (
    key TEXT, turn INTEGER, messages TEXT NOT NULL, PRIMARY KEY (key, turn)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS factors (
    run TEXT, persona TEXT, model TEXT, factor TEXT, value TEXT NOT NULL,
    PRIMARY KEY (run, persona, model, factor)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    token TEXT PRIMARY KEY, model TEXT NOT NULL, run TEXT NOT NULL, requests INTEGER NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL, status TEXT NOT NULL, id TEXT,
    input_file TEXT, output_file TEXT, error_file TEXT, ended_at TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_requests (
    key TEXT, turn INTEGER, token TEXT, is_last INTEGER NOT NULL,
    PRIMARY KEY (key, turn, token)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_by_batch ON batch_requests (token);
CREATE TABLE IF NOT EXISTS scores (
    key TEXT, scorer TEXT, seen TEXT, value REAL, reason TEXT, detail TEXT,
    PRIMARY KEY (key, scorer, seen)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS votes (
    id INTEGER PRIMARY KEY, rater TEXT NOT NULL, kind TEXT NOT NULL, first TEXT NOT NULL,
    second TEXT NOT NULL, winner TEXT NOT NULL, reason TEXT, voted_at TEXT NOT NULL,
    UNIQUE (rater, first, second));
CREATE INDEX IF NOT EXISTS votes_by_trial ON votes (first);
CREATE TABLE IF NOT EXISTS vectors (
    model TEXT, text TEXT, vector BLOB NOT NULL, PRIMARY KEY (model, text)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rate_limits (
    model TEXT, kind TEXT, capacity REAL NOT NULL, rate REAL NOT NULL, level REAL NOT NULL,
    taken REAL NOT NULL, at REAL NOT NULL, PRIMARY KEY (model, kind)) WITHOUT ROWID;
"""

_ADDED = {
    "assistants": ("applied_sampling TEXT",),
    "answers": ("system_fingerprint TEXT", "note TEXT"),
    "cases": ("source TEXT",),
}
"""Columns that older files lack. ``applied_sampling`` is NULL where it is the one asked for."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """Facts about a batch. ``token`` is ours, ``id`` the provider's, once it has one.

    ``status`` is the provider's word; before it has one, ``intended`` or ``uploaded``. ``run`` is
    the run that sent it. ``ended_at`` is set once its answers are stored.
    """

    token: str
    model: str
    run: str
    requests: int
    created_at: str
    updated_at: str
    status: str = "intended"
    id: str | None = None
    input_file: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    ended_at: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The record of one execution. ``outcome`` is ``None`` while it goes on, or was killed."""

    run: str
    experiment: str
    started_at: str
    finished_at: str | None
    outcome: str | None
    manifest: Mapping[str, Any]


class Store:
    """The answers, failures and runs of one results folder. Many processes may write at once."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / FILE
        self._db = Database(self.path, SCHEMA, VERSION, _ADDED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    def close(self) -> None:
        """Close the file. Everything written is already there."""
        self._db.close()

    # -- answers ---------------------------------------------------------------------------------

    def finished(self, keys: Sequence[str]) -> set[str]:
        """Return those of ``keys`` (at most 1,000) whose trials are answered to the last turn."""
        marks = ",".join("?" * len(keys))
        query = f"SELECT key FROM answers WHERE key IN ({marks}) AND final"  # noqa: S608 - marks only
        return {key for (key,) in self.read(query, keys)}

    def completions(self, key: str) -> list[Completion]:
        """Return the completions of a trial so far, one per turn."""
        columns = ", ".join(_COMPLETION)
        query = f"SELECT {columns} FROM answers WHERE key = ? ORDER BY turn"  # noqa: S608 - constants
        return [_completion(row) for row in self.read(query, [key])]

    def add_answer(
        self,
        key: str,
        turn: int,
        completion: Completion,
        *,
        final: bool,
        run: str,
        cost_usd: float | None,
        attempts: int,
        techniques: Sequence[tuple[TechniqueRecord, float | None]] = (),
        sent: Sequence[Message] = (),
    ) -> bool:
        """Store a completion; committed when this returns.

        The first answer to a key stays. ``techniques`` are records of what was done to its
        question, each with the dollars of its own calls; ``sent`` are the messages that were sent
        then, but for the system message.

        Returns
        -------
        bool
            Whether this was the first.
        """
        c, u = completion, completion.usage
        row = (
            key, turn, final, run, to_utf8(c.text), _kept(c.reasoning), c.status,
            _kept(c.finish_reason), _count(u.input_tokens), _count(u.output_tokens),
            _count(u.cached_tokens), _count(u.reasoning_tokens), cost_usd,
            _kept(c.served_model), c.started_at, c.first_token_s, c.total_s, attempts,
            _kept(c.system_fingerprint), c.note,
        )  # fmt: skip
        statement = f"INSERT OR IGNORE INTO answers VALUES ({','.join('?' * len(row))})"  # noqa: S608
        if not techniques:
            return self._db.write(statement, row) > 0
        with self._db.transaction():
            is_first = self._db.write(statement, row) > 0
            if is_first:
                self._db.write_many(
                    "INSERT INTO techniques VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (key, turn, place, *_technique_row(record, cost))
                        for place, (record, cost) in enumerate(techniques)
                    ),
                )
                messages = to_json([[message.role, message.content] for message in sent])
                self._db.write("INSERT INTO sent_messages VALUES (?, ?, ?)", (key, turn, messages))
        return is_first

    def add_failure(
        self, key: str, turn: int, error: AssistantsError, *, run: str, attempts: int
    ) -> None:
        """Record why a trial has no answer. It stays open, and the next run asks again."""
        partial = partial_completion(error)
        row = (
            run, key, turn, partial.status if partial else "error", to_utf8(str(error)),
            type(error).__name__, _kept(partial.text) if partial else None, attempts, _now(),
        )  # fmt: skip
        marks = ",".join("?" * len(row))
        self._db.write(f"INSERT INTO failures VALUES (NULL, {marks})", row)  # noqa: S608

    # -- techniques ------------------------------------------------------------------------------

    def side_call(self, digest: str) -> Completion | None:
        """Return what a model answered to a technique's request, by the request's digest."""
        for (completion,) in self.read(
            "SELECT completion FROM side_calls WHERE digest = ?", [digest]
        ):
            return Completion.from_dict(json.loads(completion))
        return None

    def add_side_call(
        self, digest: str, run: str, model: str, completion: Completion, cost_usd: float | None
    ) -> Completion:
        """Store a model's answer to a technique, and return the one that stays: the first."""
        row = (digest, run, model, to_json(completion.as_dict()), cost_usd)
        if self._db.write("INSERT OR IGNORE INTO side_calls VALUES (?, ?, ?, ?, ?)", row):
            return completion
        stored = self.side_call(digest)
        assert stored is not None
        return stored

    def technique_names(self, run: str) -> list[str]:
        """Return the names of the techniques that a run's assistants have."""
        query = "SELECT DISTINCT factor FROM factors WHERE run = ? AND factor <> ? ORDER BY 1"
        return [name for (name,) in self.read(query, [run, PERSONA])]

    def technique_records(self, key: str) -> dict[int, list[TechniqueRecord]]:
        """Return what was done to each question of a trial, by turn."""
        records: dict[int, list[TechniqueRecord]] = {}
        query = "SELECT turn, record FROM techniques WHERE key = ? ORDER BY turn, place"
        for turn, record in self.read(query, [key]):
            records.setdefault(turn, []).append(TechniqueRecord.from_dict(json.loads(record)))
        return records

    def sent_messages(self, key: str) -> dict[int, tuple[Message, ...]]:
        """Return what was sent for each turn of a trial with techniques, but the system message."""
        query = "SELECT turn, messages FROM sent_messages WHERE key = ?"
        return {
            turn: tuple(Message(role, content) for role, content in json.loads(messages))
            for turn, messages in self.read(query, [key])
        }

    # -- batches ---------------------------------------------------------------------------------

    def add_batch(self, batch: BatchRecord, requests: Iterable[tuple[str, int, bool]]) -> None:
        """Record a batch that is about to be sent: each request's key, turn, and if it is last."""
        with self._db.transaction():
            self._db.write(
                f"INSERT INTO batches VALUES ({','.join('?' * 12)})",  # noqa: S608 - marks only
                astuple(batch),
            )
            self._db.write_many(
                "INSERT INTO batch_requests VALUES (?, ?, ?, ?)",
                ((key, turn, batch.token, is_last) for key, turn, is_last in requests),
            )

    def update_batch(self, batch: BatchRecord) -> None:
        """Record what became of a batch. One that has ended holds its trials no longer."""
        with self._db.transaction():
            self._db.write(
                "UPDATE batches SET updated_at = ?, status = ?, id = ?, input_file = ?, "
                "output_file = ?, error_file = ?, ended_at = ? WHERE token = ?",
                [
                    batch.updated_at, batch.status, batch.id, batch.input_file, batch.output_file,
                    batch.error_file, batch.ended_at, batch.token,
                ],
            )  # fmt: skip
            if batch.ended_at is not None:
                self._db.write("DELETE FROM batch_requests WHERE token = ?", [batch.token])

    def batches(self) -> list[BatchRecord]:
        """Return the batches, oldest first."""
        rows = self.read("SELECT * FROM batches ORDER BY created_at, token")
        return [BatchRecord(*row) for row in rows]

    def batch(self, token: str) -> BatchRecord:
        """Return one batch."""
        (row,) = self.read("SELECT * FROM batches WHERE token = ?", [token])
        return BatchRecord(*row)

    def batch_requests(self, token: str) -> Iterator[tuple[str, int, bool]]:
        """Yield key, turn, and if it is the last one, of each request of a batch that is out."""
        query = "SELECT key, turn, is_last FROM batch_requests WHERE token = ?"
        for key, turn, is_last in self.read(query, [token]):
            yield key, turn, bool(is_last)

    def batches_of(self, keys: Sequence[str]) -> dict[str, str]:
        """Return those of ``keys`` (at most 1,000) that are in a batch, with its token."""
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, token FROM batch_requests WHERE key IN ({marks})"  # noqa: S608 - marks only
        return dict(self.read(query, keys))

    # -- scores ----------------------------------------------------------------------------------

    def scores(self, scorer: str, run: str) -> dict[tuple[str, str], Score]:
        """Return the scores of one scorer's version in a run, by trial key and input digest."""
        query = (
            "SELECT key, seen, value, reason, detail FROM scores "
            "WHERE scorer = ? AND key IN (SELECT key FROM trials WHERE run = ?)"
        )
        rows = self.read(query, [to_utf8(scorer), run])
        return {(key, seen): Score(*rest) for key, seen, *rest in rows}

    def add_scores(self, scorer: str, scores: Mapping[tuple[str, str], Score]) -> None:
        """Store scores, failed ones too; the last of a scorer's version stays."""
        version = to_utf8(scorer)
        with self._db.transaction():
            self._db.write_many(
                "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (key, version, seen, s.value, _kept(s.reason), _kept(s.detail))
                    for (key, seen), s in scores.items()
                ),
            )

    # -- votes -----------------------------------------------------------------------------------

    def votes(self, run: str) -> list[Vote]:
        """Return every vote between two trials of a run, oldest first."""
        query = (
            "SELECT rater, kind, first, second, winner, reason, voted_at FROM votes "
            "WHERE first IN (SELECT key FROM trials WHERE run = :run) "
            "AND second IN (SELECT key FROM trials WHERE run = :run) ORDER BY id"
        )
        return [Vote(from_utf8(rater), *rest) for rater, *rest in self.read(query, {"run": run})]

    def add_votes(self, votes: Iterable[Vote]) -> None:
        """Store votes; a rater's last vote on the same two answers in the same places stays."""
        with self._db.transaction():
            self._db.write_many(
                "INSERT OR REPLACE INTO votes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (to_utf8(v.rater), v.kind, v.left, v.right, v.winner, _kept(v.reason),
                     v.voted_at or _now())
                    for v in votes
                ),
            )  # fmt: skip

    def remove_vote(self, vote: Vote) -> None:
        """Remove a vote."""
        self._db.write(
            "DELETE FROM votes WHERE rater = ? AND first = ? AND second = ?",
            (to_utf8(vote.rater), vote.left, vote.right),
        )

    # -- vectors ---------------------------------------------------------------------------------

    def vectors(self, model: str, texts: Sequence[str]) -> dict[str, bytes]:
        """Return stored vectors of a model, 32-bit floats, by digests of texts (at most 1,000)."""
        marks = ",".join("?" * len(texts))
        query = f"SELECT text, vector FROM vectors WHERE model = ? AND text IN ({marks})"  # noqa: S608 - marks only
        return dict(self.read(query, [to_utf8(model), *texts]))

    def add_vectors(self, model: str, vectors: Mapping[str, bytes]) -> None:
        """Store vectors by the digest of their text."""
        with self._db.transaction():
            self._db.write_many(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)",
                ((to_utf8(model), text, vector) for text, vector in vectors.items()),
            )

    # -- rate limits -----------------------------------------------------------------------------

    def rate_limits(self, model: str) -> dict[str, TokenBucket]:
        """Return what is left of a model's rate limits, by ``requests`` and ``tokens``."""
        query = "SELECT kind, capacity, rate, level, taken, at FROM rate_limits WHERE model = ?"
        return {kind: TokenBucket(*rest) for kind, *rest in self.read(query, [to_utf8(model)])}

    def update_rate_limits(
        self,
        model: str,
        update: Callable[[Mapping[str, TokenBucket], float], Mapping[str, TokenBucket]],
    ) -> Mapping[str, TokenBucket]:
        """Replace a model's rate limits by what ``update`` makes of them and of the time.

        Other processes wait meanwhile, so that what is taken is taken once.
        """
        with self._db.transaction():
            buckets = update(self.rate_limits(model), time.time())
            self._db.write_many(
                "INSERT OR REPLACE INTO rate_limits VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (to_utf8(model), kind, b.capacity, b.rate, b.level, b.taken, b.at)
                    for kind, b in buckets.items()
                ),
            )
        return buckets

    # -- runs ------------------------------------------------------------------------------------

    def add_run(self, run: str, experiment: str, manifest: Mapping[str, Any]) -> None:
        """Begin a run."""
        self._db.write(
            "INSERT INTO runs VALUES (?, ?, ?, NULL, NULL, ?)",
            (run, experiment, _now(), to_json(manifest)),
        )

    def move_trial(self, run: str, position: int, trial: Trial) -> None:
        """Make a trial of a run another draw, because its own was answered by somebody else."""
        self._db.write(
            "UPDATE trials SET repeat = ?, key = ? WHERE run = ? AND position = ?",
            (trial.repeat, trial.key, run, position),
        )

    def add_trials(self, run: str, first: int, trials: Sequence[Trial]) -> int:
        """Record the trials of a run, and return how many are already answered.

        ``first`` is the position of the first of them in the run's order.
        """
        keys = [trial.key for trial in trials]
        resolved = [trial.resolved_assistant for trial in trials]
        prompts = {a.prompt_digest: a.system_prompt for a in resolved}
        assistants = {id(trial.assistant): trial.assistant for trial in trials}.values()
        with self._db.transaction():
            self._db.write_many(
                "INSERT OR IGNORE INTO prompts VALUES (?, ?)",
                ((digest, _kept(text)) for digest, text in prompts.items()),
            )
            self._db.write_many(
                "INSERT OR IGNORE INTO assistants VALUES (?, ?, ?, ?, ?)",
                {
                    (
                        run,
                        to_utf8(a.name),
                        to_utf8(a.model),
                        to_json(a.requested_sampling.as_dict()),
                        to_json(a.effective_sampling.as_dict()) if a.unsupported else None,
                    )
                    for a in assistants
                },
            )
            self._db.write_many(
                "INSERT OR IGNORE INTO placements VALUES (?, ?, ?, ?)",
                {
                    (run, to_utf8(a.name), to_utf8(a.model), a.persona_in)
                    for a in assistants
                    if a.persona_in != "system"
                },
            )
            self._db.write_many(
                "INSERT OR IGNORE INTO factors VALUES (?, ?, ?, ?, ?)",
                {
                    (run, to_utf8(a.name), to_utf8(a.model), factor, to_utf8(value))
                    for a in assistants
                    if a.techniques
                    for factor, value in ((PERSONA, a.persona_name), *a.factors.items())
                },
            )
            self._db.write_many(
                "INSERT OR IGNORE INTO cases VALUES (?, ?, ?, ?, ?)",
                {
                    t.case.id: (
                        run,
                        to_utf8(t.case.id),
                        to_json(t.case.questions),
                        _kept(t.case.reference),
                        _kept(t.case.source),
                    )
                    for t in trials
                }.values(),
            )
            self._db.write_many(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (run, first + i, to_utf8(t.assistant.name), to_utf8(t.assistant.model),
                     to_utf8(t.case.id), t.repeat, key, a.prompt_digest)
                    for i, (t, key, a) in enumerate(zip(trials, keys, resolved, strict=True))
                ),
            )  # fmt: skip
        done = self.finished(keys)
        return sum(key in done for key in keys)

    def remove_trials(self, run: str) -> None:
        """Remove the list of a run's trials. Their answers stay."""
        with self._db.transaction():
            for table in ("assistants", "placements", "factors", "cases", "trials"):
                self._db.write(f"DELETE FROM {table} WHERE run = ?", [run])  # noqa: S608 - constants

    def remove_run(self, run: str) -> None:
        """Remove the record of a run in which nothing was asked. Answers stay."""
        self.remove_trials(run)
        self._db.write("DELETE FROM runs WHERE run = ?", [run])

    def describe_run(self, run: str, manifest: Mapping[str, Any]) -> None:
        """Update the manifest of a run that goes on."""
        self._db.write("UPDATE runs SET manifest = ? WHERE run = ?", (to_json(manifest), run))

    def end_run(self, run: str, outcome: str, manifest: Mapping[str, Any]) -> None:
        """Record how a run ended."""
        self._db.write(
            "UPDATE runs SET finished_at = ?, outcome = ?, manifest = ? WHERE run = ?",
            (_now(), outcome, to_json(manifest), run),
        )

    def runs(self, experiment: str | None = None) -> list[RunRecord]:
        """Return the runs, oldest first; those of one experiment if it is named."""
        query = (
            "SELECT * FROM runs WHERE :name IS NULL OR experiment = :name ORDER BY started_at, run"
        )
        return [
            RunRecord(run, name, started, finished, outcome, json.loads(manifest))
            for run, name, started, finished, outcome, manifest in self.read(
                query, {"name": experiment}
            )
        ]

    def statuses(self, run: str) -> dict[str, int]:
        """Count the trials of a run by status, most frequent first; ``open``: never asked."""
        return dict(self.read(_STATUSES, [run]))

    def read(
        self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT."""
        return self._db.read(query, values)


_COMPLETION = (
    "answer", "status", "finish_reason", "reasoning", "input_tokens", "output_tokens",
    "cached_tokens", "reasoning_tokens", "served_model", "started_at", "first_token_s", "total_s",
    "system_fingerprint", "note",
)  # fmt: skip
_STATUSES = """
SELECT COALESCE(a.status, (
    SELECT f.status FROM failures f WHERE f.run = t.run AND f.key = t.key ORDER BY f.id DESC LIMIT 1
), 'open'), COUNT(*)
FROM trials t LEFT JOIN answers a ON a.key = t.key AND a.final
WHERE t.run = ? GROUP BY 1 ORDER BY 2 DESC, 1
"""


def _completion(row: Iterable[Any]) -> Completion:
    text, status, finish, reasoning, *rest = row
    *usage, served, started, first, total, fingerprint, note = rest
    return Completion(
        text=from_utf8(text),
        status=status,
        finish_reason=_restored(finish),
        reasoning=_restored(reasoning),
        usage=Usage(*usage),
        served_model=_restored(served),
        started_at=started,
        first_token_s=first,
        total_s=total,
        system_fingerprint=_restored(fingerprint),
        note=note,
    )


def _technique_row(record: TechniqueRecord, cost_usd: float | None) -> tuple[Any, ...]:
    """Return the row of a record. Tokens, dollars and seconds are of its own calls, and add up."""
    usages = [call.completion.usage for call in record.calls]
    counts = [count for u in usages for count in (u.input_tokens, u.output_tokens)]
    seconds = [call.completion.total_s for call in record.calls]
    return (
        record.technique, to_json(record.as_dict()),
        None if None in counts else sum(count or 0 for count in counts), cost_usd,
        None if None in seconds else sum(s or 0.0 for s in seconds), _kept(record.failure),
    )  # fmt: skip


def _kept(text: str | None) -> str | None:
    return None if text is None else to_utf8(text)


def _restored(text: str | None) -> str | None:
    return None if text is None else from_utf8(text)


def _count(number: int | None) -> int | None:
    """Return a count that SQLite can hold; one of 20 digits is no count, and so unknown."""
    return number if number is None or number < 2**63 else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
