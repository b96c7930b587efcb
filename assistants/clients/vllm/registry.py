"""The servers that ``assistants serve`` started on this machine: where they are, and their keys.

Each has an entry, a file that only its owner can read, and a lock that its supervisor holds for
as long as it lives. The system lets go of the lock however the supervisor ends, so an entry whose
lock is free is stale, whatever it says.
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
"""The provider whose models are looked for here."""

DEFAULT_URL = "http://127.0.0.1:8000/v1"
"""Where that provider is when nobody has said otherwise, in ``models.toml`` or the environment."""


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """One server. ``model`` is what it is asked for, ``source`` what its weights are called.

    ``supervisor`` and ``group`` are process ids, ``started`` seconds since 1970, ``gpus`` empty
    unless some were named, ``asked`` the part of each GPU it was allowed, ``context`` and
    ``cache_tokens`` tokens, ``memory`` the bytes that it took when it had started, and ``variant``
    what its answers depend on besides the name of its model.
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
        """Where it is, with its key."""
        api_keys.remember(self.key)
        return Address(f"{self.url}/v1", self.key)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])


def folder() -> Path:
    """Where the entries of this machine are: in ``ASSISTANTS_CACHE``, or the user's cache folder.

    A home may be shared by several machines, and a process id means something on one of them.
    """
    machine = re.sub(r"[^A-Za-z0-9.-]", "-", platform.node()) or "here"
    return cache_root() / "servers" / machine


def lock_path(name: str) -> Path:
    """The lock that the supervisor of a server holds."""
    return folder() / f"{check_name(name, 'server')}.lock"


def write(entry: ServerRecord) -> None:
    """Put an entry in place of the one of that name, whole; only its owner can read it."""
    folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    part = folder() / f"{check_name(entry.name, 'server')}.part"
    with suppress(FileNotFoundError):
        part.unlink()
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(to_json(asdict(entry)) + "\n")
    part.replace(_record_path(entry.name))
    known = {"model": entry.model, "variant": entry.variant}
    first = first_source(entry.model)
    if not first and Path(entry.source).name == entry.model and not Path(entry.source).exists():
        first = entry.source
    (folder() / f"{entry.name}.variant").write_text(
        to_json(known | {"source": first} if first else known), encoding="utf-8"
    )


def update(entry: ServerRecord, **facts: Any) -> ServerRecord:
    """The entry with what was found out since, which is written down too."""
    known = replace(entry, **facts)
    write(known)
    return known


def remove(entry: ServerRecord) -> None:
    """Remove an entry and its lock, unless another server of that name has started since."""
    now = _read_record(_record_path(entry.name))
    if now is None or now.started == entry.started:
        for file in (_record_path(entry.name), lock_path(entry.name)):
            file.unlink(missing_ok=True)


def records() -> list[ServerRecord]:
    """Every entry, the stale ones too, in order of their start; damaged files are left out."""
    found = [_read_record(file) for file in sorted(folder().glob("*.json"))]
    return sorted((entry for entry in found if entry), key=lambda entry: entry.started)


def is_alive(entry: ServerRecord) -> bool:
    """Whether its supervisor lives."""
    try:
        import fcntl
    except ImportError:  # Windows, where no vLLM runs
        return False
    try:
        handle = os.open(lock_path(entry.name), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: many may look at once
        return False
    except OSError:
        return True
    finally:
        os.close(handle)


def find_by_model(model: str) -> ServerRecord | None:
    """The living server that answers for a model, if there is one."""
    return next((each for each in records() if each.model == model and is_alive(each)), None)


def model_variant(model: str) -> str:
    """What the answers of a model depend on besides its name; also when its server has ended.

    Otherwise nobody could read a run again, or go on with it, once its server is stopped. Every
    trial asks, so the files are read again only when one has come or gone.
    """
    where = folder()
    try:
        changed = where.stat().st_mtime_ns
    except OSError:
        return ""
    return _variant_of(model, where, changed)


@lru_cache(maxsize=64)
def _variant_of(model: str, where: Path, changed: int) -> str:
    """As the files in ``where`` say it, which were ``changed`` then."""
    entry = find_by_model(model)
    if entry is not None:
        return entry.variant
    return _read_variant_file(model, "variant", where)


def first_source(model: str) -> str:
    """The repository of the hub that first stood behind the name of a model here; ``""`` if none.

    Its answers are those of the name alone. Another of the same last name is told from it.
    """
    return _read_variant_file(model, "source", folder())


def _read_variant_file(model: str, fact: str, where: Path) -> str:
    for file in where.glob("*.variant"):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            known = json.loads(file.read_text(encoding="utf-8"))
            if known["model"] == model:
                return str(known.get(fact, ""))
    return ""


def _record_path(name: str) -> Path:
    return folder() / f"{check_name(name, 'server')}.json"


def _read_record(file: Path) -> ServerRecord | None:
    """An entry, if the file holds one and nothing else."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        made = ServerRecord(**{**data, "gpus": tuple(data["gpus"])})
        whole = all(
            isinstance(getattr(made, each.name), _FIELD_TYPES[str(each.type)])
            for each in fields(ServerRecord)
        )
        usable = whole and made.name == file.stem and made.address.url
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AssistantsError):
        return None
    return made if usable else None


_FIELD_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (float, int),
    "int | None": (int, type(None)),
    "float | None": (float, int, type(None)),
    "tuple[int, ...]": tuple,
}
