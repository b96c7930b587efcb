"""A corpus: all that a knowledge folder says, read once and then never changed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakValueDictionary

from assistants.errors import FileError, UsageError
from assistants.techniques.knowledge.bm25 import Bm25Index, build_bm25
from assistants.techniques.knowledge.chunks import Chunk
from assistants.techniques.knowledge.documents import READER_VERSION, check_kind, read_document
from assistants.utils import (
    cache_root,
    display_path,
    escape_control_chars,
    pluralize,
    to_json,
    truncate_line,
    write_atomically,
)

MAX_FILES = 10_000
MAX_FILE_BYTES = 20_000_000
MAX_BYTES = 500_000_000
MAX_CHUNKS = 200_000

_READ: WeakValueDictionary[tuple[str, str, tuple[Source, ...]], Corpus] = WeakValueDictionary()
_BUILDING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a corpus; ``name`` is its path below the folder, ``size`` in bytes."""

    name: str
    size: int
    chunks: int


@dataclass(frozen=True)
class Corpus:
    """The chunks of a folder, in the order of its files; two of equal ``digest`` say the same.

    ``path`` is where it was read, for people.
    """

    name: str
    sources: tuple[Source, ...]
    chunks: tuple[Chunk, ...]
    path: str = ""

    def __repr__(self) -> str:
        size = f"{pluralize(len(self.sources), 'file')}, {pluralize(len(self.chunks), 'chunk')}"
        return truncate_line(f"Corpus({self.name!r}, {size})", 120)

    @cached_property
    def digest(self) -> str:
        """A hash of all chunks: an edited file makes another corpus."""
        rows = [[c.source, c.line, c.page, list(c.headings), c.text] for c in self.chunks]
        return hashlib.sha256(to_json(rows).encode()).hexdigest()[:32]

    @property
    def bm25(self) -> Bm25Index:
        """The index of its words, built when it is first used, and cached by content."""
        with _BUILDING:  # several questions may be the first one
            return self._bm25

    @cached_property
    def _bm25(self) -> Bm25Index:
        return build_bm25([chunk.indexed_text for chunk in self.chunks])


def read_corpus(folder: Path) -> Corpus:
    """Return all that the files below a folder say.

    Hidden files and folders are left out. A file that was read before is not read again.

    Raises
    ------
    FileError
        If there is no such folder, or a file in it is no document, is damaged, too large, or a
        link: nothing is left out in silence.
    UsageError
        If the folder holds no text, or too much.
    """
    where = display_path(folder)
    if not folder.is_dir():
        raise FileError(where, "there is no such folder of notes.")
    sources: list[Source] = []
    chunks: list[Chunk] = []
    total = 0
    for path in _files(folder):
        name = escape_control_chars(path.relative_to(folder).as_posix())
        check_kind(name, display_path(path))
        raw = _read_bytes(path)
        found = _read_cached(name, raw, display_path(path))
        sources.append(Source(name, len(raw), len(found)))
        chunks += found
        total += len(raw)
        if len(sources) > MAX_FILES or total > MAX_BYTES or len(chunks) > MAX_CHUNKS:
            raise UsageError(
                f"{where}: more than {MAX_FILES:,} files, {MAX_BYTES / 1e6:,.0f} MB or "
                f"{MAX_CHUNKS:,} chunks.",
                fix="Take a smaller folder.",
            )
    if not chunks:
        raise UsageError(f"{where}: there is no text in this folder.", fix="Put notes into it.")
    name = escape_control_chars(Path(os.path.realpath(folder)).name) or "knowledge"
    corpus = Corpus(name, tuple(sources), tuple(chunks), where)
    # Assistants that share a folder share its index, too.
    return _READ.setdefault((where, corpus.digest, corpus.sources), corpus)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted; a link could lead out of it, so there may be none."""
    for root, folders, files in os.walk(folder, onerror=_raise_unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*folders, *files]):
            path = Path(root) / name
            if not name.startswith(".") and path.is_symlink():
                raise FileError(
                    str(path),
                    "is a link, which could lead out of the folder.",
                    fix="Copy the file into the folder.",
                )
        yield from (Path(root) / name for name in sorted(files) if not name.startswith("."))


def _raise_unreadable(error: OSError) -> None:
    raise FileError(str(error.filename), f"cannot be read: {error.strerror}.") from None


def _read_bytes(path: Path) -> bytes:
    """Return the bytes of a regular file; a pipe is not waited for, and no link is followed."""
    where = display_path(path)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileError(where, "is not a file.")
            raw = file.read(MAX_FILE_BYTES + 1) if status.st_size <= MAX_FILE_BYTES else b""
    except OSError as error:
        raise FileError(where, f"cannot be read: {error.strerror}.") from None
    size = max(status.st_size, len(raw))
    if size > MAX_FILE_BYTES:
        raise FileError(where, f"{size:,} bytes; at most {MAX_FILE_BYTES:,} are read.")
    return raw


def _read_cached(name: str, raw: bytes, where: str) -> list[Chunk]:
    """Return the chunks of a document, which are cached by its kind and content."""
    kind = Path(name).suffix.lower()
    key = hashlib.sha256(f"{READER_VERSION} {kind} ".encode() + raw).hexdigest()[:32]
    path = cache_root() / "knowledge" / "documents" / f"{key}.json"
    with suppress(OSError, ValueError, TypeError):
        rows = json.loads(path.read_text(encoding="utf-8"))
        return [Chunk(name, line, text, tuple(over), page) for line, text, over, page in rows]
    chunks = read_document(name, raw, where)
    rows = [[c.line, c.text, list(c.headings), c.page] for c in chunks]
    with suppress(OSError):  # without a writable folder it is read again next time
        write_atomically(path, json.dumps(rows))
    return chunks
