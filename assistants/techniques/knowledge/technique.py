"""The technique ``knowledge``: an answer from passages of a folder."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from assistants.clients import Embedder, connect_embedder
from assistants.errors import UsageError, nearest
from assistants.messages import TechniqueRecord
from assistants.techniques.base import USUAL, Ask, Draft, Load, Sidecar, Technique
from assistants.techniques.knowledge.bm25 import Ranking, check_bm25
from assistants.techniques.knowledge.corpus import Corpus, read_corpus
from assistants.techniques.knowledge.dense import DenseIndex
from assistants.techniques.knowledge.passages import quote_passages
from assistants.techniques.knowledge.retrieval import Hit, fuse, rank_all
from assistants.utils import pluralize

Mode = Literal["retrieve", "all"]

VERSION = 1
"""Goes up whenever other passages are found, or they are quoted otherwise: answers may differ."""

_USUAL_K = 5
_DRAWS = 8
"""Passages that are drawn for each one of the control, of which the one of like length is used."""

_CHARACTERS_PER_TOKEN = 4
_INTRODUCTION_TOKENS = 110
_PLACE_TOKENS = 15


@dataclass(frozen=True)
class Knowledge:
    """Quotes passages of a folder with each question.

    Parameters
    ----------
    corpus
        All that the folder says; an edited file makes another one.
    k
        Number of passages.
    mode
        ``retrieve`` finds the passages that fit the question; ``all`` quotes every one, which is
        the upper bound of what knowledge can do.
    embedder
        Search by meaning too, with its vectors, and fuse both rankings. Without one, only words
        are looked for.
    is_shuffled
        Quote other passages of the folder in place of those that fit: the control.
    title
        What its label begins with, where folders are compared.
    """

    corpus: Corpus
    k: int = _USUAL_K
    mode: Mode = "retrieve"
    embedder: Embedder | None = None
    is_shuffled: bool = False
    title: str = field(default="", compare=False)

    name = "knowledge"
    fails_open = False

    def __post_init__(self) -> None:
        if self.mode not in ("retrieve", "all"):
            raise UsageError(f"knowledge: mode is 'retrieve' or 'all', not {self.mode!r}.")
        if type(self.k) is not int or self.k < 1:
            raise UsageError(f"knowledge: k is a number of passages, not {self.k!r}.")
        if self.mode == "retrieve":
            check_bm25()

    def __repr__(self) -> str:
        return f"Knowledge({self.corpus.name!r}, {self.label})"

    @classmethod
    def of(cls, folder: str | Path, *, embeddings: str | None = None, **settings: Any) -> Self:
        """Return the knowledge of a folder, which is read now.

        Parameters
        ----------
        folder
            A folder of notes; a trusted name, unlike those that ``find_knowledge`` takes.
        embeddings
            The name of an embedder: ``minilm``, or a model behind a server.
        **settings
            ``k`` and ``mode``.

        Raises
        ------
        UsageError
            If the folder cannot be read, for a wrong setting, and if a package is missing.
        """
        embedder = connect_embedder(embeddings) if embeddings else None
        return cls(read_corpus(Path(folder)), embedder=embedder, **settings)

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        """None: no model is asked."""
        return ()

    @property
    def label(self) -> str:
        """Its settings that are not the usual ones: ``all``, ``k=10``, ``shuffled``."""
        labels = [
            self.title,
            "all" if self.mode == "all" else "",
            self.embedder.name if self.embedder and self.mode == "retrieve" else "",
            f"k={self.k}" if self.mode == "retrieve" and self.k != _USUAL_K else "",
            "shuffled" if self.is_shuffled else "",
        ]
        return "+".join(filter(None, labels)) or USUAL

    @property
    def parts(self) -> Mapping[str, Any]:
        """All that decides which passages a question gets, and how they are quoted."""
        parts: dict[str, Any] = {
            "version": VERSION,
            "folder": self.corpus.name,
            "digest": self.corpus.digest,
            "mode": self.mode,
        }
        if self.mode == "retrieve":
            parts |= {"k": self.k}
            parts |= {"embeddings": self.embedder.identity} if self.embedder else {}
        return parts | ({"shuffled": True} if self.is_shuffled else {})

    async def apply(self, draft: Draft, ask: Ask) -> Draft:
        """Return the draft with passages before its question, and a record of them."""
        del ask  # it asks no model
        hits = await self.passages(draft.query)
        sent = quote_passages(self.corpus.name, [hit.chunk for hit in hits], draft.sent)
        facts: dict[str, Any] = {
            "folder": self.corpus.name,
            "mode": self.mode,
            "query": draft.query,
            "passages": [hit.as_dict() for hit in hits],
        }
        if self.is_shuffled:
            facts["shuffled"] = True
        return draft.after(TechniqueRecord(self.name, facts), sent=sent)

    async def passages(self, query: str) -> list[Hit]:
        """Return the passages that a question is sent with, in the order of their numbers."""
        if self.mode == "all":
            return [Hit(i, chunk, 0.0, {}) for i, chunk in enumerate(self.corpus.chunks)]
        found = fuse(self.corpus, await self.rankings(query))
        return others(self.corpus, found, self.k, query) if self.is_shuffled else found[: self.k]

    async def rankings(self, query: str) -> dict[str, Ranking]:
        """Return how each retriever ranks the chunks of the folder for a query, by its name.

        Raises
        ------
        CallError
            If a server gives no vectors.
        """
        return await rank_all(self.corpus, query, self._dense)

    @cached_property
    def _dense(self) -> DenseIndex | None:
        if self.embedder is None:
            return None
        return DenseIndex([chunk.indexed_text for chunk in self.corpus.chunks], self.embedder)

    def forecast(self, load: Load) -> Load:
        """Return a turn's tokens with those of the passages, of which the length is an average."""
        chunks = self.corpus.chunks
        characters = sum(len(chunk.text) for chunk in chunks)
        tokens = characters / _CHARACTERS_PER_TOKEN / len(chunks) + _PLACE_TOKENS
        count = len(chunks) if self.mode == "all" else min(self.k, len(chunks))
        return replace(load, question=load.question + round(_INTRODUCTION_TOKENS + count * tokens))

    def control(self, kind: str) -> Technique:
        """Return the same with passages that do not fit the question: kind ``shuffled``.

        Raises
        ------
        UsageError
            For another kind, and where the folder has no other passages.
        """
        if kind != "shuffled":
            raise UsageError(f"knowledge has no control {kind!r}.", fix=nearest(kind, ["shuffled"]))
        if self.mode == "all":
            raise UsageError(
                "knowledge with `mode: all` quotes the whole folder: no other passages are left.",
                fix="Compare it with `mode: retrieve`, whose control is `shuffled`.",
            )
        if len(self.corpus.chunks) < 2 * self.k:
            raise UsageError(
                f"{self.corpus.name} has {pluralize(len(self.corpus.chunks), 'passage')}: too few "
                f"to draw {self.k} others.",
                fix=f"Set `k` to at most {len(self.corpus.chunks) // 2}.",
            )
        return replace(self, is_shuffled=True)


def others(corpus: Corpus, found: Sequence[Hit], k: int, query: str) -> list[Hit]:
    """Return as many passages as would be quoted, of about the same lengths, that do not fit.

    They are drawn by a digest of the query from those that were not found, and, where the folder
    is small, from the last ones that were.
    """
    generator = random.Random(hashlib.sha256(query.encode("utf-8", "replace")).digest())  # noqa: S311 - a draw that everybody can repeat
    chunks = corpus.chunks
    fitting = found[: max(k, len(chunks) - 2 * k)]
    taken = {hit.index for hit in fitting}
    texts = {hit.chunk.text for hit in fitting}
    left = [i for i, chunk in enumerate(chunks) if i not in taken and chunk.text not in texts]
    drawn: list[Hit] = []
    for hit in found[:k]:
        candidates = generator.sample(left, min(_DRAWS, len(left)))
        length = len(hit.chunk.text)
        index = min(candidates, key=lambda i: (abs(len(chunks[i].text) - length), i))
        left.remove(index)
        drawn.append(Hit(index, chunks[index], 0.0, {}))
    return drawn
