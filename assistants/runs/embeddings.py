"""Embeddings of answers, from any server that speaks the OpenAI protocol; each asked for once.

Notes
-----
The API reference of OpenAI, "Create embeddings"; vLLM and llama.cpp serve the same route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assistants.clients import OpenAIClient, connect, raise_malformed
from assistants.errors import UsageError
from assistants.runs.runner import batches
from assistants.runs.store import Store
from assistants.runs.tables import is_known

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 64
"""Texts in one request."""


async def embed(store: Store, texts: Sequence[Any], model: str) -> NDArray[np.float32]:
    """Return one vector per text, asked for where the store does not have it.

    Parameters
    ----------
    store
        Keeps each vector under the model and a digest of the text.
    texts
        One that is missing or blank gets a row of zeros.
    model
        ``provider:id`` or a short name.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_texts, n_dimensions)``.

    Raises
    ------
    UsageError
        If the model is unknown, or is not behind a server.
    CallError
        If there is no whole reply.
    """
    import numpy as np

    client = connect(model)
    if not isinstance(client, OpenAIClient):
        raise UsageError(f"{model} gives no embeddings.", fix="Name a model behind a server.")
    digests = [_digest(text) if is_known(text) and str(text).strip() else None for text in texts]
    wanted = {d: str(text) for d, text in zip(digests, texts, strict=True) if d is not None}
    found: dict[str, bytes] = {}
    try:
        for batch in batches(wanted, BATCH):
            known = store.vectors(client.identity, batch)
            if missing := [digest for digest in batch if digest not in known]:
                rows = await _ask(client, [wanted[digest] for digest in missing])
                new = {d: row.tobytes() for d, row in zip(missing, rows, strict=True)}
                store.add_vectors(client.identity, new)
                known |= new
            found |= known
    finally:
        await client.aclose()
    sizes = {len(vector) // 4 for vector in found.values()}
    if len(sizes) > 1:
        raise_malformed(model, f"its embeddings are of several lengths: {sorted(sizes)}")
    table = np.zeros((len(texts), max(sizes, default=1)), dtype=np.float32)
    for row, digest in enumerate(digests):
        if digest is not None:
            table[row] = np.frombuffer(found[digest], dtype=np.float32)
    return table


async def _ask(client: OpenAIClient, texts: list[str]) -> NDArray[np.float32]:
    reply = await client.post("/embeddings", {"input": texts, "encoding_format": "float"})
    return _rows(reply, len(texts), client.model)


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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
