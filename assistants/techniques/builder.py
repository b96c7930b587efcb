"""The way from an entry of an experiment file to a technique."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistants.clients import Client
from assistants.personas import Persona
from assistants.techniques.base import Technique


@dataclass(frozen=True, slots=True)
class BuildContext:
    """Things that a builder needs besides its entry.

    ``connect`` returns the client of a model's name. Files are looked for in ``folder``.
    ``persona`` is whom the technique is for.
    """

    connect: Callable[[str], Client]
    folder: Path
    persona: Persona | None = None


Builder = Callable[[Any, BuildContext], Technique]
"""Builds the technique of an entry, which is whatever the file says; ``True`` asks for the usual.

It raises ``UsageError`` for a wrong entry.
"""
