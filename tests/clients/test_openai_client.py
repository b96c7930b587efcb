"""The client for OpenAI-compatible servers: bad replies, timeouts, keys, headers, connections."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import re
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace

import openai
import pytest

from assistants import errors
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.request import Timeouts
from assistants.messages import Completion, Message, Sampling
from support import faulty_replies
from support.conformance import until
from support.faulty_replies import STREAMED, WHOLE, Rude
from support.faulty_server import FaultyServer, at

KEY = "sk-canary-7Hq2Lw9Xz4Vb8Nm3Rt6Yp1"
PIECES = [KEY[i : i + 8] for i in range(len(KEY) - 7)]
LONG = Timeouts(connect=60.0, first_token=60.0, idle=60.0, total=60.0)
SHORT = Timeouts(connect=1.0, first_token=0.4, idle=0.4, total=0.8)
TALK = [Message("system", "Be."), Message("user", "Hi.")]
PLAIN = Sampling()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


async def outcome(client: OpenAIClient, streamed: bool) -> Completion | errors.CallError:
    """Return the completion or the error; any other exception is raised."""
    try:
        if not streamed:
            return await client.complete(TALK, PLAIN)
        *_, last = [part async for part in client.stream(TALK, PLAIN)]
    except errors.CallError as error:
        return error
    assert isinstance(last, Completion)
    return last


def rude(server: FaultyServer, name: str, **more: object) -> OpenAIClient:
    endpoint = at(server.url_of(name), KEY)
    settings = {"timeouts": SHORT, "max_bytes": 200_000, **more}
    return OpenAIClient("x:m", endpoint=endpoint, **settings)  # type: ignore[arg-type]


def only_short(name: str) -> Timeouts:
    """Return time limits of which only the named one can pass, however busy the machine is."""
    return replace(LONG, **{name.replace(" ", "_"): 0.4}) if name else LONG


def leaks(text: str) -> list[str]:
    return [piece for piece in PIECES if piece in text]


# -- bad replies -----------------------------------------------------------------------------------

CORPUS = [
    *(pytest.param(False, name, bad, id=f"whole: {name}") for name, bad in WHOLE.items()),
    *(pytest.param(True, name, bad, id=f"streamed: {name}") for name, bad in STREAMED.items()),
]


@pytest.mark.parametrize(("streamed", "name", "bad"), CORPUS)
async def test_every_bad_reply_has_its_type(
    server: FaultyServer,
    caplog: pytest.LogCaptureFixture,
    streamed: bool,
    name: str,
    bad: Rude,
) -> None:
    """Each bad reply ends as the typed error or status it should, in time, and shows no key."""
    caplog.set_level(logging.DEBUG)
    client = rude(server, name, timeouts=only_short(bad.deadline))
    async with asyncio.timeout(90):
        got = await outcome(client, streamed)
    if isinstance(bad.expect, str):
        assert isinstance(got, Completion), got
        assert got.status == bad.expect
    else:
        assert isinstance(got, bad.expect), got
        assert got.fix
        assert bad.deadline in got.message
    assert not leaks(everything(got, client, caplog.text))
    await client.aclose()


def everything(got: Completion | errors.CallError, client: OpenAIClient, log: str) -> str:
    """All that a person, a log or a notebook could show of a call."""
    shown = [repr(got), str(got), repr(client), repr(vars(client)), log]
    error: BaseException | None = got if isinstance(got, BaseException) else None
    if error is not None:
        shown += traceback.format_exception(error)
        shown.append(repr(vars(error)))
        assert error.__context__ is None, "a chained error may hold the request's headers"
    return "\n".join(shown)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("name", "expect"),
    [
        ("401 key echo", errors.AuthenticationError),
        ("500", errors.ServerError),
        ("500 key echo", errors.ServerError),
        ("307 other origin", errors.RedirectRefusedError),
        ("429", errors.RateLimitError),
        ("close before headers", errors.CallError),
        ("no http", errors.CallError),
        ("html", errors.MalformedReplyError),
        ("cut in body", errors.IncompleteReplyError),
        ("stall before headers", errors.CallTimeoutError),
        ("endless body", errors.ReplyTooLargeError),
    ],
)
async def test_a_given_sdk_object_fails_alike(
    server: FaultyServer,
    caplog: pytest.LogCaptureFixture,
    streamed: bool,
    name: str,
    expect: type[errors.CallError],
) -> None:
    """An SDK object that somebody else built raises the same errors, and shows no key."""
    caplog.set_level(logging.DEBUG)
    async with openai.AsyncOpenAI(base_url=server.url_of(name), api_key=KEY) as sdk:
        stalls = expect is errors.CallTimeoutError
        limits = SHORT if stalls else LONG
        client = OpenAIClient("x:m", sdk=sdk, timeouts=limits, max_bytes=200_000)
        asked = len(server.requests)
        got = await outcome(client, streamed)
        assert isinstance(got, expect), got
        assert len(server.requests) == asked + 1, "attempts are the runner's"
        assert not leaks(everything(got, client, caplog.text))


async def test_what_arrived_is_kept(server: FaultyServer) -> None:
    """A stream that breaks or stalls keeps its partial text, marked as cut, with its times."""
    for name in ("cut in body", "stall in content", "bad json", "error event"):
        client = rude(server, name)
        got = await outcome(client, streamed=True)
        assert isinstance(got, errors.CallError), name
        assert got.partial is not None, name
        assert (got.partial.text, got.partial.status) == ("Hi.", "truncated")
        assert got.partial.first_token_s is not None
        assert got.partial.total_s is not None
        await client.aclose()


async def test_an_echoed_key_is_redacted_in_every_piece(server: FaultyServer) -> None:
    """A key that a model repeats letter by letter does not leave in any piece or field."""
    client = rude(server, "key echo")
    parts = [part async for part in client.stream(TALK, PLAIN)]
    last = parts[-1]
    assert isinstance(last, Completion)
    joined = "".join(p.text for p in parts[:-1])
    assert joined == last.text == "Your key is Bearer [redacted]."
    assert not leaks(joined)
    assert not leaks(repr(last))
    await client.aclose()


async def test_retry_after_reaches_the_runner(server: FaultyServer) -> None:
    """How long a server wants to be left alone is on the error."""
    client = rude(server, "503")
    got = await outcome(client, streamed=False)
    assert isinstance(got, errors.ServerError)
    assert got.retry_after == 2.0
    assert got.retryable
    await client.aclose()


async def test_an_endless_error_page_is_not_read(server: FaultyServer) -> None:
    """Of an error's body no more is read than its message needs."""
    client = rude(server, "500 forever", timeouts=Timeouts())
    async with asyncio.timeout(60):
        assert isinstance(await outcome(client, streamed=False), errors.ServerError)
    await client.aclose()


