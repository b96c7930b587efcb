"""Batches of a provider: requests go out as a file of JSON lines, and replies come back as one.

A batch costs less and may take a day. Its replies are in any order; the ``custom_id`` of a request
is what ties a reply to it. Files are streamed both ways, and each line is checked like any reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from assistants.clients.openai import http_errors, response
from assistants.clients.openai.client import GetRequest, OpenAIClient
from assistants.clients.openai.request import Request, Timeouts, close_response, remember_sdk_key
from assistants.errors import BatchError, CallError, MalformedReplyError
from assistants.messages import Completion, Message, Sampling

if TYPE_CHECKING:
    import httpx2

MAX_REQUESTS = 50_000
"""Requests in one batch at most."""

MAX_FILE_BYTES = 200_000_000
"""Size limit of the file of one batch."""

MAX_RESULT_BYTES = 4_000_000_000
"""Size limit of a file of replies."""

_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_QUEUE_IS_FULL = "token_limit_exceeded"
_TOKEN_FIELD = "assistants_batch"  # noqa: S105 - the name of a field
_SLOWEST = 50_000
"""Bytes a second below which a file that is on its way is given up, after the usual total time."""

_PAGE = 100
_MAX_PAGES = 100
_CLOCKS_DIFFER_S = 48 * 3600
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its provider sees it. ``token`` is what ``create`` was given.

    ``status`` is the provider's word; ``completed`` and ``failed`` count requests. ``error`` is why
    a whole batch failed.
    """

    id: str
    status: str
    input_file: str
    token: str = ""
    output_file: str | None = None
    error_file: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    error: BatchError | None = None
    created_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        """True once nothing more happens to it."""
        return self.status in _ENDED

    @property
    def found_no_room(self) -> bool:
        """True if it failed because too many tokens wait at the provider already."""
        return (
            self.status == "failed" and self.error is not None and self.error.code == _QUEUE_IS_FULL
        )


@dataclass(frozen=True, slots=True)
class BatchReply:
    """The reply to one request of a batch: a completion, or the error there is instead."""

    custom_id: str
    reply: Completion | CallError


class BatchFile:
    """A file of request lines, up to what one batch may hold. It is gone once it is closed.

    Parameters
    ----------
    folder
        The folder whose disk holds it; it has no name there.
    """

    def __init__(self, folder: Path) -> None:
        self.requests = 0
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by ``__exit__``
        self.file = cast("BinaryIO", file)
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def add(self, line: bytes) -> bool:
        """Add a line; return whether there was room for it."""
        if self.requests == MAX_REQUESTS or self._size + len(line) > MAX_FILE_BYTES:
            return False
        self.file.write(line)
        self.requests += 1
        self._size += len(line)
        return True


