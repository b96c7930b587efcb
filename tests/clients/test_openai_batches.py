"""The client of files and batches, against servers that behave and servers that do not."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.clients import BatchClient, BatchFile, OpenAIClient, Timeouts
from assistants.clients.openai.batches import BatchReply, read_reply_line
from assistants.errors import (
    AuthenticationError,
    BatchError,
    CallError,
    IncompleteReplyError,
    MalformedReplyError,
)
from assistants.messages import Completion, Message, Sampling
from support.batches import MODEL, batch_server
from support.faulty_replies import WHOLE, Do, Step, reply
from support.faulty_server import FaultyServer, Request, at
from support.openai_batches import OpenAIBatches
from support.openai_server import OpenAIServer

QUICK = Timeouts(connect=1, first_token=0.3, idle=0.3, total=0.5)


@pytest.fixture
def batches() -> OpenAIBatches:
    return OpenAIBatches()


@pytest.fixture
def openai_server(batches: OpenAIBatches) -> Iterator[OpenAIServer]:
    with batch_server(batches) as running:
        yield running


def client_of(url: str, key: str | None = None, **more: Any) -> BatchClient:
    return BatchClient(OpenAIClient(MODEL, endpoint=at(url, key), **more))


def a_line(client: BatchClient, number: int = 0) -> bytes:
    messages = [Message("system", "Be brief."), Message("user", f"Question {number}? \ud800é")]
    return client.request_line(f"r{number}", messages, Sampling(seed=3))


async def test_there_and_back(openai_server: OpenAIServer, batches: OpenAIBatches) -> None:
    """What is asked arrives as it would in a call of its own, and comes back by its name."""
    client = client_of(openai_server.url, openai_server.key)
    try:
        file = await client.upload(io.BytesIO(b"".join(a_line(client, n) for n in range(9))))
        batch = await client.create(file, "token")
        assert not batch.has_ended
        while not batch.has_ended:
            batch = await client.retrieve(batch.id)
        assert (batch.status, batch.total, batch.completed) == ("completed", 9, 9)
        assert batch.output_file is not None
        replies = {
            reply.custom_id: reply.reply async for reply in client.replies(batch.output_file)
        }
        assert replies.keys() == {f"r{n}" for n in range(9)}
        answer = replies["r3"]
        assert isinstance(answer, Completion)
        assert answer.text == "Question 3? \ud800é"
        asked = openai_server.calls[0].body
        assert asked == client.client.chat_body(
            [Message("system", "Be brief."), Message("user", "Question 0? \ud800é")],
            Sampling(seed=3),
        )
    finally:
        await client.client.aclose()


async def test_a_batch_is_found_among_hundreds(
    openai_server: OpenAIServer, batches: OpenAIBatches
) -> None:
    """By its token or its file, page after page; one that was never created is not."""
    client = client_of(openai_server.url, openai_server.key)
    try:
        file = await client.upload(io.BytesIO(a_line(client)))
        first = await client.create(file, "first")
        other = await client.upload(io.BytesIO(a_line(client)))
        for number in range(230):
            await client.create(other, str(number))
        assert await client.find("first", "file-x", 0) == first
        found = await client.find("unknown", file, 0)
        assert found is not None
        assert found.id == first.id
        assert await client.find("unknown", "file-x", 0) is None
    finally:
        await client.client.aclose()


async def test_a_wrong_key(openai_server: OpenAIServer) -> None:
    client = client_of(openai_server.url, "sk-wrong")
    try:
        with pytest.raises(AuthenticationError):
            await client.upload(io.BytesIO(a_line(client)))
    finally:
        await client.client.aclose()


@pytest.mark.parametrize("fault", sorted(WHOLE))
async def test_whatever_a_server_does_is_a_call_error(server: FaultyServer, fault: str) -> None:
    """Each step ends with a reply or a typed error, and no text of the libraries."""
    client = client_of(server.url_of(fault), timeouts=QUICK, max_bytes=100_000)
    try:
        for step in (
            lambda: client.create("file-1", "token"),
            lambda: client.retrieve("batch_1"),
            lambda: client.cancel("batch_1"),
            lambda: client.find("token", "file-1", 0),
        ):
            with pytest.raises(CallError) as caught:
                await step()
            assert caught.value.__context__ is None
        with suppress(CallError):  # a reply that has an id is as good as another
            assert await client.upload(io.BytesIO(a_line(client))) == "c"
    finally:
        await client.client.aclose()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"id": "../../admin", "status": "completed", "input_file_id": "f"},
        {"id": "b?x=1", "status": "completed", "input_file_id": "f"},
        {"id": "b", "status": 3, "input_file_id": "f"},
        {"id": "b", "status": "completed"},
        {"id": "b", "status": "completed", "input_file_id": "f", "output_file_id": "a/b"},
        {"id": "..", "status": "completed", "input_file_id": "f"},
        ["b"],
    ],
)
async def test_a_reply_that_is_no_batch_is_malformed(wrong: Any) -> None:
    """An id becomes part of an address, so nothing else may be one."""
    with FaultyServer(other=lambda request: wrong) as server:
        client = client_of(server.url)
        try:
            with pytest.raises(MalformedReplyError):
                await client.create("file-1", "token")
        finally:
            await client.client.aclose()


async def test_odd_fields_do_no_harm() -> None:
    """What only informs may be missing or wrong."""
    odd = {
        "id": "b", "status": "paused\x1b[31m", "input_file_id": "f", "request_counts": [1],
        "metadata": {"assistants_batch": 3}, "errors": {"data": [None]}, "created_at": "now",
    }  # fmt: skip
    with FaultyServer(other=lambda request: odd) as server:
        client = client_of(server.url)
        try:
            batch = await client.create("f", "token")
        finally:
            await client.client.aclose()
    assert not batch.has_ended
    assert "\x1b" not in batch.status
    assert (batch.token, batch.total, batch.created_at) == ("", 0, 0)


class CutServer(FaultyServer):
    """A server whose files break off after their first line."""

    def _steps(self, request: Request) -> Sequence[Step]:
        answer = {"status_code": 200, "body": reply("yes")}
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"
        return [head, reply_line(response=answer) + b'\n{"custom_id": "r2", ', Do.CLOSE]


async def test_a_file_is_read_to_its_end_or_not_believed() -> None:
    """Lines before a break arrive, and then the error; the caller may read again."""
    with CutServer() as server:
        client = client_of(server.url)
        seen = []
        try:
            with pytest.raises(IncompleteReplyError):  # noqa: PT012
                async for entry in client.replies("file-1"):
                    seen.append(entry)  # noqa: PERF401
        finally:
            await client.client.aclose()
    ((name, answer),) = [(entry.custom_id, entry.reply) for entry in seen]
    assert name == "r1"
    assert isinstance(answer, Completion)
    assert answer.text == "yes"


@pytest.mark.parametrize("fault", sorted(WHOLE))
async def test_whatever_a_file_is_reading_it_ends(server: FaultyServer, fault: str) -> None:
    """With a typed error, or without a reply that is no answer to anything."""
    one_model = OpenAIClient(MODEL, endpoint=at(server.url_of(fault)), timeouts=QUICK)
    client = BatchClient(one_model, max_bytes=1_000_000)
    try:
        async for entry in client.replies("file-1"):
            assert isinstance(entry, BatchReply)
    except CallError:
        pass
    finally:
        await client.client.aclose()


def test_a_batch_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By requests and by bytes; nothing of it is left in the folder."""
    with BatchFile(tmp_path) as file:
        assert all(file.add(b"x" * 1000) for _ in range(50_000))
        assert not file.add(b"x")
    with BatchFile(tmp_path) as file:
        line = b"x" * 20_000_000
        assert all(file.add(line) for _ in range(10))
        assert not file.add(b"x")
        assert list(tmp_path.iterdir()) == []


