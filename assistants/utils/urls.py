"""Addresses of servers, checked before anything is sent there."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from assistants.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """The base URL of an OpenAI-compatible server and the key it wants, if any.

    The key is left out of the repr; an ``Address`` lives no longer than the connection it opens.
    """

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_url(self.url)


Endpoint = Callable[[], Awaitable[Address]]
"""Return the address for one call; may read the environment or start a server."""


def check_url(url: str) -> str:
    """Return ``url`` if a prompt may be sent there.

    Raises
    ------
    UsageError
        Unless it is http or https with a host, and carries no user, password, query or fragment.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not a URL: {error}.", fix=_FIX) from None
    if "\\" in url or " " in url or not url.isprintable():
        raise UsageError(f"{url!r} has a space, backslash or control character.", fix=_FIX)
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{url!r} is not an http or https URL.", fix=_FIX)
    if "@" in parts.netloc:
        raise UsageError(
            "A base URL may not carry a user name or password.",
            fix="Put the key in an environment variable and name that variable.",
        )
    if "?" in url or "#" in url:
        raise UsageError(f"{url!r} has a query or fragment.", fix=_FIX)
    return url


def is_loopback(host: str) -> bool:
    """Return whether a host name or IP address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_FIX = "Give one like http://127.0.0.1:8000/v1."
