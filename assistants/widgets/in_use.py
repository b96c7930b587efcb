"""Which clients are being asked at this moment, by whichever widget: such a one stays open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from assistants.clients import Client, IsolatedClient

_calls: Counter[int] = Counter()
"""By the id of a client, which nobody else has while a call with it is on its way."""


@contextmanager
def track_call(client: Client) -> Iterator[None]:
    """While a call is on its way; in the thread of ``background`` only."""
    number = id(_plain(client))
    _calls[number] += 1
    try:
        yield
    finally:
        _calls[number] -= 1
        if not _calls[number]:
            del _calls[number]


def is_busy(client: Client) -> bool:
    """Whether anybody waits for an answer of this client."""
    return id(_plain(client)) in _calls


def _plain(client: Client) -> Client:
    return client.client if isinstance(client, IsolatedClient) else client