# -- time limits -----------------------------------------------------------------------------------


async def test_a_hundred_stalls_end_in_time(server: FaultyServer) -> None:
    """However many calls stall at once, each ends with a timeout."""
    stalls = [name for name, bad in STREAMED.items() if bad.deadline]
    clients = [rude(server, stalls[i % len(stalls)]) for i in range(100)]

    async def one(client: OpenAIClient) -> None:
        assert isinstance(await outcome(client, streamed=True), errors.CallTimeoutError)

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(client) for client in clients))
    await asyncio.gather(*(client.aclose() for client in clients))


async def test_the_connect_deadline_holds() -> None:
    """A server that does not accept connections is given up on at the connect time limit."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        timeouts = Timeouts(connect=0.3, total=60.0)
        client = OpenAIClient("x:m", endpoint=at(f"http://127.0.0.1:{port}/v1"), timeouts=timeouts)
        got = await outcome(client, streamed=False)
        assert isinstance(got, errors.ConnectTimeoutError)
        await client.aclose()
        for one in waiting:
            one.close()


async def test_a_slow_reader_is_not_an_idle_server(server: FaultyServer) -> None:
    """Time that the consumer takes is not held against the server."""
    client = OpenAIClient("x:m", endpoint=at(server.url), timeouts=Timeouts(idle=0.2))
    async for _ in client.stream(TALK, PLAIN):
        await asyncio.sleep(0.05)
    await client.aclose()


# -- what is sent, and where -----------------------------------------------------------------------


@pytest.fixture
def stray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set environment variables that are meant for other programs."""
    proxy = "http://127.0.0.1:9"
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary-1234")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-canary-1234")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Secret: {KEY}\nAuthorization: Bearer {KEY}")


