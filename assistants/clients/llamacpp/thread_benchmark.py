"""How many threads an embedded model runs fastest with on this machine: measured, not assumed.

Threads wait for each other after every layer. On a quiet machine a second one doubles the speed;
where others use the cores, it has been seen to cost half of it, or nearly all of it if the waiting
threads spin. Counting cores cannot tell these machines apart.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import json
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from assistants.clients.llamacpp import weights
from assistants.clients.llamacpp.process import SLOTS, LlamaProcess
from assistants.clients.llamacpp.weights import ProgressReport
from assistants.utils import Address, cache_root

MAX_THREADS = 8
"""More do not help a model this small."""

MIN_SPEEDUP = 1.2
"""A candidate with more threads must be so many times faster: it leaves less to everyone else,
and suffers more when they come back."""

TOKENS_PER_REQUEST = 24
"""Generated per request while measuring."""

TIMEOUT_S = 10.0
"""A candidate slower than this for ``SLOTS`` requests has lost."""


@dataclass(frozen=True, slots=True)
class ThreadBenchmark:
    """What was measured: ``tokens_per_second`` over ``SLOTS`` requests in flight."""

    threads: int
    tokens_per_second: float


def stored_thread_benchmark(name: str) -> ThreadBenchmark | None:
    """What was measured on this machine with these weights, if anything."""
    try:
        data = json.loads(_cache_file(name).read_text(encoding="utf-8"))
        return ThreadBenchmark(int(data["threads"]), float(data["tokens_per_second"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure_threads(name: str, *, report: ProgressReport = lambda _: None) -> ThreadBenchmark:
    """Try 1, 2, 4 ... threads, each in a child of its own, keep the best and remember it.

    Stops at the first that is not worth it; at most 15 seconds for each.

    Raises
    ------
    MissingDependencyError, ServerUnreachableError
        If the model cannot be started at all.
    """
    best: ThreadBenchmark | None = None
    for threads in _thread_counts():
        pace = ThreadBenchmark(threads, _tokens_per_second(name, threads))
        report(f"{threads} thread{'s' * (threads > 1)}: {pace.tokens_per_second:.0f} tokens/s.")
        if best is not None and pace.tokens_per_second < best.tokens_per_second * MIN_SPEEDUP:
            break
        best = pace
    assert best is not None
    _store(name, best)
    return best


def _thread_counts() -> list[int]:
    most = min(_cpu_count(), MAX_THREADS)
    return [n for n in (1, 2, 4, 8) if n <= most]


def _tokens_per_second(name: str, threads: int) -> float:
    child = LlamaProcess(name, threads=threads)
    try:
        _generate(child.address, 1)  # the first answer pays for touching the weights
        began = time.monotonic()
        with ThreadPoolExecutor(SLOTS) as pool:
            tokens = sum(pool.map(_generate, [child.address] * SLOTS, [TOKENS_PER_REQUEST] * SLOTS))
        return tokens / (time.monotonic() - began)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0.0
    finally:
        child.stop()


def _generate(address: Address, tokens: int) -> int:
    # Not through a client: no proxy, no attempts, and a limit on the socket is all it needs.
    where = urlsplit(address.url)
    connection = http.client.HTTPConnection(where.netloc, timeout=TIMEOUT_S)
    body = {
        "messages": [{"role": "user", "content": "Describe a day in the life of a lighthouse."}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    headers = {"Authorization": f"Bearer {address.key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{where.path}/chat/completions", json.dumps(body), headers)
        return int(json.load(connection.getresponse())["usage"]["completion_tokens"])
    finally:
        connection.close()


def _store(name: str, pace: ThreadBenchmark) -> None:
    place = _cache_file(name)
    # A folder that cannot be written to means measuring again, which is no reason to stop.
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=place.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({**asdict(pace), "machine": _describe_machine(name)}, file, indent=2)
        Path(part).replace(place)


def _cache_file(name: str) -> Path:
    facts = json.dumps(_describe_machine(name), sort_keys=True).encode()
    return cache_root() / "pace" / f"{hashlib.sha256(facts).hexdigest()[:16]}.json"


def _describe_machine(name: str) -> dict[str, str | int]:
    try:
        engine = importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        engine = ""
    return {
        "cpus": _cpu_count(),
        "processor": _processor_name(),
        "weights": weights.find_weights(name).sha256,
        "xllamacpp": engine,
    }


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
