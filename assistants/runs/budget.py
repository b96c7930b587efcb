"""The budget of a run: what it has spent, held against its limits."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from assistants.design import Limits
from assistants.errors import BudgetExceededError
from assistants.messages import Completion, Message, Usage


@dataclass(slots=True)
class Budget:
    """The money, tokens and time that one run has spent so far, and its limits."""

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
        """Raise if a cap is reached; to be called before each call to a model.

        Raises
        ------
        BudgetExceededError
            So that a run overshoots a cap by at most the calls that are in flight.
        """
        caps = self.limits
        if caps.usd is not None and self.usd >= caps.usd:
            raise BudgetExceededError(
                f"The cap of ${caps.usd:.2f} is reached (${self.usd:.4f} spent)."
            )
        if caps.tokens is not None and self.tokens >= caps.tokens:
            raise BudgetExceededError(f"The cap of {caps.tokens:,} tokens is reached.")
        if caps.minutes is not None and not self.left_s:
            raise BudgetExceededError(f"The cap of {caps.minutes:g} minutes is reached.")


def counted_usage(messages: Sequence[Message], completion: Completion) -> Usage:
    """Return the tokens of a call; where the server reported none, by four characters a token."""
    usage = completion.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        sent = sum(len(message.content) for message in messages)
        return Usage(sent // 4 + 1, len(completion.text) // 4 + 1)
    return usage
