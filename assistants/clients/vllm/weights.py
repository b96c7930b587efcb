"""Weights on this machine: a folder, or the cache of the Hugging Face hub. Nothing is fetched."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from contextlib import suppress
from pathlib import Path

from assistants.errors import FileError, MissingDependencyError
from assistants.utils.config_files import display_path

_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf"})
_READ_WHOLE = frozenset({".json", ".jinja", ".model", ".txt", ".tiktoken", ".py"})
_MAX_READ_WHOLE = 64 * 1024 * 1024

_SAMPLES = 512
_SAMPLE_BYTES = 4096
"""Places of each weight file that its digest reads, and bytes at each. Training moves nearly every
number of a model, and 512 places of a file meet nearly every tensor in it; reading all of it would
take minutes for a large model."""

_HUB_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9._-]+")
"""A name on the Hugging Face hub."""


def find_weights(model: str, folder: Path = Path()) -> Path:
    """Return the folder with the weights of ``model``, a path or a Hugging Face name.

    Raises
    ------
    FileError
        If it is no folder with weights.
    MissingDependencyError
        If it is a Hugging Face name that is not in the local cache.
    """
    path = folder / Path(model).expanduser()
    if path.is_dir():
        return _checked(path.resolve())
    if _HUB_NAME.fullmatch(model):
        return _cached(model)
    raise FileError(
        display_path(path),
        "there is no such folder.",
        fix="Name a folder with weights, or a Hugging Face model: `vllm-offline:Qwen/Qwen3-8B`.",
    )


def weights_digest(folder: Path) -> str:
    """Return a text that changes when weights, tokeniser, template or defaults change.

    A single file, such as a GGUF, has all of them in it.
    """
    if folder.is_file():
        return _sampled(folder, folder.stat().st_size).hex()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    facts = [(path, path.stat()) for path in files]
    return _digest(tuple((str(path), s.st_size, s.st_mtime_ns) for path, s in facts))


@functools.lru_cache(maxsize=64)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, size, _ in files:
        path = Path(name)
        if path.suffix in _READ_WHOLE and size <= _MAX_READ_WHOLE:
            content = hashlib.sha256(path.read_bytes()).digest()
        elif path.suffix in _WEIGHTS | _READ_WHOLE:
            content = _sampled(path, size)
        else:
            continue  # a README changes no answer
        total.update(f"{path.name}\0{size}\0".encode() + content)
    return total.hexdigest()


def _sampled(path: Path, size: int) -> bytes:
    sampled = hashlib.sha256()
    with path.open("rb") as file:
        sampled.update(file.read(1 << 20))  # the header, which says what there is
        for part in range(_SAMPLES + 1):
            file.seek(max(0, size - _SAMPLE_BYTES) * part // _SAMPLES)
            sampled.update(file.read(_SAMPLE_BYTES))
    return sampled.digest()


def _checked(folder: Path) -> Path:
    """Return ``folder``, which must hold a config and weights."""
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names or not any(Path(name).suffix in _WEIGHTS for name in names):
        raise FileError(
            display_path(folder),
            "no weights: vLLM wants `config.json` and `*.safetensors` side by side.",
            fix="Download the model again (`hf download NAME --local-dir FOLDER`).",
        )
    return folder


def _cached(model: str) -> Path:
    folder = snapshot(model)
    if folder is not None:
        with suppress(FileError):
            return _checked(folder)
    raise MissingDependencyError(
        f"vllm-offline:{model} is neither a folder here nor whole in the Hugging Face cache, "
        "and nothing is fetched while answers are asked for.",
        fix=f"Run `hf download {model}` once (`pip install huggingface_hub` brings it).",
    )


def folder_of(source: str, beside: Path = Path()) -> Path | None:
    """Return a folder with ``config.json``, a config or a GGUF file; ``None`` if it is not here.

    Parameters
    ----------
    source
        A path, or a name on the Hugging Face hub that has been fetched before.
    beside
        What a path is relative to.
    """
    path = beside / source
    with suppress(OSError, ValueError):  # too long for a path, or no path at all
        if (path / "config.json").is_file() or path.is_file():
            return path
    folder = snapshot(source)
    return folder if folder is not None and (folder / "config.json").is_file() else None


def snapshot(name: str) -> Path | None:
    """Return the folder of ``name`` at ``main`` in the hub's cache; ``None`` if it is not there."""
    if not _HUB_NAME.fullmatch(name):
        return None
    repository = _cache() / f"models--{name.replace('/', '--')}"
    try:
        revision = (repository / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    folder = repository / "snapshots" / revision
    return folder if revision.isalnum() and folder.is_dir() else None  # never out of the cache


def _cache() -> Path:
    """Return the folder in which the hub's own tools keep what they fetched."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(home).expanduser() / "hub"
