"""Token buckets: what may still be spent of a rate limit, as numbers that a store can keep."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Remainder of one rate limit of a model. All processes on a store take from it.

    Attributes
    ----------
    capacity
        The most that it holds: what may be spent at once.
    rate
        What comes back each second.
    level
        What was left at ``at``. Below zero: so much is promised ahead of its time.
    taken
        All that was ever taken, which orders what was taken before a moment and after it.
    at
        Seconds since 1970, by this machine's clock.
    """

    capacity: float
    rate: float
    level: float
    taken: float
    at: float

    def refilled(self, now: float) -> TokenBucket:
        """Return the bucket at ``now``; a clock that was set back refills nothing."""
        level = min(self.capacity, self.level + max(0.0, now - self.at) * self.rate)
        return replace(self, level=level, at=now)

    def limited(self, capacity: float, rate: float) -> TokenBucket:
        """Return the bucket under another limit."""
        return replace(self, capacity=capacity, rate=rate, level=min(self.level, capacity))

    def observed(self, remaining: float, sent_at: float, taken: float | None) -> TokenBucket:
        """Return the bucket as the server knows it.

        Others may use the same limit, and our count of tokens is an estimate, so the level is
        held between what the server's word allows at most (nothing was spent since) and at least
        (all that was taken since then was spent, by our own count).

        Parameters
        ----------
        remaining
            What the server had left when it took a call.
        sent_at
            When that call was sent, in seconds since 1970.
        taken
            ``taken`` of the bucket before that call; ``None`` if it is not known.
        """
        highest = remaining + max(0.0, self.at - sent_at) * self.rate
        lowest = self.level if taken is None else remaining - (self.taken - taken)
        level = min(max(self.level, lowest), highest, self.capacity)
        return replace(self, level=level)

    def take(self, amount: float) -> TokenBucket:
        """Return the bucket without ``amount``, even where it holds less."""
        return replace(self, level=self.level - amount, taken=self.taken + amount)

    def wait_s(self, reserve: float) -> float:
        """Return the seconds until ``reserve`` is left."""
        return max(0.0, (reserve - self.level) / self.rate)
