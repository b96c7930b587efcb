"""Folders of this package, and of it on the user's machine."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from assistants.errors import MissingDependencyError


def cache_root() -> Path:
    """Return the cache folder: ``ASSISTANTS_CACHE``, or the user's own.

    It holds only what can be fetched or measured again.
    """
    return Path(os.environ.get("ASSISTANTS_CACHE") or platformdirs.user_cache_dir("assistants"))


def packaged_path(name: str) -> Path:
    """Return what stands beside the package in a clone, and inside it in a wheel.

    Parameters
    ----------
    name
        A file or folder below the project's root, such as ``notebooks``.

    Raises
    ------
    MissingDependencyError
        If it is in neither.
    """
    package = Path(__file__).parents[1]
    for path in (package / name, package.parent / name):
        if path.exists():
            return path
    raise MissingDependencyError(
        f"{name} is not part of this installation.", fix="Install the package again."
    )
