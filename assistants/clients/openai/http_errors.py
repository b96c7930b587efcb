"""What a server said instead of an answer, as a typed error.

Decided by status, code, type and parameter; never by the words of a message, which change from
release to release. The words are quoted: cut, made visible, and with every known key taken out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from assistants.errors import (
    AuthenticationError,
    BadRequestError,
    CallError,
    ContextLengthError,
    ModelNotFoundError,
    RateLimitError,
    RedirectRefusedError,
    ServerError,
)
from assistants.utils import api_keys, text

MAX_ERROR_BYTES = 64 * 1024
"""So much of an error's body is read; the rest says nothing more."""

MAX_RETRY_AFTER = 600.0
"""Seconds. A server that asks for more is asked again after this long."""

_MAX_QUOTED_CHARS = 300
_MAX_READ_CHARS = 4_000

_ERROR_TYPES: dict[str, type[CallError]] = {
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,  # llama.cpp says so in `type`
    "insufficient_quota": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "model_not_found": ModelNotFoundError,
}
_CONTEXT_PARAMS = frozenset({"input_tokens", "input_text"})  # vLLM names the parameter at fault
_TRANSIENT_STATUSES = frozenset({408, 409, 425})

_FIXES: dict[type[CallError], str] = {
    ContextLengthError: "Shorten the persona or the conversation, or ask for fewer tokens.",
    AuthenticationError: "Check that the environment variable named for this model holds a valid key.",
    ModelNotFoundError: "Check the model's name and the base URL; most end in /v1.",
    RateLimitError: "Wait, or lower the number of calls in flight.",
    RedirectRefusedError: "Use the address it points to as the base URL, if you trust it.",
    BadRequestError: "Change the request; sending it again cannot help.",
    ServerError: "Try again; if it stays, look at the server's own log.",
}


def from_status(status: int, headers: Mapping[str, str], body: bytes, model: str) -> CallError:
    """The error that an HTTP status other than 2xx stands for.

    Parameters
    ----------
    headers
        Looked up in lower case.
    body
        As much of it as was read; it may be cut anywhere.
    """
    error = _error_object(_parse_json(body))
    if 300 <= status < 400:
        target = headers.get("location", "")
        said = f" to {quote_server_text(target)}" if target else ""
        return _build(RedirectRefusedError, f"{model}: HTTP {status} redirects the prompt{said}.")
    kind = _error_type(error, status)
    words = _server_message(error) if error is not None else _body_message(body)
    said = f" and said: {words}" if words else "."
    return _build(
        kind,
        f"{model}: the server answered HTTP {status}{said}",
        retry_after=read_retry_after(headers),
        out_of_credit=_read_text_field(error, "code") == "insufficient_quota",
    )


def from_object(error: object, model: str) -> CallError:
    """The error that an ``error`` value inside a reply with status 200 stands for."""
    held = _error_object({"error": error})
    code = held.get("code") if held is not None else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    words = _server_message(held)
    return _build(
        _error_type(held, status),
        f"{model}: the reply holds an error instead of an answer{f': {words}' if words else '.'}",
        out_of_credit=_read_text_field(held, "code") == "insufficient_quota",
    )


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds the server asked to be left alone; ``None`` if it did not say it so one can read it.

    Reads ``retry-after-ms``, and ``retry-after`` as seconds or as an HTTP date.
    """
    if (millis := _parse_number(headers.get("retry-after-ms", ""))) is not None:
        return _cap_seconds(millis / 1000)
    value = headers.get("retry-after", "")
    if (seconds := _parse_number(value)) is not None:
        return _cap_seconds(seconds)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return _cap_seconds((when - (now or datetime.now(UTC))).total_seconds())


def quote_server_text(words: str) -> str:
    """A server's words on one line, cut, without known keys."""
    return text.truncate_line(api_keys.redact(words[:_MAX_READ_CHARS]), _MAX_QUOTED_CHARS)


def _build(
    kind: type[CallError],
    message: str,
    *,
    retry_after: float | None = None,
    out_of_credit: bool = False,
) -> CallError:
    error = kind(message, fix=_FIXES[kind], retry_after=retry_after)
    if out_of_credit:
        error.retryable = False
        error.fix = "The account has no credit left: add some, or use another model."
    return error


def _error_type(error: Mapping[str, Any] | None, status: int) -> type[CallError]:
    for name in ("code", "type"):
        if (kind := _ERROR_TYPES.get(_read_text_field(error, name))) is not None:
            return kind
    if status == 429:
        return RateLimitError
    if status in _TRANSIENT_STATUSES or status >= 500:
        return ServerError
    if status in (401, 403):
        return AuthenticationError
    if status == 404:
        return ModelNotFoundError
    if _read_text_field(error, "param") in _CONTEXT_PARAMS:
        return ContextLengthError
    return BadRequestError


def _read_text_field(error: Mapping[str, Any] | None, name: str) -> str:
    value = error.get(name) if error is not None else None
    return value if isinstance(value, str) else ""


def _error_object(value: object) -> Mapping[str, Any] | None:
    """The object that describes an error, in the shapes that servers use."""
    if not isinstance(value, dict):
        return None
    inner = value.get("error", value)  # older vLLM sends the object without an envelope
    if isinstance(inner, dict):
        return inner
    return {"message": inner} if isinstance(inner, str) else value


def _server_message(error: Mapping[str, Any] | None) -> str:
    for name in ("message", "detail", "code", "type"):  # FastAPI says `detail`
        value = error.get(name) if error is not None else None
        if isinstance(value, str) and value.strip():
            return quote_server_text(value)
    return ""


def _body_message(body: bytes) -> str:
    words = body[: _MAX_READ_CHARS * 4].decode("utf-8", "replace").strip()
    return "an HTML page." if words.startswith("<") else quote_server_text(words)


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _parse_number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _cap_seconds(seconds: float) -> float | None:
    if seconds != seconds:  # NaN, which float() reads happily
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
