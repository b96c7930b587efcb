"""Reads what an OpenAI-compatible chat completions server sent back, and checks all of it.

The SDK lets broken answers pass: no choices, an HTML page, a stream cut short. Here a reply is a
``Completion`` or a ``CallError``, and no text leaves with a known API key in it.

Errors are raised outside of ``except`` blocks on purpose: a decoder's error holds the whole body,
and a chained error would carry it into tracebacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from assistants import keys
from assistants.clients import faults
from assistants.clients.sse import EventReader
from assistants.errors import MalformedReply, ReplyCut, ReplyTooLarge
from assistants.messages import Completion, Delta, Status, Usage

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""A reply larger than this is refused."""

STREAM_OVERHEAD = 8
"""A stream may be so many times larger: every token comes in an envelope of some 300 bytes."""

_STATUSES: dict[str, Status] = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), "ok"),
    **dict.fromkeys(("tool_calls", "function_call"), "ok"),
    **dict.fromkeys(("length", "max_tokens"), "length"),
    "content_filter": "content_filter",
    "refusal": "refusal",
}
_CUT = frozenset({"abort", "error"})  # vLLM: the request was dropped, or the engine failed

_AGAIN = "Try again; if it stays, the address is no OpenAI-compatible server."


def read_reply(body: bytes, model: str) -> Completion:
    """A whole reply with a 2xx status.

    Raises
    ------
    MalformedReply
        If it breaks the protocol, so that there is no answer in it to trust.
    ReplyCut
        If it has no finish reason, or one that says that the model was stopped.
    CallError
        Whatever an ``error`` object in it stands for.
    """
    data = _object(body, model)
    _refuse_error(data, model)
    choice = _first_choice(data.get("choices"), model)
    if choice is None:
        _malformed(model, "`choices` is missing or empty")
    message = choice.get("message")
    if not isinstance(message, dict):
        _malformed(model, "`message` is no object")
    refusal = _refusal(message, model)
    return _completion(
        model,
        text=keys.redact(_content(message.get("content"), model) + refusal),
        reasoning=keys.redact(_reasoning(message, model)),
        refused=bool(refusal),
        finish_reason=_finish_reason(choice, model),
        usage=read_usage(data.get("usage")),
        served_model=_name(data.get("model")),
    )


