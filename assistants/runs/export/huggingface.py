"""A run as a Hugging Face dataset: a folder with a card and Parquet, ready to be uploaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assistants.messages import FINISHED
from assistants.runs import tables
from assistants.runs.export.records import NEVER_ASKED
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import RunRecord, Store
from assistants.utils import pluralize, to_utf8, to_yaml, truncate_line

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_COLUMNS = (
    ("question, reference", "what was asked (all turns), and a good answer if the case has one"),
    ("persona, system_prompt", "who answered, and the text of its system prompt as it was sent"),
    ("model, served_model", "the model that was asked, and what its server calls itself"),
    ("sampling, applied_sampling", "the settings that were asked for, and those sent, as JSON"),
    ("repeat", "which draw of the same request, from 0"),
    ("answer, reasoning", "what the model said; missing unless it finished"),
    ("status, error", "`ok`, `length`, `refusal`, `content_filter` or `empty` are answers; any "
     "other status is a failure, with its reason"),
    ("partial_answer", "what had arrived of a reply that broke off; never an answer"),
    ("input_tokens ... attempts", "tokens, US dollars, seconds and calls; missing where unknown"),
    ("key", "equal for equal requests"),
)  # fmt: skip


def export_huggingface(source: Path, record: RunRecord, folder: Path) -> Path:
    """Write ``README.md``, ``data/trials.parquet`` and ``data/scores.parquet``; return ``folder``.

    Parameters
    ----------
    source
        The results folder.
    record
        The run.
    folder
        The folder to write to; it is made when missing.
    """
    with Store(source) as store:
        frame = tables.trials(store, record.run)
    answered = frame["status"].isin(FINISHED)
    frame.insert(frame.columns.get_loc("answer") + 1, "partial_answer", frame["answer"])
    frame["partial_answer"] = frame["partial_answer"].where(~answered)
    frame["answer"] = frame["answer"].where(answered)
    frame["error"] = frame["error"].where(frame["status"] != "open", NEVER_ASKED)
    scores = RunStatistics(source, record).scores()
    tables.export(frame, "parquet", folder / "data" / "trials.parquet")
    if len(scores):
        tables.export(scores, "parquet", folder / "data" / "scores.parquet")
    statuses = frame["status"].value_counts().to_dict()
    card = _head(record, len(frame), bool(len(scores))) + _body(record, statuses, len(frame))
    (folder / "README.md").write_text(card, encoding="utf-8", newline="\n")
    return folder


def _head(record: RunRecord, rows: int, scored: bool) -> str:
    names = ["trials", *(["scores"] if scored else [])]
    head = {
        "pretty_name": f"{record.experiment}, run {record.run}",
        "task_categories": ["text-generation"],
        "tags": ["llm-evaluation", "system-prompts"],
        "size_categories": [next((size for most, size in _SIZES if rows < most), "n>1M")],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": f"data/{name}.parquet"}],
                **({"default": True} if name == "trials" else {}),
            }
            for name in names
        ],
    }
    return f"---\n{to_yaml(head)}---\n\n"


def _body(record: RunRecord, statuses: Mapping[str, int], rows: int) -> str:
    manifest = record.manifest
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    models = [str(model.get("name")) for model in manifest.get("models", [])]
    parts = [
        f"# {_inline(record.experiment)}",
        _inline(manifest.get("description") or "Answers of language models under system prompts."),
        f"One row per trial of run `{record.run}`, {_day(record)}: {pluralize(rows, 'trial')} "
        f"({counts}). Failures are rows too. Models: {_code(', '.join(models) or 'unknown')}.",
        "## Columns",
        "\n".join(["| Columns | Content |", "|---|---|", *(f"| {n} | {c} |" for n, c in _COLUMNS)]),
        "`scores`, where there is one, has a row per trial and scorer: a value, or the reason why "
        "there is none.",
        "## System prompts",
        *_personas(manifest),
        "## Before you publish it",
        "Answers are text of the models named above, under the terms of their providers; questions "
        "and system prompts are those of whoever ran the experiment. Choose a licence and add it "
        "to the head of this card as `license:`. An average without its uncertainty says little.",
        "## Made with",
        f"```json\n{json.dumps(manifest.get('versions', {}), indent=2)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _personas(manifest: Mapping[str, Any]) -> list[str]:
    listed = [
        (entry.get("persona"), entry.get("system_prompt"))
        for entry in manifest.get("system_prompts", [])
    ]
    return [
        text
        for name, prompt in listed
        for text in (
            f"**{_inline(name)}**",
            "No system message was sent." if prompt is None else _fenced(str(prompt)),
        )
    ] or ["See the column `system_prompt`."]


def _day(record: RunRecord) -> str:
    return _inline(record.started_at[:10])


def _inline(text: object) -> str:
    """Return a text of others as one line that is no Markdown and no HTML."""
    line = truncate_line(to_utf8(str(text)), 300)
    return re.sub(r"([\\`*_{}\[\]<>()#|!&])", r"\\\1", line)


def _code(text: str) -> str:
    return f"`{truncate_line(to_utf8(text), 300).replace('`', chr(39))}`"


def _fenced(text: str) -> str:
    """Return a text between fences that it cannot close."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{to_utf8(text)}\n{fence}"
