"""Search of a corpus: the rankings of its retrievers, fused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assistants.techniques.knowledge.bm25 import Ranking
from assistants.techniques.knowledge.chunks import Chunk
from assistants.techniques.knowledge.corpus import Corpus
from assistants.techniques.knowledge.dense import DenseIndex
from assistants.utils import run_in_daemon_thread

DEPTH = 100
"""Ranks of each retriever that are fused."""

_RRF = 60
"""The constant of reciprocal rank fusion: how much the very first ranks count more."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found; ``ranks`` are its rank (from 1) and score by retriever."""

    index: int
    chunk: Chunk
    score: float
    ranks: Mapping[str, tuple[int, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return the hit as JSON values."""
        chunk = self.chunk
        facts: dict[str, Any] = {"source": chunk.source, "line": chunk.line, "text": chunk.text}
        if chunk.page is not None:
            facts["page"] = chunk.page
        if chunk.headings:
            facts["heading"] = chunk.heading
        if self.ranks:
            facts["ranks"] = {
                name: {"rank": rank, "score": round(score, 4)}
                for name, (rank, score) in self.ranks.items()
            }
        return facts


async def rank_all(corpus: Corpus, query: str, dense: DenseIndex | None) -> dict[str, Ranking]:
    """Return the ranking of each retriever for a query, at most ``DEPTH`` long.

    Raises
    ------
    CallError
        If a server gives no vectors.
    """
    by_words = await run_in_daemon_thread(
        lambda: corpus.bm25.rank(query, DEPTH), "assistants-knowledge"
    )
    rankings = {"bm25": by_words}
    if dense is not None:
        rankings[dense.embedder.name] = await dense.rank(query, DEPTH)
    return rankings


def fuse(corpus: Corpus, rankings: Mapping[str, Ranking]) -> list[Hit]:
    """Return the chunks of several rankings in one, by reciprocal rank; no score is compared.

    Notes
    -----
    Cormack, Clarke & Büttcher (2009), "Reciprocal rank fusion outperforms Condorcet and individual
    rank learning methods", SIGIR.
    """
    scores: dict[int, float] = defaultdict(float)
    ranks: dict[int, dict[str, tuple[int, float]]] = defaultdict(dict)
    for name, ranking in rankings.items():
        for rank, (index, score) in enumerate(ranking, start=1):
            scores[index] += 1 / (_RRF + rank)
            ranks[index][name] = (rank, score)
    ordered = sorted(scores, key=lambda index: (-scores[index], index))
    return [Hit(i, corpus.chunks[i], scores[i], ranks[i]) for i in ordered]
