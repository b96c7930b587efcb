"""A client whose answers come from a function or a file: for tests and for teaching."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from assistants.errors import BadRequestError, FileError
from assistants.messages import Completion, Delta, Message, Sampling, Usage
from assistants.utils import display_path, parse_yaml, read_text, truncate_line

AnswerFunction = Callable[[Sequence[Message], Sampling], str | Completion]
"""Return the answer to a conversation: a text, or a completion with a status of its own."""


class ScriptedClient:
    """A client whose answers come from a function; equal requests get equal answers.

    ``name`` is part of the model's name and identity. Functions that answer differently need
    different names, or they would share stored answers.
    """

    def __init__(
        self,
        answer: AnswerFunction,
        name: str = "function",
        *,
        max_concurrency: int = 8,
        default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    ) -> None:
        self.model = f"scripted:{name}"
        self.identity = self.model
        self.max_concurrency = max_concurrency
        self.default_sampling = default_sampling
        self._answer = answer

    def __repr__(self) -> str:
        return truncate_line(f"ScriptedClient({self.model!r})", 120)

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Return the scripted answer. Words count as tokens."""
        answer = self._answer(messages, sampling)
        if isinstance(answer, Completion):
            return answer
        return Completion(
            text=answer,
            status="ok" if answer else "empty",
            finish_reason="stop",
            usage=Usage(sum(len(m.content.split()) for m in messages), len(answer.split())),
            served_model=self.model,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            total_s=0.0,
        )

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[Delta | Completion]:
        """Yield the scripted answer word by word."""
        completion = await self.complete(messages, sampling)
        for word in re.findall(r"\S+\s*|\s+", completion.text):
            yield Delta(word)
        yield replace(completion, first_token_s=0.0)

    async def aclose(self) -> None:
        """Do nothing: a script holds no connection."""


def echo(messages: Sequence[Message], sampling: Sampling) -> str:
    """Return the request as text, to see what a model would receive before paying for it."""
    lines = [f"{message.role}: {message.content}" for message in messages]
    settings = ", ".join(f"{k}={v}" for k, v in sampling.as_dict().items())
    return "\n\n".join([*lines, f"({settings or 'no settings'})"])


def build_scripted_client(
    name: str,
    folder: Path = Path(),
    default_sampling: Sampling = Sampling(),  # noqa: B008 - frozen
) -> ScriptedClient:
    """Build a client that echoes, or answers from a YAML file that maps questions to answers.

    The file is relative to ``folder``. The question ``"*"`` stands for any other.

    Raises
    ------
    FileError
        If the file is missing or is not such a table.
    """
    if name == "echo":
        return ScriptedClient(echo, "echo", default_sampling=default_sampling)
    path = folder / name
    text = read_text(path)
    table = parse_yaml(text, display_path(path)).data
    if not isinstance(table, Mapping) or not all(isinstance(v, str) for v in table.values()):
        raise FileError(
            display_path(path), "a script maps questions to answers: `Question?: Answer.`"
        )
    answer = _answer_from_table(table, display_path(path))
    client = ScriptedClient(answer, name, default_sampling=default_sampling)
    client.identity = f"scripted:{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return client


def _answer_from_table(table: Mapping[str, str], source: str) -> AnswerFunction:
    def answer(messages: Sequence[Message], sampling: Sampling) -> str:
        question = messages[-1].content
        if question in table:
            return table[question]
        if "*" in table:
            return table["*"]
        raise BadRequestError(
            f"{source} has no answer to {question[:60]!r}.", fix='Add it, or a line `"*": ...`.'
        )

    return answer
