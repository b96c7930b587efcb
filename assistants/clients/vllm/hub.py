"""Where the files of a model are on this machine. Nothing is fetched."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
"""A name on the Hugging Face hub."""


def folder_of(source: str, beside: Path = Path()) -> Path | None:
    """A folder with ``config.json``, a config or a GGUF file; ``None`` if it is not here.

    Parameters
    ----------
    source
        A path, or a name on the Hugging Face hub that has been fetched before.
    beside
        What a path is relative to.
    """
    path = beside / source
    with suppress(OSError, ValueError):  # too long for a path, or no path at all
        if (path / "config.json").is_file() or path.is_file():
            return path
    folder = snapshot(source)
    return folder if folder is not None and (folder / "config.json").is_file() else None


def snapshot(name: str) -> Path | None:
    """What ``main`` of ``name`` stands for in the hub's cache; ``None`` if it was not fetched."""
    if not NAME.fullmatch(name):
        return None
    kept = cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = (kept / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    folder = kept / "snapshots" / revision
    return folder if revision.isalnum() and folder.is_dir() else None  # never out of the cache


def cache() -> Path:
    """Where the hub's own tools keep what they fetched, as they look for it."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home).expanduser() / "hub"
