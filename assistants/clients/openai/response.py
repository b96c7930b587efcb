"""Reads and validates the reply of an OpenAI-compatible chat completions server.

The SDK accepts broken replies: no choices, an HTML page, a stream that ends early. Here a reply is
a ``Completion`` or a ``CallError``, and no text leaves with a known API key in it.

Errors are raised outside ``except`` blocks on purpose: a decoder's error holds the whole body, and
a chained error would carry it into tracebacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from assistants.clients.openai import http_errors
from assistants.errors import (
    IncompleteReplyError,
    MalformedReplyError,
    ReasoningLimitError,
    ReplyTooLargeError,
    UnknownFinishReasonError,
)
from assistants.messages import Completion, Status, Usage
from assistants.utils import api_keys

_MAX_TOKENS = 1_000_000_000

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Size limit of a reply."""

STREAM_OVERHEAD = 8
"""Factor by which a stream may be larger: each token has an envelope of about 300 bytes."""

_STATUSES: dict[str, Status] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "ok"),
    **dict.fromkeys(("tool_calls", "function_call"), "ok"),
    # Mistral, where the context is full
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
    "content_filter": "content_filter",
    "refusal": "refusal",
}
# vLLM: the request was dropped, or the engine failed; DeepSeek: its machines are too busy
_INCOMPLETE = frozenset({"abort", "error", "insufficient_system_resource"})

_FIX = "Try again; if it stays, the address is no OpenAI-compatible server."


def read_reply(body: bytes, model: str) -> Completion:
    """Read a complete reply with a 2xx status.

    Raises
    ------
    MalformedReplyError
        If the reply breaks the protocol, so that no answer in it can be trusted;
        ``UnknownFinishReasonError`` if only its finish reason is unknown.
    IncompleteReplyError
        If it has no finish reason, or one that means the model was stopped.
    CallError
        If it holds an ``error`` object.
    """
    data = read_json_object(body, model)
    raise_error_object(data, model)
    choice = first_choice(data.get("choices"), model)
    if choice is None:
        raise_malformed(model, "`choices` is missing or empty")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise_malformed(model, "`message` is not an object")
    refusal = read_refusal(message, model)
    return build_completion(
        model,
        text=api_keys.redact(read_content(message.get("content"), model) + refusal),
        reasoning=api_keys.redact(read_reasoning(message, model)),
        refused=bool(refusal),
        finish_reason=read_finish_reason(choice, model),
        usage=read_usage(data.get("usage")),
        served_model=read_name(data.get("model")),
        system_fingerprint=read_name(data.get("system_fingerprint")),
    )


