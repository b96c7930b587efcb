"""Reads a streamed reply: server-sent events, then deltas and at last a ``Completion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistants.clients.openai import response
from assistants.messages import Completion, Delta, Usage
from assistants.utils import api_keys

_BOM = b"\xef\xbb\xbf"


class StreamReader:
    """Reader that turns the bytes of a streamed reply into deltas and a ``Completion``.

    ``feed`` and ``finish`` raise as ``read_reply`` does; ``take_deltas`` then still returns what
    arrived before. A server that answers with one JSON object instead of a stream is understood.
    """

    def __init__(self, model: str, max_bytes: int = response.MAX_REPLY_BYTES) -> None:
        self.progress = 0
        """Characters of answer and reasoning that have arrived; time limits depend on it."""
        self.is_finished = False
        """True once a finish reason has arrived: only the usage may still be missing."""
        self.is_done = False
        """True once the server has sent ``[DONE]``."""
        self._model = model
        self._max_bytes = max_bytes
        self._received = 0
        self._events = EventReader()
        self._json: bytearray | None = None  # the reply, if it turns out to be one JSON object
        self._started = False
        self._understood = False  # any event was a chunk of a reply
        self._ready: list[Delta] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._text_redactor = api_keys.Redactor()
        self._reasoning_redactor = api_keys.Redactor()
        self._refused = False
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._served_model: str | None = None
        self._system_fingerprint: str | None = None

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        self._received += len(chunk)
        overhead = response.STREAM_OVERHEAD if self._json is None else 1
        response.check_size(self._received, self._max_bytes * overhead, self._model)
        if not self._started:
            self._start(chunk)
        if self._json is not None:
            self._json += chunk
            return
        for event in self._events.feed(chunk):
            self._fold(event)

    def take_deltas(self) -> list[Delta]:
        """Return the deltas since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def finish(self) -> Completion:
        """Return the complete reply, once the stream has ended.

        Raises
        ------
        IncompleteReplyError
            If the model had not finished; ``partial`` is the reply until then.
        MalformedReplyError
            If it was not an event stream.
        """
        if self._json is not None:
            completion = response.read_reply(bytes(self._json), self._model)
            self.progress += len(completion.text) + len(completion.reasoning or "")
            self._emit(completion.text, completion.reasoning or "")
            return completion
        for event in self._events.close():
            self._fold_last(event)
        self._flush()
        if self._events.has_unknown_lines and not self._understood:
            response.raise_malformed(self._model, "not an event stream")
        return response.build_completion(
            self._model,
            text=self._joined(self._text),
            reasoning=self._joined(self._reasoning),
            refused=self._refused,
            finish_reason=self._finish_reason,
            usage=self._usage,
            served_model=self._served_model,
            system_fingerprint=self._system_fingerprint,
        )

    def partial(self) -> Completion:
        """Return the reply so far, marked as truncated."""
        self._flush()
        return Completion(
            text=self._joined(self._text),
            status="truncated",
            finish_reason=response.redact_finish_reason(self._finish_reason),
            reasoning=self._joined(self._reasoning) or None,
            usage=self._usage,
            served_model=self._served_model,
            system_fingerprint=self._system_fingerprint,
        )

    def _start(self, chunk: bytes) -> None:
        """Distinguish an event stream, JSON and a page by the first byte that is not blank."""
        if not (start := chunk.removeprefix(_BOM).lstrip()):
            return
        self._started = True
        if start.startswith(b"<"):
            response.raise_malformed(self._model, "an HTML page instead of an event stream")
        if start.startswith((b"{", b"[")):
            self._json = bytearray()

    def _fold_last(self, event: bytes) -> None:
        """Fold an event that has no end, unless it is only half of one."""
        data, _ = response.parse_json(event)
        if isinstance(data, dict):
            self._fold(event)

    def _fold(self, event: bytes) -> None:
        if self.is_done or not event.strip():
            return
        if event.strip() == b"[DONE]":
            self.is_done = True
            return
        data = response.read_json_object(event, self._model)
        response.raise_error_object(data, self._model)
        choices = data.get("choices")
        if (counts := data.get("usage")) is not None:
            self._usage = response.read_usage(counts)
            choices = [] if choices is None else choices  # a chunk that only counts
        choice = response.first_choice(choices, self._model)
        self._understood = True
        self._served_model = self._served_model or response.read_name(data.get("model"))
        self._system_fingerprint = self._system_fingerprint or response.read_name(
            data.get("system_fingerprint")
        )
        if choice is not None and not self.is_finished:
            self._add(choice)

    def _add(self, choice: Mapping[str, Any]) -> None:
        piece = choice.get("delta")
        if piece is None:
            piece = {}
        if not isinstance(piece, dict):
            response.raise_malformed(self._model, "`delta` is not an object")
        refusal = response.read_refusal(piece, self._model)
        text = response.read_content(piece.get("content"), self._model) + refusal
        reasoning = response.read_reasoning(piece, self._model)
        self._refused = self._refused or bool(refusal)
        self._finish_reason = response.read_finish_reason(choice, self._model)
        self.is_finished = self._finish_reason is not None
        self.progress += len(text) + len(reasoning)
        self._emit(self._text_redactor.feed(text), self._reasoning_redactor.feed(reasoning))

    def _flush(self) -> None:
        self._emit(self._text_redactor.flush(), self._reasoning_redactor.flush())

    def _emit(self, text: str, reasoning: str) -> None:
        if text or reasoning:
            self._text.append(text)
            self._reasoning.append(reasoning)
            self._ready.append(Delta(text, reasoning))

    @staticmethod
    def _joined(pieces: list[str]) -> str:
        return api_keys.redact("".join(pieces))


class EventReader:
    """Parser of server-sent events: bytes in, the data of each event out.

    Notes
    -----
    https://html.spec.whatwg.org/multipage/server-sent-events.html, without ``event``, ``id`` and
    ``retry``, to which no chat completions server gives a meaning.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # parts of the unfinished line, joined once
        self._data: list[bytes] = []
        self._first = True
        self.has_unknown_lines = False
        """True if there was a line that no event stream has."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that ``chunk`` completes."""
        self._parts.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk and not self._ends_in_cr():
            return []
        whole = b"".join(self._parts)
        # A carriage return at the end may be half of a CRLF.
        held = b"\r" if whole.endswith(b"\r") else b""
        lines = _split_lines(whole[:-1] if held else whole)
        self._parts = [lines.pop() + held]
        return self._events(lines)

    def close(self) -> list[bytes]:
        """Return the last events: servers leave out the last blank line."""
        lines = _split_lines(b"".join(self._parts))
        self._parts = []
        return self._events([*lines, b""])

    def _ends_in_cr(self) -> bool:
        return len(self._parts) > 1 and self._parts[-2].endswith(b"\r")

    def _events(self, lines: list[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._first:
                line = line.removeprefix(_BOM)
                self._first = False
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif line == b"data":
                self._data.append(b"")
            elif not line.startswith((b":", b"event", b"id", b"retry")):
                self.has_unknown_lines = True
        return events


def _split_lines(raw: bytes) -> list[bytes]:
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return raw.split(b"\n")
