"""What a server can do wrong, by name: the bytes it sends, and what must become of them.

``WHOLE`` answers a request for a whole reply, ``STREAMED`` one for a stream. ``expect`` is the
error that has to be raised, or the status of the completion that has to come back.
"""

from __future__ import annotations

import enum
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from assistants import errors


class Do(enum.Enum):
    CLOSE = "close the connection"
    STALL = "send nothing more, and keep the connection"


@dataclass(frozen=True)
class Forever:
    """The same bytes again and again."""

    piece: bytes
    every: float = 0.0


Step = bytes | float | Do | Forever
Steps = Sequence[Step]


@dataclass(frozen=True)
class Rude:
    """One bad reply. ``deadline`` is the one that has to end it, if one has to."""

    steps: Steps | Callable[[Mapping[str, str]], Steps]
    expect: type[errors.CallError] | str
    deadline: str = ""


# -- the protocol, spoken well ---------------------------------------------------------------------


def http(body: bytes, status: str = "200 OK", kind: str = "application/json", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reply(content: Any = "Hi.", finish: Any = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], **more}


def json_reply(text: str, **more: Any) -> Steps:
    return [http(json.dumps(reply(text, **more)).encode())]


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta if delta is not None else {}, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def event(data: Any) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return b"data: " + raw + b"\n\n"


SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def piece(raw: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(raw), raw)


END = b"0\r\n\r\n"


def sse(*events: Any, end: bool = True) -> list[Step]:
    steps: list[Step] = [SSE_HEAD, *(piece(event(e)) for e in events)]
    return [*steps, END] if end else steps


def sse_reply(text: str, *, usage: dict[str, int], model: str) -> Steps:
    """Return the steps of a stream: text word by word, finish reason, usage and the end."""
    words = text.split(" ")
    pieces = [w if i == 0 else f" {w}" for i, w in enumerate(words)]
    chunks = [chunk({"content": p}, model=model) for p in pieces]
    last = {"object": "chat.completion.chunk", "model": model, "choices": [], "usage": usage}
    role = chunk({"role": "assistant", "content": ""}, model=model)
    return sse(role, *chunks, chunk(finish="stop", model=model), last, b"[DONE]")


# -- rude in both modes: HTTP itself ---------------------------------------------------------------


def status(line: str, error: Any = None, *headers: str) -> Steps:
    body = b"" if error is None else json.dumps({"error": error}).encode()
    return [http(body, line, "application/json", *headers)]


def echo_key(line: str) -> Callable[[Mapping[str, str]], Steps]:
    return lambda headers: status(
        line, {"message": f"Incorrect API key provided: {headers.get('authorization')}."}
    )


_HTML = b"<!DOCTYPE html><html><body>Bad gateway</body></html>"


@cache
def _bomb() -> bytes:
    return gzip.compress(b"a" * 64_000_000)


_CONTEXT = {"message": "too long", "type": "invalid_request_error"}
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

