"""Personas: named system prompts, each a Markdown file that a person can read and edit."""

from assistants.personas.library import Library
from assistants.personas.persona import (
    Persona,
    digest_of,
    edited_persona,
    escape_template,
)

__all__ = [
    "Library",
    "Persona",
    "digest_of",
    "edited_persona",
    "escape_template",
]
