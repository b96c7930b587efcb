"""What a vLLM server tells of itself: its prefix cache, its load, the size of its memory.

Notes
-----
``/metrics`` in the Prometheus text format, version 0.0.4. Every number is of the server as a whole:
whoever else uses it at the same time is in it too.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from assistants.clients.base import Client
from assistants.clients.openai.client import OpenAIClient
from assistants.clients.openai.response import raise_malformed
from assistants.errors import CallError

MAX_BYTES = 4 * 1024 * 1024
"""A server with more metrics than this is none of vLLM's."""

TIMEOUT_S = 5.0
"""Seconds. A run waits no longer for what it would only note beside its answers."""

_SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+([^\s{}]+)(?:[ \t]+-?\d+)?[ \t]*"
)
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)')
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|Inf|NaN)")
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the text format."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Tokens looked up in the prefix cache, and those that were found there.

    Of all requests since the server's start, or (a difference) in between. Requests with
    ``prompt_logprobs`` are not looked up. Others' requests count as well: what is told of a run is
    exact only if nobody else used the server.
    """

    queries: int
    hits: int

    @property
    def rate(self) -> float | None:
        """Share of the tokens that were found; ``None`` if none was looked up."""
        return self.hits / self.queries if self.queries else None

    def since(self, earlier: PrefixCache) -> PrefixCache | None:
        """What came after ``earlier``; ``None`` if the server was started anew in between."""
        queries, hits = self.queries - earlier.queries, self.hits - earlier.hits
        return PrefixCache(queries, hits) if 0 <= hits <= queries else None

    def as_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return {"queries": self.queries, "hits": self.hits, "rate": self.rate}


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a server tells of itself; ``None`` where it does not.

    Summed up over its engines. ``cache_used`` is a share of 1, of the engine that has least left.
    """

    prefix_cache: PrefixCache | None = None
    running: int | None = None
    cache_used: float | None = None
    cache_tokens: int | None = None
    cache_blocks: int | None = None
    block_size: int | None = None


async def read_metrics(client: Client) -> Metrics:
    """What the server behind ``client`` tells of itself.

    Raises
    ------
    CallError
        If it has no such page, or one that cannot be read.
    """
    if not isinstance(client, OpenAIClient):
        return Metrics()
    body = await client.get("../metrics", max_bytes=MAX_BYTES)
    problem = ""
    try:
        return aggregate(samples(body.decode()))
    except UnicodeDecodeError:
        problem = "no valid UTF-8"
    except ValueError as error:
        problem = str(error)
    return raise_malformed(client.model, f"its metrics are not in the text format ({problem})")


async def read_prefix_cache(client: Client) -> PrefixCache | None:
    """The counters of the prefix cache now; ``None`` where the server does not tell in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return (await read_metrics(client)).prefix_cache
    except (CallError, TimeoutError):
        return None


async def read_prefix_caches(clients: Iterable[Client]) -> dict[str, PrefixCache]:
    """The counters of each model whose server tells, by the model's name.

    One after the other, since they may all be the same server, and a run may be allowed one call
    at a time; what has not come after ``PATIENCE_S`` in all is left out.
    """
    found: dict[str, PrefixCache] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(TIMEOUT_S):
            for client in clients:
                cache = await read_prefix_cache(client)
                if cache is not None:
                    found[client.model] = cache
    return found


def prefix_cache_usage(
    before: Mapping[str, PrefixCache], after: Mapping[str, PrefixCache]
) -> list[dict[str, Any]]:
    """What a run's manifest says of the caches: ``model``, ``queries``, ``hits`` and ``rate``.

    A model whose server was started anew, or stopped telling, is left out.
    """
    between = {m: after[m].since(cache) for m, cache in before.items() if m in after}
    return [{"model": m, **cache.as_dict()} for m, cache in between.items() if cache is not None]


def aggregate(found: Iterable[Sample]) -> Metrics:
    """The metrics that are named here, out of all samples of a page."""
    by_name: dict[str, list[Sample]] = {}
    for sample in found:
        if sample.name.startswith("vllm:"):
            by_name.setdefault(sample.name.removeprefix("vllm:"), []).append(sample)

    def total(name: str) -> int | None:
        values = [sample.value for sample in by_name.get(name, ())]
        known = values and all(math.isfinite(value) and value >= 0 for value in values)
        return round(sum(values)) if known else None

    def sizes(label: str) -> list[int]:
        given = [sample.labels.get(label, "") for sample in by_name.get("cache_config_info", ())]
        return [int(each) for each in given if re.fullmatch(r"[0-9]{1,15}", each)]

    queries, hits = total("prefix_cache_queries_total"), total("prefix_cache_hits_total")
    used = [s.value for s in by_name.get("kv_cache_usage_perc", ()) if math.isfinite(s.value)]
    return Metrics(
        prefix_cache=None if queries is None or hits is None else PrefixCache(queries, hits),
        running=total("num_requests_running"),
        cache_used=max(used, default=None),
        cache_tokens=sum(sizes("kv_cache_size_tokens")) or None,
        cache_blocks=sum(sizes("num_gpu_blocks")) or None,
        block_size=max(sizes("block_size"), default=None),
    )


def samples(text: str) -> Iterator[Sample]:
    """Every sample of a page in the text format.

    Raises
    ------
    ValueError
        For a line that is neither a sample nor a comment, naming its number.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(line)
        labels = None if found is None else _labels(found[2] or "")
        if found is None or labels is None or not _NUMBER.fullmatch(found[3]):
            raise ValueError(f"line {number} is no sample")
        yield Sample(found[1], labels, float(found[3]))


def _labels(text: str) -> dict[str, str] | None:
    """The labels between braces; ``None`` if they are none, or one is there twice."""
    labels: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None or found[1] in labels:
            return None
        labels[found[1]] = re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), found[2])
        at = found.end()
    return labels
