"""Personas of this package: a Markdown file each."""

from pathlib import Path

from assistants.personas import Library, Persona

PROMPTS = Path(__file__).with_name("prompts")


def persona(name: str) -> Persona:
    """Return the persona of a name, which is that of its file."""
    return Library([PROMPTS]).find(name)
