"""Search by words: BM25 over stemmed words, cached by content.

Notes
-----
Robertson & Zaragoza (2009), "The probabilistic relevance framework: BM25 and beyond". The index
is that of bm25s (Lù 2024, arXiv:2407.03618), the stemmer Snowball's for English.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.errors import MissingDependencyError
from assistants.utils import cache_root, to_json

if TYPE_CHECKING:
    import bm25s

Ranking = list[tuple[int, float]]
"""Indices of chunks with their scores, the best one first."""

_VERSION = 1
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W_{_IDEOGRAPH}]+")
_STOP_WORDS = frozenset(
    """a an and are as at be but by for if in into is it no not of on or such that the their then
    there these they this to was will with what which who whom whose when where why how do does did
    i you we he she""".split()
)


class Bm25Index:
    """An index of texts by their words."""

    name = "bm25"

    def __init__(self, index: bm25s.BM25) -> None:
        self._index = index

    def rank(self, query: str, depth: int) -> Ranking:
        """Return the best texts for a query; those that share no word with it have no rank."""
        import numpy as np

        words = [word for word in split_words(query) if word in self._index.vocab_dict]
        if not words:
            return []
        scores = self._index.get_scores(words)
        best = np.argsort(-scores, kind="stable")[:depth]
        return [(int(index), float(scores[index])) for index in best if scores[index] > 0]


def check_bm25() -> None:
    """Check that the packages are installed that an index needs.

    Raises
    ------
    MissingDependencyError
        If bm25s or PyStemmer is not.
    """
    if find_spec("bm25s") is None or find_spec("Stemmer") is None:
        raise MissingDependencyError(
            "A knowledge folder needs the packages bm25s and PyStemmer.",
            fix="pip install 'assistants[knowledge]'",
        )


def build_bm25(texts: Sequence[str]) -> Bm25Index:
    """Return the index of texts, read from the cache if it was built before."""
    import bm25s

    key = hashlib.sha256(to_json([_VERSION, bm25s.__version__, list(texts)]).encode()).hexdigest()
    folder = cache_root() / "knowledge" / "bm25" / key[:32]
    with suppress(OSError, ValueError, KeyError, TypeError, EOFError):
        return Bm25Index(bm25s.BM25.load(folder, load_corpus=False, show_progress=False))
    index = bm25s.BM25(method="lucene")
    # A list without words at all has no vocabulary, and bm25s none to build.
    index.index([split_words(text) or [""] for text in texts], show_progress=False)
    with suppress(OSError):
        _save(index, folder)
    return Bm25Index(index)


def split_words(text: str) -> list[str]:
    """Return the stems of a text's words, without those that are in every text."""
    import Stemmer

    words = [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]
    return list(Stemmer.Stemmer("english").stemWords(words))


def _save(index: bm25s.BM25, folder: Path) -> None:
    """Write an index so that readers see it whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, suffix=".part") as part:
        whole = Path(part) / "index"
        index.save(whole, show_progress=False)
        whole.rename(folder)  # fails where another process was faster, which is as good
