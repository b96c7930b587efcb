"""Search of notes: how long an index of 10,000 passages takes, and what fusion is worth.

    python bench/knowledge.py [--passages 10000] [--check]
    python bench/knowledge.py --cranfield FOLDER [--embeddings minilm] [--abstracts 1400]

The first writes notes of random words and prints CPU seconds: reading and indexing them, the same
from the cache, after one file was edited, and per question. The promises, for ``--check``: under
60 s, and under 20 ms per question.

The second scores the search on the Cranfield collection (``cran.all.1400``, ``cran.qry`` and
``cranqrel``: 1,400 abstracts on aerodynamics, 225 questions with judged answers), which has to be
in the folder. An abstract is found where one of its passages is. With ``--check`` the
interval of fused minus BM25 has to be above 0.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from assistants.techniques import Knowledge, read_corpus
from assistants.techniques.knowledge.retrieval import fuse

QUESTIONS = 200


def write_notes(folder: Path, passages: int) -> list[str]:
    """Write files of 100 sections each, and return the words, the most frequent one first."""
    generator = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(generator.choices(letters, k=generator.randint(3, 9))) for _ in range(20_000)]
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(words) + 1)))
    for number in range(0, passages, 100):
        sections = [
            f"## Section {n}\n\n" + " ".join(generator.choices(words, cum_weights=weights, k=120))
            for n in range(number, min(number + 100, passages))
        ]
        (folder / f"{number:06}.md").write_text("# Notes\n\n" + "\n\n".join(sections), "utf-8")
    return words


def speed(passages: int) -> bool:
    """Print CPU times, and return whether the promises were kept."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "notes"
        folder.mkdir()
        os.environ["ASSISTANTS_CACHE"] = str(Path(made) / "cache")
        words = write_notes(folder, passages)
        first = _indexed(folder)
        again = _indexed(folder)
        path = folder / "000000.md"
        path.write_text(path.read_text("utf-8").replace("Notes", "Edited"), "utf-8")
        edited = _indexed(folder)
        corpus = read_corpus(folder)
        generator = random.Random(1)
        start = time.process_time()
        for _ in range(QUESTIONS):
            corpus.bm25.rank(" ".join(generator.choices(words[:2_000], k=8)), 100)
        question = (time.process_time() - start) / QUESTIONS
    print(f"{len(corpus.chunks):,} passages, CPU seconds")
    print(f"  read and indexed   {first:8.2f}")
    print(f"  from the cache     {again:8.2f}")
    print(f"  one file edited    {edited:8.2f}")
    print(f"  a question         {question:8.4f}")
    return first < 60 and question < 0.02


def _indexed(folder: Path) -> float:
    start = time.process_time()
    read_corpus(folder).bm25  # noqa: B018 - builds the index
    return time.process_time() - start


async def cranfield(source: Path, embeddings: str | None, abstracts: int) -> bool:
    """Print the scores of each search, and return whether fusion is better for sure."""
    with tempfile.TemporaryDirectory() as made:
        for number, fields in _records(source / "cran.all.1400")[:abstracts]:
            text = f"{fields.get('T', '')}\n\n{fields.get('W', '')}"
            # A passage per abstract, as it is judged: longer ones are cut, and any piece counts.
            (Path(made) / f"{number:04}.txt").write_text(text.strip() or "-", "utf-8")
        relevant: dict[int, list[str]] = {}
        for line in (source / "cranqrel").read_text().splitlines():
            query, document, grade = map(int, line.split())
            if grade > 0 and document <= abstracts:
                relevant.setdefault(query, []).append(f"{document:04}.txt")
        # Judgements count the questions from 1; their own numbers have gaps.
        texts = [fields["W"] for _, fields in _records(source / "cran.qry")]
        questions = [(text, relevant[n]) for n, text in enumerate(texts, start=1) if n in relevant]
        knowledge = Knowledge.of(made, k=10, embeddings=embeddings)
        gains: dict[str, list[float]] = {}
        for question, right in questions:
            rankings = await knowledge.rankings(question)
            if len(rankings) > 1:
                hits = fuse(knowledge.corpus, rankings)
                rankings["fused"] = [(hit.index, hit.score) for hit in hits]
            for name, ranking in rankings.items():
                found = [knowledge.corpus.chunks[index].source for index, _ in ranking]
                gains.setdefault(name, []).append(ndcg(found, right))
    print(f"{len(questions)} questions, {len(knowledge.corpus.chunks):,} passages, nDCG@10")
    for name, values in gains.items():
        print(f"  {name:10} {np.mean(values):.3f}")
    if embeddings is None:
        return True
    change = np.array(gains["fused"]) - np.array(gains["bm25"])
    draws = np.random.default_rng(0).integers(0, len(change), (10_000, len(change)))
    low, high = np.percentile(change[draws].mean(axis=1), [2.5, 97.5])
    print(f"  fused minus bm25: {change.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    return bool(low > 0)


def ndcg(found: list[str], right: list[str], depth: int = 10) -> float:
    """Return the normalised discounted gain of the first documents; each is right or not."""
    first = list(dict.fromkeys(found))[:depth]
    gain = sum(1 / math.log2(n + 2) for n, name in enumerate(first) if name in right)
    return gain / sum(1 / math.log2(n + 2) for n in range(min(depth, len(right))))


def _records(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the records of a file of the collection: their numbers, and fields by letter."""
    records = []
    for block in re.split(r"^\.I ", path.read_text(), flags=re.M)[1:]:
        number, *parts = re.split(r"^\.([TABW])\n", block, flags=re.M)
        fields = dict(zip(parts[::2], parts[1::2], strict=True))
        records.append((int(number), {name: text.strip() for name, text in fields.items()}))
    return records


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--passages", type=int, default=10_000)
    parser.add_argument("--cranfield", type=Path)
    parser.add_argument("--embeddings")
    parser.add_argument("--abstracts", type=int, default=1_400)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.cranfield:
        kept = asyncio.run(cranfield(options.cranfield, options.embeddings, options.abstracts))
    else:
        kept = speed(options.passages)
    return 0 if kept or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
