"""A run as logs of inspect_ai, through its own API: one log per persona and model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.errors import MissingDependencyError
from assistants.messages import Completion, Message
from assistants.runs.export.records import (
    ScoreRecord,
    TrialRecord,
    moment,
    read_scores,
    read_trials,
    score_place,
)
from assistants.runs.store import RunRecord
from assistants.utils import pluralize

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample

_STOP_REASONS = {
    "ok": "stop",
    "empty": "stop",
    "length": "max_tokens",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}
_CONFIG = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "stop": "stop_seqs",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "reasoning_effort": "reasoning_effort",
    "verbosity": "verbosity",
}
"""Settings that inspect has too, under its name; all of them are in the log's metadata."""

Scores = dict[tuple[Any, ...], list[ScoreRecord]]


def export_inspect(source: Path, record: RunRecord, folder: Path) -> list[Path]:
    """Write one ``.eval`` file per persona and model, and return their paths.

    A case is a sample, a repeat an epoch. A trial without an answer is a sample with an error and
    without scores.

    Parameters
    ----------
    source
        The results folder.
    record
        The run.
    folder
        The folder to write to; it is made when missing.

    Raises
    ------
    MissingDependencyError
        Without the extra ``inspect``.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError:
        raise MissingDependencyError(
            "Logs of inspect need the package inspect-ai.",
            fix="pip install 'assistants[inspect]'",
        ) from None
    groups: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in read_trials(source, record.run):
        groups.setdefault((trial.row["persona"], trial.row["model"]), []).append(trial)
    scores = read_scores(source, record)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for position, trials in enumerate(groups.values()):
        path = folder / _file_name(record, position, trials[0])
        write_eval_log(_log(record, trials, scores), str(path), format="eval")
        paths.append(path)
    return paths


def _file_name(record: RunRecord, position: int, trial: TrialRecord) -> str:
    words = f"{trial.row['persona']} {trial.row['model']}".lower()
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")[:60]
    return f"{record.run}_{position:03d}_{slug}.eval"


def _log(record: RunRecord, trials: Sequence[TrialRecord], scores: Scores) -> EvalLog:
    from inspect_ai.log import EvalConfig, EvalDataset, EvalError, EvalLog, EvalSpec, EvalStats
    from inspect_ai.model import GenerateConfig

    first = trials[0].row
    sampling = json.loads(first["applied_sampling"])
    failed = sum(not trial.is_answered for trial in trials)
    ended = record.outcome in ("complete", "failures")
    status: Any = ("error" if failed else "success") if ended else "cancelled"
    note = f"{failed} of {pluralize(len(trials), 'trial')} failed"
    cases = list(dict.fromkeys(str(trial.row["case"]) for trial in trials))
    return EvalLog(
        status=status,
        eval=EvalSpec(
            created=_iso(record.started_at),
            run_id=record.run,
            task=record.experiment,
            task_args={"persona": first["persona"]},
            dataset=EvalDataset(name=record.experiment, samples=len(cases), sample_ids=cases),
            model=_model_name(first["model"]),
            model_generate_config=GenerateConfig(
                **{name: sampling[ours] for ours, name in _CONFIG.items() if ours in sampling}
            ),
            config=EvalConfig(epochs=1 + max(int(trial.row["repeat"]) for trial in trials)),
            packages={str(k): str(v) for k, v in record.manifest.get("versions", {}).items()},
            metadata={
                "persona": first["persona"],
                "system_prompt": trials[0].system_prompt,
                "persona_in": first["persona_in"],
                "sampling": json.loads(first["sampling"]),
                "applied_sampling": sampling,
                "baseline": record.manifest.get("baseline"),
            },
        ),
        results=_results(trials, scores),
        stats=EvalStats(
            started_at=_iso(record.started_at),
            completed_at=_iso(record.finished_at) if record.finished_at else "",
        ),
        error=EvalError(message=note, traceback=note, traceback_ansi=note)
        if status == "error"
        else None,
        samples=[_sample(trial, scores.get(score_place(trial.row), [])) for trial in trials],
    )


def _results(trials: Sequence[TrialRecord], scores: Scores) -> Any:
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore

    by_scorer: dict[str, list[float]] = {}
    for trial in trials:
        for score in scores.get(score_place(trial.row), []):
            values = by_scorer.setdefault(score.scorer, [])
            if score.value is not None:
                values.append(score.value)
    return EvalResults(
        total_samples=len(trials),
        completed_samples=sum(trial.is_answered for trial in trials),
        scores=[
            EvalScore(
                name=name,
                scorer=name,
                scored_samples=len(values),
                unscored_samples=len(trials) - len(values),
                metrics={"mean": EvalMetric(name="mean", value=sum(values) / len(values))}
                if values
                else {},
            )
            for name, values in by_scorer.items()
        ],
    )


def _sample(trial: TrialRecord, scores: Sequence[ScoreRecord]) -> EvalSample:
    from inspect_ai.log import EvalError, EvalSample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score

    row = trial.row
    last = len(trial.questions) - 1 if trial.is_answered else len(trial.completions)
    sent = [_chat_message(message) for message in trial.messages(last)]
    model = _model_name(row["model"])
    error = None
    output = ModelOutput(model=model, error=trial.error)
    if trial.is_answered:
        output = _output(trial.completions[last], model, row["cost_usd"])
        sent.append(output.choices[0].message)
    else:
        text = f"{trial.error_type or 'open'}: {trial.error}"
        error = EvalError(message=text, traceback=text, traceback_ansi=text)
    facts = ("status", "key", "attempts", "cost_usd", "finish_reason", "system_fingerprint", "note")
    metadata = {name: row[name] for name in facts if row[name] is not None}
    if not trial.is_answered and row["answer"]:
        metadata["partial_answer"] = row["answer"]
    if unscored := {score.scorer: score.reason for score in scores if score.value is None}:
        metadata["unscored"] = unscored
    start = moment(row["started_at"])
    return EvalSample(
        id=str(row["case"]),
        epoch=int(row["repeat"]) + 1,
        input=[_chat_message(message) for message in trial.messages(0)],
        target=row["reference"] or "",
        messages=sent,
        output=output,
        scores={
            score.scorer: Score(
                value=score.value,
                answer=trial.completions[last].text if trial.is_answered else None,
                explanation=score.detail,
            )
            for score in scores
            if score.value is not None
        },
        metadata=metadata,
        started_at=start.isoformat() if start else None,
        total_time=row["total_s"],
        error=error,
    )


def _output(completion: Completion, model: str, cost: float | None) -> Any:
    from inspect_ai.model import (
        ChatCompletionChoice,
        ChatMessageAssistant,
        ContentReasoning,
        ContentText,
        ModelOutput,
        ModelUsage,
    )

    content: Any = completion.text
    if completion.reasoning is not None:
        content = [
            ContentReasoning(reasoning=completion.reasoning),
            ContentText(text=completion.text),
        ]
    reason: Any = _STOP_REASONS.get(completion.status, "unknown")
    message = ChatMessageAssistant(content=content, model=model, source="generate")
    usage = completion.usage
    counted = usage.input_tokens is not None and usage.output_tokens is not None
    return ModelOutput(
        model=completion.served_model or model,
        choices=[ChatCompletionChoice(message=message, stop_reason=reason)],
        usage=ModelUsage(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens or 0,
            total_tokens=(usage.input_tokens or 0) + (usage.output_tokens or 0),
            input_tokens_cache_read=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            total_cost=cost,
        )
        if counted
        else None,
        time=completion.total_s,
    )


def _chat_message(message: Message) -> Any:
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    kinds = {
        "system": ChatMessageSystem,
        "user": ChatMessageUser,
        "assistant": ChatMessageAssistant,
    }
    return kinds[message.role](content=message.content)


def _model_name(model: str) -> str:
    """Return a model's name as inspect writes it: ``openai/gpt-5``."""
    return model.replace(":", "/", 1)


def _iso(time: str) -> str:
    found = moment(time)
    return found.isoformat() if found else time
