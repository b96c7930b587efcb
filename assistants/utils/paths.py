"""Folders of this package on the user's machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """Return the cache folder: ``ASSISTANTS_CACHE``, or the user's own.

    It holds only what can be fetched or measured again.
    """
    return Path(os.environ.get("ASSISTANTS_CACHE") or platformdirs.user_cache_dir("assistants"))
