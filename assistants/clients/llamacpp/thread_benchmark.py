"""Measures the number of threads with which an embedded model runs fastest on this machine.

Threads wait for each other after every layer. On a quiet machine a second thread doubles the
speed; where others use the cores, it has halved the speed, or worse if waiting threads spin. The
number of cores does not show the difference.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import json
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from assistants.clients.llamacpp import weights
from assistants.clients.llamacpp.download import ProgressReport
from assistants.clients.llamacpp.process import SLOTS, LlamaProcess
from assistants.utils import Address, cache_root, write_atomically

MAX_THREADS = 8
"""More threads do not help a model this small."""

MIN_SPEEDUP = 1.2
"""Speed-up that more threads must reach: they leave less to other programs, and suffer more when
those come back."""

TOKENS_PER_REQUEST = 24
"""Tokens to generate per request while measuring, and half of them for large weights."""

LARGE_BYTES = 400_000_000
"""Size from which weights are large: an answer takes seconds."""

TIMEOUT_S = 60.0
"""Time limit of a request; a candidate that is slower counts as 0 tokens per second."""


@dataclass(frozen=True, slots=True)
class ThreadBenchmark:
    """A number of threads and its speed, with ``SLOTS`` requests in flight."""

    threads: int
    tokens_per_second: float


def stored_thread_benchmark(name: str) -> ThreadBenchmark | None:
    """Return the stored measurement of this machine and these weights, or ``None``."""
    try:
        data = json.loads(_cache_file(name).read_text(encoding="utf-8"))
        return ThreadBenchmark(int(data["threads"]), float(data["tokens_per_second"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measure_threads(name: str, *, report: ProgressReport = lambda _: None) -> ThreadBenchmark:
    """Try 1, 2, 4 ... threads, each in its own child process, and store the best.

    Stops at the first that is not ``MIN_SPEEDUP`` times faster.

    Raises
    ------
    MissingDependencyError, ServerUnreachableError
        If the model cannot be started at all.
    """
    best: ThreadBenchmark | None = None
    for threads in _thread_counts():
        result = ThreadBenchmark(threads, _tokens_per_second(name, threads))
        report(f"{threads} thread{'s' * (threads > 1)}: {result.tokens_per_second:.0f} tokens/s.")
        if best is not None and result.tokens_per_second < best.tokens_per_second * MIN_SPEEDUP:
            break
        best = result
    assert best is not None
    _store(name, best)
    return best


def _thread_counts() -> list[int]:
    limit = min(_cpu_count(), MAX_THREADS)
    return [n for n in (1, 2, 4, 8) if n <= limit]


def _tokens_per_second(name: str, threads: int) -> float:
    child = LlamaProcess(name, threads=threads)
    is_large = weights.weights_path(name).stat().st_size > LARGE_BYTES
    length = TOKENS_PER_REQUEST // 2 if is_large else TOKENS_PER_REQUEST
    try:
        with ThreadPoolExecutor(SLOTS) as pool:
            # The first answers also load the weights and read the prompt, in every slot.
            list(pool.map(_generate, [child.address] * SLOTS, [1] * SLOTS))
            start = time.monotonic()
            tokens = sum(pool.map(_generate, [child.address] * SLOTS, [length] * SLOTS))
        return tokens / (time.monotonic() - start)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0.0
    finally:
        child.stop()


def _generate(address: Address, tokens: int) -> int:
    # Plain HTTP is enough: no proxy, no retries, and only a limit on the socket.
    url = urlsplit(address.url)
    connection = http.client.HTTPConnection(url.netloc, timeout=TIMEOUT_S)
    body = {
        "messages": [{"role": "user", "content": "Describe a day in the life of a lighthouse."}],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
    }
    headers = {"Authorization": f"Bearer {address.key}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"{url.path}/chat/completions", json.dumps(body), headers)
        return int(json.load(connection.getresponse())["usage"]["completion_tokens"])
    finally:
        connection.close()


def _store(name: str, result: ThreadBenchmark) -> None:
    record = {**asdict(result), "machine": _describe_machine(name)}
    # Without a writable folder the benchmark just runs again next time.
    with suppress(OSError):
        write_atomically(_cache_file(name), json.dumps(record, indent=2))


def _cache_file(name: str) -> Path:
    machine = json.dumps(_describe_machine(name), sort_keys=True).encode()
    return cache_root() / "pace" / f"{hashlib.sha256(machine).hexdigest()[:16]}.json"


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
