"""Who answers in a chat, and how somebody else comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import traitlets

from assistants.assistant import Assistant, build_assistants
from assistants.clients import Client, registry
from assistants.errors import UsageError
from assistants.messages import Sampling
from assistants.models import Catalogue
from assistants.personas import Persona
from assistants.utils.text import escape_control_chars
from assistants.widgets import background
from assistants.widgets.chat.columns import ConversationColumns


class Switching(ConversationColumns):
    """One column, in which one persona after the other may answer, on one model or another."""

    personas = traitlets.List(traitlets.Dict()).tag(sync=True)
    """Who can answer: name, label and description."""
    models_known = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """The models to choose from; the page takes any other name too."""
    persona = traitlets.Unicode("").tag(sync=True)
    """Who answers now; setting it switches."""
    model = traitlets.Unicode("").tag(sync=True)
    """Which model answers now; setting it switches."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        **ConversationColumns.commands,
        "switch": "switch",
        "look": "_look",
    }

    def __init__(self, first: Assistant, *, sampling: Sampling, **settings: Any) -> None:
        self.sampling = sampling
        self._clients: dict[str, Client] = {}  # by the names that the page has for their models
        self._places = {first.model: first.persona_in}
        self._strangers: dict[str, Persona] = {}  # that the library does not have
        self._variables = {first.persona.name: first.variables}
        self._switching = False
        super().__init__("chat", [first], **settings)
        self.personas = [_listed(each) for each in self.library.all()]
        self._add_models([first.model, *Catalogue.default().models])
        self._look()
        self._note_choice()

    def switch(
        self, persona: str | Persona | None = None, model: str | Client | None = None
    ) -> None:
        """Let another persona, or another model, answer from here on; the transcript says so.

        Raises
        ------
        UsageError
            For an unknown name, or while an answer is on its way.
        """
        background.call(lambda: self._switch(persona, model))

    # -- the work, in the thread of `background` -------------------------------------------------

    def _switch(self, persona: str | Persona | None, model: str | Client | None) -> None:
        (column,) = self._columns
        now = column.assistant
        client: str | Client = now.client if model is None else model
        if isinstance(client, str) and client in self._clients:
            client = self._clients[client]
        wanted = column.original.persona if persona is None else self._known(persona)
        (new,), entries = build_assistants(
            [wanted], [client], self.library, self.sampling, self._variables
        )
        if persona is None:
            new = replace(now, client=new.client)  # another model leaves all else as it is
        new = self._placed(new)
        if str(new) == str(now) and new.digest == now.digest:
            return
        column.conversation.set_assistant(new, f"{new} answers from here on")
        column.original = (
            self._placed(replace(column.original, client=new.client))
            if new.persona == now.persona
            else new
        )
        self.models.update({k: v for k, v in entries.items() if k not in self.models})
        self.notify("")  # what was wrong with another wish is right now
        self._turn_to(column)
        self._note_choice()
        self._draw_heads()

    def _look(self) -> None:
        """Add the servers that run on this machine now."""
        servers = [
            f"{registry.PROVIDER}:{e.model}" for e in registry.records() if registry.is_alive(e)
        ]
        self._add_models(servers)

    def _add_models(self, names: Sequence[str]) -> None:
        self.models_known = list(
            dict.fromkeys([*self.models_known, *map(escape_control_chars, names)])
        )

    @traitlets.observe("persona", "model")
    def _chosen(self, change: Mapping[str, Any]) -> None:
        """Somebody set a trait: do it, or take it back and say why."""
        if self._switching or not self._columns:
            return
        try:
            self.switch(**{str(change["name"]): str(change["new"])})
        except UsageError:
            background.call(self._note_choice)
            raise

    def _note_choice(self) -> None:
        (column,) = self._columns
        persona = column.original.persona
        if persona.name not in self.library.names():
            self._strangers[persona.name] = persona
            others = [each for each in self.personas if each["name"] != persona.name]
            self.personas = [_listed(persona), *others]
        model = escape_control_chars(column.assistant.model)  # a page takes no lone surrogate
        self._clients[model] = column.assistant.client
        self._switching = True
        try:
            self._add_models([model])
            self.persona = persona.name
            self.model = model
        finally:
            self._switching = False

    def _known(self, persona: str | Persona) -> str | Persona:
        """The persona of that name that has answered here, if the library does not have it."""
        return self._strangers.get(persona, persona) if isinstance(persona, str) else persona

    def _placed(self, assistant: Assistant) -> Assistant:
        """The assistant with its persona where its model is known to take it."""
        place = self._places.get(assistant.model, "system")
        return replace(assistant, persona_in=place)


def _listed(persona: Persona) -> dict[str, str]:
    """As it stands at the side."""
    label = escape_control_chars(persona.label or persona.name)
    return {
        "name": persona.name,
        "label": label,
        "description": escape_control_chars(persona.description),
    }
