"""Rate limits of a model, as a server's headers or ``models.toml`` state them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

MINUTE_S = 60.0
_LONGEST_PERIOD_S = 86_400.0
_COUNTED = 10

_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Quota:
    """Requests, or tokens, that may be spent on a model in ``period_s`` seconds.

    ``remaining`` is what the server says is left of them; ``None`` where no server counts.
    """

    limit: int
    period_s: float = MINUTE_S
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits of a model on requests and on tokens; ``None`` where there is none."""

    requests: Quota | None = None
    tokens: Quota | None = None

    def within(self, caps: RateLimits) -> RateLimits:
        """Return these limits, with those of ``caps`` where they are lower."""
        return RateLimits(_lower(self.requests, caps.requests), _lower(self.tokens, caps.tokens))


def read_rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Return the limits that the headers of a reply state; ``None`` if they state none.

    Notes
    -----
    ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``, as OpenAI documents them. A limit may
    be one per day (Groq), so the period is computed: ``reset`` is the time until all is back.
    """
    requests = _read_quota(headers, "requests")
    tokens = _read_quota(headers, "tokens")
    return None if requests is None and tokens is None else RateLimits(requests, tokens)


def read_reset_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds until a limit that is used up has room again; ``None`` if unknown."""
    waits = [
        quota.period_s / quota.limit
        for quota in (_read_quota(headers, "requests"), _read_quota(headers, "tokens"))
        if quota is not None and quota.remaining == 0
    ]
    return max(waits, default=None)


def read_duration(value: str) -> float | None:
    """Return the seconds of ``120ms``, ``6m0s``, ``1m30.5s`` or ``0.5``; ``None`` for others."""
    if value and not _PART.sub("", value):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _read_quota(headers: Mapping[str, str], kind: str) -> Quota | None:
    limit = _read_count(headers.get(f"x-ratelimit-limit-{kind}"))
    remaining = _read_count(headers.get(f"x-ratelimit-remaining-{kind}"))
    if not limit or remaining is None:
        return None
    remaining = min(remaining, limit)
    reset = read_duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
    return Quota(limit, _period_s(limit, remaining, reset), remaining)


def _read_count(value: str | None) -> int | None:
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > 12:
        return None
    return int(value)


def _period_s(limit: int, remaining: int, reset: float | None) -> float:
    used = limit - remaining
    if used < _COUNTED or not reset:  # whole numbers say too little about a bucket almost full
        return MINUTE_S
    return min(limit * reset / used, _LONGEST_PERIOD_S)


def _lower(stated: Quota | None, cap: Quota | None) -> Quota | None:
    if stated is None or cap is None:
        return stated or cap
    is_lower = cap.limit / cap.period_s < stated.limit / stated.period_s
    return cap if is_lower else stated