class BatchClient:
    """Sends batches of a model's requests, and reads what became of them.

    Every method raises ``CallError`` and nothing else on purpose, and sends its request once.

    Parameters
    ----------
    client
        Of the model; it stays its owner's to close.
    max_bytes
        Size limit of a file of replies.
    """

    def __init__(self, client: OpenAIClient, *, max_bytes: int = MAX_RESULT_BYTES) -> None:
        self.client = client
        self.model = client.model
        self._max_bytes = max_bytes

    def request_line(
        self, custom_id: str, messages: Sequence[Message], sampling: Sampling
    ) -> bytes:
        """Return the line of a batch's file that asks for one reply."""
        line = {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": self.client.chat_body(messages, sampling),
        }
        # ASCII, so that a lone surrogate from an earlier answer can be sent back.
        return json.dumps(line, allow_nan=False).encode("ascii") + b"\n"

    async def upload(self, file: BinaryIO) -> str:
        """Upload a file of request lines, read from its beginning, and return its id."""
        file.flush()  # its length is asked of the disk
        usual = self.client.timeouts
        timeouts = replace(usual, total=usual.total + file.seek(0, os.SEEK_END) / _SLOWEST)
        reply = await self._call("/files", {"file": file}, _UploadRequest, timeouts)
        return self._read_id(reply.get("id"))

    async def create(self, file: str, token: str) -> Batch:
        """Start a batch of an uploaded file. ``find`` knows it by the token."""
        body = {
            "input_file_id": file,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {_TOKEN_FIELD: token},
        }
        return self._read_batch(await self._call("/batches", body, Request))

    async def retrieve(self, batch: str) -> Batch:
        """Return a batch as it is now."""
        path = f"/batches/{self._read_id(batch)}"
        return self._read_batch(await self._call(path, {}, GetRequest))

    async def cancel(self, batch: str) -> Batch:
        """Ask the provider to end a batch; replies that it has by then are kept."""
        path = f"/batches/{self._read_id(batch)}/cancel"
        return self._read_batch(await self._call(path, {}, Request))

    async def find(self, token: str, file: str, since: float) -> Batch | None:
        """Return the batch that was created with this token or file, or ``None``.

        ``since`` is a Unix time; batches from long before are not looked at.
        """
        after = ""
        for _ in range(_MAX_PAGES):
            path = f"/batches?limit={_PAGE}" + (f"&after={after}" if after else "")
            page = await self._call(path, {}, GetRequest)
            entries = page.get("data")
            if not isinstance(entries, list):
                response.raise_malformed(self.model, "`data` is not a list")
            batches = [self._read_batch(entry) for entry in entries]
            for batch in batches:
                if token == batch.token or file == batch.input_file:
                    return batch
            if not batches or page.get("has_more") is not True:
                return None
            if batches[-1].created_at < since - _CLOCKS_DIFFER_S:
                return None
            after = batches[-1].id
        return None

    async def replies(self, file: str) -> AsyncIterator[BatchReply]:
        """Yield the replies in an output file or an error file, line by line.

        A line that cannot be tied to a request is left out.
        """
        path = f"/files/{self._read_id(file)}/content"
        request = await self.client.new_request(path, {}, _DownloadRequest)
        failure: CallError | None = None
        async with contextlib.aclosing(
            _lines(request.pieces(self._max_bytes), self.model)
        ) as lines:
            while failure is None:
                try:
                    line = await anext(lines, None)
                except Exception as error:
                    failure = request.to_call_error(error)
                    break
                if line is None:
                    return
                if (reply := read_reply_line(line, self.model)) is not None:
                    yield reply
        raise failure

    async def _call(
        self,
        path: str,
        body: dict[str, Any],
        request_type: type[Request],
        timeouts: Timeouts | None = None,
    ) -> Mapping[str, Any]:
        request = await self.client.new_request(path, body, request_type, timeouts)
        try:
            raw = await request.read_body(response.MAX_REPLY_BYTES)
            reply = response.read_json_object(raw, self.model)
            response.raise_error_object(reply, self.model)
            return reply
        except Exception as error:
            failure = request.to_call_error(error)
        raise failure

    def _read_id(self, value: object) -> str:
        """Return an id of the provider's, which becomes part of an address."""
        if not isinstance(value, str) or not _ID.fullmatch(value) or set(value) == {"."}:
            response.raise_malformed(self.model, "the id of a file or batch is missing or wrong")
        return value

    def _read_batch(self, value: object) -> Batch:
        if not isinstance(value, dict) or not isinstance(value.get("status"), str):
            response.raise_malformed(self.model, "not a batch")
        counts = value.get("request_counts")
        counts = counts if isinstance(counts, dict) else {}
        metadata = value.get("metadata")
        token = metadata.get(_TOKEN_FIELD) if isinstance(metadata, dict) else None
        created = value.get("created_at")
        files = [
            None if value.get(name) is None else self._read_id(value[name])
            for name in ("output_file_id", "error_file_id")
        ]
        return Batch(
            id=self._read_id(value.get("id")),
            status=http_errors.quote_server_text(value["status"]),
            input_file=self._read_id(value.get("input_file_id")),
            token=token if isinstance(token, str) else "",
            output_file=files[0],
            error_file=files[1],
            total=_count(counts.get("total")),
            completed=_count(counts.get("completed")),
            failed=_count(counts.get("failed")),
            error=_batch_error(value.get("errors"), self.model),
            created_at=float(_count(created)),
        )