BOTH: dict[str, Rude] = {
    "300": Rude(status("300 Multiple Choices"), errors.RedirectRefusedError),
    "301 no location": Rude(status("301 Moved"), errors.RedirectRefusedError),
    "302": Rude(status("302 Found", None, "location: /v2"), errors.RedirectRefusedError),
    "307 other origin": Rude(
        status("307 Temporary", None, "location: http://127.0.0.2:9/v1"),
        errors.RedirectRefusedError,
    ),
    "308 bad location": Rude(
        status("308 Permanent", None, "location: http://[::bad/"), errors.RedirectRefusedError
    ),
    "304": Rude([b"HTTP/1.1 304 Not Modified\r\n\r\n"], errors.RedirectRefusedError),
    "400": Rude(status("400 Bad", {"message": "no", "code": "x"}), errors.BadRequestError),
    "400 context openai": Rude(
        status("400 Bad", {**_CONTEXT, "code": "context_length_exceeded"}),
        errors.ContextLengthError,
    ),
    "400 context llama.cpp": Rude(
        status("400 Bad", {"code": 400, "message": "x", "type": "exceed_context_size_error"}),
        errors.ContextLengthError,
    ),
    "400 context vllm": Rude(
        status(
            "400 Bad",
            {"message": "x", "type": "BadRequestError", "param": "input_tokens", "code": 400},
        ),
        errors.ContextLengthError,
    ),
    "400 context by words only": Rude(
        status("400 Bad", {"message": "This model's maximum context length is 8"}),
        errors.BadRequestError,
    ),
    "400 not json": Rude([http(b"nope", "400 Bad", "text/plain")], errors.BadRequestError),
    "401": Rude(status("401 Unauthorized", {"message": "no"}), errors.AuthenticationError),
    "401 key echo": Rude(echo_key("401 Unauthorized"), errors.AuthenticationError),
    "402": Rude(status("402 Payment Required"), errors.BadRequestError),
    "403": Rude(status("403 Forbidden"), errors.AuthenticationError),
    "404": Rude(status("404 Not Found", {"code": "model_not_found"}), errors.ModelNotFoundError),
    "404 html": Rude([http(_HTML, "404 Not Found", "text/html")], errors.ModelNotFoundError),
    "408": Rude(status("408 Timeout"), errors.ServerError),
    "409": Rude(status("409 Conflict"), errors.ServerError),
    "413": Rude(status("413 Too Large"), errors.BadRequestError),
    "422": Rude([http(b'{"detail": []}', "422 Unprocessable")], errors.BadRequestError),
    "425": Rude(status("425 Too Early"), errors.ServerError),
    "429": Rude(status("429 Too Many", None, "retry-after: 0"), errors.RateLimitError),
    "429 no credit": Rude(
        status("429 Too Many", {"code": "insufficient_quota"}), errors.RateLimitError
    ),
    "429 bad retry-after": Rude(
        status("429 Too Many", None, "retry-after: soon"), errors.RateLimitError
    ),
    "500": Rude(status("500 Internal", {"message": "boom"}), errors.ServerError),
    "500 key echo": Rude(echo_key("500 Internal"), errors.ServerError),
    "500 null": Rude([http(b"null", "500 Internal")], errors.ServerError),
    "500 bad utf-8": Rude([http(b"\xff\xfe\x00", "500 Internal")], errors.ServerError),
    "500 deep": Rude([http(b"[" * 60_000, "500 Internal")], errors.ServerError),
    "500 forever": Rude(
        [b"HTTP/1.1 500 Internal\r\n\r\n", Forever(b"x" * 16_384)], errors.ServerError
    ),
    "500 cut": Rude(
        [b"HTTP/1.1 500 Internal\r\ncontent-length: 99\r\n\r\nx", Do.CLOSE], errors.ServerError
    ),
    "500 bomb": Rude(
        lambda headers: [http(_bomb(), "500 Internal", "text/plain", "content-encoding: gzip")],
        errors.ServerError,
    ),
    "502 html": Rude([http(_HTML, "502 Bad Gateway", "text/html")], errors.ServerError),
    "503": Rude(status("503 Unavailable", None, "retry-after: 2"), errors.ServerError),
    "529": Rude(status("529 Overloaded"), errors.ServerError),
    "close before headers": Rude([Do.CLOSE], errors.ServerUnreachableError),
    "close in headers": Rude([_HEAD, Do.CLOSE], errors.ServerUnreachableError),
    "no http": Rude([b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Do.CLOSE], errors.MalformedReplyError),
    "bad header": Rude([b"HTTP/1.1 200 OK\r\n\x00\x01: x\r\n\r\n"], errors.MalformedReplyError),
    "endless headers": Rude(
        [b"HTTP/1.1 200 OK\r\n", Forever(b"x-a: " + b"b" * 900 + b"\r\n")],
        errors.MalformedReplyError,
    ),
    "bad chunked": Rude(
        [_HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n", Do.CLOSE], errors.CallError
    ),
    "bad gzip": Rude(
        [http(b"no gzip", "200 OK", "application/json", "content-encoding: gzip")],
        errors.MalformedReplyError,
    ),
    "bomb": Rude(
        lambda headers: [http(_bomb(), "200 OK", "application/json", "content-encoding: gzip")],
        errors.CallError,
    ),
    "empty body": Rude([http(b"")], errors.CallError),
    "204": Rude([b"HTTP/1.1 204 No Content\r\n\r\n"], errors.CallError),
    "html": Rude([http(_HTML, "200 OK", "text/html")], errors.MalformedReplyError),
    "plain text": Rude([http(b"hello", "200 OK", "text/plain")], errors.MalformedReplyError),
    "json list": Rude([http(b"[1]")], errors.MalformedReplyError),
    "endless body": Rude(
        [_HEAD + b'\r\n{"a": "', Forever(b"x" * 65_536)], errors.ReplyTooLargeError
    ),
    "stall before headers": Rude([Do.STALL], errors.CallTimeoutError, "total"),
    "stall in headers": Rude([_HEAD, Do.STALL], errors.CallTimeoutError, "total"),
    "stall after headers": Rude(
        [_HEAD + b"content-length: 99\r\n\r\n", Do.STALL], errors.CallTimeoutError, "total"
    ),
    "drip headers": Rude([_HEAD, Forever(b"x-a: b\r\n", 0.05)], errors.CallTimeoutError, "total"),
    "stall in error": Rude(
        [b"HTTP/1.1 500 Internal\r\ncontent-length: 99\r\n\r\nx", Do.STALL],
        errors.CallError,
        "total",
    ),
}

# -- rude whole replies ----------------------------------------------------------------------------


def whole(data: Any, expect: type[errors.CallError] | str) -> Rude:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Rude([http(raw)], expect)


def usage(value: Any) -> dict[str, Any]:
    return reply(usage=value)


def _echo_whole(headers: Mapping[str, str]) -> Steps:
    key = headers.get("authorization", "")
    return json_reply(f"Your key is {key}.", model=key, message={"reasoning": f"It is {key}."})


_BAD = errors.MalformedReplyError

WHOLE: dict[str, Rude] = {
    **BOTH,
    "not json": whole(b"{'a': 1}", _BAD),
    "json null": whole(b"null", _BAD),
    "json string": whole(b'"Hi."', _BAD),
    "half json": whole(b'{"choices": [', _BAD),
    "two jsons": whole(b"{}{}", _BAD),
    "nan": whole(json.dumps(usage({"prompt_tokens": float("nan")})).encode(), _BAD),
    "huge int": whole(b'{"created": ' + b"9" * 5000 + b"}", _BAD),
    "deep": whole(b'{"a":' * 20_000, _BAD),
    "duplicate content": whole(
        b'{"choices":[{"message":{"content":"a","content":"b"},"finish_reason":"stop"}]}', _BAD
    ),
    "bad utf-8": whole(b'{"choices":[{"message":{"content":"\xff"}}]}', _BAD),
    "utf-16": whole(json.dumps(reply()).encode("utf-16"), _BAD),
    "bom": whole(b"\xef\xbb\xbf" + json.dumps(reply()).encode(), "ok"),
    "no choices": whole({}, _BAD),
    "choices null": whole({"choices": None}, _BAD),
    "choices empty": whole({"choices": []}, _BAD),
    "choices object": whole({"choices": {}}, _BAD),
    "choices of text": whole({"choices": ["Hi."]}, _BAD),
    "choices of null": whole({"choices": [None]}, _BAD),
    "two choices": whole(
        {"choices": [{**reply("b")["choices"][0], "index": 1}, *reply("a")["choices"]]}, "ok"
    ),
    "no message": whole({"choices": [{"index": 0, "finish_reason": "stop"}]}, _BAD),
    "message null": whole({"choices": [{"message": None, "finish_reason": "stop"}]}, _BAD),
    "message text": whole({"choices": [{"message": "Hi.", "finish_reason": "stop"}]}, _BAD),
    "content number": whole(reply(1), _BAD),
    "content object": whole(reply({"text": "Hi."}), _BAD),
    "content parts": whole(reply([{"type": "text", "text": "Hi."}]), "ok"),
    "content image": whole(reply([{"type": "image_url", "image_url": {}}]), _BAD),
    "content part number": whole(reply([{"type": "text", "text": 1}]), _BAD),
    "content null": whole(reply(None), "empty"),
    "content empty": whole(reply(""), "empty"),
    "tool calls": whole(reply(None, "tool_calls", message={"tool_calls": [{}]}), "empty"),
    "reasoning only": whole(reply("", message={"reasoning": "hm"}), "empty"),
    "reasoning_content only": whole(reply(None, message={"reasoning_content": "hm"}), "empty"),
    "reasoning list": whole(reply(message={"reasoning": ["hm"]}), _BAD),
    "refusal": whole(reply(None, message={"refusal": "No."}), "refusal"),
    "refusal number": whole(reply(None, message={"refusal": 1}), _BAD),
    "length": whole(reply(finish="length"), "length"),
    "model_length": whole(reply(finish="model_length"), "length"),
    "max_tokens": whole(reply(finish="max_tokens"), "length"),
    "eos": whole(reply(finish="eos_token"), "ok"),
    "filter": whole(reply("", "content_filter"), "content_filter"),
    "no finish": whole({"choices": [{"message": {"content": "Hi."}}]}, errors.IncompleteReplyError),
    "finish null": whole(reply(finish=None), errors.IncompleteReplyError),
    "finish empty": whole(reply(finish=""), errors.IncompleteReplyError),
    "finish number": whole(reply(finish=1), _BAD),
    "finish unknown": whole(reply(finish="tired"), errors.UnknownFinishReasonError),
    "finish busy": whole(reply(finish="insufficient_system_resource"), errors.IncompleteReplyError),
    "finish abort": whole(reply(finish="abort"), errors.IncompleteReplyError),
    "finish error": whole(reply(finish="error"), errors.IncompleteReplyError),
    "error object": whole({"error": {"message": "boom", "code": 500}}, errors.ServerError),
    "error text": whole({"error": "boom"}, errors.ServerError),
    "error number": whole({"error": 1}, errors.ServerError),
    "error with choices": whole(reply(error={"message": "boom"}), errors.ServerError),
    "error old vllm": whole(
        {"object": "error", "message": "no", "code": 404}, errors.ModelNotFoundError
    ),
    "error context": whole(
        {"error": {"code": "context_length_exceeded"}}, errors.ContextLengthError
    ),
    "error rate": whole({"error": {"code": 429, "message": "slow"}}, errors.RateLimitError),
    "usage null": whole(usage(None), "ok"),
    "usage text": whole(usage("5"), "ok"),
    "usage negative": whole(usage({"prompt_tokens": -1, "completion_tokens": -5}), "ok"),
    "usage bool": whole(usage({"prompt_tokens": True, "completion_tokens": False}), "ok"),
    "usage float": whole(usage({"prompt_tokens": 1.5, "completion_tokens": "5"}), "ok"),
    "usage details": whole(usage({"prompt_tokens_details": [], "x": 1}), "ok"),
    "surrogate": whole(
        rb'{"choices":[{"message":{"content":"\ud800"},"finish_reason":"stop"}]}', "ok"
    ),
    "nul and bidi": whole(reply("a\x00b\u202ec"), "ok"),
    "key echo": Rude(_echo_whole, "ok"),
    "cut in body": Rude(
        [_HEAD + b'content-length: 999\r\n\r\n{"choices": [', Do.CLOSE], errors.IncompleteReplyError
    ),
    "cut chunked": Rude(
        [_HEAD + b"transfer-encoding: chunked\r\n\r\n" + piece(b'{"a":'), Do.CLOSE],
        errors.IncompleteReplyError,
    ),
    "no length": Rude([_HEAD + b"\r\n" + json.dumps(reply()).encode(), Do.CLOSE], "ok"),
    "length too small": Rude(
        [_HEAD + b"content-length: 9\r\n\r\n" + json.dumps(reply()).encode(), Do.CLOSE], _BAD
    ),
    "stall in body": Rude(
        [_HEAD + b'content-length: 99\r\n\r\n{"a":', Do.STALL], errors.CallTimeoutError, "total"
    ),
    "drip": Rude(
        [_HEAD + b"content-length: 9999\r\n\r\n", Forever(b" ", 0.05)],
        errors.CallTimeoutError,
        "total",
    ),
}

# -- rude streams ----------------------------------------------------------------------------------


def stream(*events: Any, expect: type[errors.CallError] | str) -> Rude:
    return Rude(sse(*events), expect)


def raw_stream(*pieces: bytes, expect: type[errors.CallError] | str) -> Rude:
    return Rude([SSE_HEAD, *(piece(p) for p in pieces), END], expect)


def _echo_stream(headers: Mapping[str, str]) -> Steps:
    key = headers.get("authorization", "")
    letters = [chunk({"content": c}) for c in f"Your key is {key}."]
    thought = [chunk({"reasoning": c}) for c in f"It is {key}"]
    return sse(*thought, *letters, chunk(finish="stop", model=key), b"[DONE]")


def _echo_error(headers: Mapping[str, str]) -> Steps:
    return sse(chunk({"content": "a"}), {"error": {"message": headers.get("authorization")}})


_A = chunk({"content": "Hi."})
_STOP = chunk(finish="stop")
_ROLE = chunk({"role": "assistant", "content": ""})
_DONE = b"[DONE]"
_OPEN = sse(_ROLE, _A, end=False)

STREAMED: dict[str, Rude] = {
    **{n: replace(r, deadline="first token") if r.deadline else r for n, r in BOTH.items()},
    "no finish": stream(_A, _DONE, expect=errors.IncompleteReplyError),
    "no finish, no done": stream(_A, expect=errors.IncompleteReplyError),
    "no done": stream(_A, _STOP, expect="ok"),
    "only done": stream(_DONE, expect=errors.IncompleteReplyError),
    "nothing": stream(expect=errors.IncompleteReplyError),
    "half an event": raw_stream(event(_A), b'data: {"choi', expect=errors.IncompleteReplyError),
    "last line open": raw_stream(event(_A), event(_STOP).rstrip(), expect="ok"),
    "bad json": stream(_A, b"{'a': 1}", expect=_BAD),
    "json list event": stream(_A, b"[1]", expect=_BAD),
    "bad utf-8": stream(b'{"choices":[{"delta":{"content":"\xff"}}]}', expect=_BAD),
    "no choices": stream({"id": "c"}, expect=_BAD),
    "choices null": stream({"choices": None}, expect=_BAD),
    "choices object": stream({"choices": {}}, expect=_BAD),
    "choices of text": stream({"choices": ["a"]}, expect=_BAD),
    "choices empty first": stream(
        {"choices": [], "prompt_filter_results": []}, _A, _STOP, expect="ok"
    ),
    "other index": stream(
        {"choices": [{"index": 1, "delta": {"content": "x"}, "finish_reason": "stop"}]},
        _A,
        _STOP,
        expect="ok",
    ),
    "delta null": stream({"choices": [{"index": 0, "delta": None}]}, _A, _STOP, expect="ok"),
    "delta text": stream({"choices": [{"index": 0, "delta": "a"}]}, expect=_BAD),
    "content number": stream(chunk({"content": 1}), expect=_BAD),
    "content null": stream(chunk({"content": None}), _A, _STOP, expect="ok"),
    "content parts": stream(
        chunk({"content": [{"type": "text", "text": "Hi."}]}), _STOP, _DONE, expect="ok"
    ),
    "role only": stream(_ROLE, _STOP, _DONE, expect="empty"),
    "reasoning only": stream(chunk({"reasoning_content": "hm"}), _STOP, expect="empty"),
    "tool calls": stream(chunk({"tool_calls": [{}]}), chunk(finish="tool_calls"), expect="empty"),
    "refusal": stream(chunk({"refusal": "No."}), _STOP, _DONE, expect="refusal"),
    "length": stream(_A, chunk(finish="length"), _DONE, expect="length"),
    "filter": stream(_A, chunk(finish="content_filter"), expect="content_filter"),
    "finish unknown": stream(_A, chunk(finish="tired"), expect=_BAD),
    "finish abort": stream(_A, chunk(finish="abort"), _DONE, expect=errors.IncompleteReplyError),
    "finish empty": stream(
        chunk({"content": "Hi."}, ""), _DONE, expect=errors.IncompleteReplyError
    ),
    "more after finish": stream(_A, _STOP, chunk({"content": "more"}), _DONE, expect="ok"),
    "more after done": stream(_A, _STOP, _DONE, b"{bad", expect="ok"),
    "error event": stream(_A, {"error": {"message": "boom"}}, expect=errors.ServerError),
    "error first": stream({"error": {"code": 429}}, expect=errors.RateLimitError),
    "error context": stream(
        {"error": {"code": "context_length_exceeded"}}, expect=errors.ContextLengthError
    ),
    "usage garbage": stream(_A, _STOP, {"choices": [], "usage": "5"}, _DONE, expect="ok"),
    "usage without choices": stream(_A, _STOP, {"usage": {"prompt_tokens": 2}}, expect="ok"),
    "one json": Rude(json_reply("Hi."), "ok"),
    "one json, cut": Rude(
        [http(json.dumps(reply(finish=None)).encode())], errors.IncompleteReplyError
    ),
    "json lines": raw_stream(b'{"a":1}\n{"a":2}\n', expect=_BAD),
    "event: error": raw_stream(
        b'event: error\ndata: {"error": "boom"}\n\n', expect=errors.ServerError
    ),
    "comments": raw_stream(b": hi\n\n", event(_A), b":\n\n", event(_STOP), expect="ok"),
    "crlf": raw_stream(*(event(e).replace(b"\n", b"\r\n") for e in (_A, _STOP)), expect="ok"),
    "cr": raw_stream(*(event(e).replace(b"\n", b"\r") for e in (_A, _STOP)), expect="ok"),
    "no space": raw_stream(
        *(event(e).replace(b"data: ", b"data:") for e in (_A, _STOP)), expect="ok"
    ),
    "bom": raw_stream(b"\xef\xbb\xbf" + event(_A), event(_STOP), expect="ok"),
    "multi-line": raw_stream(
        b"data: " + json.dumps(_A, indent=1).encode().replace(b"\n", b"\ndata: ") + b"\n\n",
        event(_STOP),
        expect="ok",
    ),
    "empty data": raw_stream(b"data:\n\n", b"data\n\n", event(_A), event(_STOP), expect="ok"),
    "bytes one by one": raw_stream(
        *(bytes([b]) for b in event(chunk({"content": "é😀"}))), event(_STOP), expect="ok"
    ),
    "key echo": Rude(_echo_stream, "ok"),
    "key echo in error": Rude(_echo_error, errors.ServerError),
    "cut in body": Rude([*_OPEN, Do.CLOSE], errors.IncompleteReplyError),
    "close after headers": Rude([SSE_HEAD, Do.CLOSE], errors.IncompleteReplyError),
    "close after finish": Rude([*_OPEN, piece(event(_STOP)), Do.CLOSE], "ok"),
    "endless line": Rude([SSE_HEAD, Forever(piece(b"x" * 65_536))], errors.ReplyTooLargeError),
    "endless answer": Rude(
        [SSE_HEAD, Forever(piece(event(chunk({"content": "x" * 60_000}))))],
        errors.ReplyTooLargeError,
    ),
    "stall before content": Rude([SSE_HEAD, Do.STALL], errors.CallTimeoutError, "first token"),
    "stall after role": Rude(
        [*sse(_ROLE, end=False), Do.STALL], errors.CallTimeoutError, "first token"
    ),
    "keep-alives first": Rude(
        [SSE_HEAD, Forever(piece(b": wait\n\n"), 0.02)], errors.CallTimeoutError, "first token"
    ),
    "roles forever": Rude(
        [SSE_HEAD, Forever(piece(event(_ROLE)), 0.02)], errors.CallTimeoutError, "first token"
    ),
    "stall in content": Rude([*_OPEN, Do.STALL], errors.CallTimeoutError, "idle"),
    "keep-alives later": Rude(
        [*_OPEN, Forever(piece(b": wait\n\n"), 0.02)], errors.CallTimeoutError, "idle"
    ),
    "half an event, stall": Rude(
        [*_OPEN, piece(b'data: {"choi'), Do.STALL], errors.CallTimeoutError, "idle"
    ),
    "drip of content": Rude(
        [SSE_HEAD, Forever(piece(event(_A)), 0.05)], errors.CallTimeoutError, "total"
    ),
    "keep-alives after done": Rude(
        [*_OPEN, piece(event(_STOP)), piece(event(_DONE)), Forever(piece(b": x\n\n"), 0.02)], "ok"
    ),
    "late end": Rude([*_OPEN, piece(event(_STOP)), piece(event(_DONE)), 0.05, END], "ok"),
    "open after done": Rude([*_OPEN, piece(event(_STOP)), piece(event(_DONE)), Do.STALL], "ok"),
}
