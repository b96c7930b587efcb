"""The way of a request to an offline model: what the SDK sends goes through a pipe."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import openai

from assistants.clients.openai import http_errors
from assistants.clients.vllm.offline_process import EngineProcess, PendingRequest

_AT = "http://offline.invalid/v1"
"""No address: the transport below is all that ever sees it."""


def build_sdk(model: str, process: EngineProcess) -> openai.AsyncOpenAI:
    """An SDK object that speaks to one process, from any event loop."""
    http = httpx2.AsyncClient(transport=_PipeTransport(model, process), trust_env=False)
    return openai.AsyncOpenAI(base_url=_AT, api_key="unused", max_retries=0, http_client=http)


class _PipeTransport(httpx2.AsyncBaseTransport):
    def __init__(self, model: str, process: EngineProcess) -> None:
        self._model = model
        self._process = process

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        exchange = self._process.ask(request.method, request.url.path, body.decode("ascii"))
        try:
            kind, status = await exchange.next()
            if kind != b"s":
                raise self._process.fault()
            body_of = _Body(exchange)
            if int(status) >= 300:
                said = b"".join([part async for part in body_of])
                raise http_errors.from_status(int(status), {}, said, self._model)
        except BaseException:
            exchange.leave()
            raise
        return httpx2.Response(int(status), stream=body_of)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: PendingRequest) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            kind, content = await self._exchange.next()
            if kind == b"e":
                return
            yield content

    async def aclose(self) -> None:
        self._exchange.leave()
