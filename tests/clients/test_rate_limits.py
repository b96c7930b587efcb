"""Rate limits are read as servers write them, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from assistants.clients.rate_limits import (
    Quota,
    RateLimits,
    read_duration,
    read_rate_limits,
    read_reset_s,
)


def headers(limit: str, remaining: str, reset: str, kind: str = "requests") -> dict[str, str]:
    names = ("limit", "remaining", "reset")
    return {
        f"x-ratelimit-{n}-{kind}": v for n, v in zip(names, (limit, remaining, reset), strict=True)
    }


def test_limits_of_a_minute_and_of_a_day() -> None:
    """The period follows from what is used and when all of it is back."""
    assert read_rate_limits(headers("500", "400", "12s")) == RateLimits(Quota(500, 60, 400))
    daily = read_rate_limits(headers("14400", "14370", "3m0s", "tokens"))
    assert daily == RateLimits(None, Quota(14400, 86_400, 14370))


def test_a_bucket_almost_full_says_nothing_about_its_period() -> None:
    """Whole numbers are too coarse there: it is a minute until more is used."""
    assert read_rate_limits(headers("500", "499", "36ms")) == RateLimits(Quota(500, 60, 499))


@pytest.mark.parametrize(
    "bad",
    [
        ("", "4", "1s"), ("0", "0", "1s"), ("-5", "3", "1s"), ("1e9", "3", "1s"),
        ("9" * 40, "3", "1s"),
        ("500", "", "1s"), ("500", "nan", "1s"), ("٥", "3", "1s"),
    ],
)  # fmt: skip
def test_what_is_no_count_is_no_limit(bad: tuple[str, str, str]) -> None:
    """A broken header is as good as none."""
    assert read_rate_limits(headers(*bad)) is None
    assert read_rate_limits({}) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120ms", 0.12), ("6m0s", 360), ("1m30.5s", 90.5), ("2h0m0s", 7200), ("1", 1), ("0.5", 0.5),
        ("", None), ("soon", None), ("nan", None), ("inf", None), ("-1", None), ("never", None),
    ],
)  # fmt: skip
def test_durations(value: str, seconds: float | None) -> None:
    """The ways in which servers write a time; others are unknown."""
    assert read_duration(value) == (None if seconds is None else pytest.approx(seconds))


def test_a_limit_used_up_says_when_one_more_may_be_sent() -> None:
    """Where a refusal has no Retry-After, the reset of the limit that is used up tells."""
    assert read_reset_s(headers("600", "0", "60s")) == pytest.approx(0.1)
    assert read_reset_s(headers("600", "5", "59s")) is None


def test_caps_of_our_own_hold_where_they_are_lower() -> None:
    """The lower rate of the two is kept; a cap holds also where the server states nothing."""
    stated = RateLimits(Quota(500, 60, 499), Quota(1000, 60, 900))
    caps = RateLimits(Quota(100), Quota(2000))
    assert stated.within(caps) == RateLimits(Quota(100), Quota(1000, 60, 900))
    assert RateLimits().within(caps) == caps
