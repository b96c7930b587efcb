"""Servers from a notebook: ``server = await serve("Qwen/Qwen3-8B")``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assistants.clients import ServerRecord, registry
from assistants.servers import shutdown
from assistants.servers.card import card
from assistants.servers.health import ServerStatus, server_status
from assistants.servers.launch_options import LOOPBACK, LaunchOptions
from assistants.servers.startup import START_LIMIT_S, Report, in_lines, start
from assistants.utils.display import notebook_html
from assistants.utils.text import truncate_line


@dataclass(frozen=True, slots=True)
class Server:
    """A vLLM server that runs on this machine; in a notebook, its card."""

    entry: ServerRecord
    said: ServerStatus

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
        return card(self.entry, self.said)

    async def stop(self) -> None:
        """End it, and wait until all of its processes are gone."""
        await asyncio.to_thread(shutdown.end, self.entry)


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
    report: Report | None = None,
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
    report = report or in_lines(_on_stderr)
    entry = await start(launch, python=python, detach=detach, limit=limit, report=report)
    return Server(entry, await server_status(entry))


async def servers() -> list[Server]:
    """The servers that run on this machine, in order of their start."""
    await asyncio.to_thread(shutdown.remove_stale)
    living = registry.records()
    said = await asyncio.gather(*(server_status(entry) for entry in living))
    return [Server(entry, each) for entry, each in zip(living, said, strict=True)]


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
