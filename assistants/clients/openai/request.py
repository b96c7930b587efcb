"""One HTTP request: its time limits, its times, and the typed error of its failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from assistants.clients.openai.response import check_size
from assistants.clients.openai.streaming import StreamReader
from assistants.clients.openai.transport import CLOSE_CONNECTION, display_url, translate_error
from assistants.clients.rate_limits import RateLimits, read_rate_limits
from assistants.errors import CallError, CallTimeoutError
from assistants.messages import Completion, partial_completion
from assistants.utils import api_keys

if TYPE_CHECKING:
    import httpx2
    import openai
    from openai._types import RequestOptions

_USAGE_WAIT_S = 5.0
"""Seconds to wait for the usage after the answer is complete."""

_END_WAIT_S = 0.25
"""Seconds to wait for the end of the stream after ``[DONE]``, so that its connection is reused."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits of a call, in seconds.

    ``first_token`` and ``idle`` apply to streams. They count until content or reasoning arrives:
    a server that only sends keep-alive bytes has not answered.
    """

    connect: float = 10.0
    first_token: float = 120.0
    idle: float = 60.0
    total: float = 600.0


class Request:
    """A request to one model, sent once."""

    def __init__(
        self,
        model: str,
        sdk: openai.AsyncOpenAI,
        body: dict[str, Any],
        timeouts: Timeouts,
        *,
        ours: bool,
        path: str = "/chat/completions",
    ) -> None:
        self._path = path
        self._model = model
        self._sdk = sdk
        self._body = body
        self._timeouts = timeouts
        self._ours = ours
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._start = time.perf_counter()
        self._first_token_s: float | None = None
        self._limit = "total"  # the name of the time limit that ends next
        self.rate_limits: RateLimits | None = None

    async def read_body(self, max_bytes: int) -> bytes:
        """Return the body of a reply that is not streamed."""
        received = bytearray()
        async with asyncio.timeout(self._timeouts.total):
            response = await self._send()
            try:
                async with contextlib.aclosing(response.aiter_bytes()) as pieces:
                    async for chunk in pieces:
                        received += chunk
                        check_size(len(received), max_bytes, self._model)
            finally:
                await close_response(response)
        return bytes(received)

    async def stream_body(self, reader: StreamReader) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a streamed reply, each chunk within its time limit.

        The time a consumer takes between two chunks counts towards the total only.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeouts.total
        until = self._next_deadline(loop.time() + self._timeouts.first_token, end, "first token")
        async with asyncio.timeout_at(until):
            response = await self._send()
        try:
            async with contextlib.aclosing(response.aiter_bytes()) as pieces:
                progress = 0
                while True:
                    try:
                        async with asyncio.timeout_at(until):
                            chunk = await anext(pieces, None)
                    except Exception:
                        if reader.is_finished:  # only the usage is missing
                            return
                        raise
                    if chunk is None:
                        return
                    yield chunk
                    if reader.is_finished:
                        wait = _END_WAIT_S if reader.is_done else _USAGE_WAIT_S
                        until = end = min(end, loop.time() + wait)
                    elif reader.progress > progress:
                        progress = reader.progress
                        until = self._next_deadline(loop.time() + self._timeouts.idle, end, "idle")
        finally:
            await close_response(response)

    def note_progress(self, progress: int) -> None:
        """Record the time of the first token, once ``progress`` characters have arrived."""
        if progress and self._first_token_s is None:
            self._first_token_s = time.perf_counter() - self._start

    def with_times(self, completion: Completion) -> Completion:
        """Return ``completion`` with the times of this call."""
        return replace(
            completion,
            started_at=self._started_at,
            first_token_s=self._first_token_s,
            total_s=time.perf_counter() - self._start,
        )

    def to_call_error(self, error: Exception, reader: StreamReader | None = None) -> CallError:
        """Return the typed error for whatever ended this call, with the reply until then."""
        remember_sdk_key(self._sdk)
        if isinstance(error, TimeoutError):
            failure: CallError = self._timeout_error()
        elif isinstance(error, CallError):
            failure = error
        else:
            failure = translate_error(
                error, self._model, display_url(self._sdk), self._timeouts.connect
            )
        if reader is not None and reader.progress:
            self.note_progress(reader.progress)
            failure.partial = failure.partial or reader.partial()
        if (partial := partial_completion(failure)) is not None:
            failure.partial = self.with_times(partial)
        return failure

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_sdk_key(self._sdk)
        timeout = httpx2.Timeout(None, connect=self._timeouts.connect)
        # Azure and the SDK's other providers read the model from `body`; a text that is not valid
        # UTF-8 has to go out as bytes nevertheless.
        as_bytes = self._ours or not _is_valid_utf8(self._body)
        reply = await self._sdk.post(
            self._path,
            cast_to=cast("type[Any]", httpx2.Response),
            body=None if as_bytes else self._body,
            content=_encode(self._body) if as_bytes else None,
            options=self._options(timeout),
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        response = cast("httpx2.Response", reply)
        self.rate_limits = read_rate_limits(response.headers)
        return response

    def _options(self, timeout: httpx2.Timeout) -> RequestOptions:
        options: RequestOptions = {"max_retries": 0, "follow_redirects": False, "timeout": timeout}
        # llama.cpp's server closes the connection after a stream, though it promises to keep it:
        # a request that follows at once would be lost. A new connection is cheap without TLS.
        if self._ours and self._body.get("stream") and self._sdk.base_url.scheme == "http":
            options["headers"] = CLOSE_CONNECTION
        return options

    def _next_deadline(self, own: float, end: float, name: str) -> float:
        self._limit = name if own < end else "total"
        return min(own, end)

    def _timeout_error(self) -> CallTimeoutError:
        name = self._limit
        seconds = getattr(self._timeouts, name.replace(" ", "_"))
        return CallTimeoutError(
            f"{self._model}: the {name} time limit of {seconds:g} s has passed.",
            fix="Try again, lower the number of calls in flight, or set a longer timeout.",
        )


def remember_sdk_key(sdk: openai.AsyncOpenAI) -> None:
    """Make ``redact`` know the key of an SDK object, whoever built the object."""
    if isinstance(key := getattr(sdk, "api_key", None), str):
        api_keys.remember(key)


def _is_valid_utf8(body: dict[str, Any]) -> bool:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode(body: dict[str, Any]) -> bytes:
    """Encode as ASCII, so that a lone surrogate from an earlier answer can be sent back."""
    return json.dumps(body, allow_nan=False).encode("ascii")


async def close_response(response: httpx2.Response) -> None:
    """Close a response; unless it was read to its end, the server sees the connection go."""
    with contextlib.suppress(Exception):  # its cause has been reported already
        await response.aclose()
