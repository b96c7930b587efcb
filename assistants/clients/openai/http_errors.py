"""Typed errors for what a server sends instead of an answer.

The type is decided by status, code, type and parameter, never by the text of a message, which
changes from release to release. The text is quoted: cut, escaped, and without known keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from assistants.clients.rate_limits import read_reset_s
from assistants.errors import (
    AuthenticationError,
    BadRequestError,
    CallError,
    ContextLengthError,
    ModelNotFoundError,
    ParameterRefusedError,
    RateLimitError,
    RedirectRefusedError,
    ServerError,
)
from assistants.utils import api_keys, text

MAX_ERROR_BYTES = 64 * 1024
"""Bytes of an error's body that are read."""

MAX_RETRY_AFTER = 600.0
"""Seconds to wait at most, whatever the server asks for."""

_MAX_QUOTED_CHARS = 300
_MAX_READ_CHARS = 4_000

_ERROR_TYPES: dict[str, type[CallError]] = {
    "context_length_exceeded": ContextLengthError,
    "exceed_context_size_error": ContextLengthError,  # llama.cpp, in `type`
    "insufficient_quota": RateLimitError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "model_not_found": ModelNotFoundError,
}
_CONTEXT_PARAMS = frozenset({"input_tokens", "input_text"})  # vLLM names the parameter at fault
_REFUSED_PARAMETER = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TRANSIENT_STATUSES = frozenset({408, 409, 425})

_FIXES: dict[type[CallError], str] = {
    ContextLengthError: "Shorten the persona or the conversation, or ask for fewer tokens.",
    AuthenticationError: "Check the key; `assistants models` says which variable holds it.",
    ModelNotFoundError: "Check the model's name and the base URL; most end in /v1.",
    RateLimitError: "Wait, or lower the number of calls in flight.",
    RedirectRefusedError: "Use the address it points to as the base URL, if you trust it.",
    BadRequestError: "Change the request; sending it again cannot help.",
    ServerError: "Try again; if it stays, look at the server's own log.",
}
_ROLE_FIX = 'Give the model a `system_role = "developer"` or `"user"` in models.toml.'


def from_status(status: int, headers: Mapping[str, str], body: bytes, model: str) -> CallError:
    """Return the error for an HTTP status other than 2xx.

    Parameters
    ----------
    headers
        Response headers, with names in lower case.
    body
        The part of the body that was read; it may end anywhere.
    """
    error = _error_object(_parse_json(body))
    if 300 <= status < 400:
        target = headers.get("location", "")
        target_note = f" to {quote_server_text(target)}" if target else ""
        return _build(
            RedirectRefusedError, f"{model}: HTTP {status} redirects the prompt{target_note}."
        )
    message = _server_message(error) if error is not None else _body_message(body)
    if status in (400, 422) and (parameter := _refused_parameter(error)):
        return ParameterRefusedError(
            f"{model} does not take `{parameter}` as it was sent. The server said: {message}",
            parameter=parameter,
            fix=_ROLE_FIX
            if parameter == "messages"
            else f"Leave out `{parameter}`, or give it a value that this model takes.",
        )
    return _build(
        _error_type(error, status),
        f"{model}: the server answered HTTP {status}{f' and said: {message}' if message else '.'}",
        retry_after=read_retry_after(headers) if status != 429 else _rate_limit_wait(headers),
        out_of_credit=_read_text_field(error, "code") == "insufficient_quota",
    )


def from_object(error: object, model: str) -> CallError:
    """Return the error for an ``error`` value inside a reply with status 200."""
    details = _error_object({"error": error})
    code = details.get("code") if details is not None else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    message = _server_message(details)
    return _build(
        _error_type(details, status),
        f"{model}: the reply holds an error instead of an answer"
        f"{f': {message}' if message else '.'}",
        out_of_credit=_read_text_field(details, "code") == "insufficient_quota",
    )


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds the server asked to wait; ``None`` if it did not, or not readably.

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


def _rate_limit_wait(headers: Mapping[str, str]) -> float | None:
    wait = read_retry_after(headers)
    return wait if wait is not None else read_reset_s(headers)


def quote_server_text(message: str) -> str:
    """Return a server's text on one line, cut, and without known keys."""
    return text.truncate_line(api_keys.redact(message[:_MAX_READ_CHARS]), _MAX_QUOTED_CHARS)


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
        error.at_fault = True  # of all trials alike
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


def _refused_parameter(error: Mapping[str, Any] | None) -> str:
    """Return the top-level name of the parameter that a model refuses; ``""`` if it is not that.

    ``reasoning.effort`` is what OpenAI's newer messages call ``reasoning_effort``. OpenRouter
    passes on the error of the host behind it as text.
    """
    behind = error.get("metadata") if error is not None else None
    if isinstance(behind, dict) and isinstance(behind.get("raw"), str):
        error = _error_object(_parse_json(behind["raw"].encode("utf-8", "replace"))) or error
    if _read_text_field(error, "code") not in _REFUSED_PARAMETER:
        return ""
    path = _read_text_field(error, "param")
    if path == "reasoning.effort":
        return "reasoning_effort"
    found = _PARAMETER.match(path)
    return found[0] if found else ""


def _read_text_field(error: Mapping[str, Any] | None, name: str) -> str:
    value = error.get(name) if error is not None else None
    return value if isinstance(value, str) else ""


def _error_object(value: object) -> Mapping[str, Any] | None:
    """Return the object that describes an error, in any of the shapes that servers use."""
    if not isinstance(value, dict):
        return None
    inner = value.get("error", value)  # older vLLM sends the object without an envelope
    if isinstance(inner, dict):
        return inner
    return {"message": inner} if isinstance(inner, str) else value


def _server_message(error: Mapping[str, Any] | None) -> str:
    for name in ("message", "detail", "code", "type"):  # FastAPI uses `detail`
        value = error.get(name) if error is not None else None
        if isinstance(value, str) and value.strip():
            return quote_server_text(value)
    return ""


def _body_message(body: bytes) -> str:
    content = body[: _MAX_READ_CHARS * 4].decode("utf-8", "replace").strip()
    return "an HTML page." if content.startswith("<") else quote_server_text(content)


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
    if seconds != seconds:  # NaN, which float() accepts
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
