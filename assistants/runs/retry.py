"""Retries: how often a call is tried, how long to wait, and when to give a model up."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from assistants.errors import AssistantsError, CallError, CircuitOpenError, RateLimitError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most ``most`` tries at a call; waits double from ``first_wait_s``, with jitter.

    A server's ``Retry-After`` goes before our own waits; never under the first of them, so that
    a server that says 0 is not stormed. A refusal (429) that says when to come back is no try,
    unless no call to the model gets through for ``patience_s`` seconds; then it is given up.
    """

    most: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    jitter_s: float = 0.5
    patience_s: float = 120.0

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"at least one attempt is needed, not {self.most!r}.")

    def wait_s(self, tried: int, error: CallError) -> float | None:
        """Return the seconds to wait after try number ``tried``, from 1; ``None`` to stop."""
        if not error.retryable or tried >= self.most:
            return None
        if error.retry_after is not None:
            return self._after(error.retry_after)
        wait = self.first_wait_s * 2.0 ** min(tried - 1, 60) + random.uniform(0, self.jitter_s)  # noqa: S311
        return min(wait, self.longest_wait_s)

    def refusal_wait_s(self, error: CallError) -> float | None:
        """Return the seconds to wait after a refusal that is no try; ``None`` for other errors."""
        is_refusal = isinstance(error, RateLimitError) and error.retryable
        if not is_refusal or error.retry_after is None:
            return None
        return self._after(error.retry_after)

    def _after(self, seconds: float) -> float:
        return max(seconds, self.first_wait_s) + random.uniform(0, self.jitter_s)  # noqa: S311


_MAX_ASSISTANTS_GIVEN_UP = 2
"""The number of assistants that are given up before their model is."""


class CircuitBreaker:
    """A counter that gives an assistant up after ``most`` failed trials in a row.

    Only failures by the server's fault count. Without the counter, a server that is down
    would cost every remaining trial all its attempts. After a second assistant the model is given
    up; one alone may have a prompt that the server stumbles over.
    """

    def __init__(self, model: str, most: int = 5) -> None:
        self.model = model
        self.most = most
        self._given_up_for: CallError | None = None
        self._in_a_row: Counter[str] = Counter()
        self._last = ""

    def check(self, assistant: str) -> None:
        """Raise if ``assistant`` was given up; to be called before each of its trials.

        Raises
        ------
        CircuitOpenError
            If it, or the model, was given up.
        """
        if (error := self._given_up_for) is not None:
            raise CircuitOpenError(
                f"Not asked, as it would fail too: {error.message}", fix=error.fix
            )
        given_up = [name for name, failures in self._in_a_row.items() if failures >= self.most]
        if assistant in given_up or len(given_up) >= _MAX_ASSISTANTS_GIVEN_UP:
            who = self.model if len(given_up) >= _MAX_ASSISTANTS_GIVEN_UP else assistant
            raise CircuitOpenError(
                f"{who} was given up after {self.most} failures in a row; the last: {self._last}",
                fix="Run again when it is back: only what is missing is asked.",
            )

    def give_up(self, error: CallError) -> None:
        """Give the model up: every other call would meet this failure too."""
        self._given_up_for = error

    def succeeded(self, assistant: str) -> None:
        """Count an answer: failures in a row end here."""
        self._in_a_row[assistant] = 0

    def failed(self, assistant: str, error: AssistantsError) -> None:
        """Count a trial that failed for good, if its server was at fault."""
        if isinstance(error, CallError) and error.at_fault:
            self._in_a_row[assistant] += 1
            self._last = error.message