def read_usage(value: object) -> Usage:
    """Read the token counts of a server; a missing or invalid one is ``None``, never 0."""
    if not isinstance(value, dict):
        return Usage()
    return Usage(
        input_tokens=_read_count(value, "prompt_tokens"),
        output_tokens=_read_count(value, "completion_tokens"),
        cached_tokens=_read_count(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_read_count(value.get("completion_tokens_details"), "reasoning_tokens"),
    )


def check_size(received: int, limit: int, model: str) -> None:
    """Raise ``ReplyTooLargeError`` if more than ``limit`` bytes have been received."""
    if received > limit:
        raise ReplyTooLargeError(
            f"{model}: the reply is larger than {limit:,} bytes.",
            fix="Set max_tokens, or use a server that stops by itself.",
        )


def build_completion(
    model: str,
    *,
    text: str,
    reasoning: str,
    refused: bool,
    finish_reason: str | None,
    usage: Usage,
    served_model: str | None,
    system_fingerprint: str | None,
) -> Completion:
    """Return a finished reply with its status.

    Raises ``IncompleteReplyError``, ``ReasoningLimitError`` or ``UnknownFinishReasonError``, with
    the reply as ``partial``.
    """
    if finish_reason is None or finish_reason in _INCOMPLETE:
        status: Status | None = "truncated"
    else:
        status = _STATUSES.get(finish_reason)
    if refused and status in ("ok", "length"):
        status = "refusal"
    elif not text and status == "length" and (reasoning or usage.reasoning_tokens):
        status = "reasoning_limit"
    elif not text and status in ("ok", "length"):
        status = "empty"
    reason = redact_finish_reason(finish_reason)
    completion = Completion(
        text=text,
        status=status or "error",
        finish_reason=reason,
        reasoning=reasoning or None,
        usage=usage,
        served_model=served_model or None,
        system_fingerprint=system_fingerprint or None,
    )
    if status == "reasoning_limit":
        tokens = usage.reasoning_tokens or usage.output_tokens
        raise ReasoningLimitError(
            f"{model}: reasoning used all {f'{tokens:,} ' if tokens else ''}tokens, and there is "
            "no answer.",
            fix="Raise `max_tokens`, which counts reasoning too, or lower `reasoning_effort`.",
            partial=completion,
        )
    if status is None:
        raise UnknownFinishReasonError(
            f"{model}: the reply breaks the protocol: the finish reason "
            f"{http_errors.quote_server_text(str(reason))!r} is not known.",
            fix="Its text is kept with the failure. Please report the server and the reason.",
            partial=completion,
        )
    if status == "truncated":
        ending = "without a finish reason" if reason is None else f"with finish reason {reason!r}"
        raise IncompleteReplyError(
            f"{model}: the reply ended {ending}, before the model had finished.",
            fix="Try again; if it stays, look at the server's own log.",
            partial=completion,
        )
    return completion


def raise_error_object(data: Mapping[str, Any], model: str) -> None:
    """Raise an error if the reply holds an ``error`` object instead of an answer."""
    error = data.get("error")
    if error is None and data.get("object") == "error":  # older vLLM
        error = data
    if error is not None:
        raise http_errors.from_object(error, model)


def first_choice(choices: object, model: str) -> Mapping[str, Any] | None:
    """Return the choice with index 0, or ``None``: a chunk of a stream may have no such choice."""
    if not isinstance(choices, list):
        raise_malformed(model, "`choices` is not a list")
    for choice in choices:
        if not isinstance(choice, dict):
            raise_malformed(model, "a choice is not an object")
        if choice.get("index", 0) in (0, None):
            return choice
    return None


def read_content(content: object, model: str) -> str:
    """Read the answer's text, which some servers send as a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise_malformed(model, "`content` is not text")
    return "".join(_read_part(part, model) for part in content)


def _read_part(part: object, model: str) -> str:
    value = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(value, str):
        raise_malformed(model, "`content` has a part that is not text")
    return value


def read_reasoning(message: Mapping[str, Any], model: str) -> str:
    """Read the reasoning: ``reasoning`` or, with DeepSeek and llama.cpp, ``reasoning_content``."""
    for name in ("reasoning", "reasoning_content"):
        value = message.get(name)
        if value is not None and not isinstance(value, str):
            raise_malformed(model, f"`{name}` is not text")
        if value:
            return str(value)
    return ""


def read_refusal(message: Mapping[str, Any], model: str) -> str:
    """Read the text of a refusal."""
    value = message.get("refusal")
    if value is not None and not isinstance(value, str):
        raise_malformed(model, "`refusal` is not text")
    return value or ""


def read_finish_reason(choice: Mapping[str, Any], model: str) -> str | None:
    """Read the finish reason; ``None`` if there is none yet."""
    value = choice.get("finish_reason")
    if value is not None and not isinstance(value, str):
        raise_malformed(model, "`finish_reason` is not text")
    return value or None


def redact_finish_reason(finish_reason: str | None) -> str | None:
    """Return a finish reason without known keys."""
    return None if finish_reason is None else api_keys.redact(finish_reason)


def read_name(value: object) -> str | None:
    """Return a name that a server gives, of its model or of itself, without known keys."""
    return api_keys.redact(value) if isinstance(value, str) else None


def _read_count(counts: object, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    # isinstance would accept bool; a count that no model can reach is invalid
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None


def read_json_object(raw: bytes, model: str) -> dict[str, Any]:
    """Parse a JSON object, or raise ``MalformedReplyError``."""
    data, problem = parse_json(raw)
    if problem:
        raise_malformed(model, problem)
    if not isinstance(data, dict):
        raise_malformed(model, "JSON, but not an object")
    return data


def parse_json(raw: bytes) -> tuple[object, str]:
    """Parse a JSON text; return its value and ``""``, or ``None`` and the fault."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "no valid UTF-8"
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates
        ), ""
    except RecursionError:
        return None, "JSON nested too deeply"
    except ValueError:
        page = text.lstrip().startswith("<")
        return None, "an HTML page" if page else "no valid JSON" if text.strip() else "empty"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, refusing duplicate names: it is unknown which value the server meant."""
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("duplicate name")
    return data


def raise_malformed(model: str, fault: str) -> NoReturn:
    """Raise ``MalformedReplyError`` that names ``fault``."""
    raise MalformedReplyError(f"{model}: the reply breaks the protocol: {fault}.", fix=_FIX)
