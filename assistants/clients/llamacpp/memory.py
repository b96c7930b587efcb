"""Memory of this machine, as far as it tells, and what a model needs of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from assistants.errors import MissingDependencyError

_CACHE_BYTES = 700_000_000
"""What a child takes beside its weights: the cache of its slots, and buffers."""


def check_memory(name: str, size: int, root: Path = Path("/")) -> None:
    """Check that weights of ``size`` bytes fit into the memory that is free.

    Raises
    ------
    MissingDependencyError
        If the system says how much is free, and it is too little.
    """
    needed, free = size * 5 // 4 + _CACHE_BYTES, available_bytes(root)
    if free is not None and free < needed:
        raise MissingDependencyError(
            f"local:{name} needs about {needed / 1e6:,.0f} MB of memory, "
            f"and {free / 1e6:,.0f} MB are free.",
            fix="Close other programs, or use a smaller model: `-m smollm2`.",
        )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return how much memory programs may still take; ``None`` if the system does not tell.

    The lesser of what Linux has available and what is left to a container.
    """
    candidates = []
    with suppress(OSError, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next((line for line in lines if line.startswith("MemAvailable:")), "")
        candidates.append(int(available.split()[1]) * 1024)
    with suppress(OSError, ValueError, KeyError):
        group = root / "sys/fs/cgroup"
        limit = int((group / "memory.max").read_text(encoding="ascii"))  # "max": no limit
        used = int((group / "memory.current").read_text(encoding="ascii"))
        stat = (group / "memory.stat").read_text(encoding="ascii")
        files = int(dict(line.split() for line in stat.splitlines())["inactive_file"])
        candidates.append(limit - used + files)  # cached files give way
    return max(0, min(candidates)) if candidates else None