@pytest.mark.usefixtures("stray")
@pytest.mark.parametrize("key", [None, "sk-own-1234567890"])
async def test_nothing_from_the_environment_is_sent(server: FaultyServer, key: str | None) -> None:
    """Address and key decide alone: no proxy, no organisation, no other key, no header at all."""
    client = OpenAIClient("x:m", endpoint=at(server.url, key))
    await client.complete(TALK, PLAIN)
    headers = server.requests[-1].headers
    assert headers.get("authorization") == (None if key is None else f"Bearer {key}")
    assert not leaks(repr(headers))
    assert "canary" not in repr(headers)
    known = {"accept", "accept-encoding", "authorization", "content-length", "content-type"}
    assert set(headers) <= known | {"host", "connection", "user-agent"}
    await client.aclose()


async def test_a_redirect_takes_nothing_along() -> None:
    """Neither prompt nor key reaches the address that a redirect points to."""
    with FaultyServer() as first, FaultyServer() as other:
        steps = faulty_replies.status("307 Temporary", None, f"location: {other.url}")
        faulty_replies.WHOLE["redirect"] = Rude(steps, errors.RedirectRefusedError)
        client = rude(first, "redirect")
        got = await outcome(client, streamed=False)
        del faulty_replies.WHOLE["redirect"]
        assert isinstance(got, errors.RedirectRefusedError)
        assert other.url in got.message
        assert not other.requests
        await client.aclose()


async def test_settings_are_sent_under_their_names(server: FaultyServer) -> None:
    """What is set is sent, and what is not is left to the server."""
    client = OpenAIClient(
        "x:org/m:tag", endpoint=at(server.url), max_tokens_field="max_completion_tokens"
    )
    await client.complete(TALK, Sampling(temperature=0.0, max_tokens=5, stop=("a",), repeat=3))
    sent = server.requests[-1].json
    assert sent.pop("messages")
    assert sent == {
        "model": "org/m:tag",
        "temperature": 0.0,
        "max_completion_tokens": 5,
        "stop": ["a"],
    }
    await client.aclose()


async def test_azure_finds_its_deployment(server: FaultyServer) -> None:
    """An Azure SDK object puts the model into the path, whatever characters the text has."""
    sdk = openai.AsyncAzureOpenAI(
        base_url=server.url, api_key=KEY, api_version="2026-01-01", max_retries=0
    )
    async with sdk:
        client = OpenAIClient("azure:my-gpt", sdk=sdk)
        await client.complete([Message("user", "Hi 😀 \\ud83d.")], PLAIN)
        assert server.requests[-1].path.startswith("/v1/deployments/my-gpt/chat/completions")
        assert server.requests[-1].headers["api-key"] == KEY


async def test_no_persona_can_be_said_aloud(server: FaultyServer) -> None:
    """Where a template would insert a persona of its own, an empty one is sent instead."""
    client = OpenAIClient("x:m", endpoint=at(server.url), always_system=True)
    await client.complete([Message("user", "Hi.")], PLAIN)
    assert server.requests[-1].json["messages"][0] == {"role": "system", "content": ""}
    await client.complete(TALK, PLAIN)
    assert [m["role"] for m in server.requests[-1].json["messages"]] == ["system", "user"]
    await client.aclose()


@pytest.mark.parametrize("key", ["", "two words ok\n", "schlüssel-12345", "a\r\nX-Evil: 1"])
async def test_a_key_that_cannot_be_sent_is_refused(server: FaultyServer, key: str) -> None:
    """A key with a line end or an umlaut is refused before a library quotes it."""
    client = OpenAIClient("x:m", endpoint=at(server.url, key))
    got = await outcome(client, streamed=False)
    assert isinstance(got, errors.AuthenticationError)
    assert not key or key not in str(got)


