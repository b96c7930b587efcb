"""Measurements of the starts of planned servers, stored to stand beside a prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from assistants.errors import FileError
from assistants.servers.gpus import Gpu
from assistants.servers.planning import PlacedServer, StartMeasurement
from assistants.utils import cache_root, display_path, read_text, to_json, write_atomically

MAX_RECORDS = 1_000
"""Records kept; the oldest go first."""


def measure_start(
    server: PlacedServer, gpu: Gpu, cache_tokens: int, memory: int
) -> StartMeasurement:
    """Return what a planned server showed when it had started.

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
        weights=server.request.weights_kind,
        cache=server.request.cache,
        context=server.context,
        budget=math.ceil(gpu.total * server.utilization),
        cache_tokens=cache_tokens,
        memory=memory,
    )


def measurements_file() -> Path:
    """Return the file of records: in ``ASSISTANTS_CACHE``, or the user's cache folder."""
    return cache_root() / "servers" / "measured.json"


def load_measurements(path: Path | None = None) -> tuple[StartMeasurement, ...]:
    """Return the records kept so far, oldest first; none if there is no file yet.

    Raises
    ------
    FileError
        If the file is there and damaged.
    """
    path = path or measurements_file()
    if not path.exists():
        return ()
    fix = "Delete it: it is measured again at the next start."
    try:
        data = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise FileError(display_path(path), "is not valid JSON.", fix=fix) from None
    try:
        return tuple(_record(value) for value in data["measured"][-MAX_RECORDS:])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FileError(display_path(path), "holds no measured servers.", fix=fix) from None


def save_measurements(new: Iterable[StartMeasurement], path: Path | None = None) -> Path:
    """Keep records, each in place of an older one of its kind; the file is never half written."""
    path = path or measurements_file()
    records = {record.key: record for record in load_measurements(path)}
    for record in new:
        records.pop(record.key, None)  # so that the newest stands last
        records[record.key] = record
    rows = [asdict(record) for record in list(records.values())[-MAX_RECORDS:]]
    write_atomically(path, to_json({"measured": rows}) + "\n")
    return path


def _record(value: Any) -> StartMeasurement:
    """Return one record, if every value is of its kind and no number is absurd."""
    kinds = {field.name: str if field.type == "str" else int for field in fields(StartMeasurement)}
    values = {name: value[name] for name in kinds}
    for name, kind in kinds.items():
        if type(values[name]) is not kind or (kind is int and not 0 <= values[name] <= 1 << 50):
            raise ValueError(name)
    if not values["context"] or not values["tensor_parallel"]:
        raise ValueError("context")
    return StartMeasurement(**values)
