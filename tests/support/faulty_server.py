"""A loopback server that speaks the OpenAI protocol, and can be told to be rude.

``http://127.0.0.1:PORT/v1`` behaves: it answers with what it received, or with ``answer(request)``.
``server.url_of("html")`` is a base URL below which every call gets the bad reply of that name, so
that many of them can be tried at once.

    with FaultyServer() as server:
        client = OpenAIClient("x:echo", endpoint=at(server.url))
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, unquote

from assistants.utils.urls import Address, Endpoint
from support.faulty_replies import STREAMED, WHOLE, Do, Forever, Step, http, json_reply, sse_reply

Answer = Callable[[dict[str, Any]], str]


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class FaultyServer:
    """A server in a thread of its own, for as long as its ``with`` block lasts.

    Parameters
    ----------
    answer
        The text to answer a request with; by default what was received, as JSON.
    other
        The JSON to answer requests of other routes with, ``/embeddings`` and the like.
    latency
        Seconds before each reply.
    fault_rate, faults, seed
        The share of requests that get one of the named bad replies instead. Which ones is decided
        by the request, how often it came, and the seed; not by the order in which they arrive.
    """

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        other: Callable[[Request], Any] | None = None,
        latency: float = 0.0,
        fault_rate: float = 0.0,
        faults: Sequence[str] = ("500", "429", "close before headers", "cut in body"),
        seed: int = 0,
    ) -> None:
        self.answer = answer or echo
        self.other = other
        self.latency = latency
        self.fault_rate = fault_rate
        self.faults = faults
        self.seed = seed
        self.requests: list[Request] = []
        self.in_flight = 0
        self.peak = 0
        """The most requests that were in flight at once."""
        self.disconnects = 0
        """How often a client went away before its reply was complete."""
        self.connections = 0
        self._seen: dict[bytes, int] = {}
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="rude-server")
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def url_of(self, fault: str) -> str:
        """Return the base URL at which every call gets the bad reply of that name."""
        return f"http://127.0.0.1:{self.port}/rude/{quote(fault, safe='')}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        # A connection just accepted gets its transport first: a closed server would leave it open.
        self._loop.remove_reader(server.sockets[0].fileno())
        await _turns()
        server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        for writer in self._writers:  # one that still has to send closes no other way
            writer.transport.abort()
        await _turns()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection; a task that is cancelled before it began could not close it."""
        self._writers.append(writer)
        task = asyncio.ensure_future(self._connected(reader, writer))
        # What a broken request raises is seen by the client: its connection closes.
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._tasks.append(task)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            ahead: bytes | None = b""
            while ahead is not None:
                ahead = await self._one(reader, writer, ahead)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client, or the server as a whole, is gone
        finally:
            writer.close()
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()  # or its socket may outlive the loop

    async def _one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ahead: bytes
    ) -> bytes | None:
        """Serve one request; what was read of the next one, or ``None`` at the end."""
        request = await _read(reader, ahead)
        self.requests.append(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        gone = asyncio.ensure_future(reader.read(1))  # ends when the client goes away
        reply = asyncio.ensure_future(self._reply(request, writer))
        try:
            await asyncio.wait({gone, reply}, return_when=asyncio.FIRST_COMPLETED)
            if not reply.done():
                self.disconnects += 1
                return None
            again = reply.result()
            return (gone.result() if gone.done() else b"") if again else None
        except ConnectionError:
            self.disconnects += 1
            return None
        finally:
            self.in_flight -= 1
            for task in (gone, reply):
                task.cancel()
            await asyncio.gather(gone, reply, return_exceptions=True)

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        if self.latency:
            await asyncio.sleep(self.latency)
        for step in self._steps(request):
            if step is Do.CLOSE:
                writer.close()
                return False
            if step is Do.STALL:
                await asyncio.sleep(3600)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, Forever):
                while True:
                    writer.write(step.piece)
                    await writer.drain()
                    await asyncio.sleep(step.every)
            else:
                writer.write(step)
                await writer.drain()
        return True

    def _steps(self, request: Request) -> Sequence[Step]:
        streamed = request.body.startswith(b"{") and bool(request.json.get("stream"))
        fault = self._fault(request)
        if fault is not None:
            bad = (STREAMED if streamed else WHOLE)[fault]
            return bad.steps(request.headers) if callable(bad.steps) else bad.steps
        if self.other is not None and not request.path.endswith("/chat/completions"):
            return [http(json.dumps(self.other(request)).encode())]
        if not request.body:  # GET /models
            return [http(json.dumps({"object": "list", "data": [{"id": "m"}]}).encode())]
        if "messages" not in request.json:
            return [http(b"{}", "404 Not Found")]
        text = self.answer(request.json)
        usage = {
            "prompt_tokens": sum(len(m["content"].split()) for m in request.json["messages"]),
            "completion_tokens": len(text.split()),
        }
        model = request.json["model"]
        reply = sse_reply if streamed else json_reply
        return reply(text, usage=usage, model=model)

    def _fault(self, request: Request) -> str | None:
        if request.path.startswith("/rude/"):
            return unquote(request.path.split("/")[2])
        if not self.fault_rate:
            return None
        times = self._seen[request.body] = self._seen.get(request.body, 0) + 1
        digest = hashlib.sha256(b"%d %d " % (self.seed, times) + request.body).digest()
        draw = random.Random(digest)
        return draw.choice(self.faults) if draw.random() < self.fault_rate else None


def at(url: str, key: str | None = None) -> Endpoint:
    """Return an endpoint that gives this address."""

    async def endpoint() -> Address:
        return Address(url, key)

    return endpoint


def echo(request: dict[str, Any]) -> str:
    """Everything a model could go by, as JSON, so that a test can see what arrived."""
    return json.dumps(request["messages"], ensure_ascii=False)


async def _turns() -> None:
    """Let the loop do what is due, and what follows from that."""
    for _ in range(5):
        await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader, ahead: bytes) -> Request:
    head = (ahead + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split(" ")[1], headers, body)
