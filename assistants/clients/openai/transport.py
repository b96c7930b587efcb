"""The SDK object, built so that only the address decides where a prompt and an API key go.

By default the SDK follows redirects, retries, reads an error's body without limit, and sends an
organisation, a project, an admin key and custom headers from the environment to any server.
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
"""Seconds to wait for the text of an error whose status is already known."""

_KEEPALIVE_S = 2.0
"""Seconds. uvicorn closes idle connections after 5: never send on one that is being closed."""

MAX_CONNECTIONS = 1000
"""Calls in flight at most."""

CLOSE_CONNECTION = {"connection": "close"}
"""Header of a request after which the connection is not used again."""

_ORGANISATION = {"openai-organization": "OPENAI_ORG_ID", "openai-project": "OPENAI_PROJECT_ID"}
_OPENAI_HOST = "api.openai.com"

_NOT_HTTP_ERRORS = frozenset(("BadHttpMessage", "ClientResponseError", "DecodingError"))
_CONNECTION_ERRORS = frozenset(("APIConnectionError", "OSError"))
_REPLY_ERRORS = frozenset(
    ("ClientConnectionError", "ClientPayloadError", "ReadError", "RemoteProtocolError")
)


def build_sdk(model: str, address: Address) -> openai.AsyncOpenAI:
    """Build an SDK object for one address and one event loop."""
    import httpx2
    import openai

    check_key(model, address.key)
    host = httpx2.URL(address.url).host
    allowed = httpx2.Headers(_headers(host, address.key))
    closing = httpx2.Headers({**allowed, **CLOSE_CONNECTION})

    async def replace_headers(request: httpx2.Request) -> None:
        # The SDK adds headers from the environment, under any name, so only a full list of what
        # may go out is safe. aiohttp adds the host and the length.
        kept = closing if request.headers.get("connection") == "close" else allowed
        kind = request.headers.get("content-type", "")
        if kind.startswith("multipart/form-data;"):  # a file, whose parts the boundary tells apart
            length = request.headers["content-length"]
            kept = httpx2.Headers({**kept, "content-type": kind, "content-length": length})
        request.headers = kept

    async def refuse_errors(response: httpx2.Response) -> None:
        if response.status_code >= 300:
            body = await read_beginning(response, http_errors.MAX_ERROR_BYTES)
            raise http_errors.from_status(response.status_code, response.headers, body, model)

    http = openai.DefaultAioHttpClient(
        follow_redirects=False,
        verify=_certificates(),
        # A proxy would see an unencrypted prompt, and has no part in a loopback address.
        trust_env=address.url.startswith("https:") and not is_loopback(host),
        limits=httpx2.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=_KEEPALIVE_S),
        event_hooks={"request": [replace_headers], "response": [refuse_errors]},
    )
    # The SDK requires a key. The hook above sends ours, or none.
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
        headers |= {h: os.environ[name] for h, name in _ORGANISATION.items() if name in os.environ}
    return headers


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Load the certificates, once: it takes 40 ms, and a run may have dozens of models."""
    import httpx2

    return httpx2.create_ssl_context()


async def read_beginning(response: httpx2.Response, limit: int) -> bytes:
    """Read the beginning of an error's body, as much as arrives within a few seconds."""
    body = bytearray()
    with contextlib.suppress(Exception):  # the status is enough without the text
        async with asyncio.timeout(_ERROR_BODY_S):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= limit:
                    break
    return bytes(body[:limit])


def check_key(model: str, key: str | None) -> None:
    """Refuse a key that no HTTP header can carry, before a library quotes it in an error."""
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
    """Return the address of an SDK object, without user, password, query and known keys."""
    url = sdk.base_url
    port = f":{url.port}" if url.port is not None else ""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return api_keys.redact(f"{url.scheme}://{host}{port}{url.path.rstrip('/')}")


def translate_error(error: Exception, model: str, url: str, connect_s: float) -> CallError:
    """Return a typed error for one of the HTTP libraries. None of their text is kept."""
    import openai

    if isinstance(error, openai.APIStatusError):  # only from an SDK object that was passed in
        response = error.response
        unread = response.is_closed and not response.is_stream_consumed
        body = b"" if unread else response.content[: http_errors.MAX_ERROR_BYTES]
        return http_errors.from_status(response.status_code, response.headers, body, model)
    names = _error_names(error)
    if names & _NOT_HTTP_ERRORS and "ClientPayloadError" not in names:
        return MalformedReplyError(
            f"{model}: the reply from {url} is not valid HTTP.",
            fix="Check that the base URL is that of an OpenAI-compatible server.",
        )
    if "ConnectionTimeoutError" in names or {"ConnectTimeout", "TimeoutError"} <= names:
        return ConnectTimeoutError(
            f"{model}: could not connect to {url} within {connect_s:g} s.",
            fix="Check the address, or set a longer timeout.",
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
    """Return the class names of an error and of all errors it was raised from.

    Names, because the SDK may use either of two HTTP libraries, in several releases.
    """
    names: set[str] = set()
    while error is not None:
        names |= {kind.__name__ for kind in type(error).__mro__}
        error = error.__cause__ or error.__context__
    return names
