"""An assistant: the only place where persona, techniques and client meet."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from assistants.clients import Client, connect
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import (
    Completion,
    Delta,
    Message,
    Sampling,
    TechniqueRecord,
    Transcript,
)
from assistants.models import Catalogue, Model
from assistants.personas import Library, Persona, digest_of
from assistants.techniques import CallModel, Technique, name_suffix, prepare, read_techniques
from assistants.utils import notebook_html, to_json, truncate_line


@dataclass(frozen=True, slots=True)
class Prepared:
    """Messages for a model, system message first, and a record of each technique's part."""

    messages: tuple[Message, ...]
    techniques: tuple[TechniqueRecord, ...] = ()


async def ask_client(client: Client, messages: Sequence[Message], sampling: Sampling) -> Completion:
    """Ask a model once. A run looks up what it answered before instead (``CallModel``)."""
    return await client.complete(messages, sampling)


@dataclass(frozen=True)
class Assistant:
    """A persona on a model, with the techniques that it uses.

    ``sampling`` wins over the persona's own sampling, which wins over that of the model's entry;
    ``variables`` win over the persona's default values. ``unsupported`` are settings that are left
    out, because the model refuses them.
    ``first_draw`` is the draw of its first repeat: equal requests share their answers, so an
    assistant that is compared with itself must use later draws. ``persona_in`` is where the
    persona is sent: in the ``system`` message, or at the head of the first question (``user``),
    for a model whose chat template has no system role. ``techniques`` are applied to each question
    in their order; none of them changes the system message.
    """

    persona: Persona
    client: Client
    sampling: Sampling = field(default_factory=Sampling)
    variables: Mapping[str, Any] = field(default_factory=dict)
    first_draw: int = 0
    persona_in: Literal["system", "user"] = "system"
    unsupported: frozenset[str] = frozenset()
    techniques: tuple[Technique, ...] = ()

    def __post_init__(self) -> None:
        if self.persona_in not in ("system", "user"):
            raise ValueError(f"persona_in is 'system' or 'user', not {self.persona_in!r}.")
        names = [technique.name for technique in self.techniques]
        if len(set(names)) < len(names):
            raise UsageError(f"{self.persona.name!r} uses a technique twice: {', '.join(names)}.")

    def __str__(self) -> str:
        return f"{self.name} on {self.model}"

    def __repr__(self) -> str:
        return truncate_line(f"Assistant({truncate_line(str(self), 100)!r})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def name(self) -> str:
        """The name of its persona with its techniques: ``history+knowledge+enrich=rewrite``."""
        return self.persona_name + "".join(name_suffix(t.name, t.label) for t in self.techniques)

    @property
    def persona_name(self) -> str:
        """The persona's name with the assistant's variables: ``art[audience=children]``."""
        values = ",".join(f"{key}={value}" for key, value in sorted(self.variables.items()))
        return f"{self.persona.name}[{values}]" if values else self.persona.name

    @property
    def factors(self) -> dict[str, str]:
        """The label of each technique by its name."""
        return {technique.name: technique.label for technique in self.techniques}

    @property
    def model(self) -> str:
        """``provider:id``."""
        return self.client.model

    @cached_property
    def system_prompt(self) -> str | None:
        """The text of the system message; ``None`` if none is sent."""
        return self.persona.system_prompt(self.variables)

    @cached_property
    def prompt_digest(self) -> str:
        """A hash of the system message's text."""
        return digest_of(self.system_prompt)

    @cached_property
    def requested_sampling(self) -> Sampling:
        """The sampling that is asked for: its own, its persona's, and that of its model's entry."""
        own = self.sampling.with_defaults(self.persona.sampling)
        return own.with_defaults(self.client.default_sampling)

    @cached_property
    def effective_sampling(self) -> Sampling:
        """The sampling that is sent: what is asked for, without what the model refuses."""
        return self.requested_sampling.without(self.unsupported)

    @property
    def digest(self) -> str:
        """Equal for assistants whose answers may be shared, as their model is served now."""
        techniques = [{"technique": t.name, **t.parts} for t in self.techniques]
        model = self.client.identity
        cached = to_json([model, techniques]) if techniques else model
        if cached not in self._digests:
            parts: dict[str, Any] = {
                "model": model,
                "system_prompt": self.system_prompt,
                "sampling": self.effective_sampling.as_dict(),
            }
            if self.persona_in != "system" and self.system_prompt is not None:
                parts["persona_in"] = self.persona_in  # only then, so that earlier keys stay equal
            if techniques:
                parts["techniques"] = techniques
            self._digests[cached] = hashlib.sha256(to_json(parts).encode()).hexdigest()
        return self._digests[cached]

    @cached_property
    def _digests(self) -> dict[str, str]:
        """A cache of digests by the client's identity: a trial asks for one several times."""
        return {}

    def with_variables(self, variables: Mapping[str, Any]) -> Assistant:
        """Return this assistant with more variables, which win over its own."""
        return replace(self, variables={**self.variables, **variables}) if variables else self

    def messages(self, conversation: str | Sequence[Message]) -> tuple[Message, ...]:
        """Return the messages to send: the persona, if it has a text, and the conversation.

        Raises
        ------
        ValueError
            If the conversation is empty, or brings a system message of its own.
        """
        if isinstance(conversation, str):
            conversation = [Message("user", conversation)]
        if not conversation:
            raise ValueError("There is nothing to reply to: the conversation is empty.")
        if any(message.role == "system" for message in conversation):
            raise ValueError("The system message is the persona's: leave it out.")
        if self.system_prompt is None:
            return tuple(conversation)
        if self.persona_in == "user":
            return inline_system_prompt(self.system_prompt, conversation)
        return (Message("system", self.system_prompt), *conversation)

    async def prepare(
        self,
        conversation: str | Sequence[Message],
        *,
        repeat: int = 0,
        call: CallModel = ask_client,
    ) -> Prepared:
        """Return what is sent: the conversation as its techniques want it, below the persona.

        ``call`` asks a model for a technique: a sidecar.

        Raises
        ------
        CallError
            If a technique fails that an answer is not wanted without.
        ValueError
            As ``messages`` does.
        """
        if not self.techniques:
            return Prepared(self.messages(conversation))
        if isinstance(conversation, str):
            conversation = [Message("user", conversation)]
        self.messages(conversation)  # refuses what cannot be sent, before a sidecar is asked
        draft = await prepare(self.techniques, conversation, call, repeat)
        return Prepared(self.messages(draft.conversation), draft.records)

    async def reply(
        self,
        conversation: str | Sequence[Message] | Prepared,
        *,
        repeat: int = 0,
        call: CallModel = ask_client,
    ) -> Transcript:
        """Ask the model once; ``call`` asks those of its techniques.

        Raises
        ------
        CallError
            If there is no complete reply.
        """
        if not isinstance(conversation, Prepared):
            conversation = await self.prepare(conversation, repeat=repeat, call=call)
        sampling = self.effective_sampling.for_repeat(repeat)
        completion = await self.client.complete(conversation.messages, sampling)
        return Transcript(conversation.messages, completion, conversation.techniques)

    async def stream(
        self,
        conversation: str | Sequence[Message] | Prepared,
        *,
        repeat: int = 0,
        call: CallModel = ask_client,
    ) -> AsyncIterator[Delta | Completion]:
        """Stream the reply piece by piece; the last thing yielded is the completion.

        Whoever wants to see what the techniques did hands in what ``prepare`` returned.
        """
        if not isinstance(conversation, Prepared):
            conversation = await self.prepare(conversation, repeat=repeat, call=call)
        sampling = self.effective_sampling.for_repeat(repeat)
        async for piece in self.client.stream(conversation.messages, sampling):
            yield piece


def inline_system_prompt(
    system_prompt: str, conversation: Sequence[Message]
) -> tuple[Message, ...]:
    """Return the conversation with the system prompt at the head of its first question.

    Raises
    ------
    ValueError
        If the conversation has no question.
    """
    first = next((i for i, m in enumerate(conversation) if m.role == "user"), None)
    if first is None:
        raise ValueError("The conversation has no question that could carry the persona.")
    question = Message("user", f"{system_prompt}\n\n{conversation[first].content}")
    return (*conversation[:first], question, *conversation[first + 1 :])


def build_assistants(
    personas: Iterable[str | Persona | Assistant],
    models: Iterable[str | Client],
    library: Library,
    sampling: Sampling,
    variables: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[list[Assistant], dict[str, Model]]:
    """Build every persona on every model, and return the catalogue entries of the models.

    Parameters
    ----------
    personas
        Names, personas, or assistants. An assistant is returned as it is, after the others.
    models
        Names or clients.
    library
        Source of the personas that are given by name.
    sampling
        Sampling of the assistants that are built.
    variables
        Values of template variables, by the name of the persona.

    Returns
    -------
    tuple of list of Assistant and dict of str to Model
        The assistants, model by model, and the entry of each model by ``provider:id``.

    Raises
    ------
    UsageError
        For an unknown name, or a persona with a variable that has no value.
    """
    catalogue = Catalogue.default()
    entries: dict[str, Model] = {}
    clients: list[Client] = []
    for model in models:
        if isinstance(model, str):
            entry = catalogue.find(model)
            entries[entry.name] = entry
            clients.append(connect(entry))
        else:
            entries[model.model] = find_model(model, catalogue)
            clients.append(model)
    found = [library.find(item) if isinstance(item, str) else item for item in personas]
    complete = [item for item in found if isinstance(item, Assistant)]
    for assistant in complete:
        entries.setdefault(assistant.model, find_model(assistant.client, catalogue))
    brought = [(p, own_techniques(p)) for p in found if isinstance(p, Persona)]
    built = [
        Assistant(
            persona,
            client,
            sampling,
            variables.get(persona.name, {}),
            persona_in="user" if entries[client.model].system_role == "user" else "system",
            techniques=techniques,
        )
        for client in clients
        for persona, techniques in brought
    ]
    for assistant in [*built, *complete]:
        _check_variables(assistant)
    return [*built, *complete], entries


def own_techniques(persona: Persona) -> tuple[Technique, ...]:
    """Return the techniques that a persona brings: the notes that its file names.

    Raises
    ------
    UsageError
        If there are no such notes, or they cannot be read.
    """
    if persona.knowledge is None:
        return ()
    return read_techniques({"knowledge": True}, _connect_no_sidecar, Path(), persona=persona)


def _connect_no_sidecar(model: str) -> Client:
    raise UsageError(f"A persona's own notes need no model, and {model} was named.")


def find_model(client: Client, catalogue: Catalogue) -> Model:
    """Return the catalogue entry of a client's model, or an entry without prices."""
    try:
        return catalogue.find(client.model)
    except UnknownNameError:
        return Model(client.model)


def _check_variables(assistant: Assistant) -> None:
    persona = assistant.persona
    missing = sorted(persona.variables - {*persona.defaults, *assistant.variables})
    if missing:
        raise UsageError(
            f"persona {assistant.name!r} needs a value for {' and '.join(missing)}.",
            fix="Pass an `Assistant` with `variables`, or give a default in its file.",
        )
