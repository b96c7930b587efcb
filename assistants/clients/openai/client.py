"""Every OpenAI-compatible server: the SDK builds, signs and sends; ``wire`` reads what comes back.

The SDK object is asked for the raw response, because building its reply objects costs three times
what everything else does, and because it lets broken replies pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from assistants.clients.openai import response as wire
from assistants.clients.openai.request import Request, Timeouts, remember_sdk_key
from assistants.clients.openai.streaming import StreamReader
from assistants.clients.openai.transport import build_sdk
from assistants.errors import CallError, UsageError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.utils import Address, Endpoint, truncate_line

if TYPE_CHECKING:
    import httpx2
    import openai

__all__ = ["OpenAIClient", "Timeouts"]


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
        What answers are shared by, or what tells it at each moment, as ``endpoint`` does the
        address; ``model`` unless given.
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
        identity: str | Callable[[], str] | None = None,
        max_concurrency: int = 8,
        deadlines: Timeouts = Timeouts(),  # noqa: B008 - frozen, so sharing it is safe
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
        self._identity = identity or model
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
        return truncate_line(f"{type(self).__name__}({self.model!r})", 120)

    @property
    def identity(self) -> str:
        """What answers are shared by, now: a server may have been replaced since."""
        return self._identity if isinstance(self._identity, str) else self._identity()

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

    async def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the server's ``path`` answers to ``body``, for all that is not a conversation.

        Parameters
        ----------
        path
            Below the base URL (``/embeddings``); with ``../``, beside it (``../tokenize``).
        body
            Gains ``model``, unless it has one.

        Raises
        ------
        CallError
            If there is no whole reply, or it is no JSON object.
        """
        call = await self._calling({"model": self._served, **body}, path)
        try:
            reply = wire.read_json_object(await call.whole(self._max_bytes), self.model)
            wire.raise_error_object(reply, self.model)
            return reply
        except Exception as error:
            failure = call.failure(error)
        raise failure

    async def get(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """What the server shows at ``path``, which is as in ``post``.

        Parameters
        ----------
        path
            ``../metrics``, beside the base URL.
        max_bytes
            A larger body is refused; as a default, one larger than any reply may be.

        Raises
        ------
        CallError
            If there is no whole body.
        """
        call = await self._calling({}, path, kind=_GetRequest)
        try:
            return await call.whole(max_bytes or self._max_bytes)
        except Exception as error:
            failure = call.failure(error)
        raise failure

    def turns(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """The conversation as it goes out: with an empty system message where the model needs one.

        See ``always_system``.
        """
        turns = [{"role": m.role, "content": m.content} for m in messages]
        if self._always_system and not any(m.role == "system" for m in messages):
            turns.insert(0, {"role": "system", "content": ""})
        return turns

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
    ) -> Request:
        return await self._calling(self._body(messages, sampling, streamed=streamed))

    async def _calling(
        self,
        body: dict[str, Any],
        path: str = "/chat/completions",
        *,
        kind: type[Request] = Request,
    ) -> Request:
        sdk, ours = (self._given, False) if self._given is not None else (await self._sdk(), True)
        if path.startswith("../"):
            path = str(sdk.base_url.join(path))
        return kind(self.model, sdk, body, self.deadlines, ours=ours, path=path)

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
        if streamed:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": self._served, "messages": self.turns(messages), **settings}


class _GetRequest(Request):
    """A request that sends no body."""

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_sdk_key(self._sdk)
        timeout = httpx2.Timeout(None, connect=self._deadlines.connect)
        response = await self._sdk.get(
            self._path,
            cast_to=cast("type[Any]", httpx2.Response),
            options={"max_retries": 0, "follow_redirects": False, "timeout": timeout},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", response)
