"""A loopback server that streams at a known pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from support.faulty_replies import END, SSE_HEAD, Step, chunk, event, piece
from support.faulty_server import Answer, FaultyServer, Request


class SlowServer(FaultyServer):
    """Streams the words of ``answer(request)``, ``at_once`` of them every ``every`` seconds.

    A test may change the pace while an answer streams: slow while it looks, then quick.
    """

    def __init__(self, answer: Answer, *, every: float = 0.02, at_once: int = 1) -> None:
        super().__init__(answer)
        self.every = every
        self.at_once = at_once

    def _steps(self, request: Request) -> Iterable[Step]:
        if not request.body or self._fault(request) is not None:
            return super()._steps(request)
        return self._stream(request)

    def _stream(self, request: Request) -> Iterator[Step]:
        words = self.answer(request.json).split(" ")
        at_once = self.at_once  # the next request may have another one
        yield SSE_HEAD
        for start in range(0, len(words), at_once):
            text = " ".join(words[start : start + at_once])
            text = text if start == 0 else f" {text}"
            yield self.every
            yield piece(event(chunk({"content": text})))
        last = {
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": len(words)},
        }
        ends = [chunk(finish="stop"), last, b"[DONE]"]
        yield from (piece(event(end)) for end in ends)
        yield END


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread, at most a minute."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
