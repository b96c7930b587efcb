"""Embeddings of answers, each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistants.clients import connect_embedder, raise_malformed
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
        ``provider:id``, a short name, or ``minilm``, which needs no server.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_texts, n_dimensions)``.

    Raises
    ------
    UsageError
        If the model is unknown, or gives no embeddings.
    CallError
        If there is no whole reply.
    """
    import numpy as np

    embedder = connect_embedder(model)
    digests = [_digest(text) if is_known(text) and str(text).strip() else None for text in texts]
    wanted = {d: str(text) for d, text in zip(digests, texts, strict=True) if d is not None}
    found: dict[str, bytes] = {}
    for batch in batches(wanted, BATCH):
        known = store.vectors(embedder.identity, batch)
        if missing := [digest for digest in batch if digest not in known]:
            rows = await embedder.embed([wanted[digest] for digest in missing])
            new = {d: row.tobytes() for d, row in zip(missing, rows, strict=True)}
            store.add_vectors(embedder.identity, new)
            known |= new
        found |= known
    sizes = {len(vector) // 4 for vector in found.values()}
    if len(sizes) > 1:
        raise_malformed(model, f"its embeddings are of several lengths: {sorted(sizes)}")
    table = np.zeros((len(texts), max(sizes, default=1)), dtype=np.float32)
    for row, digest in enumerate(digests):
        if digest is not None:
            table[row] = np.frombuffer(found[digest], dtype=np.float32)
    return table


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
