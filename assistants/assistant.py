"""An assistant: the only place where persona, techniques and client meet."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from assistants.clients import Client, connect
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import Completion, Delta, Message, Sampling, Transcript
from assistants.models import Catalogue, Model
from assistants.personas import Library, Persona, digest_of
from assistants.utils.display import notebook_html
from assistants.utils.text import to_json, truncate_line


@dataclass(frozen=True)
class Assistant:
    """A persona on a model: what answers.

    ``sampling`` goes over the persona's own defaults, ``variables`` over its default values.
    ``first_draw`` is which draw its first repeat is: equal requests share their answers, so an
    assistant that is to be compared with itself has to be asked for later draws. ``persona_in``
    says where the persona stands: in the ``system`` message, or, for a model whose template has
    none, at the head of the first question (``user``).
    """

    persona: Persona
    client: Client
    sampling: Sampling = field(default_factory=Sampling)
    variables: Mapping[str, Any] = field(default_factory=dict)
    first_draw: int = 0
    persona_in: Literal["system", "user"] = "system"

    def __post_init__(self) -> None:
        if self.persona_in not in ("system", "user"):
            raise ValueError(f"persona_in is 'system' or 'user', not {self.persona_in!r}.")

    def __str__(self) -> str:
        return f"{self.name} on {self.model}"

    def __repr__(self) -> str:
        return truncate_line(f"Assistant({truncate_line(str(self), 100)!r})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def name(self) -> str:
        """The persona's name, with the variables that were given: ``art[audience=children]``."""
        given = ",".join(f"{key}={value}" for key, value in sorted(self.variables.items()))
        return f"{self.persona.name}[{given}]" if given else self.persona.name

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
        """Of the text of the system message."""
        return digest_of(self.system_prompt)

    @cached_property
    def settings(self) -> Sampling:
        """The sampling that is used: this assistant's over its persona's."""
        return self.sampling.over(self.persona.sampling)

    @property
    def digest(self) -> str:
        """Equal for assistants whose answers may be shared, as their model is served now."""
        model = self.client.identity
        if model not in self._digests:
            parts = {
                "model": model,
                "system_prompt": self.system_prompt,
                "sampling": self.settings.as_dict(),
            }
            if self.persona_in != "system" and self.system_prompt is not None:
                parts["persona_in"] = self.persona_in  # only then, so that earlier keys stay equal
            self._digests[model] = hashlib.sha256(to_json(parts).encode()).hexdigest()
        return self._digests[model]

    @cached_property
    def _digests(self) -> dict[str, str]:
        """By the identity of the client: a trial asks for one several times."""
        return {}

    def given(self, variables: Mapping[str, Any]) -> Assistant:
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

    async def reply(self, conversation: str | Sequence[Message], *, repeat: int = 0) -> Transcript:
        """Ask the model once.

        Raises
        ------
        CallError
            If there is no whole reply.
        """
        messages = self.messages(conversation)
        return Transcript(
            messages, await self.client.complete(messages, self.settings.drawn(repeat))
        )

    def stream(
        self, conversation: str | Sequence[Message], *, repeat: int = 0
    ) -> AsyncIterator[Delta | Completion]:
        """Stream the reply piece by piece; the last thing yielded is the completion."""
        return self.client.stream(self.messages(conversation), self.settings.drawn(repeat))


def inline_system_prompt(
    system_prompt: str, conversation: Sequence[Message]
) -> tuple[Message, ...]:
    """Return the conversation with the system prompt at the head of its first question.

    Raises
    ------
    ValueError
        If nothing is asked.
    """
    first = next((i for i, m in enumerate(conversation) if m.role == "user"), None)
    if first is None:
        raise ValueError("There is no question that the persona could stand in.")
    asked = Message("user", f"{system_prompt}\n\n{conversation[first].content}")
    return (*conversation[:first], asked, *conversation[first + 1 :])


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
        Where the names of personas are looked up.
    sampling
        Decoding settings of the assistants that are built.
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
    chosen = [library.find(item) if isinstance(item, str) else item for item in personas]
    ready = [item for item in chosen if isinstance(item, Assistant)]
    for assistant in ready:
        entries.setdefault(assistant.model, find_model(assistant.client, catalogue))
    built = [
        Assistant(persona, client, sampling, variables.get(persona.name, {}))
        for client in clients
        for persona in chosen
        if not isinstance(persona, Assistant)
    ]
    for assistant in [*built, *ready]:
        _check_variables(assistant)
    return [*built, *ready], entries


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
            f"persona {assistant.name!r} wants a value for {' and '.join(missing)}.",
            fix="Pass an `Assistant` with `variables`, or give a default in its file.",
        )
