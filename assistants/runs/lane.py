"""Lanes: everything that the calls of one run to one model share."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from assistants.clients import Client
from assistants.errors import CallError, CircuitOpenError
from assistants.messages import Completion, Message, Sampling
from assistants.runs.budget import Budget
from assistants.runs.concurrency import Concurrency
from assistants.runs.pacing import Pace, Ticket, estimate_tokens
from assistants.runs.retry import CircuitBreaker, RetryPolicy
from assistants.runs.store import Store


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a lane's model, and how to send it; ``who`` names its sender."""

    who: str
    messages: tuple[Message, ...]
    sampling: Sampling
    send: Callable[[], Awaitable[Completion]]


class Lane:
    """The breaker, the number of calls in flight and the pace of one model in one run.

    Parameters
    ----------
    cap
        Bounds the calls in flight over all lanes.
    concurrency
        Calls in flight, if the experiment sets them.
    """

    def __init__(
        self,
        store: Store,
        client: Client,
        *,
        budget: Budget,
        retry: RetryPolicy,
        cap: AbstractAsyncContextManager[None],
        concurrency: int | None,
    ) -> None:
        self.breaker = CircuitBreaker(client.model)
        self.concurrency = Concurrency(client, concurrency)
        self.pace = Pace(store, client)
        self._budget = budget
        self._retry = retry
        self._cap = cap

    async def ask(
        self,
        request: Request,
        on_failure: Callable[[CallError], None],
        failed: CallError | None = None,
    ) -> tuple[Completion, int]:
        """Ask until there is an answer, or it is no use; return it and the number of tries.

        Parameters
        ----------
        on_failure
            Called with the failure of each call that was sent here.
        failed
            The failure of a first try that was made before.

        Raises
        ------
        CallError
            The last failure; ``tries`` of it is the number of tries.
        BudgetExceededError
            If a limit is reached first.
        """
        tried = 0
        while True:
            tried += 1
            try:
                if failed is not None:
                    raise failed
                return await self._call(request), tried
            except CircuitOpenError as error:
                error.tries = tried - 1  # nothing was sent
                raise
            except CallError as error:
                if error is not failed:
                    on_failure(error)
                failed = None
                error.tries = tried
                wait = self._retry.refusal_wait_s(error)
                if wait is not None:
                    if self.pace.refused_for_s() + wait > self._retry.patience_s:
                        self.breaker.give_up(error)
                        raise
                    self.pace.refused(wait)
                    tried -= 1
                    continue
                wait = self._retry.wait_s(tried, error)
                if wait is None:
                    raise
            await asyncio.sleep(min(wait, self._budget.left_s))

    async def _call(self, request: Request) -> Completion:
        """Ask once, when the model's pace and the limits of this run allow it."""
        self.breaker.check(request.who)
        self._budget.check()
        ticket = None
        if self.pace.is_limited:
            ticket = await self._admitted(estimate_tokens(request.messages, request.sampling))
        try:
            async with self._cap:
                self.breaker.check(request.who)
                self._budget.check()
                with self.concurrency.call():
                    completion = await request.send()
            self.concurrency.answered(completion)
            self.pace.answered(ticket)
        finally:
            self.pace.ended(ticket)
        return completion

    async def _admitted(self, tokens: int) -> Ticket | None:
        """Wait for the rate limits of a model, at most until this run's minutes are over."""
        left = self._budget.left_s
        try:
            async with asyncio.timeout(left if left < math.inf else None):
                return await self.pace.admit(tokens)
        except TimeoutError:
            self._budget.check()
            raise
