"""How often a call is tried, how long to wait in between, and when to give a model up."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from assistants.errors import AssistantsError, CallError, CircuitOpenError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most ``most`` tries at a call; waits double from ``first_wait_s``, with jitter.

    A server's ``Retry-After`` goes before our own waits.
    """

    most: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    jitter_s: float = 0.5

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"at least one attempt is needed, not {self.most!r}.")

    def wait_s(self, tried: int, error: CallError) -> float | None:
        """Seconds to wait after the try number ``tried``, from 1; ``None`` to try no more."""
        if not error.retryable or tried >= self.most:
            return None
        if error.retry_after is not None:
            return error.retry_after
        wait = self.first_wait_s * 2.0 ** min(tried - 1, 60) + random.uniform(0, self.jitter_s)  # noqa: S311
        return min(wait, self.longest_wait_s)


_MOST_UP = 2
"""Assistants that are given up before their model is."""


class CircuitBreaker:
    """Gives an assistant up after ``most`` trials in a row that failed by its server's fault.

    Without it, a server that is down would cost every remaining trial all its attempts. After a
    second assistant it is the model that is given up; one alone may have a prompt that the server
    stumbles over, and the others must not wait for it.
    """

    def __init__(self, model: str, most: int = 5) -> None:
        self.model = model
        self.most = most
        self._in_a_row: Counter[str] = Counter()
        self._last = ""

    def check(self, assistant: str) -> None:
        """Call before each trial of ``assistant``.

        Raises
        ------
        CircuitOpenError
            If it, or the model, was given up.
        """
        up = [name for name, failures in self._in_a_row.items() if failures >= self.most]
        if assistant in up or len(up) >= _MOST_UP:
            who = self.model if len(up) >= _MOST_UP else assistant
            raise CircuitOpenError(
                f"{who} was given up after {self.most} failures in a row; the last: {self._last}",
                fix="Run again when it is back: only what is missing is asked.",
            )

    def succeeded(self, assistant: str) -> None:
        """An answer came."""
        self._in_a_row[assistant] = 0

    def failed(self, assistant: str, error: AssistantsError) -> None:
        """A trial failed for good."""
        if isinstance(error, CallError) and error.at_fault:
            self._in_a_row[assistant] += 1
            self._last = error.message
