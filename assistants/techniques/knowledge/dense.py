"""Search by meaning: vectors of chunks and questions, each computed once and cached by content."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from assistants.clients import Embedder, raise_malformed
from assistants.techniques.knowledge.bm25 import Ranking
from assistants.utils import cache_root

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 64
"""Texts in one request; those that came are kept if the next request fails."""

_LOOK_UP = 500


class DenseIndex:
    """Vectors of texts, made when the first query is asked."""

    def __init__(self, texts: Sequence[str], embedder: Embedder) -> None:
        self.embedder = embedder
        self._texts = texts
        self._table: NDArray[np.float32] | None = None
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def rank(self, query: str, depth: int) -> Ranking:
        """Return the texts nearest to a query in meaning, by the cosine of their vectors.

        Raises
        ------
        CallError
            If a server gives no vectors.
        """
        import numpy as np

        table = await self._vectors()
        (vector,) = await embed_cached(self.embedder, [query])
        scores = table @ vector
        best = np.argsort(-scores, kind="stable")[:depth]
        return [(int(index), float(scores[index])) for index in best]

    async def _vectors(self) -> NDArray[np.float32]:
        if self._table is None:
            lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
            async with lock:  # several questions may be the first one
                if self._table is None:
                    self._table = await embed_cached(self.embedder, self._texts)
        return self._table


async def embed_cached(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return vectors of length 1 for texts, one per row; those in the cache are not made again.

    Raises
    ------
    CallError
        If a server gives no vectors.
    """
    import numpy as np

    keys = [_key(embedder, text) for text in texts]
    found = _read(keys)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    waiting = list(missing.items())
    for start in range(0, len(waiting), _BATCH):
        batch = waiting[start : start + _BATCH]
        rows = await embedder.embed([text for _, text in batch])
        lengths = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        new = {
            key: row.astype(np.float32).tobytes()
            for (key, _), row in zip(batch, rows / lengths, strict=True)
        }
        _write(new)
        found |= new
    if len({len(vector) for vector in found.values()}) > 1:
        raise_malformed(embedder.name, "its embeddings are of several lengths")
    return np.stack([np.frombuffer(found[key], dtype=np.float32) for key in keys])


def _key(embedder: Embedder, text: str) -> str:
    data = f"{embedder.identity}\0{text}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()[:40]


def _read(keys: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with _cache() as connection:
        for start in range(0, len(keys), _LOOK_UP):
            some = keys[start : start + _LOOK_UP]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608 - marks only
            found |= dict(connection.execute(query, some).fetchall())
    return found


def _write(vectors: dict[str, bytes]) -> None:
    with _cache() as connection:
        connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", vectors.items())
        connection.commit()


@contextmanager
def _cache() -> Iterator[sqlite3.Connection]:
    """Yield the file of vectors; one in memory where the folder cannot be written."""
    path = cache_root() / "knowledge" / "vectors.sqlite"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=60)
        connection.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB)")
    except (OSError, sqlite3.Error):
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE vectors (key TEXT PRIMARY KEY, vector BLOB)")
    with closing(connection):
        yield connection
