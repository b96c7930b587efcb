"""Retrieval scored by itself: at which rank the source stands that answers a question."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistants.errors import UsageError, nearest
from assistants.techniques.knowledge.corpus import Corpus
from assistants.techniques.knowledge.retrieval import fuse
from assistants.techniques.knowledge.technique import Knowledge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FUSED = "fused"
"""The name of the fused ranking, beside those of its retrievers."""

_DRAWS = 10_000
_PLACE = re.compile(r"(.+?)(?::(\d+)|, page (\d+))?")


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over questions with its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Ranks of the right source, by retriever: one per question, ``None`` where it was not found.

    ``k`` is the number of passages that a question is sent with.
    """

    k: int
    ranks: dict[str, tuple[int | None, ...]]

    def hit_rate(self, retriever: str, k: int | None = None) -> float:
        """Return the share of questions with the right source among the first ``k`` passages."""
        k = self.k if k is None else k
        ranks = self.ranks[retriever]
        return sum(rank is not None and rank <= k for rank in ranks) / len(ranks)

    def mrr(self, retriever: str) -> float:
        """Return the mean of 1 / rank of the right source; one that was not found counts as 0."""
        return float(self._reciprocal(retriever).mean())

    def difference(self, retriever: str, other: str) -> Difference:
        """Return how much larger the MRR of one retriever is than that of another.

        The interval is a percentile bootstrap over questions, paired, with a fixed seed.
        """
        import numpy as np

        differences = self._reciprocal(retriever) - self._reciprocal(other)
        generator = np.random.default_rng(0)
        draws = generator.integers(0, len(differences), (_DRAWS, len(differences)))
        low, high = np.percentile(differences[draws].mean(axis=1), [2.5, 97.5])
        return Difference(float(differences.mean()), float(low), float(high))

    def _reciprocal(self, retriever: str) -> NDArray[np.float64]:
        import numpy as np

        return np.array([1 / rank if rank else 0.0 for rank in self.ranks[retriever]])


async def retrieval_scores(
    knowledge: Knowledge, questions: Sequence[tuple[str, str | Collection[str]]]
) -> RetrievalScores:
    """Return how well the passages of a folder are found; no model answers anything.

    Parameters
    ----------
    knowledge
        The folder and its retrievers, of which each is scored, and their fusion.
    questions
        Each with the place that answers it, or several: ``moths.md``, ``moths.md:12`` (the passage
        that this line stands in), ``atlas.pdf, page 3``.

    Raises
    ------
    UsageError
        If there are no questions, or a place is not in the folder.
    CallError
        If a server gives no vectors.
    """
    if not questions:
        raise UsageError("No case says which source answers it.", fix="Add `source: FILE` to it.")
    right = [_right_chunks(knowledge.corpus, places) for _, places in questions]
    ranks: dict[str, list[int | None]] = {}
    for (question, _), indices in zip(questions, right, strict=True):
        rankings = await knowledge.rankings(question)
        orders = {name: [index for index, _ in ranking] for name, ranking in rankings.items()}
        if len(orders) > 1:
            orders[FUSED] = [hit.index for hit in fuse(knowledge.corpus, rankings)]
        for name, order in orders.items():
            rank = next((n for n, index in enumerate(order, start=1) if index in indices), None)
            ranks.setdefault(name, []).append(rank)
    return RetrievalScores(knowledge.k, {name: tuple(values) for name, values in ranks.items()})


def _right_chunks(corpus: Corpus, places: str | Collection[str]) -> frozenset[int]:
    wanted = [places] if isinstance(places, str) else places
    return frozenset(index for place in wanted for index in _chunks_at(corpus, place))


def _chunks_at(corpus: Corpus, place: str) -> frozenset[int]:
    """Return the chunks that stand at a place."""
    match = _PLACE.fullmatch(place)
    source, line, page = match.groups() if match else (place, None, None)
    names = [each.name for each in corpus.sources]
    if source not in names:
        raise UsageError(f"{corpus.name} has no source {source!r}.", fix=nearest(source, names))
    inside = [(i, chunk) for i, chunk in enumerate(corpus.chunks) if chunk.source == source]
    if page is not None:
        found = [i for i, chunk in inside if chunk.page == int(page)]
    elif line is not None:
        before = [(i, chunk) for i, chunk in inside if chunk.line <= int(line)]
        last = max((chunk.line for _, chunk in before), default=0)
        found = [i for i, chunk in before if chunk.line == last]
    else:
        found = [i for i, _ in inside]
    if not found:
        raise UsageError(f"{corpus.name} has no text at {place!r}.", fix="Name the file alone.")
    return frozenset(found)
