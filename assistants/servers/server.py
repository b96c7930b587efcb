"""Running servers: ``server = await serve("Qwen/Qwen3-8B")``, and their cards."""

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

    record: ServerRecord
    status: ServerStatus

    def __repr__(self) -> str:
        return truncate_line(f"Server({self.model!r} at {self.record.url})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def model(self) -> str:
        """Its name everywhere else: ``vllm:NAME``."""
        return f"{registry.PROVIDER}:{self.record.model}"

    @property
    def card(self) -> dict[str, str]:
        """Its address, the memory that it took, and the conversations that it holds."""
        return server_card(self.record, self.status)

    async def stop(self) -> None:
        """End it, and wait until all of its processes are gone."""
        await asyncio.to_thread(processes.stop_server, self.record)


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
        As in ``LaunchOptions``.
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
    record = await start_server(launch, python=python, detach=detach, limit=limit, report=report)
    return Server(record, await server_status(record))


async def servers() -> list[Server]:
    """List the servers that run on this machine, in order of their start."""
    await asyncio.to_thread(processes.remove_stale)
    living = registry.records()
    statuses = await asyncio.gather(*(server_status(record) for record in living))
    return [Server(*pair) for pair in zip(living, statuses, strict=True)]


def server_card(record: ServerRecord, status: ServerStatus) -> dict[str, str]:
    """Return the rows of a server's card, in the order in which they are read."""
    return {
        "use it as": f"{registry.PROVIDER}:{record.model}",
        "address": f"{record.url}/v1",
        "GPUs": ", ".join(str(index) for index in record.gpus) or "none named",
        "memory asked": "vLLM's default" if record.asked is None else f"{record.asked:.0%} of each",
        "memory taken": _taken(record),
        "context": _tokens(status.context or record.context),
        "cache": _tokens(status.metrics.cache_tokens or record.cache_tokens),
        "conversations at once": conversations(status) or "it does not tell",
        "log": home_relative(record.log),
    }


def conversations(status: ServerStatus) -> str:
    """Return how many conversations fit: ``91 of 1,024 tokens, 22 of 2,048 tokens``."""
    longest = status.context or 0
    lengths = [length for length in LENGTHS if length < longest] + [longest] * bool(longest)
    fit = [(length, status.holds(length)) for length in lengths]
    return ", ".join(
        f"{count:,} of {length:,} tokens" for length, count in fit if count is not None
    )


def server_rows(servers: Sequence[tuple[ServerRecord, ServerStatus, bool]]) -> list[dict[str, Any]]:
    """Return one row per server, for ``assistants servers`` and ``pandas.DataFrame``."""
    return [
        {
            "server": record.name,
            "model": f"{registry.PROVIDER}:{record.model}",
            "host": record.url.split("//")[1].rpartition(":")[0],
            "port": record.port,
            "gpus": ",".join(str(index) for index in record.gpus) or None,
            "memory": gib(record.memory) if record.memory else None,
            "health": "ok" if healthy else "no answer",
            "running": status.metrics.running,
        }
        for record, status, healthy in servers
    ]


def _taken(record: ServerRecord) -> str:
    if not record.memory:
        return "nobody could tell"
    return f"{gib(record.memory)} on each" if len(record.gpus) > 1 else gib(record.memory)


def home_relative(path: str | Path) -> str:
    """Return a path below ``~``, without a person's name on a page that they share."""
    with suppress(ValueError, RuntimeError):
        return f"~/{Path(path).relative_to(Path.home())}"
    return str(path)


def _tokens(number: int | None) -> str:
    return f"{number:,} tokens" if number else "it does not tell"


def _on_stderr(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201
