"""Calls of techniques to models of their own, each of which is paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from assistants.clients import Client, Tape, TapedClient, request_digest
from assistants.errors import CallError
from assistants.messages import Completion, Message, Sampling, partial_completion
from assistants.runs.budget import Budget, counted_usage
from assistants.runs.lane import Lane, Request
from assistants.runs.retry import RetryPolicy
from assistants.runs.store import Store

Price = Callable[[Client, Completion], float | None]


class SideCalls:
    """The calls of a run's techniques; called as a function, it asks a model (``CallModel``).

    Equal requests share an answer, which the store keeps: six personas that are asked one question
    have it rewritten once, and a trial that is asked again is not rewritten again.

    A sidecar's calls have lanes of their own. A trial holds its slot while it waits for them, so
    with shared lanes two models that help each other would wait for each other for ever.
    """

    def __init__(
        self,
        store: Store,
        run: str,
        *,
        price: Price,
        budget: Budget,
        retry: RetryPolicy,
        tape: Tape | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._store = store
        self._run = run
        self._price = price
        self._budget = budget
        self._retry = retry
        self._tape = tape
        self._concurrency = concurrency
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._lanes: dict[Client, tuple[Client, Lane, asyncio.Semaphore]] = {}

    async def __call__(
        self, client: Client, messages: Sequence[Message], sampling: Sampling
    ) -> Completion:
        """Return what the model answered to this request, now or before.

        Raises
        ------
        CallError
            If it does not answer.
        BudgetExceededError
            If a limit is reached first.
        """
        taped, lane, slots = self._lane(client)
        digest = request_digest(client, messages, sampling)
        while digest in self._asking:
            await asyncio.wait([self._asking[digest]])
        completion = self._store.side_call(digest)
        if completion is not None:
            if self._tape is not None:
                self._tape.record(client, messages, sampling, completion)
            return completion
        self._asking[digest] = asyncio.get_running_loop().create_future()
        try:
            async with slots:
                request = Request(
                    client.model, tuple(messages), sampling,
                    lambda: taped.complete(messages, sampling),
                )  # fmt: skip
                completion = await self._ask(client, lane, request)
        finally:
            self._asking.pop(digest).set_result(None)
        cost = self._price(client, completion)
        return self._store.add_side_call(digest, self._run, client.model, completion, cost)

    async def aclose(self) -> None:
        """Close the clients that were asked."""
        for client, _, _ in self._lanes.values():
            await client.aclose()

    async def _ask(self, client: Client, lane: Lane, request: Request) -> Completion:
        def spend(completion: Completion) -> None:
            usage = counted_usage(request.messages, completion)
            self._budget.add(usage, self._price(client, completion))

        def spend_failure(error: CallError) -> None:
            if error.billable:
                spend(partial_completion(error) or Completion(""))

        try:
            completion, _ = await lane.ask(request, spend_failure)
        except CallError as error:
            lane.breaker.failed(request.who, error)
            raise
        lane.breaker.succeeded(request.who)
        spend(completion)
        return completion

    def _lane(self, client: Client) -> tuple[Client, Lane, asyncio.Semaphore]:
        """Return the client, on tape if there is one, its lane, and the slots of its calls."""
        if client not in self._lanes:
            lane = Lane(
                self._store,
                client,
                budget=self._budget,
                retry=self._retry,
                cap=nullcontext(),
                concurrency=self._concurrency,
            )
            taped = client if self._tape is None else TapedClient(client, self._tape)
            self._lanes[client] = taped, lane, asyncio.Semaphore(lane.concurrency.level)
        return self._lanes[client]
