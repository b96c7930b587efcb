"""Small files of weights, written byte by byte: safetensors and GGUF."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from support.published_configs import CONFIGS

CONFIG = CONFIGS["SmolLM2-135M"][1]

LLAMA = {
    "general.architecture": "llama", "llama.block_count": 3, "llama.embedding_length": 64,
    "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
    "llama.context_length": 512,
}  # fmt: skip


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """A file with the header of these tensors (type, shape, bytes), and holes for their data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, (kind, shape, size) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + at)


def folder(path: Path, **tensors: tuple[str, list[int], int]) -> Path:
    """A folder with ``CONFIG`` and one file of these tensors."""
    (path / "config.json").write_text(json.dumps(CONFIG))
    named = {name.replace("__", "."): value for name, value in tensors.items()}
    safetensors(path / "model.safetensors", named)
    return path


def gguf_file(path: Path, values: dict[str, Any], tensors: int = 1, data: int = 18 * 4) -> Path:
    """A file of ``tensors`` matrices of 32 x 4 weights in Q4_0, which take 72 bytes each."""
    raw = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(values))
    raw += b"".join(packed(key) + written(value) for key, value in values.items())
    for each in range(tensors):
        raw += packed(f"t{each}") + struct.pack("<IQQIQ", 2, 32, 4, 2, 72 * each)
    raw += b"\0" * (-len(raw) % 32)
    path.write_bytes(raw + b"\0" * data)
    return path


def packed(text: str) -> bytes:
    """A text as GGUF writes it."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def written(value: Any) -> bytes:
    """A value as GGUF writes it: texts, whole numbers, yes and no, and lists of them."""
    if isinstance(value, list):
        kind, inside = _one(value[0])[0], b"".join(_one(each)[1] for each in value)
        return struct.pack("<IIQ", 9, kind, len(value)) + inside
    kind, raw = _one(value)
    return struct.pack("<I", kind) + raw


def _one(value: Any) -> tuple[int, bytes]:
    """The kind of a value, and its bytes."""
    if isinstance(value, str):
        return 8, packed(value)
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    return 4, struct.pack("<I", value)
