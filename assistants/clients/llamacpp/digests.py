"""Digests of large files, remembered so that a gigabyte is not read at every start."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from assistants.utils import cache_root, write_atomically

_SETTLED_S = 2.0
"""Age from which a file's times are trusted: a file system may tell only whole seconds apart."""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; reads all of it.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is read again only if its size or times changed.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    path = path.resolve()
    record = cache_root() / "digests" / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    stamp = _stamp(path)
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return str(known["sha256"])
    digest = file_sha256(path)
    if _stamp(path) == stamp and time.time() - path.stat().st_mtime > _SETTLED_S:
        # Without a writable folder the file is just read again next time.
        with suppress(OSError):
            write_atomically(record, json.dumps({"stamp": stamp, "sha256": digest}))
    return digest


def _stamp(path: Path) -> list[int]:
    """Return what changes when a file is written to or replaced."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
