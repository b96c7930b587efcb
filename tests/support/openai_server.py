"""A loopback server that answers, refuses and counts as OpenAI does in November 2026.

    with OpenAIServer() as server:
        client = openai.OpenAI(base_url=server.url, api_key=server.key)

Every model of ``openai_families.FAMILIES`` is there, those of other hosts too. Routes of other
parts of the API are added with ``routes``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from support.openai_families import FAMILIES, Family, Refusal, refuse, text_of

Answer = Callable[[dict[str, Any]], str]
"""Returns the text to answer a request with: the request as the model gets it."""


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """What the server sends back: a status, a body, and more headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> Self:
        """Return a reply of JSON."""
        return cls(status, json.dumps(value).encode(), headers)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Route = Callable[[Request], Reply | None]
"""Answers a request, in the server's thread, or returns ``None`` to leave it to the next route.

The key of the request has been checked by then.
"""


@dataclass(frozen=True)
class Call:
    """One request for a completion.

    ``applied`` is what the model got of it: without ignored parameters, clamped, joined.
    """

    model: str
    body: Mapping[str, Any]
    status: int
    applied: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Limits:
    """Requests and tokens a minute, and how long a minute lasts, in seconds."""

    requests: int
    tokens: int
    minute_s: float = 60.0


class OpenAIServer:
    """A server in a thread of its own, for as long as its ``with`` block lasts.

    Parameters
    ----------
    answer
        The text to answer with; by default the last message.
    key
        The API key that is right.
    verified
        The organisation of that key is verified: some models stream for no other.
    limits
        Rate limits of each model: one for all, or by the name of the model.
    latency
        Seconds before each completion.
    retry_after
        Headers of a reply to a call above the limits, from the seconds to wait.
    families
        The models that are there.
    routes
        Answer what is not a completion or a list of models.

    Attributes
    ----------
    fingerprint
        The ``system_fingerprint`` of replies; may be set at any time.
    snapshots
        Replies that give another name of the model than the table has, by model; likewise.
    has_credit
        With ``False``, every completion is refused for want of money.
    """

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        key: str = "sk-test-1",
        verified: bool = True,
        limits: Limits | Mapping[str, Limits] | None = None,
        latency: float = 0.0,
        retry_after: Callable[[float], Mapping[str, str]] | None = None,
        families: Mapping[str, Family] = FAMILIES,
        routes: Sequence[Route] = (),
    ) -> None:
        self.answer = answer or _last_message
        self.key = key
        self.verified = verified
        self.latency = latency
        self.retry_after = retry_after or _retry_headers
        self.families = families
        self.routes = list(routes)
        self.fingerprint = "fp_1"
        self.snapshots: dict[str, str] = {}
        self.has_credit = True
        self.requests: list[Request] = []
        self.calls: list[Call] = []
        """Requests for completions, in the order in which they were decided."""
        self.in_flight = 0
        self.peak = 0
        """The most requests that were in flight at once."""
        self.port = 0
        self._limits = limits
        self._buckets: dict[str, tuple[_Bucket, _Bucket]] = {}
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="openai-server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def count(self, model: str | None = None, *, status: int | None = None) -> int:
        """Return how many completions were asked for: of a model, with a status."""
        return sum(
            model in (None, call.model) and status in (None, call.status)
            for call in list(self.calls)
        )

    @property
    def answered(self) -> Counter[str]:
        """Completions that were given, by model: these cost money."""
        return Counter(call.model for call in list(self.calls) if call.status == 200)

    @property
    def refused(self) -> Counter[str]:
        """Completions that were refused, by model."""
        return Counter(call.model for call in list(self.calls) if call.status != 200)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30), "the server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    # -- completions -------------------------------------------------------------------------------

    def complete(self, body: dict[str, Any]) -> Reply:
        """Return the reply to a request for a completion, whole, whatever the rate limits."""
        model = str(body.get("model"))
        family = self.families.get(model)
        number = next(self._numbers)
        if family is None:
            error = Refusal(
                None,
                "model_not_found",
                f"The model `{model}` does not exist or you do not have access to it.",
                404,
            )
        elif not isinstance(body.get("messages"), list) or not body["messages"]:
            error = Refusal("messages", "missing_required_parameter", "Give 'messages'.")
        else:
            error = refuse(family, body, verified=self.verified)
        if error is not None:
            self.calls.append(Call(model, body, error.status))
            host = family.host if family else "openai"
            return Reply(error.status, error.body(host, number))
        assert family is not None
        applied = family.apply(body)
        self.calls.append(Call(model, body, 200, applied))
        return Reply.of(self._completion(family, body, applied, number))

    def _completion(
        self, family: Family, body: dict[str, Any], applied: dict[str, Any], number: int
    ) -> dict[str, Any]:
        reasoning = family.reasoning_tokens(body)
        cap = family.cap(body)
        left = math.inf if cap is None else cap - reasoning
        words = split(_before_stop(self.answer(applied), applied.get("stop")))
        finish = "stop"
        if left <= 0:  # even an answer that has nothing to say was not reached
            assert cap is not None
            words, finish, reasoning = [], "length", cap
        elif left < len(words):
            words, finish = words[: int(left)], "length"
        text = "".join(words)
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": finish,
        }
        if applied.get("logprobs"):
            top = applied.get("top_logprobs") or 0
            choice["logprobs"] = {"content": [_logprob(w, top) for w in words], "refusal": None}
        prompt = count_prompt(applied["messages"])
        answer = len(words) + reasoning
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.snapshots.get(family.model, family.snapshot),
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": answer,
                "total_tokens": prompt + answer,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {
                    "reasoning_tokens": reasoning,
                    "audio_tokens": 0,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            "service_tier": "default",
            "system_fingerprint": self.fingerprint,
        }

    def _over_limit(self, body: dict[str, Any]) -> tuple[Reply | None, dict[str, str]]:
        """Return the refusal of a call above the limits, if it is, and the headers of any reply."""
        model = str(body.get("model"))
        limits = self._limits.get(model) if isinstance(self._limits, Mapping) else self._limits
        family = self.families.get(model)
        if limits is None or family is None:
            return None, {}
        if model not in self._buckets:
            kinds = (("requests", limits.requests), ("tokens", limits.tokens))
            self._buckets[model] = (
                _Bucket(*kinds[0], limits.minute_s),
                _Bucket(*kinds[1], limits.minute_s),
            )
        buckets = self._buckets[model]
        # As documented: the cap, or an estimate from the characters, whichever is more.
        characters = sum(len(text_of(message)) for message in body.get("messages", ()))
        amounts = (1, max(family.cap(body) or 0, math.ceil(characters / 4), 1))
        now = time.monotonic()
        for bucket in buckets:
            bucket.refill(now)
        reply: Reply | None = None
        for bucket, amount in zip(buckets, amounts, strict=True):
            wait = bucket.wait(amount)
            if wait > 0 and reply is None:
                used = bucket.limit - int(bucket.level)
                message = (
                    f"Rate limit reached for {model} in organization org-test on {bucket.kind} per "
                    f"min: Limit {bucket.limit}, Used {used}, Requested {amount}. "
                    f"Please try again in {duration(wait)}."
                )
                headers = self.retry_after(wait) if math.isfinite(wait) else {}
                reply = _rate_error(message, bucket.kind, "rate_limit_exceeded", headers)
        if reply is None:
            for bucket, amount in zip(buckets, amounts, strict=True):
                bucket.level -= amount
        return reply, {k: v for bucket in buckets for k, v in bucket.headers().items()}

    # -- the wire ----------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=300_000_000)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            request = Request(
                incoming.method,
                incoming.path,
                dict(incoming.query),
                {name.lower(): value for name, value in incoming.headers.items()},
                await incoming.read(),
            )
            self.requests.append(request)
            chat = request.path.endswith("/chat/completions")
            reply = self._wrong_key(request)
            if reply is not None and chat:
                self.calls.append(Call(_model_of(request), {}, reply.status))
            if reply is None and chat:
                reply = await self._chat(request)
                if reply.status == 200 and request.json.get("stream"):
                    return await self._stream(incoming, request.json, reply)
            return _response(reply or self._other(request))
        finally:
            self.in_flight -= 1

    def _wrong_key(self, request: Request) -> Reply | None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        sent = sent or request.headers.get("api-key", "")  # Azure's
        if sent == self.key:
            return None
        shown = f"{sent[:5]}***{sent[-4:]}" if len(sent) > 12 else "***"
        message = f"Incorrect API key provided: {shown}."
        return _error(401, message, "invalid_request_error", "invalid_api_key" if sent else None)

    async def _chat(self, request: Request) -> Reply:
        body = request.json
        if not self.has_credit:
            self.calls.append(Call(str(body.get("model")), body, 429))
            message = "You exceeded your current quota, please check your plan and billing details."
            return _rate_error(message, "insufficient_quota", "insufficient_quota", {})
        over, headers = self._over_limit(body)
        if over is not None:
            self.calls.append(Call(str(body.get("model")), body, 429))
            return Reply(over.status, over.body, {**headers, **over.headers})
        if self.latency:
            await asyncio.sleep(self.latency)
        reply = self.complete(body)
        number = f"req_{next(self._numbers)}"
        more = {"x-request-id": number, "openai-processing-ms": "1", **headers}
        return Reply(reply.status, reply.body, {**reply.headers, **more})

    async def _stream(
        self, incoming: web.Request, body: dict[str, Any], reply: Reply
    ) -> web.StreamResponse:
        """Send a completion in pieces: the role, word by word, the finish reason, the usage."""
        response = web.StreamResponse(headers=dict(reply.headers))
        response.content_type = "text/event-stream"
        await response.prepare(incoming)
        whole = reply.json
        usage = whole.pop("usage")
        (choice,) = whole.pop("choices")
        whole["object"] = "chat.completion.chunk"
        counted = bool((body.get("stream_options") or {}).get("include_usage"))
        logprobs = (choice["logprobs"] or {}).get("content") or []
        pieces = [({"role": "assistant", "content": "", "refusal": None}, None, None)]  # type: list[Any]
        for word, logprob in itertools.zip_longest(split(choice["message"]["content"]), logprobs):
            content = {"content": [logprob], "refusal": None} if logprob else None
            pieces.append(({"content": word}, content, None))
        pieces.append(({}, None, choice["finish_reason"]))
        for delta, content, finish in pieces:
            part = {"index": 0, "delta": delta, "logprobs": content, "finish_reason": finish}
            await _send(
                response, {**whole, "choices": [part], **({"usage": None} if counted else {})}
            )
        if counted:
            await _send(response, {**whole, "choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _other(self, request: Request) -> Reply:
        for route in self.routes:
            if (reply := route(request)) is not None:
                return reply
        models = [
            {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "system"}
            for name in self.families
        ]
        if request.method == "GET" and request.path.endswith("/models"):
            return Reply.of({"object": "list", "data": models})
        where = f"{request.method} {request.path}"
        return _error(404, f"Invalid URL ({where})", "invalid_request_error", None)


class _Bucket:
    """A token bucket: full at first, and full again after a minute without a call."""

    def __init__(self, kind: str, limit: int, minute_s: float) -> None:
        self.kind = kind
        self.limit = limit
        self.level = float(limit)
        self._rate = limit / minute_s
        self._at = time.monotonic()

    def refill(self, now: float) -> None:
        self.level = min(self.limit, self.level + (now - self._at) * self._rate)
        self._at = now

    def wait(self, amount: int) -> float:
        """Return the seconds until so much is there; infinity if it never is."""
        if amount > self.limit:
            return math.inf
        return max(0.0, (amount - self.level) / self._rate)

    def headers(self) -> dict[str, str]:
        return {
            f"x-ratelimit-limit-{self.kind}": str(self.limit),
            f"x-ratelimit-remaining-{self.kind}": str(max(0, int(self.level))),
            f"x-ratelimit-reset-{self.kind}": duration((self.limit - self.level) / self._rate),
        }


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers write it: ``120ms``, ``6s``, ``1m3s``, ``2h0m0s``."""
    if not math.isfinite(seconds):
        return "never"
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest / 1000:g}s"
    return f"{hours}h{minutes}m{last}" if hours else f"{minutes}m{last}" if minutes else last


def split(text: str) -> list[str]:
    """Return a text in tokens of this server: words, each with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def count_prompt(messages: Sequence[Mapping[str, Any]]) -> int:
    """Return the prompt tokens of messages: words, and three for each message's frame."""
    return sum(len(split(text_of(message))) + 3 for message in messages)


def _before_stop(text: str, stop: str | list[str] | None) -> str:
    for word in [stop] if isinstance(stop, str) else stop or []:
        text = text.partition(word)[0]
    return text


def _logprob(word: str, top: int) -> dict[str, Any]:
    entry = {"token": word, "logprob": -0.5, "bytes": list(word.encode())}
    return {**entry, "top_logprobs": [entry] if top else []}


def _retry_headers(seconds: float) -> dict[str, str]:
    """Return how long to wait, in whole seconds and in milliseconds, as OpenAI does."""
    milliseconds = math.ceil(seconds * 1000)
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(milliseconds)}


def _error(status: int, message: str, kind: str, code: str | None, **headers: str) -> Reply:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Reply.of({"error": error}, status, **headers)


def _rate_error(message: str, kind: str, code: str, headers: Mapping[str, str]) -> Reply:
    reply = _error(429, message, kind, code)
    return Reply(reply.status, reply.body, headers)


def _model_of(request: Request) -> str:
    try:
        return str(request.json.get("model"))
    except ValueError:
        return ""


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status,
        body=reply.body,
        headers=dict(reply.headers),
        content_type=reply.content_type,
    )


async def _send(response: web.StreamResponse, event: Any) -> None:
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")


def _last_message(request: dict[str, Any]) -> str:
    return text_of(request["messages"][-1])
