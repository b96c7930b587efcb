"""Embeddings from any server that speaks the OpenAI protocol.

Notes
-----
The API reference of OpenAI, "Create embeddings"; vLLM and llama.cpp serve the same route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistants.clients.factory import connect
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.response import raise_malformed
from assistants.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ServerEmbedder:
    """The embeddings of a model behind a server; one request carries all texts of a call.

    Each call has a connection of its own, since nobody could say when the last one is over.

    Raises
    ------
    UsageError
        If the model is unknown, or not behind a server.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        client = self._connect()
        self.name = client.model
        self.identity = client.identity

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the server's vectors, shape ``(n_texts, n_dimensions)``.

        Raises
        ------
        CallError
            If there is no whole reply.
        """
        client = self._connect()
        try:
            body = {"input": list(texts), "encoding_format": "float"}
            return _rows(await client.post("/embeddings", body), len(texts), self.name)
        finally:
            await client.aclose()

    def _connect(self) -> OpenAIClient:
        client = connect(self._model)
        if not isinstance(client, OpenAIClient):
            raise UsageError(
                f"{self._model} gives no embeddings.",
                fix="Name a model behind a server, or minilm, which needs none.",
            )
        return client


def _rows(reply: Mapping[str, Any], count: int, model: str) -> NDArray[np.float32]:
    """Return the vectors of a reply, in the order of the texts that were sent."""
    import numpy as np

    data = reply.get("data")
    if not isinstance(data, list) or len(data) != count:
        raise_malformed(model, f"it was asked for {count} embeddings and gave others")
    try:
        ordered = sorted(data, key=lambda each: int(each["index"]))
        rows = np.array([each["embedding"] for each in ordered], dtype=np.float32)
        places = [int(each["index"]) for each in ordered]
    except (KeyError, TypeError, ValueError):
        rows, places = np.empty(0, dtype=np.float32), []
    if rows.ndim != 2 or places != list(range(count)) or not np.isfinite(rows).all():
        raise_malformed(model, "an embedding is no list of numbers, or has another length")
    return rows
