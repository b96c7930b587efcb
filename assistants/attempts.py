"""How often a call is tried, how long to wait in between, and when to give a model up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import stamina

from assistants.errors import AssistantsError, CallError, ModelDown


@dataclass(frozen=True, slots=True)
class Attempts:
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

    def __aiter__(self) -> AsyncIterator[stamina.Attempt]:
        return stamina.retry_context(
            on=_wait_for,
            attempts=self.most,
            timeout=None,
            wait_initial=self.first_wait_s,
            wait_max=self.longest_wait_s,
            wait_jitter=self.jitter_s,
        ).__aiter__()


class Breaker:
    """Gives a model up after ``most`` trials in a row that failed by its server's fault.

    Without it, a server that is down would cost every remaining trial all its attempts.
    """

    def __init__(self, model: str, most: int = 5) -> None:
        self.model = model
        self.most = most
        self._in_a_row = 0
        self._last = ""

    def check(self) -> None:
        """Call before each trial.

        Raises
        ------
        ModelDown
            If the model was given up.
        """
        if self._in_a_row >= self.most:
            raise ModelDown(
                f"{self.model} was given up after {self._in_a_row} failures in a row; the last: "
                f"{self._last}",
                fix="Run again when it is back: only what is missing is asked.",
            )

    def succeeded(self) -> None:
        """An answer came."""
        self._in_a_row = 0

    def failed(self, error: AssistantsError) -> None:
        """A trial failed for good."""
        if isinstance(error, CallError) and error.at_fault:
            self._in_a_row += 1
            self._last = error.message


def _wait_for(error: Exception) -> bool | float:
    if not isinstance(error, CallError) or not error.retryable:
        return False
    return True if error.retry_after is None else error.retry_after
