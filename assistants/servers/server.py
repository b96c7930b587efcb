"""A running server, started from a notebook (``server = await serve("Qwen/Qwen3-8B")``)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistants.clients import ServerRecord, registry
from assistants.servers import processes
from assistants.servers.gpus import gib
from assistants.servers.health import ServerStatus, server_status
from assistants.servers.launch_options import LOOPBACK, LaunchOptions
from assistants.servers.startup import START_LIMIT_S, ProgressCallback, report_stages, start_server
from assistants.utils.display import notebook_html
from assistants.utils.text import truncate_line

LENGTHS = (1_024, 4_096, 16_384)
"""Tokens of a conversation for which a card says how many fit, besides the longest."""


@dataclass(frozen=True, slots=True)
class Server:
    """A vLLM server that runs on this machine; in a notebook, its card."""

    entry: ServerRecord
    status: ServerStatus

    def __repr__(self) -> str:
        return truncate_line(f"Server({self.model!r} at {self.entry.url})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def model(self) -> str:
        """What everything else calls it: ``vllm:NAME``."""
        return f"{registry.PROVIDER}:{self.entry.model}"

    @property
    def card(self) -> dict[str, str]:
        """Where it is, what it took, and how many conversations of which length it holds."""
        return server_card(self.entry, self.status)

    async def stop(self) -> None:
        """End it, and wait until all of its processes are gone."""
        await asyncio.to_thread(processes.stop_server, self.entry)


async def serve(
    model: str,
    *,
    served_name: str = "",
    gpus: Sequence[int] = (),
    port: int | None = None,
    host: str = LOOPBACK,
    max_model_len: int | None = None,
    gpu_memory_utilization: float | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    chat_template: str | Path | None = None,
    key_from: str | None = None,
    options: Sequence[str] = (),
    python: str | None = None,
    detach: bool = False,
    limit: float = START_LIMIT_S,
    report: ProgressCallback | None = None,
) -> Server:
    """Start a vLLM server and wait until it answers.

    It ends when this process does, unless it is detached. Then ``assistants stop`` ends it.

    Parameters
    ----------
    model
        A folder with weights, a name on the Hugging Face hub, or an embedded model (``smollm2``).
    served_name, gpus, port, host, max_model_len, dtype, quantization
        As in ``Launch``.
    chat_template, key_from, options
        As there too.
    gpu_memory_utilization
        The part of each GPU's memory that it may take.
    python, detach, limit, report
        As in ``start``; how far it is, is written to stderr unless ``report`` is told.

    Raises
    ------
    UsageError, MissingDependencyError, ServerStartError
        As ``start`` does.
    """
    launch = LaunchOptions(
        source=model,
        served_name=served_name,
        gpus=tuple(gpus),
        port=port,
        host=host,
        max_model_len=max_model_len,
        utilization=gpu_memory_utilization,
        dtype=dtype,
        quantization=quantization,
        chat_template=Path(chat_template) if chat_template is not None else None,
        key_from=key_from,
        options=tuple(options),
    )
    report = report or report_stages(_on_stderr)
    entry = await start_server(launch, python=python, detach=detach, limit=limit, report=report)
    return Server(entry, await server_status(entry))


async def servers() -> list[Server]:
    """The servers that run on this machine, in order of their start."""
    await asyncio.to_thread(processes.remove_stale)
    living = registry.records()
    said = await asyncio.gather(*(server_status(entry) for entry in living))
    return [Server(entry, each) for entry, each in zip(living, said, strict=True)]


def server_card(entry: ServerRecord, status: ServerStatus) -> dict[str, str]:
    """Facts and their values, in the order in which they are read."""
    return {
        "use it as": f"{registry.PROVIDER}:{entry.model}",
        "address": f"{entry.url}/v1",
        "GPUs": ", ".join(str(index) for index in entry.gpus) or "none named",
        "memory asked": "vLLM's default" if entry.asked is None else f"{entry.asked:.0%} of each",
        "memory taken": _taken(entry),
        "context": _tokens(status.context or entry.context),
        "cache": _tokens(status.metrics.cache_tokens or entry.cache_tokens),
        "conversations at once": conversations(status) or "it does not tell",
        "log": home_relative(entry.log),
    }


def conversations(status: ServerStatus) -> str:
    """How many conversations of which length fit: ``91 of 1,024 tokens, 22 of 2,048``."""
    longest = status.context or 0
    lengths = [length for length in LENGTHS if length < longest] + [longest] * bool(longest)
    fit = [(length, status.holds(length)) for length in lengths]
    return ", ".join(
        f"{count:,} of {length:,} tokens" for length, count in fit if count is not None
    )


def server_rows(servers: Sequence[tuple[ServerRecord, ServerStatus, bool]]) -> list[dict[str, Any]]:
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
            "running": status.metrics.running,
        }
        for entry, status, healthy in servers
    ]


def _taken(entry: ServerRecord) -> str:
    if not entry.memory:
        return "nobody could tell"
    return f"{gib(entry.memory)} on each" if len(entry.gpus) > 1 else gib(entry.memory)


def home_relative(path: str | Path) -> str:
    """A path as a person would type it, and without their name on a page that they share."""
    with suppress(ValueError, RuntimeError):
        return f"~/{Path(path).relative_to(Path.home())}"
    return str(path)


def _tokens(number: int | None) -> str:
    return f"{number:,} tokens" if number else "it does not tell"


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