class StreamReader:
    """Folds the bytes of a streamed reply into deltas and, at the end, a ``Completion``.

    A server that answers a request for a stream with one JSON object is understood as well.
    """

    def __init__(self, model: str, max_bytes: int = MAX_REPLY_BYTES) -> None:
        self.progress = 0
        """Characters of answer and reasoning that have arrived; what deadlines go by."""
        self.finished = False
        """Whether the model has said why it stopped: what is still missing is only its usage."""
        self.done = False
        """Whether the server has said that nothing more comes."""
        self._model = model
        self._max_bytes = max_bytes
        self._received = 0
        self._events = EventReader()
        self._json: bytearray | None = None  # the reply, if it turns out to be one JSON object
        self._started = False
        self._understood = False  # whether any event was a chunk of a reply
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._text_redactor = keys.Redactor()
        self._reasoning_redactor = keys.Redactor()
        self._refused = False
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._served_model: str | None = None

    def feed(self, chunk: bytes) -> list[Delta]:
        """What ``chunk`` adds to the reply. Raises as ``read_reply`` does."""
        self._received += len(chunk)
        overhead = STREAM_OVERHEAD if self._json is None else 1
        check_size(self._received, self._max_bytes * overhead, self._model)
        if not self._started:
            chunk = self._start(chunk)
        if self._json is not None:
            self._json += chunk
            return []
        return [delta for event in self._events.feed(chunk) if (delta := self._fold(event))]

    def finish(self) -> tuple[list[Delta], Completion]:
        """The last deltas and the whole reply, once the stream has ended.

        Raises
        ------
        ReplyCut
            If the model had not finished; ``partial`` keeps what arrived.
        MalformedReply
            If what came was no event stream.
        """
        if self._json is not None:
            completion = read_reply(bytes(self._json), self._model)
            self.progress += len(completion.text)
            return _as_deltas(completion), completion
        deltas = [delta for event in self._events.close() if (delta := self._fold_last(event))]
        if (tail := self._flush()) is not None:
            deltas.append(tail)
        if self._events.strange and not self._understood:
            _malformed(self._model, "no event stream")
        return deltas, _completion(
            self._model,
            text=self._joined(self._text),
            reasoning=self._joined(self._reasoning),
            refused=self._refused,
            finish_reason=self._finish_reason,
            usage=self._usage,
            served_model=self._served_model,
        )

    def partial(self) -> Completion:
        """What has arrived so far, marked as cut."""
        self._flush()
        return Completion(
            text=self._joined(self._text),
            status="truncated",
            finish_reason=_shown(self._finish_reason),
            reasoning=self._joined(self._reasoning) or None,
            usage=self._usage,
            served_model=self._served_model,
        )

    def _start(self, chunk: bytes) -> bytes:
        """Tell an event stream from JSON and from a page, by the first byte that says something."""
        if not (words := chunk.removeprefix(b"\xef\xbb\xbf").lstrip()):
            return chunk
        self._started = True
        if words.startswith(b"<"):
            _malformed(self._model, "an HTML page instead of an event stream")
        if words.startswith((b"{", b"[")):
            self._json = bytearray()
        return chunk

    def _fold_last(self, event: bytes) -> Delta | None:
        """An event without its end may be half of one: then it is as if it never came."""
        data, problem = _loads(event)
        return None if problem or not isinstance(data, dict) else self._fold(event)

    def _fold(self, event: bytes) -> Delta | None:
        if self.done or not event.strip():
            return None
        if event.strip() == b"[DONE]":
            self.done = True
            return None
        data = _object(event, self._model)
        _refuse_error(data, self._model)
        choices = data.get("choices")
        if (counts := data.get("usage")) is not None:
            self._usage = read_usage(counts)
            choices = [] if choices is None else choices  # a chunk that only counts
        choice = _first_choice(choices, self._model)
        self._understood = True
        self._served_model = self._served_model or _name(data.get("model"))
        return self._choice(choice) if choice is not None and not self.finished else None

    def _choice(self, choice: Mapping[str, Any]) -> Delta | None:
        piece = choice.get("delta")
        if piece is None:
            piece = {}
        if not isinstance(piece, dict):
            _malformed(self._model, "`delta` is no object")
        refusal = _refusal(piece, self._model)
        text = _content(piece.get("content"), self._model) + refusal
        reasoning = _reasoning(piece, self._model)
        self._refused = self._refused or bool(refusal)
        self._finish_reason = _finish_reason(choice, self._model)
        self.finished = self._finish_reason is not None
        if not text and not reasoning:
            return None
        self.progress += len(text) + len(reasoning)
        return self._emit(self._text_redactor.feed(text), self._reasoning_redactor.feed(reasoning))

    def _flush(self) -> Delta | None:
        return self._emit(self._text_redactor.flush(), self._reasoning_redactor.flush())

    def _emit(self, text: str, reasoning: str) -> Delta | None:
        self._text.append(text)
        self._reasoning.append(reasoning)
        return Delta(text, reasoning) if text or reasoning else None

    @staticmethod
    def _joined(pieces: list[str]) -> str:
        return keys.redact("".join(pieces))


