"""Personas that come from other packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from assistants.personas.persona import Persona
from assistants.utils import Plugin, PluginGroup

PACKAGED = Path(__file__).parent


class PersonaPlugin(Protocol):
    """A function that returns the persona of a name.

    An entry point of the group ``assistants.personas`` has the persona's name and leads to such a
    function. Several entry points may lead to one.
    """

    def __call__(self, name: str) -> Persona:
        """Return the persona called ``name``."""
        ...


def load_persona(plugin: Plugin) -> Persona:
    """Return the persona of a plug-in.

    Raises
    ------
    PluginError
        If the plug-in gives none, or one of another name.
    """
    persona: Persona = plugin.call(Persona, [plugin.name])
    if persona.name != plugin.name:
        raise plugin.error(f"it returned a persona called {persona.name!r}")
    if not isinstance(persona.text, str | None):
        raise plugin.error(f"the text of its persona is {type(persona.text).__name__}")
    return replace(persona, source=plugin.source, plugin=plugin)


PERSONA_PLUGINS = PluginGroup(
    kind="persona",
    group="assistants.personas",
    built_in=lambda: [path.stem for path in PACKAGED.glob("*.md")],
    check=load_persona,
)
"""The personas of other packages."""
