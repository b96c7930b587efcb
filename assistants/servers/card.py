"""What a person sees of a server that has started."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from assistants.clients import ServerRecord, registry
from assistants.servers.gpus import gib
from assistants.servers.health import ServerStatus

LENGTHS = (1_024, 4_096, 16_384)
"""Tokens of a conversation for which a card says how many fit, besides the longest."""


def card(entry: ServerRecord, said: ServerStatus) -> dict[str, str]:
    """Facts and their values, in the order in which they are read."""
    return {
        "use it as": f"{registry.PROVIDER}:{entry.model}",
        "address": f"{entry.url}/v1",
        "GPUs": ", ".join(str(index) for index in entry.gpus) or "none named",
        "memory asked": "vLLM's default" if entry.asked is None else f"{entry.asked:.0%} of each",
        "memory taken": _taken(entry),
        "context": _tokens(said.context or entry.context),
        "cache": _tokens(said.metrics.cache_tokens or entry.cache_tokens),
        "conversations at once": conversations(said) or "it does not tell",
        "log": from_home(entry.log),
    }


def conversations(said: ServerStatus) -> str:
    """How many conversations of which length fit: ``91 of 1,024 tokens, 22 of 2,048``."""
    longest = said.context or 0
    lengths = [length for length in LENGTHS if length < longest] + [longest] * bool(longest)
    fit = [(length, said.holds(length)) for length in lengths]
    return ", ".join(
        f"{count:,} of {length:,} tokens" for length, count in fit if count is not None
    )


def rows(servers: Sequence[tuple[ServerRecord, ServerStatus, bool]]) -> list[dict[str, Any]]:
    """One row a server, for ``assistants servers`` and ``pandas.DataFrame``."""
    return [
        {
            "server": entry.name,
            "model": f"{registry.PROVIDER}:{entry.model}",
            "host": entry.url.split("//")[1].rpartition(":")[0],
            "port": entry.port,
            "gpus": ",".join(str(index) for index in entry.gpus) or None,
            "memory": gib(entry.memory) if entry.memory else None,
            "health": "ok" if healthy else "no answer",
            "running": said.metrics.running,
        }
        for entry, said, healthy in servers
    ]


def _taken(entry: ServerRecord) -> str:
    if not entry.memory:
        return "nobody could tell"
    return f"{gib(entry.memory)} on each" if len(entry.gpus) > 1 else gib(entry.memory)


def from_home(path: str | Path) -> str:
    """A path as a person would type it, and without their name on a page that they share."""
    with suppress(ValueError, RuntimeError):
        return f"~/{Path(path).relative_to(Path.home())}"
    return str(path)


def _tokens(number: int | None) -> str:
    return f"{number:,} tokens" if number else "it does not tell"
