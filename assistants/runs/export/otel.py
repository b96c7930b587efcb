"""A run as OpenTelemetry spans, by the semantic conventions for generative AI, over OTLP/HTTP.

One trace per run: a span of the experiment, and below it one client span per call. The ids are
digests, so that a run that is exported twice has the same ones.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.errors import ExportError, MissingDependencyError
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
from assistants.utils import check_url, to_utf8

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

_SPANS_PER_REQUEST = 100
_DEFAULT_ADDRESS = "http://localhost:4318/v1/traces"
_PROVIDERS = {"azure": "azure.ai.openai", "gemini": "gcp.gemini"}
"""Names of the conventions for providers, where they differ from ours."""

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "stop": "stop_sequences",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_tokens": "cache_read.input_tokens",
    "reasoning_tokens": "reasoning.output_tokens",
}


def collector_address() -> str:
    """Return where spans go: as OpenTelemetry's own variables say, or a collector on this machine.

    Raises
    ------
    UsageError
        If it is no address to send a prompt to.
    """
    whole = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    return check_url(whole or (f"{base.rstrip('/')}/v1/traces" if base else _DEFAULT_ADDRESS))


def export_otel(source: Path, record: RunRecord) -> str:
    """Send a run's spans to the collector, and return its address.

    Headers, a key among them, are read by OpenTelemetry from ``OTEL_EXPORTER_OTLP_HEADERS``.

    Parameters
    ----------
    source
        The results folder.
    record
        The run.

    Raises
    ------
    MissingDependencyError
        Without the extra ``otel``.
    ExportError
        If the collector does not take all spans.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
        from requests import Session
    except ImportError:
        raise MissingDependencyError(
            "Spans need the packages of OpenTelemetry.", fix="pip install 'assistants[otel]'"
        ) from None
    address = collector_address()
    session = Session()
    session.max_redirects = 0  # prompts and the key in the headers go to this address only
    exporter = OTLPSpanExporter(endpoint=address, session=session)
    sent, batch = 0, []
    try:
        for span in [*spans(source, record), None]:
            if span is not None:
                batch.append(span)
            if batch and (span is None or len(batch) == _SPANS_PER_REQUEST):
                if exporter.export(batch) is not SpanExportResult.SUCCESS:
                    raise ExportError(
                        f"The collector at {address} did not take the spans; {sent} had arrived.",
                        fix="Start one there, or name another in OTEL_EXPORTER_OTLP_ENDPOINT. "
                        "Sent again, spans keep their ids.",
                    )
                sent, batch = sent + len(batch), []
    finally:
        exporter.shutdown()
    return address


def spans(source: Path, record: RunRecord) -> Iterator[ReadableSpan]:
    """Yield the span of a run and one per call: a trial of several turns has several.

    A trial that was never asked has no span, since there was no call; the span of the run counts
    such trials.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    resource = Resource.create({"service.name": "assistants"})
    scope = InstrumentationScope("assistants")
    trace_id = int.from_bytes(_digest(record.run)[:16])

    def context(*parts: object) -> SpanContext:
        span_id = int.from_bytes(_digest(record.run, *parts)[:8])
        return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))

    run_started = moment(record.started_at) or datetime.fromtimestamp(0, UTC)
    scores = read_scores(source, record)
    counts: dict[str, int] = {}
    ended = moment(record.finished_at) or run_started
    for position, trial in enumerate(read_trials(source, record.run)):
        status = str(trial.row["status"])
        counts[status] = counts.get(status, 0) + 1
        if status == "open":
            continue
        about = _about_trial(record, trial)
        failed = [] if trial.is_answered else [None]
        for turn, completion in enumerate([*trial.completions, *failed]):
            start = moment(completion.started_at if completion else trial.row["started_at"])
            begin = _nanoseconds(start or run_started)
            end = begin + int(1e9 * (completion.total_s or 0 if completion else 0))
            last = turn == len(trial.questions) - 1
            yield ReadableSpan(
                name=f"chat {_model_id(trial)}",
                context=context(position, turn),
                parent=context(),
                resource=resource,
                instrumentation_scope=scope,
                kind=SpanKind.CLIENT,
                attributes={**about, **_about_call(trial, turn, completion)},
                events=_score_events(scores.get(score_place(trial.row), ()), end) if last else (),
                status=Status() if completion else Status(StatusCode.ERROR, trial.error),
                start_time=begin,
                end_time=end,
            )
            ended = max(ended, datetime.fromtimestamp(end / 1e9, UTC))
    yield ReadableSpan(
        name=f"experiment {record.experiment}",
        context=context(),
        resource=resource,
        instrumentation_scope=scope,
        kind=SpanKind.INTERNAL,
        attributes={
            "assistants.experiment": record.experiment,
            "assistants.run": record.run,
            "assistants.outcome": record.outcome or "unfinished",
            **{f"assistants.trials.{status}": count for status, count in counts.items()},
        },
        status=Status(),
        start_time=_nanoseconds(run_started),
        end_time=_nanoseconds(ended),
    )


def _about_trial(record: RunRecord, trial: TrialRecord) -> dict[str, Any]:
    row = trial.row
    provider = str(row["model"]).partition(":")[0]
    sampling = json.loads(row["applied_sampling"])
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": _model_id(trial),
        "gen_ai.conversation.id": row["key"],
        **{
            f"gen_ai.request.{name}": sampling[ours]
            for ours, name in _SAMPLING.items()
            if ours in sampling
        },
        "assistants.experiment": record.experiment,
        "assistants.run": record.run,
        "assistants.persona": row["persona"],
        "assistants.case": row["case"],
        "assistants.repeat": int(row["repeat"]),
        "assistants.status": row["status"],
        "assistants.sampling": row["applied_sampling"],  # a seed in it is that of the first draw
    }


def _about_call(trial: TrialRecord, turn: int, completion: Completion | None) -> dict[str, Any]:
    sent = [_message(message) for message in trial.messages(turn)]
    if completion is None:
        return {"gen_ai.input.messages": sent, "error.type": trial.error_type or "_OTHER"}
    reason = completion.finish_reason or completion.status
    parts = [{"type": "text", "content": to_utf8(completion.text)}]
    if completion.reasoning is not None:
        parts.insert(0, {"type": "reasoning", "content": to_utf8(completion.reasoning)})
    known = {
        "gen_ai.response.model": completion.served_model,
        "gen_ai.response.time_to_first_chunk": completion.first_token_s,
        **{
            f"gen_ai.usage.{name}": getattr(completion.usage, ours) for ours, name in _USAGE.items()
        },
    }
    return {
        "gen_ai.input.messages": sent,
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts, "finish_reason": reason}],
        "gen_ai.response.finish_reasons": [reason],
        **{name: value for name, value in known.items() if value is not None},
    }


def _message(message: Message) -> dict[str, Any]:
    text = to_utf8(message.content)
    return {"role": message.role, "parts": [{"type": "text", "content": text}]}


def _score_events(scores: Sequence[ScoreRecord], time: int) -> list[Any]:
    from opentelemetry.sdk.trace import Event

    events = []
    for score in scores:
        about: dict[str, Any] = {"gen_ai.evaluation.name": score.scorer}
        if score.value is None:
            about["error.type"] = "unscorable"
        else:
            about["gen_ai.evaluation.score.value"] = float(score.value)
        if explanation := score.detail or score.reason:
            about["gen_ai.evaluation.explanation"] = explanation
        events.append(Event("gen_ai.evaluation.result", about, time))
    return events


def _model_id(trial: TrialRecord) -> str:
    return str(trial.row["model"]).partition(":")[2]


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).digest()


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1_000
