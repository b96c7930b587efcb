"""How often a call is tried, how long to wait in between, and when to give a model up."""

from __future__ import annotations

import random
from dataclasses import dataclass

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

    def wait_s(self, tried: int, error: CallError) -> float | None:
        """Seconds to wait after the try number ``tried``, from 1; ``None`` to try no more."""
        if not error.retryable or tried >= self.most:
            return None
        if error.retry_after is not None:
            return error.retry_after
        wait = self.first_wait_s * 2.0 ** min(tried - 1, 60) + random.uniform(0, self.jitter_s)  # noqa: S311
        return min(wait, self.longest_wait_s)


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
