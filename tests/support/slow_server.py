"""A loopback server that streams at a known pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from support.faulty_replies import END, SSE_HEAD, Step, chunk, event, piece
from support.faulty_server import Answer, FaultyServer, Request


class SlowServer(FaultyServer):
    """Streams the words of ``answer(request)``, ``at_once`` of them every ``every`` seconds."""

    def __init__(self, answer: Answer, *, every: float = 0.02, at_once: int = 1) -> None:
        super().__init__(answer)
        self.every = every
        self.at_once = at_once

    def _steps(self, request: Request) -> Sequence[Step]:
        if not request.body or self._fault(request) is not None:
            return super()._steps(request)
        words = self.answer(request.json).split(" ")
        steps: list[Step] = [SSE_HEAD]
        for start in range(0, len(words), self.at_once):
            text = " ".join(words[start : start + self.at_once])
            text = text if start == 0 else f" {text}"
            steps += [self.every, piece(event(chunk({"content": text})))]
        last = {
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": len(words)},
        }
        ends = [chunk(finish="stop"), last, b"[DONE]"]
        return [*steps, *(piece(event(each)) for each in ends), END]


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread, at most ten seconds."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
