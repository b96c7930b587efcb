"""What a run may spend, and what it has spent."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from assistants.errors import LimitReached
from assistants.messages import Usage


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one run; ``None`` is no cap. ``usd`` is US dollars, ``minutes`` wall time."""

    usd: float | None = None
    tokens: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "minutes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value!r}.")


@dataclass(slots=True)
class Spending:
    """What one run has spent so far."""

    limits: Limits
    usd: float = 0.0
    tokens: int = 0
    started: float = field(default_factory=time.monotonic)

    def add(self, usage: Usage, usd: float | None) -> None:
        """Count one call."""
        self.usd += usd or 0.0
        self.tokens += (usage.input_tokens or 0) + (usage.output_tokens or 0)

    @property
    def left_s(self) -> float:
        """Seconds until the cap on minutes; infinite without one."""
        if self.limits.minutes is None:
            return math.inf
        return max(0.0, self.limits.minutes * 60 - (time.monotonic() - self.started))

    def check(self) -> None:
        """Call before each call to a model.

        Raises
        ------
        LimitReached
            So that a run overshoots a cap by at most the calls that are in flight.
        """
        caps = self.limits
        if caps.usd is not None and self.usd >= caps.usd:
            raise LimitReached(f"The cap of ${caps.usd:.2f} is reached (${self.usd:.4f} spent).")
        if caps.tokens is not None and self.tokens >= caps.tokens:
            raise LimitReached(f"The cap of {caps.tokens:,} tokens is reached.")
        if caps.minutes is not None and not self.left_s:
            raise LimitReached(f"The cap of {caps.minutes:g} minutes is reached.")
