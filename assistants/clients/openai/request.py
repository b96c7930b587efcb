"""One request on its way: its clock, its deadlines, and what its failure is called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from assistants.clients.openai import response as wire
from assistants.clients.openai.streaming import StreamReader
from assistants.clients.openai.transport import CLOSE_CONNECTION, display_url, translate_error
from assistants.errors import CallError, CallTimeoutError
from assistants.messages import Completion, partial_completion
from assistants.utils import api_keys

if TYPE_CHECKING:
    import httpx2
    import openai
    from openai._types import RequestOptions

_USAGE_WAIT_S = 5.0
"""Seconds to wait for the usage once the model has finished: the answer is there already."""

_END_WAIT_S = 0.25
"""Seconds to wait for the end after ``[DONE]``: a connection read to its end is used again."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each part of a call may take, in seconds.

    ``first_token`` and ``idle`` count until content or reasoning comes, not until bytes do:
    a server that only says that it is alive has not answered. Both are for streams.
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
        deadlines: Timeouts,
        *,
        ours: bool,
        path: str = "/chat/completions",
    ) -> None:
        self._path = path
        self._model = model
        self._sdk = sdk
        self._body = body
        self._deadlines = deadlines
        self._ours = ours
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._start = time.perf_counter()
        self._first_token_s: float | None = None
        self._limit = "total"  # the deadline that is the next to end

    async def whole(self, max_bytes: int) -> bytes:
        """The body of a reply that is not streamed."""
        received = bytearray()
        async with asyncio.timeout(self._deadlines.total):
            response = await self._send()
            try:
                async with contextlib.aclosing(response.aiter_bytes()) as pieces:
                    async for chunk in pieces:
                        received += chunk
                        wire.check_size(len(received), max_bytes, self._model)
            finally:
                await _close(response)
        return bytes(received)

    async def chunks(self, reader: StreamReader) -> AsyncGenerator[bytes, None]:
        """The bytes of a streamed reply, each within its deadline.

        Time that the consumer takes between two chunks counts towards the total only.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadlines.total
        until = self._next(loop.time() + self._deadlines.first_token, end, "first token")
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
                        if reader.finished:  # only the usage did not come
                            return
                        raise
                    if chunk is None:
                        return
                    yield chunk
                    if reader.finished:
                        wait = _END_WAIT_S if reader.done else _USAGE_WAIT_S
                        until = end = min(end, loop.time() + wait)
                    elif reader.progress > progress:
                        progress = reader.progress
                        until = self._next(loop.time() + self._deadlines.idle, end, "idle")
        finally:
            await _close(response)

    def saw(self, progress: int) -> None:
        """Note the time of the first token."""
        if progress and self._first_token_s is None:
            self._first_token_s = time.perf_counter() - self._start

    def stamped(self, completion: Completion) -> Completion:
        """``completion`` with the times of this call."""
        return replace(
            completion,
            started_at=self._started_at,
            first_token_s=self._first_token_s,
            total_s=time.perf_counter() - self._start,
        )

    def failure(self, error: Exception, reader: StreamReader | None = None) -> CallError:
        """The typed error for whatever ended this call, with what had arrived."""
        remember_sdk_key(self._sdk)
        if isinstance(error, TimeoutError):
            failure: CallError = self._too_slow()
        elif isinstance(error, CallError):
            failure = error
        else:
            failure = translate_error(
                error, self._model, display_url(self._sdk), self._deadlines.connect
            )
        if reader is not None and reader.progress:
            self.saw(reader.progress)
            failure.partial = failure.partial or reader.partial()
        if (partial := partial_completion(failure)) is not None:
            failure.partial = self.stamped(partial)
        return failure

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_sdk_key(self._sdk)
        timeout = httpx2.Timeout(None, connect=self._deadlines.connect)
        # Azure and the SDK's other providers read the model out of `body`; a text that has no
        # UTF-8 has to go out as bytes all the same.
        as_bytes = self._ours or not _is_valid_utf8(self._body)
        response = await self._sdk.post(
            self._path,
            cast_to=cast("type[Any]", httpx2.Response),
            body=None if as_bytes else self._body,
            content=_encode(self._body) if as_bytes else None,
            options=self._options(timeout),
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", response)

    def _options(self, timeout: httpx2.Timeout) -> RequestOptions:
        options: RequestOptions = {"max_retries": 0, "follow_redirects": False, "timeout": timeout}
        # llama.cpp's server closes the connection behind a stream, though it promises to keep it:
        # a request that follows at once would be lost. A new one costs little without TLS.
        if self._ours and self._body.get("stream") and self._sdk.base_url.scheme == "http":
            options["headers"] = CLOSE_CONNECTION
        return options

    def _next(self, own: float, end: float, name: str) -> float:
        self._limit = name if own < end else "total"
        return min(own, end)

    def _too_slow(self) -> CallTimeoutError:
        name = self._limit
        seconds = getattr(self._deadlines, name.replace(" ", "_"))
        return CallTimeoutError(
            f"{self._model}: the {name} deadline of {seconds:g} s has passed.",
            fix="Try again, lower the number of calls in flight, or set a longer deadline.",
        )


def remember_sdk_key(sdk: openai.AsyncOpenAI) -> None:
    """Make ``redact`` know the key of an SDK object, whoever built it."""
    if isinstance(key := getattr(sdk, "api_key", None), str):
        api_keys.remember(key)


def _is_valid_utf8(body: dict[str, Any]) -> bool:
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _encode(body: dict[str, Any]) -> bytes:
    """ASCII, so that a lone surrogate from an earlier answer can be sent back."""
    return json.dumps(body, allow_nan=False).encode("ascii")


async def _close(response: httpx2.Response) -> None:
    """Close a response; unless it was read to its end, the server sees the connection go."""
    with contextlib.suppress(Exception):  # what it complains about has been told already
        await response.aclose()