def read_reply_line(line: bytes, model: str) -> BatchReply | None:
    """Return the reply in a line of an output file or an error file.

    ``None`` if the line names no request, so that nothing in it can be used.
    """
    try:
        data = response.read_json_object(line, model)
    except MalformedReplyError:
        return None
    custom_id = data.get("custom_id")
    if not isinstance(custom_id, str):
        return None
    try:
        return BatchReply(custom_id, _read_answer(data, model))
    except CallError as error:
        return BatchReply(custom_id, error)


def _read_answer(data: Mapping[str, Any], model: str) -> Completion:
    """Read the completion of a line, or raise the error that is there instead."""
    answer = data.get("response")
    if not isinstance(answer, dict):
        raise _request_error(data.get("error"), model)
    body = json.dumps(answer.get("body")).encode()
    status = answer.get("status_code")
    if status != 200:
        known = status if isinstance(status, int) and 300 <= status < 600 else 500
        raise http_errors.from_status(known, {}, body, model)
    return response.read_reply(body, model)


def _request_error(error: object, model: str) -> BatchError:
    """Return the error of a request that was not executed."""
    code, message = _error_texts(error)
    return BatchError(
        f"{model}: the batch ended before this was answered{f': {message}' if message else '.'}",
        fix="Run again: only what is missing is asked.",
        code=code,
    )


def _batch_error(errors: object, model: str) -> BatchError | None:
    """Return the error of a whole batch that failed; ``None`` if there is none."""
    entries = errors.get("data") if isinstance(errors, dict) else None
    if not isinstance(entries, list) or not entries:
        return None
    code, message = _error_texts(entries[0])
    more = f" ({len(entries) - 1} more)" if len(entries) > 1 else ""
    return BatchError(
        f"{model}: the provider refused the batch: {message or code or 'no reason given'}{more}",
        fix="Nothing of it was answered or paid. Mend what it names, and run again.",
        code=code,
    )


def _error_texts(error: object) -> tuple[str, str]:
    """Return the code and the message of an error object, quoted."""
    if not isinstance(error, dict):
        return "", ""
    texts = [error.get("code"), error.get("message")]
    code, message = (http_errors.quote_server_text(t) if isinstance(t, str) else "" for t in texts)
    return code, message or code


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 2**63 else 0


class _UploadRequest(Request):
    """A POST of a file, as a form of several parts. Its body is ``{"file": FILE}``."""

    async def _send(self) -> httpx2.Response:
        import httpx2
        import openai

        remember_sdk_key(self._sdk)
        options = self._options(httpx2.Timeout(None, connect=self._timeouts.connect))
        options["headers"] = {"content-type": "multipart/form-data"}
        reply = await self._sdk.post(
            self._path,
            cast_to=cast("type[Any]", httpx2.Response),
            body={"purpose": "batch"},
            files=[("file", ("batch.jsonl", self._body["file"], "application/jsonl"))],
            options=options,
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        return cast("httpx2.Response", reply)


class _DownloadRequest(GetRequest):
    """A GET whose body is read piece by piece."""

    async def pieces(self, max_bytes: int) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, each piece within the limit for an idle connection."""
        self._limit = "idle"
        start = time.monotonic()
        async with asyncio.timeout(self._timeouts.idle):
            reply = await self._send()
        received = 0
        try:
            async with contextlib.aclosing(reply.aiter_bytes()) as pieces:
                while True:
                    async with asyncio.timeout(self._timeouts.idle):
                        piece = await anext(pieces, None)
                    if piece is None:
                        return
                    received += len(piece)
                    if time.monotonic() - start > self._timeouts.total + received / _SLOWEST:
                        self._limit = "total"
                        raise TimeoutError
                    response.check_size(received, max_bytes, self._model)
                    yield piece
        finally:
            await close_response(reply)


async def _lines(pieces: AsyncGenerator[bytes, None], model: str) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a file that are not empty; none may be longer than a reply."""
    held = bytearray()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            held += piece
            if b"\n" not in piece:
                response.check_size(len(held), response.MAX_REPLY_BYTES, model)
                continue
            *lines, rest = bytes(held).split(b"\n")
            held = bytearray(rest)
            for line in lines:
                if line.strip():
                    yield line
    if held.strip():
        yield bytes(held)