async def test_a_new_address_is_used_at_once(server: FaultyServer) -> None:
    """When the endpoint's answer changes, the next call goes to the new address, with its key."""
    with FaultyServer() as second:
        urls = iter([at(server.url, "sk-first-123"), at(second.url, "sk-second-123")])
        client = OpenAIClient("x:m", endpoint=lambda: next(urls)())
        await client.complete(TALK, PLAIN)
        await client.complete(TALK, PLAIN)
        assert server.requests[-1].headers["authorization"] == "Bearer sk-first-123"
        assert second.requests[-1].headers["authorization"] == "Bearer sk-second-123"
        await client.aclose()


async def test_connections_are_used_again() -> None:
    """Calls one after another, whole or streamed, share one connection."""
    with FaultyServer() as server:
        client = OpenAIClient("x:m", endpoint=at(server.url))
        for streamed in (False, True, True, False):
            assert isinstance(await outcome(client, streamed), Completion)
        assert server.connections == 1
        await client.aclose()


async def test_a_connection_survives_a_late_end() -> None:
    """The end of a stream that comes a moment after ``[DONE]`` is waited for."""
    with FaultyServer() as server:
        client = rude(server, "late end")
        for _ in range(3):
            assert isinstance(await outcome(client, streamed=True), Completion)
        assert server.connections == 1
        await client.aclose()


async def test_a_left_stream_is_closed() -> None:
    """A consumer that goes away in the middle takes the connection with it."""
    with FaultyServer() as server:
        client = rude(server, "drip of content", timeouts=Timeouts())
        parts = client.stream(TALK, PLAIN)
        await anext(parts)
        await parts.aclose()  # type: ignore[attr-defined]
        await until(lambda: server.disconnects == 1)
        await client.aclose()


async def test_half_of_all_calls_may_fail() -> None:
    """Under random faults every call has an outcome, and the same faults come again."""
    results = []
    for _ in range(2):
        with FaultyServer(fault_rate=0.5, seed=7) as server:
            client = OpenAIClient("x:m", endpoint=at(server.url))
            order = list(range(60))
            random.Random().shuffle(order)

            async def one(i: int, client: OpenAIClient = client) -> tuple[int, str]:
                try:
                    await client.complete([Message("user", str(i))], PLAIN)
                except errors.CallError as error:
                    return i, type(error).__name__
                return i, "ok"

            results.append(sorted(await asyncio.gather(*map(one, order))))
            await client.aclose()
    assert results[0] == results[1]
    failed = sum(name != "ok" for _, name in results[0])
    assert 15 < failed < 45


# -- building --------------------------------------------------------------------------------------


def test_importing_costs_no_sdk() -> None:
    """The SDK, which takes over a second to import, waits for the first call."""
    import subprocess

    code = "import sys, assistants.clients.openai.client; print('openai' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_an_unusable_client_is_refused() -> None:
    """A client needs one way to a server and a model's name."""
    for model, settings in (("x:m", {}), ("m", {"endpoint": at("http://a/v1")})):
        with pytest.raises(errors.UsageError):
            OpenAIClient(model, **settings)  # type: ignore[arg-type]


async def test_nothing_is_left_behind(server: FaultyServer) -> None:
    """A closed client leaves no open connection for the interpreter to complain about."""
    client = OpenAIClient("x:m", endpoint=at(server.url))
    for streamed in (False, True):
        assert isinstance(await outcome(client, streamed), Completion)
    await client.aclose()
    del client
    gc.collect()


def test_the_corpus_is_large() -> None:
    """There are at least sixty bad replies, whole and streamed."""
    assert len(WHOLE) >= 60
    assert len(STREAMED) >= 60
    assert all(re.fullmatch(r"[\w .,:'-]+", name) for name in (*WHOLE, *STREAMED))