def read_usage(value: object) -> Usage:
    """The tokens a server counted. What it did not say, or said wrongly, is ``None``, never 0."""
    if not isinstance(value, dict):
        return Usage()
    return Usage(
        input_tokens=_count(value, "prompt_tokens"),
        output_tokens=_count(value, "completion_tokens"),
        cached_tokens=_count(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(value.get("completion_tokens_details"), "reasoning_tokens"),
    )


def check_size(received: int, limit: int, model: str) -> None:
    """Raise ``ReplyTooLarge`` if more than ``limit`` bytes have been received."""
    if received > limit:
        raise ReplyTooLarge(
            f"{model}: the reply is larger than {limit:,} bytes.",
            fix="Set max_tokens, or ask a server that stops by itself.",
        )


def _completion(
    model: str,
    *,
    text: str,
    reasoning: str,
    refused: bool,
    finish_reason: str | None,
    usage: Usage,
    served_model: str | None,
) -> Completion:
    if finish_reason is None or finish_reason in _CUT:
        status: Status | None = "truncated"
    else:
        status = _STATUSES.get(finish_reason)
    if refused and status in ("ok", "length"):
        status = "refusal"
    elif not text and status in ("ok", "length"):
        status = "empty"
    shown = _shown(finish_reason)
    if status is None:
        _malformed(model, f"the finish reason {faults.quoted(str(shown))!r} is not known")
    completion = Completion(
        text=text,
        status=status,
        finish_reason=shown,
        reasoning=reasoning or None,
        usage=usage,
        served_model=served_model or None,
    )
    if status == "truncated":
        why = "without a finish reason" if shown is None else f"with finish reason {shown!r}"
        raise ReplyCut(
            f"{model}: the reply ended {why}, before the model had finished.",
            fix="Try again; if it stays, look at the server's own log.",
            partial=completion,
        )
    return completion


def _as_deltas(completion: Completion) -> list[Delta]:
    delta = Delta(completion.text, completion.reasoning or "")
    return [delta] if delta != Delta() else []


def _refuse_error(data: Mapping[str, Any], model: str) -> None:
    error = data.get("error")
    if error is None and data.get("object") == "error":  # older vLLM
        error = data
    if error is not None:
        raise faults.from_object(error, model)


def _first_choice(choices: object, model: str) -> Mapping[str, Any] | None:
    """The choice with index 0. A chunk of a stream may have none, or one for another index."""
    if not isinstance(choices, list):
        _malformed(model, "`choices` is no list")
    for choice in choices:
        if not isinstance(choice, dict):
            _malformed(model, "a choice is no object")
        if choice.get("index", 0) in (0, None):
            return choice
    return None


def _content(content: object, model: str) -> str:
    """The answer's text, which some servers send as a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        _malformed(model, "`content` is no text")
    return "".join(_part(part, model) for part in content)


def _part(part: object, model: str) -> str:
    value = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(value, str):
        _malformed(model, "`content` has a part that is no text")
    return value


def _reasoning(message: Mapping[str, Any], model: str) -> str:
    """vLLM and OpenRouter say ``reasoning``, DeepSeek and llama.cpp ``reasoning_content``."""
    for name in ("reasoning", "reasoning_content"):
        value = message.get(name)
        if value is not None and not isinstance(value, str):
            _malformed(model, f"`{name}` is no text")
        if value:
            return str(value)
    return ""


def _refusal(message: Mapping[str, Any], model: str) -> str:
    value = message.get("refusal")
    if value is not None and not isinstance(value, str):
        _malformed(model, "`refusal` is no text")
    return value or ""


def _finish_reason(choice: Mapping[str, Any], model: str) -> str | None:
    value = choice.get("finish_reason")
    if value is not None and not isinstance(value, str):
        _malformed(model, "`finish_reason` is no text")
    return value or None


def _shown(finish_reason: str | None) -> str | None:
    return None if finish_reason is None else keys.redact(finish_reason)


def _name(value: object) -> str | None:
    return keys.redact(value) if isinstance(value, str) else None


def _count(counts: object, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if type(value) is int and value >= 0 else None  # bool is an int to isinstance


def _object(raw: bytes, model: str) -> dict[str, Any]:
    data, problem = _loads(raw)
    if problem:
        _malformed(model, problem)
    if not isinstance(data, dict):
        _malformed(model, "JSON, but no object")
    return data


def _loads(raw: bytes) -> tuple[object, str]:
    """The value of a JSON text, or what is wrong with it."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None, "no valid UTF-8"
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates), ""
    except RecursionError:
        return None, "JSON nested too deeply"
    except ValueError:
        page = text.lstrip().startswith("<")
        return None, "an HTML page" if page else "no valid JSON" if text.strip() else "empty"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Which of two values a server meant, nobody can say."""
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("duplicate name")
    return data


def _malformed(model: str, what: str) -> NoReturn:
    raise MalformedReply(f"{model}: the reply breaks the protocol: {what}.", fix=_AGAIN)
