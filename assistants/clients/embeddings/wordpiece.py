"""WordPiece: text as the token ids that a BERT model reads.

Notes
-----
Devlin et al. (2019), arXiv:1810.04805. ``bert_uncased.txt`` is the vocabulary of BERT-base
uncased (Google, Apache-2.0), which MiniLM uses unchanged: one token per line, its id the line's.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path

_UNKNOWN = "[UNK]"
_MAX_WORD = 100
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def token_ids(text: str, limit: int) -> list[int]:
    """Return the ids of a text between ``[CLS]`` and ``[SEP]``, at most ``limit`` with them."""
    vocabulary = _vocabulary()
    ids: list[int] = []
    for word in _words(text):
        ids += (vocabulary[piece] for piece in _pieces(word, vocabulary))
        if len(ids) >= limit - 2:
            break
    return [vocabulary["[CLS]"], *ids[: limit - 2], vocabulary["[SEP]"]]


@cache
def _vocabulary() -> dict[str, int]:
    text = (Path(__file__).parent / "bert_uncased.txt").read_text(encoding="utf-8")
    return {token: number for number, token in enumerate(text.split("\n")[:-1])}


def _words(text: str) -> list[str]:
    """Return words in lower case and without accents; a punctuation mark is one of its own."""
    spaced: list[str] = []
    for character in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(character)
        if character.isspace():
            spaced.append(" ")
        elif category == "Mn" or category in ("Cc", "Cf", "Cs", "Co") or character == "\ufffd":
            continue
        elif _is_punctuation(character, category) or _is_ideograph(character):
            spaced.append(f" {character} ")
        else:
            spaced.append(character)
    return "".join(spaced).split()


def _is_punctuation(character: str, category: str) -> bool:
    return category.startswith("P") or (character.isascii() and not character.isalnum())


def _is_ideograph(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)


def _pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    """Return the longest known beginning of a word, that of its rest, and so on."""
    if len(word) > _MAX_WORD:
        return [_UNKNOWN]
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        end = next(
            (end for end in range(len(word), start, -1) if mark + word[start:end] in vocabulary), 0
        )
        if not end:
            return [_UNKNOWN]
        pieces.append(mark + word[start:end])
        start = end
    return pieces
