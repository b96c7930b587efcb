"""Folders of this package on the user's machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """The folder for what can be fetched or measured again: ``ASSISTANTS_CACHE``, or the user's."""
    return Path(os.environ.get("ASSISTANTS_CACHE") or platformdirs.user_cache_dir("assistants"))
