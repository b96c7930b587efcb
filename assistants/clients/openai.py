"""Every OpenAI-compatible server: the SDK builds, signs and sends; ``wire`` reads what comes back.

The SDK object is asked for the raw response, because building its reply objects costs three times
what everything else does, and because it lets broken replies pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from assistants import keys
from assistants.address import Address, Endpoint
from assistants.clients import wire
from assistants.clients.streams import StreamReader
from assistants.clients.transport import build_sdk, shown_url, translated
from assistants.errors import CallError, DeadlineExceeded, UsageError
from assistants.messages import Completion, Delta, Message, Sampling

if TYPE_CHECKING:
    import httpx2
    import openai

_LINGER = 5.0
"""Seconds to wait for the usage once the model has finished: the answer is there already."""

_DRAIN = 0.25
"""Seconds to wait for the end after ``[DONE]``: a connection read to its end is used again."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each part of a call may take, in seconds.

    ``first_token`` and ``idle`` count until content or reasoning comes, not until bytes do:
    a server that only says that it is alive has not answered. Both are for streams.
    """

    connect: float = 10.0
    first_token: float = 120.0
    idle: float = 60.0
    total: float = 600.0


class OpenAIClient:
    """A model behind an OpenAI-compatible server.

    Parameters
    ----------
    model
        ``provider:id``; the server is asked for what stands after the first colon.
    endpoint
        Gives the address and the key at the moment of a call.
    sdk
        Instead of ``endpoint``: a finished SDK object, e.g. for Azure. It stays its owner's:
        ``aclose`` leaves it open, and it belongs to one event loop.
    identity
        What answers are shared by; ``model`` unless given.
    max_tokens_field
        What the server calls ``max_tokens``; OpenAI's newer models want ``max_completion_tokens``.
    always_system
        Send an explicit empty system message when the conversation has none, for a model whose
        template would insert one of its own.
    max_bytes
        A larger reply is refused.
    """

    def __init__(
        self,
        model: str,
        *,
        endpoint: Endpoint | None = None,
        sdk: openai.AsyncOpenAI | None = None,
        identity: str | None = None,
        max_concurrency: int = 8,
        deadlines: Deadlines = Deadlines(),
        max_tokens_field: str = "max_tokens",
        always_system: bool = False,
        max_bytes: int = wire.MAX_REPLY_BYTES,
    ) -> None:
        if (endpoint is None) == (sdk is None):
            raise UsageError(f"{model}: a client takes an endpoint or an SDK object, one of them.")
        provider, colon, served = model.partition(":")
        if not (provider and colon and served):
            raise UsageError(f"{model!r} names no model.", fix="Write it as provider:model.")
        self.model = model
        self.identity = identity or model
        self.max_concurrency = max_concurrency
        self.deadlines = deadlines
        self._served = served
        self._endpoint = endpoint
        self._given = sdk
        self._max_tokens_field = max_tokens_field
        self._always_system = always_system
        self._max_bytes = max_bytes
        self._built: openai.AsyncOpenAI | None = None
        self._built_for: tuple[asyncio.AbstractEventLoop, Address] | None = None
        self._replaced: list[openai.AsyncOpenAI] = []  # may still have calls in flight

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the whole conversation and wait for the whole reply."""
        call = await self._call(messages, sampling, streamed=False)
        try:
            body = await call.whole(self._max_bytes)
            return call.stamped(wire.read_reply(body, self.model))
        except Exception as error:
            failure = call.failure(error)
        # Outside the handler: a chained SDK error would carry the request's headers along.
        raise failure

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the reply piece by piece; the last thing yielded is the ``Completion``."""
        call = await self._call(messages, sampling, streamed=True)
        reader = StreamReader(self.model, self._max_bytes)
        failure: CallError | None = None
        async with contextlib.aclosing(call.chunks(reader)) as chunks:
            while failure is None:
                completion: Completion | None = None
                try:
                    chunk = await anext(chunks, None)
                    if chunk is not None:
                        reader.feed(chunk)
                    else:
                        completion = reader.finish()
                except Exception as error:
                    failure = call.failure(error, reader)
                call.saw(reader.progress)
                for delta in reader.take():
                    yield delta
                if completion is not None:
                    yield call.stamped(completion)
                    return
        raise failure

    async def aclose(self) -> None:
        """Close connections. The next call opens them again."""
        closing = [*self._replaced, *([self._built] if self._built is not None else [])]
        self._replaced, self._built, self._built_for = [], None, None
        for sdk in closing:
            # One that belongs to an event loop which is gone cannot say goodbye, and need not.
            with contextlib.suppress(Exception):
                await sdk.close()

    async def _call(
        self, messages: Sequence[Message], sampling: Sampling, *, streamed: bool
    ) -> _Call:
        body = self._body(messages, sampling, streamed=streamed)
        if self._given is not None:
            return _Call(self.model, self._given, body, self.deadlines, ours=False)
        return _Call(self.model, await self._sdk(), body, self.deadlines, ours=True)

    async def _sdk(self) -> openai.AsyncOpenAI:
        assert self._endpoint is not None
        address = await self._endpoint()
        wanted = (asyncio.get_running_loop(), address)
        if self._built is None or self._built_for != wanted:
            self._set_aside()
            self._built = build_sdk(self.model, address)
            self._built_for = wanted
        return self._built

    def _set_aside(self) -> None:
        """Keep what is open for ``aclose``; with its event loop gone there is nothing to close."""
        loop = self._built_for[0] if self._built_for is not None else None
        if self._built is not None and loop is not None and not loop.is_closed():
            self._replaced.append(self._built)

    def _body(
        self, messages: Sequence[Message], sampling: Sampling, *, streamed: bool
    ) -> dict[str, Any]:
        settings = sampling.as_dict()
        if "max_tokens" in settings:
            settings[self._max_tokens_field] = settings.pop("max_tokens")
        turns = [{"role": m.role, "content": m.content} for m in messages]
        if self._always_system and not any(m.role == "system" for m in messages):
            turns.insert(0, {"role": "system", "content": ""})
        if streamed:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": self._served, "messages": turns, **settings}


class _Call:
    """One request on its way: its clock, its deadlines, and what its failure is called."""

    def __init__(
        self,
        model: str,
        sdk: openai.AsyncOpenAI,
        body: dict[str, Any],
        deadlines: Deadlines,
        *,
        ours: bool,
    ) -> None:
        self._model = model
        self._sdk = sdk
        self._body = body
        self._deadlines = deadlines
        self._ours = ours
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._start = time.perf_counter()
        self._first_token_s: float | None = None
        self._progress = 0
        self._limit = "total"  # the deadline that is the next to end

    async def whole(self, max_bytes: int) -> bytes:
        """The body of a reply that is not streamed."""
        received = bytearray()
        async with asyncio.timeout(self._deadlines.total):
            response = await self._send()
            try:
                async for chunk in response.aiter_bytes():
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
            pieces = response.aiter_bytes()
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
                    until = min(end, loop.time() + (_DRAIN if reader.done else _LINGER))
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
        remember_key_of(self._sdk)
        if isinstance(error, TimeoutError):
            failure: CallError = self._too_slow()
        elif isinstance(error, CallError):
            failure = error
        else:
            failure = translated(error, self._model, shown_url(self._sdk), self._deadlines.connect)
        if reader is not None and reader.progress:
            self.saw(reader.progress)
            failure.partial = failure.partial or reader.partial()
        if failure.partial is not None:
            failure.partial = self.stamped(failure.partial)
        return failure

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_key_of(self._sdk)
        timeout = httpx2.Timeout(None, connect=self._deadlines.connect)
        content = _encoded(self._body)
        # Azure and the SDK's other providers read the model out of `body`; only a text that has
        # no UTF-8 must go out as bytes.
        as_bytes = self._ours or b"\\ud" in content
        response = await self._sdk.post(
            "/chat/completions",
            cast_to=cast("type[Any]", httpx2.Response),
            body=None if as_bytes else self._body,
            content=content if as_bytes else None,
            options={"max_retries": 0, "follow_redirects": False, "timeout": timeout},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", response)

    def _next(self, own: float, end: float, name: str) -> float:
        self._limit = name if own < end else "total"
        return min(own, end)

    def _too_slow(self) -> DeadlineExceeded:
        name = self._limit
        seconds = getattr(self._deadlines, name.replace(" ", "_"))
        return DeadlineExceeded(
            f"{self._model}: the {name} deadline of {seconds:g} s has passed.",
            fix="Try again, lower the number of calls in flight, or set a longer deadline.",
        )


def remember_key_of(sdk: openai.AsyncOpenAI) -> None:
    """Make ``redact`` know the key of an SDK object, whoever built it."""
    if isinstance(key := getattr(sdk, "api_key", None), str):
        keys.remember(key)


def _encoded(body: dict[str, Any]) -> bytes:
    """ASCII, so that a lone surrogate from an earlier answer can be sent back."""
    return json.dumps(body, allow_nan=False).encode("ascii")


async def _close(response: httpx2.Response) -> None:
    """Close a response; unless it was read to its end, the server sees the connection go."""
    with contextlib.suppress(Exception):  # what it complains about has been told already
        await response.aclose()
