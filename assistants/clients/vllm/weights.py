"""Where the weights of an offline model are, and what tells them from other weights."""

from __future__ import annotations

import functools
import hashlib
from contextlib import suppress
from pathlib import Path

from assistants.clients.vllm import hub
from assistants.errors import FileError, MissingDependencyError
from assistants.utils.config_files import display_path

_WEIGHTS = frozenset({".safetensors", ".bin", ".pt", ".pth", ".gguf"})
_READ_WHOLE = frozenset({".json", ".jinja", ".model", ".txt", ".tiktoken", ".py"})
_LARGE = 64 * 1024 * 1024

_SAMPLES = 512
_SAMPLE_BYTES = 4096
"""So much of each file of weights is read. Training moves nearly every number of a model, and 512
places of a file meet nearly every tensor in it; all of it would take minutes for a large model."""


def located(model: str, folder: Path = Path()) -> Path:
    """The folder with the weights of ``model``: a path, or a Hugging Face name in the local cache.

    Raises
    ------
    FileError
        If it is no folder with weights.
    MissingDependencyError
        If it is a Hugging Face name that is not in the cache; nothing is ever fetched.
    """
    path = folder / Path(model).expanduser()
    if path.is_dir():
        return _checked(path.resolve())
    if hub.NAME.fullmatch(model):
        return _cached(model)
    raise FileError(
        display_path(path),
        "there is no such folder.",
        fix="Name a folder with weights, or a Hugging Face model: `vllm-offline:Qwen/Qwen3-8B`.",
    )


def digest(folder: Path) -> str:
    """What changes when the weights, the tokeniser, the template or the defaults change.

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
        if path.suffix in _READ_WHOLE and size <= _LARGE:
            content = hashlib.sha256(path.read_bytes()).digest()
        elif path.suffix in _WEIGHTS | _READ_WHOLE:
            content = _sampled(path, size)
        else:
            continue  # a README changes no answer
        total.update(f"{path.name}\0{size}\0".encode() + content)
    return total.hexdigest()


def _sampled(path: Path, size: int) -> bytes:
    found = hashlib.sha256()
    with path.open("rb") as file:
        found.update(file.read(1 << 20))  # the header, which says what there is
        for part in range(_SAMPLES + 1):
            file.seek(max(0, size - _SAMPLE_BYTES) * part // _SAMPLES)
            found.update(file.read(_SAMPLE_BYTES))
    return found.digest()


def _checked(folder: Path) -> Path:
    names = {path.name for path in folder.iterdir()}
    if "config.json" not in names or not any(Path(name).suffix in _WEIGHTS for name in names):
        raise FileError(
            display_path(folder),
            "no weights: vLLM wants `config.json` and `*.safetensors` side by side.",
            fix="Download the model again (`hf download NAME --local-dir FOLDER`).",
        )
    return folder


def _cached(model: str) -> Path:
    folder = hub.snapshot(model)
    if folder is not None:
        with suppress(FileError):
            return _checked(folder)
    raise MissingDependencyError(
        f"vllm-offline:{model} is neither a folder here nor whole in the Hugging Face cache, "
        "and nothing is fetched while answers are asked for.",
        fix=f"Run `hf download {model}` once (`pip install huggingface_hub` brings it).",
    )
