"""Metrics of a vLLM server: its prefix cache, its load, the size of its memory.

Notes
-----
Read from ``/metrics``, in the Prometheus text format. Every number is of the server as a whole and
includes whoever else uses it at the same time.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.response import raise_malformed
from assistants.errors import CallError

MAX_BYTES = 4 * 1024 * 1024
"""Size limit of the page of metrics."""

MAX_LINE_CHARS = 16 * 1024
"""Length limit of a line: the parser's time grows with the square of a line's length."""

TIMEOUT_S = 5.0
"""Time limit in seconds. A run does not wait longer for what it only records."""

_PREFIX = "vllm:"


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Numbers of tokens looked up in the prefix cache (``queries``) and found there (``hits``).

    They count all requests since the server's start or, as a difference, since an earlier moment.
    Requests with ``prompt_logprobs`` are not looked up. Requests of other users count too, so the
    numbers of a run are exact only if nobody else used the server.
    """

    queries: int
    hits: int

    @property
    def rate(self) -> float | None:
        """Share of the tokens that were found; ``None`` if none was looked up."""
        return self.hits / self.queries if self.queries else None

    def since(self, earlier: PrefixCache) -> PrefixCache | None:
        """Return the difference to ``earlier``; ``None`` if the server restarted in between."""
        queries, hits = self.queries - earlier.queries, self.hits - earlier.hits
        return PrefixCache(queries, hits) if 0 <= hits <= queries else None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and the rate, for a manifest."""
        return {"queries": self.queries, "hits": self.hits, "rate": self.rate}


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of a server, summed over its engines; ``None`` where it reports none.

    ``cache_used`` is the share, from 0 to 1, of the fullest engine.
    """

    prefix_cache: PrefixCache | None = None
    running: int | None = None
    cache_used: float | None = None
    cache_tokens: int | None = None
    cache_blocks: int | None = None
    block_size: int | None = None


async def read_metrics(client: Client) -> Metrics:
    """Return the metrics of the server behind ``client``; empty ones if it has no server.

    Raises
    ------
    CallError
        If there is no page of metrics, or it is too large, or it cannot be parsed.
    """
    if not isinstance(client, OpenAIClient):
        return Metrics()
    body = await client.get("../metrics", max_bytes=MAX_BYTES)
    try:
        return parse_metrics(body.decode())
    except UnicodeDecodeError:
        fault = "not valid UTF-8"
    except ValueError as error:
        fault = str(error)
    return raise_malformed(client.model, f"its metrics are not in the text format ({fault})")


async def read_prefix_cache(client: Client) -> PrefixCache | None:
    """Return the counters of the prefix cache; ``None`` if the server does not report in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return (await read_metrics(client)).prefix_cache
    except (CallError, TimeoutError):
        return None


async def read_prefix_caches(clients: Iterable[Client]) -> dict[str, PrefixCache]:
    """Return the counters of each model whose server reports them, by the model's name.

    Clients are asked one after the other: they may share a server, and a run may be allowed one
    call at a time. What is missing after ``TIMEOUT_S`` in all is left out.
    """
    caches: dict[str, PrefixCache] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S):
            for client in clients:
                cache = await read_prefix_cache(client)
                if cache is not None:
                    caches[client.model] = cache
    return caches


def prefix_cache_usage(
    before: Mapping[str, PrefixCache], after: Mapping[str, PrefixCache]
) -> list[dict[str, Any]]:
    """Return a run's cache use for its manifest: ``model``, ``queries``, ``hits``, ``rate``.

    A model whose server restarted, or stopped reporting, is left out.
    """
    between = {m: after[m].since(cache) for m, cache in before.items() if m in after}
    return [{"model": m, **cache.as_dict()} for m, cache in between.items() if cache is not None]


def parse_metrics(text: str) -> Metrics:
    """Parse a page in the Prometheus text format.

    Raises
    ------
    ValueError
        If a line is not in that format, or is too long.
    """
    samples: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for name, labels, value in _parse_samples(text):
        if name.startswith(_PREFIX):
            samples.setdefault(name.removeprefix(_PREFIX), []).append((labels, value))

    def total(name: str) -> int | None:
        values = [value for _, value in samples.get(name, ())]
        is_valid = values and all(math.isfinite(value) and value >= 0 for value in values)
        return round(sum(values)) if is_valid else None

    def sizes(label: str) -> list[int]:
        texts = [labels.get(label, "") for labels, _ in samples.get("cache_config_info", ())]
        return [int(text) for text in texts if re.fullmatch(r"[0-9]{1,15}", text)]

    queries, hits = total("prefix_cache_queries_total"), total("prefix_cache_hits_total")
    shares = [value for _, value in samples.get("kv_cache_usage_perc", ()) if math.isfinite(value)]
    return Metrics(
        prefix_cache=None if queries is None or hits is None else PrefixCache(queries, hits),
        running=total("num_requests_running"),
        cache_used=max(shares, default=None),
        cache_tokens=sum(sizes("kv_cache_size_tokens")) or None,
        cache_blocks=sum(sizes("num_gpu_blocks")) or None,
        block_size=max(sizes("block_size"), default=None),
    )


def _parse_samples(text: str) -> list[tuple[str, Mapping[str, str], float]]:
    """Return name, labels and value of every sample of a page."""
    # Imported here: it loads an HTTP server, which takes longer than the rest of this package.
    from prometheus_client.parser import text_string_to_metric_families

    if any(len(line) > MAX_LINE_CHARS for line in text.split("\n")):
        raise ValueError(f"a line has more than {MAX_LINE_CHARS:,} characters")
    try:
        families = text_string_to_metric_families(text)
        return [(s.name, s.labels, s.value) for family in families for s in family.samples]
    except Exception as error:  # the parser raises several kinds for text of another format
        raise ValueError(str(error)[:200] or type(error).__name__) from None
