"""What a run may spend, and what it has spent."""

from __future__ import annotations

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

    def add(self, usage: Usage, usd: float | None, *, guess: int) -> None:
        """Count one call; ``guess`` stands for tokens that the server did not report."""
        self.usd += usd or 0.0
        if usage.input_tokens is None or usage.output_tokens is None:
            self.tokens += guess
        else:
            self.tokens += usage.input_tokens + usage.output_tokens

    def check(self) -> None:
        """Call before each call to a model.

        Raises
        ------
        LimitReached
            So that a run overshoots a cap by at most the calls that are in flight.
        """
        caps = self.limits
        minutes = (time.monotonic() - self.started) / 60
        if caps.usd is not None and self.usd >= caps.usd:
            raise LimitReached(f"The cap of ${caps.usd:.2f} is reached (${self.usd:.4f} spent).")
        if caps.tokens is not None and self.tokens >= caps.tokens:
            raise LimitReached(f"The cap of {caps.tokens:,} tokens is reached.")
        if caps.minutes is not None and minutes >= caps.minutes:
            raise LimitReached(f"The cap of {caps.minutes:g} minutes is reached.")
