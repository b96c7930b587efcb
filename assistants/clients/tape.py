"""Tapes: record completions as JSON lines, and replay them without asking a model.

A new file records; an existing file replays. Each line is one request and its completion, with a
digest of the model's identity, the messages, the sampling and the repeat as its key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from assistants.clients.base import Client, known_rate_limits, start_concurrency
from assistants.clients.rate_limits import RateLimits
from assistants.errors import FileError, TapeMissError
from assistants.messages import Completion, Delta, Message, Sampling
from assistants.utils import display_path, read_text, to_json, truncate_line

MAX_BYTES = 1_000_000_000


class Tape:
    """One file of recorded completions.

    While recording, lines go to ``FILE.part``, which ``finish`` renames to ``FILE``. An
    interrupted recording can therefore never be taken for a complete one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.replays = self.path.exists()
        self._completions: dict[str, Completion] = _read_tape(self.path) if self.replays else {}
        self._part = self.path.with_name(self.path.name + ".part")
        self._file: TextIO | None = None

    def __repr__(self) -> str:
        mode = "replays" if self.replays else "records"
        description = f"{mode} {len(self._completions)} completions, {str(self.path)!r}"
        return truncate_line(f"Tape({description})", 120)

    def get(
        self, client: Client, messages: Sequence[Message], sampling: Sampling
    ) -> Completion | None:
        """Return the completion recorded for this request, or ``None``."""
        return self._completions.get(request_digest(client, messages, sampling))

    def record(
        self,
        client: Client,
        messages: Sequence[Message],
        sampling: Sampling,
        completion: Completion,
    ) -> None:
        """Store a completion, once; it is flushed to the file before this returns."""
        request = _request_record(client, messages, sampling)
        key = _digest(request)
        if self.replays or key in self._completions:
            return
        self._completions[key] = completion
        if self._file is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("w", encoding="utf-8", newline="\n")
        line = {"key": key, **request, "completion": completion.as_dict()}
        self._file.write(to_json(line) + "\n")
        self._file.flush()

    def finish(self) -> None:
        """Close the file and give a recording its final name; from now on it replays."""
        if self._file is not None:
            self.close()
            self._part.replace(self.path)
            self.replays = True

    def close(self) -> None:
        """Close the file of an unfinished recording, which stays at ``FILE.part``."""
        if self._file is not None:
            self._file.close()
            self._file = None


class TapedClient:
    """A client that records onto a tape, or replays from it without asking the model."""

    def __init__(self, client: Client, tape: Tape) -> None:
        self.model = client.model
        self.identity = client.identity
        self.max_concurrency = client.max_concurrency
        self.start_concurrency = start_concurrency(client)
        self.default_sampling = client.default_sampling
        self.tape = tape
        self._client = client

    def __repr__(self) -> str:
        return truncate_line(f"TapedClient({self.model!r}, {self.tape!r})", 120)

    @property
    def rate_limits(self) -> RateLimits | None:
        """The limits of the model; a replay has none."""
        return None if self.tape.replays else known_rate_limits(self._client)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Return the recorded completion, or ask the model and record its completion."""
        recorded = self._recorded(messages, sampling)
        if recorded is not None:
            return recorded
        completion = await self._client.complete(messages, sampling)
        self.tape.record(self, messages, sampling, completion)
        return completion

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Stream as ``complete`` answers; a replay arrives in one piece."""
        recorded = self._recorded(messages, sampling)
        if recorded is not None:
            yield Delta(recorded.text, recorded.reasoning or "")
            yield recorded
            return
        async for piece in self._client.stream(messages, sampling):
            if isinstance(piece, Completion):
                self.tape.record(self, messages, sampling, piece)
            yield piece

    async def aclose(self) -> None:
        """Close the client behind the tape."""
        await self._client.aclose()

    def _recorded(self, messages: Sequence[Message], sampling: Sampling) -> Completion | None:
        recorded = self.tape.get(self, messages, sampling)
        if recorded is None and self.tape.replays:
            raise TapeMissError(
                f"{self.model}: {display_path(self.tape.path)} has no answer to "
                f"{messages[-1].content[:60]!r} with these settings.",
                fix="Delete the tape to record it again, or use the settings it was recorded with.",
            )
        return recorded


def request_digest(client: Client, messages: Sequence[Message], sampling: Sampling) -> str:
    """Return a digest that is equal for equal requests to equal models."""
    return _digest(_request_record(client, messages, sampling))


def _request_record(
    client: Client, messages: Sequence[Message], sampling: Sampling
) -> dict[str, Any]:
    return {
        "model": client.identity,
        "messages": [{"role": m.role, "content": m.content} for m in messages],
        "sampling": sampling.as_dict(),
        "repeat": sampling.repeat,
    }


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(to_json(request).encode()).hexdigest()[:32]


def _read_tape(path: Path) -> dict[str, Completion]:
    completions: dict[str, Completion] = {}
    # Not splitlines: it also splits at characters that JSON leaves as they are, U+2028 for one.
    for number, line in enumerate(read_text(path, limit=MAX_BYTES).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            request = {k: entry[k] for k in ("model", "messages", "sampling", "repeat")}
            completions[_digest(request)] = Completion.from_dict(entry["completion"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise FileError(
                f"{display_path(path)}:{number}",
                f"is not a line of a tape: {type(error).__name__}: {error}.",
            ) from None
    return completions
