"""A run as files that outlive the program: manifest, table of trials, and transcripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assistants.messages import Transcript
from assistants.runs import tables, transcripts
from assistants.runs.export.records import read_trials
from assistants.runs.store import RunRecord, Store

_FACTS = ("persona", "model", "case", "repeat", "key")


def export_files(source: Path, record: RunRecord, folder: Path) -> Path:
    """Write ``manifest.json``, ``trials.parquet`` and a transcript per answer; return ``folder``.

    Parameters
    ----------
    source
        The results folder.
    record
        The run.
    folder
        The folder to write to; it is made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = json.dumps(record.manifest, indent=2, sort_keys=True)
    (folder / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    with Store(source) as store:
        tables.export(tables.trials(store, record.run), "parquet", folder / "trials.parquet")
    for name, transcript, about in answered_transcripts(source, record.run):
        transcripts.write(folder / "transcripts" / name, transcript, about)
    return folder


def answered_transcripts(
    source: Path, run: str
) -> Iterator[tuple[str, Transcript, dict[str, Any]]]:
    """Yield file name, transcript and facts of every answered trial of a run."""
    for position, trial in enumerate(read_trials(source, run)):
        if trial.is_answered:
            row = trial.row
            name = transcripts.file_name(position, row["persona"], row["case"], row["repeat"])
            yield name, trial.transcript, {fact: row[fact] for fact in _FACTS}
