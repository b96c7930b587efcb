"""The pace of calls to one model: its rate limits, shared by all processes on one store.

A limiter of one process (aiolimiter and its like) cannot share a limit with another process, nor
take a server's own count for the truth. So the limits are rows of the store, from which each
process takes a small block at a time: a trial costs no transaction of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistants.clients import Client, Quota, RateLimits, known_rate_limits
from assistants.messages import Message, Sampling
from assistants.runs.store import Store
from assistants.runs.token_bucket import TokenBucket

_BLOCK = 1 / 120
"""The part of a limit that is taken at once: half a second of a minute."""

_RESERVE = 1 / 60
"""The part of a limit that stays untouched, once, for what our count and the server's differ in."""

_BURST = 1 / 100
"""The part of a limit that may be spent at once where nobody but us counts."""

_REMEMBERED_S = 600.0
"""Seconds for which limits in the store hold before the server has stated them again."""

_USUAL_ANSWER = 256
"""Tokens of an answer without a cap."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A call that may be sent: when that was, and what had been taken that the server surely saw.

    That is all that was taken, by any process, before the oldest call that was then in flight.
    """

    sent_at: float
    taken: Mapping[str, float]


class Pace:
    """Holds calls to one model back until its rate limits leave room for them.

    The limits are those that the client has seen (``client.rate_limits``), or those in the store,
    which another process has seen. Where there are none, nothing is counted and nothing waits.
    """

    def __init__(self, store: Store, client: Client) -> None:
        self._store = store
        self._client = client
        self._turn = asyncio.Lock()  # first come, first served
        self._free_at = 0.0  # time.monotonic, as are the others
        self._paused_until = 0.0
        self._refused_since: float | None = None
        self._after_pause = False
        self._block: dict[str, float] = {}
        self._block_taken: Mapping[str, float] = {}
        self._in_flight: dict[Ticket, Mapping[str, float]] = {}  # oldest first
        self._seen: tuple[RateLimits, Ticket | None] | None = None
        self._used: RateLimits | None = None
        now = time.time()
        self._known: Mapping[str, TokenBucket] = {
            kind: bucket
            for kind, bucket in store.rate_limits(client.model).items()
            if abs(now - bucket.at) < _REMEMBERED_S
        }

    @property
    def is_limited(self) -> bool:
        """False if calls need not be admitted: no limit is known, and none was refused."""
        return bool(self._paused_until or self._known) or self._limits is not None

    async def admit(self, tokens: int) -> Ticket | None:
        """Wait until a call of about so many tokens may be sent; ``None`` without limits."""
        async with self._turn:
            await self._sleep_until(self._paused_until)
            if self._limits is None and not self._known:
                self._paused_until = 0.0
                return None
            cost = {"requests": 1.0, "tokens": float(tokens)}
            if any(self._block.get(kind, 0.0) < amount for kind, amount in cost.items()):
                self._take_block(cost)
            for kind, amount in cost.items():
                self._block[kind] -= amount
            await self._sleep_until(self._free_at)
            oldest = next(iter(self._in_flight.values()), self._block_taken)
            ticket = Ticket(time.time(), oldest)
            self._in_flight[ticket] = self._block_taken
            return ticket

    def answered(self, ticket: Ticket | None) -> None:
        """Learn from an answer: the limits that came with it, and that somebody gets through."""
        self._refused_since = None
        limits = self._limits
        if limits is None:  # what the store remembers holds no longer
            self._known = {}
        elif limits is not self._used:
            self._seen = (limits, ticket)

    def ended(self, ticket: Ticket | None) -> None:
        """Count a call that is over, in whichever way."""
        if ticket is not None:
            self._in_flight.pop(ticket, None)

    def refused(self, wait_s: float) -> None:
        """Hold all calls back for so many seconds."""
        now = time.monotonic()
        self._paused_until = max(self._paused_until, now + wait_s)
        self._after_pause = True
        if self._refused_since is None:
            self._refused_since = now

    def refused_for_s(self) -> float:
        """Return the seconds since the first refusal after which no call got through."""
        since = self._refused_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def _limits(self) -> RateLimits | None:
        return known_rate_limits(self._client)

    async def _sleep_until(self, moment: float) -> None:
        if (wait := moment - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    def _take_block(self, cost: Mapping[str, float]) -> None:
        """Take quota for this call, and for those that follow it, in one transaction."""
        limits = self._limits
        quotas: dict[str, Quota | None] = (
            {"requests": limits.requests, "tokens": limits.tokens} if limits else {}
        )
        seen, self._seen, self._used = self._seen, None, limits
        wait_s = 0.0

        def update(stored: Mapping[str, TokenBucket], now: float) -> dict[str, TokenBucket]:
            nonlocal wait_s
            buckets = {
                kind: bucket
                for kind in cost
                if limits is None or quotas[kind] is not None
                if (bucket := _current(stored.get(kind), quotas.get(kind), now)) is not None
            }
            if seen is not None:
                buckets = {k: _observed(b, k, *seen) for k, b in buckets.items()}
            self._block_taken = {kind: bucket.taken for kind, bucket in buckets.items()}
            calls = self._calls_of_a_block(buckets, quotas, cost)
            for kind, bucket in buckets.items():
                amount = cost[kind] * calls
                if self._after_pause:  # the server has room for one call, and then goes on
                    bucket = bucket.observed(amount + _reserve(quotas.get(kind)), now, None)
                amount = max(0.0, amount - self._block.get(kind, 0.0))
                buckets[kind] = bucket = bucket.take(amount)
                wait_s = max(wait_s, bucket.wait_s(_reserve(quotas.get(kind))))
            return buckets

        self._known = self._store.update_rate_limits(self._client.model, update)
        self._after_pause = False
        self._free_at = time.monotonic() + wait_s
        calls = self._calls_of_a_block(self._known, quotas, cost)
        for kind, amount in cost.items():
            self._block[kind] = max(self._block.get(kind, 0.0), amount * calls)

    @staticmethod
    def _calls_of_a_block(
        buckets: Mapping[str, TokenBucket],
        quotas: Mapping[str, Quota | None],
        cost: Mapping[str, float],
    ) -> int:
        limits = {
            kind: quota.limit if (quota := quotas.get(kind)) is not None else bucket.capacity
            for kind, bucket in buckets.items()
        }
        most = min((limit * _BLOCK / cost[kind] for kind, limit in limits.items()), default=1.0)
        return max(1, int(most))


def estimate_tokens(messages: Sequence[Message], sampling: Sampling) -> int:
    """Return the tokens that a call counts for: about four characters each, and the cap."""
    sent = sum(len(message.content) for message in messages)
    return sent // 4 + 1 + (sampling.max_tokens or _USUAL_ANSWER)


def _current(stored: TokenBucket | None, quota: Quota | None, now: float) -> TokenBucket | None:
    """Return the bucket at ``now``, under the limit that was stated last."""
    if quota is None:
        return None if stored is None else stored.refilled(now)
    is_counted = quota.remaining is not None
    capacity = float(quota.limit) if is_counted else max(1.0, quota.limit * _BURST)
    rate = quota.limit / quota.period_s
    if stored is None:
        level = capacity if quota.remaining is None else float(quota.remaining)
        return TokenBucket(capacity, rate, level, 0.0, now)
    return stored.limited(capacity, rate).refilled(now)


def _observed(
    bucket: TokenBucket, kind: str, limits: RateLimits, ticket: Ticket | None
) -> TokenBucket:
    """Return the bucket after the server has said what it has left."""
    quota = limits.requests if kind == "requests" else limits.tokens
    if quota is None or quota.remaining is None:
        return bucket
    if ticket is None:
        return bucket.observed(quota.remaining, bucket.at, None)
    return bucket.observed(quota.remaining, ticket.sent_at, ticket.taken.get(kind))


def _reserve(quota: Quota | None) -> float:
    return 0.0 if quota is None or quota.remaining is None else quota.limit * _RESERVE
