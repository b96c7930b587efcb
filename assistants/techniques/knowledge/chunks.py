"""Chunks: pieces of documents, small enough to quote, that know where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 1_000
"""Length of a chunk: about 250 tokens, all that a small embedding model reads."""

_MIN_CUT = MAX_CHARACTERS // 2
"""A cut is made at a line, a sentence or a word that ends after this many characters."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, table row or list of a document.

    ``line`` counts from 1, within the page where there is one. ``headings`` are those that it
    stands below, the outermost first.
    """

    text: str
    line: int
    headings: tuple[str, ...] = ()
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document; ``source`` is its path below the folder, with forward slashes."""

    source: str
    line: int
    text: str
    headings: tuple[str, ...] = ()
    page: int | None = None

    @property
    def place(self) -> str:
        """The place where a person finds it: ``caves.md:12``, ``atlas.pdf, page 3``."""
        if self.page is not None:
            return f"{self.source}, page {self.page}"
        return f"{self.source}:{self.line}"

    @property
    def heading(self) -> str:
        """The headings that it stands below: ``Caves > Light``."""
        return " > ".join(self.headings)

    @property
    def indexed_text(self) -> str:
        """The text by which it is found: its headings say what it is about."""
        return f"{self.heading}\n{self.text}" if self.headings else self.text


def split_blocks(source: str, blocks: Iterable[Block], *, join: bool = True) -> list[Chunk]:
    """Return the chunks of a document.

    Parameters
    ----------
    source
        The path of the document below its folder.
    blocks
        In their order. A long one is cut at a line, a sentence or a word.
    join
        Put short neighbours below the same headings into one chunk.
    """
    chunks: list[Chunk] = []
    for block in blocks:
        for line, text in _cut(block):
            last = chunks[-1] if chunks else None
            if (
                join
                and last is not None
                and (last.headings, last.page) == (block.headings, block.page)
                and len(last.text) + len(text) + 2 <= MAX_CHARACTERS
            ):
                chunks[-1] = Chunk(
                    source, last.line, f"{last.text}\n\n{text}", block.headings, block.page
                )
            else:
                chunks.append(Chunk(source, line, text, block.headings, block.page))
    return chunks


def _cut(block: Block) -> Iterator[tuple[int, str]]:
    """Yield pieces of a block that fit into a chunk, with the line where each begins."""
    text, line = block.text, block.line
    while text.strip():
        end = _end_of_piece(text)
        piece, text = text[:end], text[end:]
        lead = len(piece) - len(piece.lstrip())
        if piece.strip():
            yield line + piece[:lead].count("\n"), piece.strip()
        line += piece.count("\n")


def _end_of_piece(text: str) -> int:
    if len(text) <= MAX_CHARACTERS:
        return len(text)
    for mark in ("\n", ". ", " "):
        found = text.rfind(mark, _MIN_CUT, MAX_CHARACTERS)
        if found >= 0:
            return found + len(mark)
    return MAX_CHARACTERS
