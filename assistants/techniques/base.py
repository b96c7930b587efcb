"""The protocol of techniques, and the way of a question through them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, runtime_checkable

from assistants.clients import Client
from assistants.errors import (
    MISCONFIGURED,
    CallError,
    ParameterRefusedError,
    PluginTechniqueError,
    SidecarReplyError,
    TapeMissError,
)
from assistants.messages import Completion, Message, Sampling, SideCall, TechniqueRecord

USUAL = "on"
"""The label of a technique with its usual settings."""

UNUSED = "none"
"""The value of a technique's column for an assistant that does not use it."""

_HOPELESS = (
    *MISCONFIGURED,
    ParameterRefusedError,
    PluginTechniqueError,
    TapeMissError,
)
"""Failures that every other call would meet too: going on without the technique would hide them."""


def name_suffix(name: str, label: str) -> str:
    """Return what a technique with this label adds to an assistant's name."""
    if label == UNUSED:
        return ""
    return f"+{name}" if label == USUAL else f"+{name}={label}"


CallModel = Callable[[Client, Sequence[Message], Sampling], Awaitable[Completion]]
"""Asks a model, or looks up what it answered to the same request before."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A model that helps with a question: it rewrites or summarises, and is not the one compared.

    ``system_prompt`` says what it is to do. ``reads_answers`` says that it is shown answers of the
    model that is compared, so that no two assistants share its calls.
    """

    client: Client
    system_prompt: str
    sampling: Sampling = field(default_factory=Sampling)
    reads_answers: bool = False

    def __repr__(self) -> str:
        return f"Sidecar({self.client.model!r})"

    @property
    def parts(self) -> dict[str, Any]:
        """All that decides what it answers, as JSON values: its part of a key."""
        return {
            "model": self.client.identity,
            "system_prompt": self.system_prompt,
            "sampling": self.sampling.with_defaults(self.client.default_sampling).as_dict(),
        }


Ask = Callable[[Sidecar, str], Awaitable[SideCall]]
"""Asks a sidecar one question; raises ``SidecarReplyError`` where its answer is not whole."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation on its way to the model, without the persona.

    Attributes
    ----------
    history
        Earlier turns, as they will be sent.
    question
        The last question in the person's own words; no technique changes it.
    sent
        The last question as it will be sent.
    query
        What to look for in a knowledge folder.
    records
        What each technique did so far.
    """

    history: tuple[Message, ...]
    question: str
    sent: str
    query: str
    records: tuple[TechniqueRecord, ...] = ()

    @classmethod
    def of(cls, conversation: Sequence[Message]) -> Self:
        """Return the draft of a conversation that nothing was done to.

        Raises
        ------
        ValueError
            If its last message is not a question.
        """
        *history, last = conversation
        if last.role != "user":
            raise ValueError("There is nothing to reply to: the last message is no question.")
        return cls(tuple(history), last.content, last.content, last.content)

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The messages as they will be sent."""
        return (*self.history, Message("user", self.sent))

    def after(self, record: TechniqueRecord, **changes: Any) -> Self:
        """Return the draft with ``changes``, and the record of who made them."""
        return replace(self, records=(*self.records, record), **changes)


@dataclass(frozen=True, slots=True)
class Load:
    """Tokens of one turn, for a forecast: a draft of which only the length is known.

    ``history`` is all earlier turns together, and ``turns`` their number. ``calls`` are a sidecar,
    the tokens that it reads, and those that it writes.
    """

    history: int
    question: int
    turns: int = 0
    calls: tuple[tuple[Sidecar, int, int], ...] = ()


@runtime_checkable
class Technique(Protocol):
    """A change of what is sent, besides the persona; a frozen value."""

    @property
    def name(self) -> str:
        """The factor that it is in a table: ``knowledge``. An assistant has one of a name."""
        ...

    @property
    def label(self) -> str:
        """Its setting in a word, the value in a table's column; ``USUAL`` for the usual one."""
        ...

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        """Models that it asks."""
        ...

    @property
    def fails_open(self) -> bool:
        """True if a question goes on without it when a call of its own fails; records say so."""
        ...

    @property
    def parts(self) -> Mapping[str, Any]:
        """All that decides what it does, as JSON values: its part of a trial's key."""
        ...

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        """Return the draft as this technique changes it, with a record of what it did.

        Raises
        ------
        CallError
            If a call of its own fails.
        """
        ...

    def forecast(self, load: Load) -> Load:
        """Return what becomes of a turn's tokens."""
        ...

    def control(self, kind: str) -> Technique:
        """Return the technique to compare this one with: what would fool us if it did as well.

        Raises
        ------
        UsageError
            Naming the kinds that there are.
        """
        ...


async def prepare(
    techniques: Sequence[Technique],
    conversation: Sequence[Message],
    call: CallModel,
    repeat: int = 0,
) -> Draft:
    """Return the conversation as the techniques, one after the other, want it sent.

    Parameters
    ----------
    techniques
        In the order in which they are applied.
    conversation
        Questions and answers, the question to answer last; no system message.
    call
        Asks a model.
    repeat
        The index of the draw. A sidecar answers each draw anew.

    Raises
    ------
    CallError
        If a technique that does not fail open fails, or one whose every call would: a wrong key is
        no reason to go on without it.
    """
    asked: list[SideCall] = []  # of one technique: they were paid for, even if it then fails

    async def ask(sidecar: Sidecar, question: str) -> SideCall:
        client = sidecar.client
        sampling = sidecar.sampling.with_defaults(client.default_sampling).for_repeat(repeat)
        messages = (Message("system", sidecar.system_prompt), Message("user", question))
        completion = await call(client, messages, sampling)
        answer = SideCall(client.model, completion)
        asked.append(answer)
        if completion.status != "ok" or not completion.text.strip():
            raise SidecarReplyError(
                f"{client.model}: the sidecar's reply is {completion.status}.", partial=completion
            )
        return answer

    draft = Draft.of(conversation)
    for technique in techniques:
        asked.clear()
        try:
            draft = await technique.apply(draft, ask)
        except CallError as error:
            if not technique.fails_open or isinstance(error, _HOPELESS):
                raise
            record = TechniqueRecord(technique.name, calls=tuple(asked), failure=str(error))
            draft = draft.after(record)
    return draft
