"""Personas: named system prompts, each a Markdown file that a person can read and edit."""

from assistants.personas.library import Library
from assistants.personas.persona import (
    Persona,
    digest_of,
    edited_persona,
    escape_template,
)
from assistants.personas.plugins import PERSONA_PLUGINS, PersonaPlugin

__all__ = [
    "PERSONA_PLUGINS",
    "Library",
    "Persona",
    "PersonaPlugin",
    "digest_of",
    "edited_persona",
    "escape_template",
]
