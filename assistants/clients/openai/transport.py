"""The SDK object, built so that nothing but the address decides where a prompt and a key go.

Left to itself, the SDK follows redirects, retries, reads an error's body without end, and sends
an organisation, a project, an admin key and custom headers from the environment to any server.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
from typing import TYPE_CHECKING

from assistants.clients.openai import http_errors
from assistants.errors import (
    AuthenticationError,
    CallError,
    ConnectTimeoutError,
    IncompleteReplyError,
    MalformedReplyError,
    ServerUnreachableError,
)
from assistants.utils import Address, api_keys, is_loopback

if TYPE_CHECKING:
    import httpx2
    import openai

_ERROR_BODY_S = 5.0
"""Seconds to wait for the words of an error whose status is known already."""

_KEEPALIVE_S = 2.0
"""Below the 5 s after which uvicorn closes idle connections: never send on one being closed."""

CLOSE_CONNECTION = {"connection": "close"}
"""Of a request behind which the connection is not used again."""

_ORGANISATION = {"openai-organization": "OPENAI_ORG_ID", "openai-project": "OPENAI_PROJECT_ID"}
_OPENAI_HOST = "api.openai.com"

_NOT_HTTP_ERRORS = frozenset(("BadHttpMessage", "ClientResponseError", "DecodingError"))
_CONNECTION_ERRORS = frozenset(("APIConnectionError", "OSError"))
_REPLY_ERRORS = frozenset(
    ("ClientConnectionError", "ClientPayloadError", "ReadError", "RemoteProtocolError")
)


def build_sdk(model: str, address: Address) -> openai.AsyncOpenAI:
    """An SDK object for one address and one event loop."""
    import httpx2
    import openai

    check_key(model, address.key)
    host = httpx2.URL(address.url).host
    sent = httpx2.Headers(_headers(host, address.key))
    last = httpx2.Headers({**sent, **CLOSE_CONNECTION})

    async def only_what_we_send(request: httpx2.Request) -> None:
        # The SDK adds headers from the environment, under any name, so only a list of all that
        # goes out is complete. aiohttp adds the host and the length.
        request.headers = last if request.headers.get("connection") == "close" else sent

    async def refuse_errors(response: httpx2.Response) -> None:
        if response.status_code >= 300:
            body = await read_beginning(response, http_errors.MAX_ERROR_BYTES)
            raise http_errors.from_status(response.status_code, response.headers, body, model)

    http = openai.DefaultAioHttpClient(
        follow_redirects=False,
        verify=_certificates(),
        # A proxy sees what goes through it unencrypted, and a loopback address is not its business.
        trust_env=address.url.startswith("https:") and not is_loopback(host),
        limits=httpx2.Limits(max_connections=1000, keepalive_expiry=_KEEPALIVE_S),
        event_hooks={"request": [only_what_we_send], "response": [refuse_errors]},
    )
    # The SDK insists on a key. The hook above sends ours, or none.
    return openai.AsyncOpenAI(
        base_url=address.url, api_key="unused", max_retries=0, http_client=http
    )


def _headers(host: str, key: str | None) -> dict[str, str]:
    headers = {
        "accept": "application/json, text/event-stream",
        "accept-encoding": "gzip, deflate",
        "content-type": "application/json",
        "user-agent": "assistants",
    }
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    if host == _OPENAI_HOST:
        headers |= {name: os.environ[at] for name, at in _ORGANISATION.items() if at in os.environ}
    return headers


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Loaded once: it takes 40 ms, and a run may have dozens of models."""
    import httpx2

    return httpx2.create_ssl_context()


async def read_beginning(response: httpx2.Response, limit: int) -> bytes:
    """The beginning of a body, as much as arrives soon; for errors, where less will do."""
    body = bytearray()
    with contextlib.suppress(Exception):  # the status says enough without the words
        async with asyncio.timeout(_ERROR_BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= limit:
                    break
    return bytes(body[:limit])


def check_key(model: str, key: str | None) -> None:
    """Refuse a key that no HTTP header can carry, before a library quotes it in its complaint."""
    if key is None:
        return
    api_keys.remember(key)
    if not (key.isascii() and key.isprintable() and key.strip() == key and key):
        raise AuthenticationError(
            f"{model}: the API key is empty, or has characters that no HTTP header can carry.",
            fix="Copy it again, without quotes, spaces or line ends.",
        )


_START_FIXES = {
    "vllm": "Start one (`assistants serve MODEL`), or set VLLM_BASE_URL to where it runs.",
    "local": "Ask again: the next call starts it anew.",
}
_START_FIX = "Start it there, or correct its address: `assistants models` shows where each is set."


def display_url(sdk: openai.AsyncOpenAI) -> str:
    """The address of an SDK object, less whatever secret somebody put into it."""
    url = sdk.base_url
    port = f":{url.port}" if url.port is not None else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return api_keys.redact(f"{url.scheme}://{host}{port}{url.path.rstrip('/')}")


def translate_error(error: Exception, model: str, url: str, connect_s: float) -> CallError:
    """A typed error for whatever the HTTP libraries raised. Nothing of their text is kept."""
    import openai

    if isinstance(error, openai.APIStatusError):  # only from an SDK object that is not ours
        response = error.response
        unread = response.is_closed and not response.is_stream_consumed
        body = b"" if unread else response.content[: http_errors.MAX_ERROR_BYTES]
        return http_errors.from_status(response.status_code, response.headers, body, model)
    names = _error_names(error)
    if names & _NOT_HTTP_ERRORS and "ClientPayloadError" not in names:
        return MalformedReplyError(
            f"{model}: what came back from {url} is no HTTP that can be read.",
            fix="Check that the base URL is that of an OpenAI-compatible server.",
        )
    if "ConnectionTimeoutError" in names or {"ConnectTimeout", "TimeoutError"} <= names:
        return ConnectTimeoutError(
            f"{model}: the connect deadline of {connect_s:g} s has passed at {url}.",
            fix="Check the address, or set a longer deadline.",
        )
    if names & _CONNECTION_ERRORS:
        return ServerUnreachableError(
            f"{model}: no server answered at {url}.",
            fix=_START_FIXES.get(model.partition(":")[0], _START_FIX),
        )
    if names & _REPLY_ERRORS:
        return IncompleteReplyError(
            f"{model}: the connection broke in the middle of the reply.",
            fix="Try again; if it stays, look at the server's own log.",
        )
    return CallError(
        f"{model}: the call failed inside the HTTP library ({type(error).__name__}).",
        fix="Update `openai` and `aiohttp`; if it stays, report it.",
    )


def _error_names(error: BaseException | None) -> set[str]:
    """The names of an error's classes and of all it was raised from.

    By name, because two HTTP libraries and two of their releases may stand below the SDK.
    """
    names: set[str] = set()
    while error is not None:
        names |= {kind.__name__ for kind in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return names
