"""Calls in flight to one model, and the number of them that finds its level by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from assistants.clients import Client, start_concurrency
from assistants.errors import CallError, CallTimeoutError, RateLimitError
from assistants.messages import Completion

MOST_BY_ITSELF = 256
"""Calls in flight to one model, at most, unless an experiment asks for more."""

_SLOWER = 1.5
"""A round this much slower than the fastest one shows that the model has enough to do."""

_TOKENS_BEFORE_THE_FIRST = 20
"""A call takes about as long as so many tokens more, so that short answers count as no slower."""


class Concurrency:
    """The calls in flight to one model: so many as an experiment says, or as the model can take.

    Without a word from the experiment it begins with the model's usual number. A round is as many
    calls as were in flight. After each round in which all slots were used and calls took no
    longer for a token than before, the number doubles; after the first sign of trouble it grows by
    one instead. A round of slower calls takes one away, down to the usual number. A refusal (429)
    or a timeout halves it, once a round. This is TCP's way of sharing a line: additive increase,
    multiplicative decrease. A bound that the client knows (``max_concurrency``: llama.cpp's
    slots) is never passed.

    Parameters
    ----------
    client
        Whose calls are counted.
    fixed
        The number that the experiment sets.
    """

    def __init__(self, client: Client, fixed: int | None = None) -> None:
        start = fixed or start_concurrency(client)
        self.level = min(start, client.max_concurrency)
        self._start = self.level
        self._bound = min(client.max_concurrency, max(self.level, MOST_BY_ITSELF))
        self._is_fixed = fixed is not None
        self._doubles = True
        self._fastest: float | None = None
        self._tasks = 0
        self._in_flight = 0
        self._has_room = asyncio.Event()
        self._halved_for = 0  # calls that were in flight when it was halved
        self._was_full = False
        self._begin_round()

    async def acquire(self) -> None:
        """Wait for a free slot and take it. One task at a time may wait."""
        while self._tasks >= self.level:
            self._has_room.clear()
            await self._has_room.wait()
        self._tasks += 1

    def release(self) -> None:
        """Give a slot back."""
        self._tasks -= 1
        self._has_room.set()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call while it is in flight, and learn from its failure.

        One that waits for a rate limit is not in flight.
        """
        self._in_flight += 1
        self._was_full = self._was_full or self._in_flight >= self.level
        try:
            yield
        except CallError as error:
            self._failed(error)
            raise
        finally:
            self._in_flight -= 1
            self._halved_for = max(0, self._halved_for - 1)

    def answered(self, completion: Completion) -> None:
        """Learn from the time that an answer took."""
        if self._is_fixed:
            return
        self._answers += 1
        self._seconds += completion.total_s or 0.0
        self._tokens += (completion.usage.output_tokens or 0) + _TOKENS_BEFORE_THE_FIRST
        if self._answers >= self.level:
            self._end_round()

    def _failed(self, error: CallError) -> None:
        # Only refusals and timeouts say anything about the load.
        if self._is_fixed or not isinstance(error, (RateLimitError, CallTimeoutError)):
            return
        self._doubles = False
        if not self._halved_for:
            self._halved_for = self._in_flight
            self.level = max(1, self.level // 2)
            self._begin_round()

    def _end_round(self) -> None:
        pace = self._seconds / self._tokens
        if self._fastest is None or pace < self._fastest:
            self._fastest = pace
        if pace > self._fastest * _SLOWER:
            self._doubles = False
            self.level = max(self.level - 1, min(self.level, self._start))
        elif self._was_full:
            self.level = min(self.level * 2 if self._doubles else self.level + 1, self._bound)
            self._has_room.set()
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers = self._tokens = 0
        self._seconds = 0.0
        self._was_full = False
