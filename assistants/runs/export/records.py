"""The trials of a stored run, as every export reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistants.assistant import inline_system_prompt
from assistants.errors import UsageError
from assistants.messages import FINISHED, Completion, Message, TechniqueRecord, Transcript
from assistants.runs import tables
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import RunRecord, Store
from assistants.utils import display_path, from_utf8

NEVER_ASKED = "never asked: the run ended before"
"""The error of a trial whose status is ``open``."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial of a run, answered or not.

    Attributes
    ----------
    row
        Its row of the table of trials; cells without a value are ``None``.
    system_prompt
        The text of the persona as it was sent; ``None`` if none was.
    questions
        All turns of the case.
    completions
        One for each turn that was answered; fewer than ``questions`` where a later turn failed.
    error_type
        The class of the error of a trial that failed.
    sent, techniques
        Of a trial with techniques, by turn: the messages that were sent, but for the system
        message, and what each technique did.
    """

    row: Mapping[str, Any]
    system_prompt: str | None
    questions: tuple[str, ...]
    completions: tuple[Completion, ...]
    error_type: str | None = None
    sent: Mapping[int, tuple[Message, ...]] = field(default_factory=dict)
    techniques: Mapping[int, Sequence[TechniqueRecord]] = field(default_factory=dict)

    @property
    def is_answered(self) -> bool:
        """True if the model finished its reply to the last turn."""
        return self.row["status"] in FINISHED

    @property
    def error(self) -> str | None:
        """The reason why there is no answer; ``None`` if there is one."""
        if self.is_answered:
            return None
        return NEVER_ASKED if self.row["status"] == "open" else str(self.row["error"] or "unknown")

    def messages(self, turn: int) -> tuple[Message, ...]:
        """Return what was sent for a turn, counted from 0: all messages up to its question."""
        if (prepared := self.sent.get(turn)) is not None:  # a persona in it is in its place
            is_system = self.system_prompt is not None and self.row["persona_in"] == "system"
            return (Message("system", self.system_prompt or ""), *prepared)[not is_system :]
        sent: list[Message] = []
        for question, completion in zip(self.questions, self.completions[:turn], strict=False):
            sent += [Message("user", question), Message("assistant", completion.text)]
        sent.append(Message("user", self.questions[turn]))
        if self.system_prompt is None:
            return tuple(sent)
        if self.row["persona_in"] == "user":
            return inline_system_prompt(self.system_prompt, sent)
        return (Message("system", self.system_prompt), *sent)

    @property
    def transcript(self) -> Transcript:
        """The whole conversation of an answered trial."""
        last = len(self.completions) - 1
        techniques = tuple(self.techniques.get(last, ()))
        return Transcript(self.messages(last), self.completions[last], techniques)


@dataclass(frozen=True, slots=True)
class ScoreRecord:
    """One stored score of a trial; ``value`` is ``None`` where there is only a ``reason``."""

    scorer: str
    value: float | None
    reason: str | None
    detail: str | None


def read_trials(folder: Path, run: str) -> Iterator[TrialRecord]:
    """Yield every trial of a run, in its order, failures and trials never asked included."""
    with Store(folder) as store:
        frame = tables.trials(store, run)
        kinds = dict(store.read("SELECT key, kind FROM failures WHERE run = ? ORDER BY id", [run]))
        questions = {
            case: tuple(json.loads(turns))
            for case, turns in store.read("SELECT case_id, turns FROM cases WHERE run = ?", [run])
        }
        with_techniques = bool(tables.technique_names(frame))
        for cells in frame.to_dict("records"):
            row = {name: value if tables.is_known(value) else None for name, value in cells.items()}
            prompt, key = row["system_prompt"], str(row["key"])
            yield TrialRecord(
                row,
                None if prompt is None else from_utf8(prompt),
                questions[row["case"]],
                tuple(store.completions(key)),
                kinds.get(key) if row["status"] not in FINISHED else None,
                store.sent_messages(key) if with_techniques else {},
                store.technique_records(key) if with_techniques else {},
            )


def read_scores(folder: Path, record: RunRecord) -> dict[tuple[Any, ...], list[ScoreRecord]]:
    """Return the stored scores of answered trials by case, persona, model and repeat.

    Only what the run was scored with when it ended; nothing is graded now.
    """
    found: dict[tuple[Any, ...], list[ScoreRecord]] = {}
    frame = RunStatistics(folder, record).scores()
    for row in frame[frame["status"].isin(FINISHED)].to_dict("records"):
        known = {name: value if tables.is_known(value) else None for name, value in row.items()}
        score = ScoreRecord(str(known["scorer"]), known["value"], known["reason"], known["detail"])
        found.setdefault(score_place(row), []).append(score)
    return found


def score_place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what ties a row of scores to its trial."""
    return row["case"], row["persona"], row["model"], int(row["repeat"])


def moment(text: str | None) -> datetime | None:
    """Return a stored time; ``None`` where none was stored."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def output_folder(default: Path, out: Path | None) -> Path:
    """Return the folder to write to: ``out`` if it is new or empty, or the run's own.

    Raises
    ------
    UsageError
        If there is something in ``out``: an export overwrites nothing but an export.
    """
    if out is None:
        return default
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            f"{display_path(out)} is there already.", fix="Name a folder that is new or empty."
        )
    return out
