"""What is left of a rate limit stays between what the server says and what was taken since."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assistants.runs.token_bucket import TokenBucket

FULL = TokenBucket(capacity=600, rate=10, level=600, taken=0, at=0)


def test_what_is_taken_comes_back_at_the_rate_and_never_above_the_capacity() -> None:
    """After 30 s at 10 a second, 300 of the 600 that were taken are there again."""
    empty = FULL.take(600)
    assert empty.refilled(30).level == 300
    assert empty.refilled(10_000).level == 600
    assert empty.refilled(30).refilled(0).level == 300  # a clock that was set back


def test_more_than_there_is_may_be_promised_and_says_when_it_is_due() -> None:
    """Who takes from an empty bucket waits his turn behind those who took before."""
    first = FULL.take(600).take(50)
    assert first.wait_s(0) == 5
    assert first.take(50).wait_s(0) == 10
    assert FULL.wait_s(0) == 0


def test_the_servers_count_wins_over_ours() -> None:
    """Where others spend too, or we count too much, the level follows what the server has left."""
    sent = FULL.take(100)  # one block, taken before: 0
    assert sent.observed(40, sent_at=0, taken=0).level == 40  # somebody else has spent 460
    cautious = FULL.take(300).take(100)
    assert cautious.level == 200
    assert cautious.observed(580, sent_at=0, taken=300).level == 480  # 100 taken since


@given(
    level=st.floats(-1000, 600),
    remaining=st.integers(0, 600),
    since=st.floats(0, 60),
    later=st.floats(0, 600),
)
def test_the_level_is_never_more_than_the_server_can_have(
    level: float, remaining: int, since: float, later: float
) -> None:
    """At most what it had, and what came back since; and never above the capacity."""
    bucket = TokenBucket(600, 10, level, 1000, at=100).observed(
        remaining, sent_at=100 - since, taken=1000 - later
    )
    assert bucket.level <= min(600, remaining + since * 10) + 1e-6
    assert bucket.level >= min(remaining - later, 600) - 1e-6