def reply_line(**fields: Any) -> bytes:
    return json.dumps({"custom_id": "r1", "error": None, "response": None, **fields}).encode()


def test_an_error_line_says_why() -> None:
    """Not executed, refused, or broken: each is an error of its kind."""
    expired = read_reply_line(
        reply_line(error={"code": "batch_expired", "message": "Too late."}), MODEL
    )
    assert expired is not None
    assert isinstance(expired.reply, BatchError)
    assert "Too late." in str(expired.reply)
    assert expired.reply.code == "batch_expired"
    answer = {"status_code": 401, "body": {"error": {"message": "No.", "code": "invalid_api_key"}}}
    refused = read_reply_line(reply_line(response=answer), MODEL)
    assert refused is not None
    assert isinstance(refused.reply, AuthenticationError)
    broken = read_reply_line(reply_line(response={"status_code": 200, "body": {}}), MODEL)
    assert broken is not None
    assert isinstance(broken.reply, MalformedReplyError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
LINES = st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.fixed_dictionaries(
    {"custom_id": JSON | st.just("r1")},
    optional={
        "error": JSON,
        "response": JSON
        | st.fixed_dictionaries({"status_code": JSON | st.just(200), "body": JSON}),
    },
).map(lambda value: json.dumps(value).encode())  # fmt: skip


@given(LINES)
def test_any_line_is_a_reply_an_error_or_nothing(line: bytes) -> None:
    """No line of a stranger raises anything."""
    found = read_reply_line(line, MODEL)
    assert found is None or isinstance(found, BatchReply)
