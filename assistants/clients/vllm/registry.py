"""Registry of the servers that ``assistants serve`` started on this machine.

Each server has a record, a file that only its owner can read, and a lock that its supervisor holds
until it ends. The system releases the lock however the supervisor ends, so a record whose lock is
free is stale.
"""

from __future__ import annotations

import json
import os
import platform
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from assistants.errors import AssistantsError
from assistants.utils import Address, api_keys, cache_root, check_name, to_json

PROVIDER = "vllm"
"""Provider of the models that run on these servers."""

DEFAULT_URL = "http://127.0.0.1:8000/v1"
"""Base URL of that provider unless ``models.toml`` or the environment gives another."""


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One server. ``model`` is the name it serves, ``source`` the path or name of its weights.

    ``supervisor`` and ``group`` are process ids and ``started`` is in seconds since 1970. ``gpus``
    is empty unless some were chosen; ``asked`` is the share of each GPU it may use. ``context``
    and ``cache_tokens`` are in tokens, ``memory`` in bytes, measured after the start. ``variant``
    names the options that its answers depend on.
    """

    name: str
    model: str
    source: str
    url: str
    key: str = field(repr=False)
    python: str
    log: str
    supervisor: int
    group: int
    started: float
    gpus: tuple[int, ...] = ()
    detached: bool = False
    asked: float | None = None
    context: int | None = None
    cache_tokens: int | None = None
    memory: int | None = None
    variant: str = ""

    @property
    def address(self) -> Address:
        """Base URL and API key."""
        api_keys.remember(self.key)
        return Address(f"{self.url}/v1", self.key)

    @property
    def port(self) -> int:
        """Port it listens on."""
        return int(self.url.rpartition(":")[2])


def folder() -> Path:
    """Return the folder of this machine's records, below the cache folder.

    Several machines may share a home folder, and a process id is valid on one of them.
    """
    machine = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "here"
    return cache_root() / "servers" / machine


def lock_path(name: str) -> Path:
    """Return the path of the lock that the supervisor of a server holds."""
    return folder() / f"{check_name(name, 'server')}.lock"


def write(record: ServerRecord) -> None:
    """Write a record, atomically, in place of the one of that name; only its owner can read it."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder() / f"{check_name(record.name, 'server')}.part"
    with suppress(FileNotFoundError):
        part.unlink()
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(to_json(asdict(record)) + "\n")
    part.replace(_record_path(record.name))
    known = {"model": record.model, "variant": record.variant}
    first = first_source(record.model)
    if not first and Path(record.source).name == record.model and not Path(record.source).exists():
        first = record.source
    (folder() / f"{record.name}.variant").write_text(
        to_json(known | {"source": first} if first else known), encoding="utf-8"
    )


def update(record: ServerRecord, **changes: Any) -> ServerRecord:
    """Write a record with ``changes`` and return it."""
    updated = replace(record, **changes)
    write(updated)
    return updated


def remove(record: ServerRecord) -> None:
    """Remove a record and its lock, unless another server of that name has started since."""
    now = _read_record(_record_path(record.name))
    if now is None or now.started == record.started:
        for file in (_record_path(record.name), lock_path(record.name)):
            file.unlink(missing_ok=True)


def records() -> list[ServerRecord]:
    """Return all records, stale ones included, by their start; damaged files are left out."""
    known = [_read_record(file) for file in sorted(folder().glob("*.json"))]
    return sorted((record for record in known if record), key=lambda record: record.started)


def is_alive(record: ServerRecord) -> bool:
    """Return whether the supervisor of a server runs."""
    try:
        import fcntl
    except ImportError:  # Windows, where vLLM does not run
        return False
    try:
        handle = os.open(lock_path(record.name), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(
            handle, fcntl.LOCK_SH | fcntl.LOCK_NB
        )  # shared: several processes may check at once
        return False
    except OSError:
        return True
    finally:
        os.close(handle)


def find_by_model(model: str) -> ServerRecord | None:
    """Return the running server of a model, or ``None``."""
    return next((r for r in records() if r.model == model and is_alive(r)), None)


def model_variant(model: str) -> str:
    """Return the variant of a model's server, also of one that has ended.

    It is part of the keys of the answers, which must stay the same when a run is read or resumed
    after its server has stopped. Every trial asks, so the files are read again only when one was
    added or removed.
    """
    registry_folder = folder()
    try:
        changed = registry_folder.stat().st_mtime_ns
    except OSError:
        return ""
    return _cached_variant(model, registry_folder, changed)


@lru_cache(maxsize=64)
def _cached_variant(model: str, registry_folder: Path, changed: int) -> str:
    """Return the variant, as of the time when the folder ``changed``."""
    record = find_by_model(model)
    if record is not None:
        return record.variant
    return _read_variant_file(model, "variant", registry_folder)


def first_source(model: str) -> str:
    """Return the first repository that was served here under the name of a model; ``""`` if none.

    Its answers belong to the name alone; another repository with that name gets a variant.
    """
    return _read_variant_file(model, "source", folder())


def _read_variant_file(model: str, field_name: str, registry_folder: Path) -> str:
    for file in registry_folder.glob("*.variant"):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            known = json.loads(file.read_text(encoding="utf-8"))
            if known["model"] == model:
                return str(known.get(field_name, ""))
    return ""


def _record_path(name: str) -> Path:
    return folder() / f"{check_name(name, 'server')}.json"


def _read_record(file: Path) -> ServerRecord | None:
    """Read a record; ``None`` if the file is not exactly one."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        record = ServerRecord(**{**data, "gpus": tuple(data["gpus"])})
        is_valid = all(
            isinstance(getattr(record, f.name), _FIELD_TYPES[str(f.type)])
            for f in fields(ServerRecord)
        )
        is_valid = is_valid and record.name == file.stem and bool(record.address.url)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AssistantsError):
        return None
    return record if is_valid else None


_FIELD_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (float, int),
    "int | None": (int, type(None)),
    "float | None": (float, int, type(None)),
    "tuple[int, ...]": tuple,
}
