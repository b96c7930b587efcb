"""What servers really took, kept for next time."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.errors import FileError
from assistants.servers.planning.architecture import Architecture
from assistants.servers.planning.memory import MemoryCorrection, cache_of, need
from assistants.utils.config_files import display_path, read_text
from assistants.utils.text import to_json

if TYPE_CHECKING:
    from assistants.servers.gpus import Gpu
    from assistants.servers.launch_options import LaunchOptions
    from assistants.servers.planning.plan import PlacedServer

MOST = 1_000
"""Records kept; the oldest go first."""


@dataclass(frozen=True, slots=True)
class StartMeasurement:
    """What one start showed: bytes on each GPU, tokens of the whole server.

    ``budget`` is the bytes it was allowed, ``memory`` what the driver says it took, and
    ``cache_tokens`` what it reported when started for ``context`` tokens a conversation.
    """

    model: str
    gpu: str
    tensor_parallel: int
    weights: str
    cache: str
    context: int
    budget: int
    cache_tokens: int
    memory: int

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """What has to be equal for it to say something about another start."""
        return (self.model, self.gpu, self.tensor_parallel, self.weights, self.cache)


def record(server: PlacedServer, gpu: Gpu, cache_tokens: int, memory: int) -> StartMeasurement:
    """What a planned server showed when it had started.

    Parameters
    ----------
    server, gpu
        Of the plan; any one of the GPUs that the server uses.
    cache_tokens
        As the server reports them.
    memory
        Bytes that it took of that GPU, as the driver sees it; 0 if nobody looked.
    """
    return StartMeasurement(
        model=server.name,
        gpu=gpu.name,
        tensor_parallel=len(server.gpus),
        weights=server.wanted.planned.weights.kind,
        cache=server.wanted.cache,
        context=server.context,
        budget=math.ceil(gpu.total * server.utilization),
        cache_tokens=cache_tokens,
        memory=memory,
    )


def matches_plan(launch: LaunchOptions, server: PlacedServer) -> bool:
    """Whether what a start showed says something about a plan's: it was given the same options.

    Others take memory of another size (``--kv-cache-dtype``, ``--max-num-seqs``), and no record
    says which they were.
    """
    return launch.options == server.options


def correction(measured: StartMeasurement, facts: Architecture) -> MemoryCorrection:
    """How far the estimate was off, in bytes on each GPU.

    What the budget had left after weights and the cache that was reported is what activations,
    graphs and libraries took; what the driver saw above the budget is the process itself.
    """
    kept = cache_of(facts, measured.tensor_parallel, measured.cache)
    blocks = measured.cache_tokens * kept.blocks(measured.context) / measured.context
    estimate = need(facts, measured.context, 1, measured.tensor_parallel, measured.cache)
    taken = measured.budget - estimate.weights - round(blocks) * kept.size
    return MemoryCorrection(
        overhead=taken - estimate.overhead,
        process=measured.memory - measured.budget - estimate.process if measured.memory else 0,
    )


def place() -> Path:
    """The file where records are kept: in ``ASSISTANTS_CACHE``, or the user's cache folder."""
    from assistants.utils.paths import cache_root

    return cache_root() / "servers" / "measured.json"


def load(path: Path | None = None) -> tuple[StartMeasurement, ...]:
    """The records kept so far, oldest first; none if there is no file yet.

    Raises
    ------
    FileError
        If the file is there and damaged.
    """
    path = path or place()
    if not path.exists():
        return ()
    fix = "Delete it: it is measured again at the next start."
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise FileError(display_path(path), "is not valid JSON.", fix=fix) from None
    try:
        return tuple(_record(each) for each in data["measured"][-MOST:])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FileError(display_path(path), "holds no measured servers.", fix=fix) from None


def save(new: Iterable[StartMeasurement], path: Path | None = None) -> Path:
    """Keep records, each in place of an older one of its kind; the file is never half written."""
    path = path or place()
    records = {each.key: each for each in load(path)}
    for each in new:
        records.pop(each.key, None)  # so that the newest stands last
        records[each.key] = each
    rows = [asdict(each) for each in list(records.values())[-MOST:]]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(to_json({"measured": rows}) + "\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _record(value: Any) -> StartMeasurement:
    """One record, if every value is of its kind and no number is absurd."""
    wanted = {field.name: str if field.type == "str" else int for field in fields(StartMeasurement)}
    kept = {name: value[name] for name in wanted}
    for name, kind in wanted.items():
        number = kind is int
        if type(kept[name]) is not kind or (number and not 0 <= kept[name] <= 1 << 50):
            raise ValueError(name)
    if not kept["context"] or not kept["tensor_parallel"]:
        raise ValueError("context")
    return StartMeasurement(**kept)
