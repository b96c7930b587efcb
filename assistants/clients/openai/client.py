"""The client for OpenAI-compatible servers. The SDK sends requests; ``response`` reads the replies.

The SDK is asked for the raw response: building its reply objects costs three times as much as
everything else, and it accepts broken replies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from assistants.clients.openai import response
from assistants.clients.openai.observations import Observations, Refusal, observed, remember
from assistants.clients.openai.request import Request, Timeouts, remember_sdk_key
from assistants.clients.openai.streaming import StreamReader
from assistants.clients.openai.transport import build_sdk
from assistants.clients.rate_limits import RateLimits
from assistants.errors import CallError, ParameterRefusedError, UsageError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.utils import Address, Endpoint, truncate_line

if TYPE_CHECKING:
    import httpx2
    import openai

__all__ = ["OpenAIClient", "Timeouts"]

AnyRequest = TypeVar("AnyRequest", bound=Request)

_OTHER_FIELD = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_FORMS = (True, True, False)
"""Whether a refused request may be sent in another form: the other name of its cap, unstreamed."""

_NOT_STREAMED = "Asked for the whole reply at once: the server refuses to stream it."


class OpenAIClient:
    """A model behind an OpenAI-compatible server.

    Parameters
    ----------
    model
        ``provider:id``; the server is asked for the part after the first colon.
    endpoint
        Returns the address and the API key for a call.
    sdk
        Instead of ``endpoint``: an SDK object, for example for Azure. It stays its owner's:
        ``aclose`` leaves it open, and it belongs to one event loop.
    identity
        The model's part of an answer's key, or a function that returns it; by default ``model``.
    max_concurrency
        The most calls in flight that the server can make use of.
    start_concurrency
        The number of calls in flight that a run begins with; by default the most.
    rate_caps
        Requests and tokens that may be spent in a minute, whatever the server says.
    timeouts
        Time limits of each call.
    default_sampling
        Settings of the model's entry, which those of personas and assistants win over.
    max_tokens_field
        The server's name for ``max_tokens``; OpenAI's newer models use ``max_completion_tokens``.
        Where the model refuses one name, the other is sent from then on.
    system_role
        The role under which system messages are sent.
    always_system
        Send an empty system message when the conversation has none, for a model whose template
        would insert one of its own.
    max_bytes
        Size limit of a reply.

    Attributes
    ----------
    rate_limits
        The limits that hold, with the server's last word on what is left of them.
    """

    def __init__(
        self,
        model: str,
        *,
        endpoint: Endpoint | None = None,
        sdk: openai.AsyncOpenAI | None = None,
        identity: str | Callable[[], str] | None = None,
        max_concurrency: int = 8,
        start_concurrency: int | None = None,
        rate_caps: RateLimits | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - frozen, so sharing it is safe
        default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        max_tokens_field: str = "max_tokens",
        system_role: Literal["system", "developer"] = "system",
        always_system: bool = False,
        max_bytes: int = response.MAX_REPLY_BYTES,
    ) -> None:
        if (endpoint is None) == (sdk is None):
            raise UsageError(f"{model}: pass either an endpoint or an SDK object.")
        provider, colon, served = model.partition(":")
        if not (provider and colon and served):
            raise UsageError(
                f"{model!r} is not the name of a model.", fix="Write it as provider:model."
            )
        self.model = model
        self._identity = identity or model
        self.max_concurrency = max_concurrency
        self.start_concurrency = min(start_concurrency or max_concurrency, max_concurrency)
        self._rate_caps = rate_caps or RateLimits()
        self.rate_limits = rate_caps
        self.default_sampling = default_sampling
        self.timeouts = timeouts
        self._served = served
        self._endpoint = endpoint
        self._own_sdk = sdk
        self._max_tokens_field = max_tokens_field
        self._system_role = system_role
        self._always_system = always_system
        self._max_bytes = max_bytes
        self._built: openai.AsyncOpenAI | None = None
        self._built_for: tuple[asyncio.AbstractEventLoop, Address] | None = None
        self._replaced: list[openai.AsyncOpenAI] = []  # these may still have calls in flight
        self._seen: Observations | None = None

    def __repr__(self) -> str:
        return truncate_line(f"{type(self).__name__}({self.model!r})", 120)

    @property
    def identity(self) -> str:
        """The model's part of an answer's key, now: a server may be replaced by another."""
        return self._identity if isinstance(self._identity, str) else self._identity()

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Send the whole conversation and wait for the whole reply."""
        for may_change in _FORMS:
            field = self._field
            request = await self._chat_request(messages, sampling, streamed=False)
            try:
                body = await request.read_body(self._max_bytes)
                self._note_rate_limits(request)
                return request.with_times(response.read_reply(body, self.model))
            except Exception as error:
                failure = request.to_call_error(error)
            if not (self._note_refusal(failure, sampling, field) and may_change):
                break
        # Outside the handler: a chained SDK error would carry the request's headers along.
        raise failure

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the reply in pieces; the last item is the ``Completion``.

        A model that refuses to stream is asked for the whole reply; its ``note`` says so.
        """
        failure: CallError | None = None
        for may_change in _FORMS:
            if not self._observations.streams:
                completion = await self.complete(messages, sampling)
                yield Delta(completion.text, completion.reasoning or "")
                yield replace(completion, note=_NOT_STREAMED)
                return
            field, failure = self._field, None
            request = await self._chat_request(messages, sampling, streamed=True)
            reader = StreamReader(self.model, self._max_bytes)
            async with contextlib.aclosing(request.stream_body(reader)) as chunks:
                while failure is None:
                    last: Completion | None = None
                    try:
                        chunk = await anext(chunks, None)
                        if chunk is not None:
                            reader.feed(chunk)
                        else:
                            last = reader.finish()
                            self._note_rate_limits(request)
                    except Exception as error:
                        failure = request.to_call_error(error, reader)
                    request.note_progress(reader.progress)
                    for delta in reader.take_deltas():
                        yield delta
                    if last is not None:
                        yield request.with_times(last)
                        return
            if not (self._note_refusal(failure, sampling, field) and may_change):
                break
        assert failure is not None
        raise failure

    async def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the JSON object that the server answers to a POST of ``body``.

        Parameters
        ----------
        path
            Below the base URL (``/embeddings``), or beside it (``../tokenize``).
        body
            ``model`` is added unless it is there.

        Raises
        ------
        CallError
            If the reply is not complete, or not a JSON object.
        """
        request: Request = await self._request({"model": self._served, **body}, path)
        try:
            reply = response.read_json_object(await request.read_body(self._max_bytes), self.model)
            response.raise_error_object(reply, self.model)
            return reply
        except Exception as error:
            failure = request.to_call_error(error)
        raise failure

    async def get(self, path: str, *, max_bytes: int | None = None) -> bytes:
        """Return the body that the server answers to a GET of ``path``.

        Parameters
        ----------
        path
            As in ``post``.
        max_bytes
            Size limit of the body; by default that of a reply.

        Raises
        ------
        CallError
            If the body is not complete.
        """
        request = await self._request({}, path, request_type=GetRequest)
        try:
            return await request.read_body(max_bytes or self._max_bytes)
        except Exception as error:
            failure = request.to_call_error(error)
        raise failure

    def chat_body(self, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
        """Return the body of a request for a whole reply, as ``complete`` would send it."""
        return self._body(messages, sampling, streamed=False)

    async def new_request(
        self,
        path: str,
        body: dict[str, Any],
        request_type: type[AnyRequest],
        timeouts: Timeouts | None = None,
    ) -> AnyRequest:
        """Return a request of another kind, which is not sent yet."""
        return await self._request(body, path, request_type=request_type, timeouts=timeouts)

    def request_messages(self, messages: Sequence[Message]) -> list[dict[str, str]]:
        """Return the messages to send, with an empty system message if ``always_system``."""
        roles = {"system": self._system_role}
        sent = [{"role": roles.get(m.role, m.role), "content": m.content} for m in messages]
        if self._always_system and not any(m.role == "system" for m in messages):
            sent.insert(0, {"role": self._system_role, "content": ""})
        return sent

    async def aclose(self) -> None:
        """Close connections. The next call opens them again."""
        closing = [*self._replaced, *([self._built] if self._built is not None else [])]
        self._replaced, self._built, self._built_for = [], None, None
        for sdk in closing:
            # One that belongs to a closed event loop cannot be closed, and need not be.
            with contextlib.suppress(Exception):
                await sdk.close()

    async def _chat_request(
        self, messages: Sequence[Message], sampling: Sampling, *, streamed: bool
    ) -> Request:
        return await self._request(self._body(messages, sampling, streamed=streamed))

    def _note_rate_limits(self, request: Request) -> None:
        if request.rate_limits is not None:
            self.rate_limits = request.rate_limits.within(self._rate_caps)

    async def _request(
        self,
        body: dict[str, Any],
        path: str = "/chat/completions",
        *,
        request_type: type[AnyRequest] = Request,  # type: ignore[assignment]
        timeouts: Timeouts | None = None,
    ) -> AnyRequest:
        sdk = self._own_sdk or await self._sdk()
        if path.startswith("../"):
            path = str(sdk.base_url.join(path))
        return request_type(
            self.model,
            sdk,
            body,
            timeouts or self.timeouts,
            ours=self._own_sdk is None,
            path=path,
        )

    async def _sdk(self) -> openai.AsyncOpenAI:
        assert self._endpoint is not None
        address = await self._endpoint()
        built_for = (asyncio.get_running_loop(), address)
        if self._built is None or self._built_for != built_for:
            self._set_aside()
            self._built = build_sdk(self.model, address)
            self._built_for = built_for
        return self._built

    def _set_aside(self) -> None:
        """Keep an open SDK object for ``aclose``, unless its event loop is closed."""
        loop = self._built_for[0] if self._built_for is not None else None
        if self._built is not None and loop is not None and not loop.is_closed():
            self._replaced.append(self._built)

    def _body(
        self, messages: Sequence[Message], sampling: Sampling, *, streamed: bool
    ) -> dict[str, Any]:
        settings = sampling.as_dict()
        settings |= settings.pop("extra", {})
        if "max_tokens" in settings:
            settings[self._field] = settings.pop("max_tokens")
        if streamed:
            settings |= {"stream": True, "stream_options": {"include_usage": True}}
        return {"model": self._served, "messages": self.request_messages(messages), **settings}

    @property
    def _observations(self) -> Observations:
        """The model's refusals so far, read before the first call."""
        if self._seen is None:
            self._seen = observed(self.identity)
        return self._seen

    @property
    def _field(self) -> str:
        """The name under which the model takes the cap on tokens, as far as is known."""
        return self._observations.max_tokens_field or self._max_tokens_field

    def _note_refusal(self, failure: CallError, sampling: Sampling, field: str) -> bool:
        """Remember a refusal; return whether the call may succeed in the form it has from now on.

        ``field`` is the name under which the cap on tokens was sent.
        """
        if not isinstance(failure, ParameterRefusedError):
            return False
        known, refused = self._observations, failure.parameter
        if refused in ("stream", "stream_options"):
            self._remember(replace(known, streams=False))
            return True
        if refused == field and field in _OTHER_FIELD:  # an entry may name a third
            self._remember(replace(known, max_tokens_field=_OTHER_FIELD[field]))
            return True
        refusal = Refusal(refused, sampling.reasoning_effort)
        self._remember(replace(known, refusals=known.refusals | {refusal}))
        return False

    def _remember(self, new: Observations) -> None:
        self._seen = new
        remember(self.identity, new)


class GetRequest(Request):
    """A GET request, which sends no body."""

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_sdk_key(self._sdk)
        timeout = httpx2.Timeout(None, connect=self._timeouts.connect)
        reply = await self._sdk.get(
            self._path,
            cast_to=cast("type[Any]", httpx2.Response),
            options={"max_retries": 0, "follow_redirects": False, "timeout": timeout},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", reply)
