"""Embedders by name."""

from __future__ import annotations

from functools import cache

from assistants.clients.embeddings.base import Embedder
from assistants.clients.embeddings.minilm import MiniLmEmbedder
from assistants.clients.embeddings.server import ServerEmbedder

MINILM = "minilm"
"""The name of the embedder that needs no server."""


def connect_embedder(name: str) -> Embedder:
    """Return the embedder of a name: ``minilm``, or a model behind a server.

    Raises
    ------
    MissingDependencyError
        If it is ``minilm``, and its packages are not installed.
    UsageError
        If the model is unknown, or not behind a server.
    """
    if name == MINILM:
        return _minilm()
    return ServerEmbedder(name)


@cache
def _minilm() -> MiniLmEmbedder:
    """Return the one MiniLM of this process: its weights are read once."""
    return MiniLmEmbedder()
