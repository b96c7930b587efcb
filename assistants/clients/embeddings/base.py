"""The protocol of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into vectors; the nearer two point, the more alike the texts are in meaning."""

    @property
    def name(self) -> str:
        """Its name in tables and files: ``minilm``, ``openai:text-embedding-3-small``."""
        ...

    @property
    def identity(self) -> str:
        """Equal for two embedders whose vectors may be mixed."""
        ...

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, as a row.

        Raises
        ------
        CallError
            If a server gives no whole reply.
        """
        ...
