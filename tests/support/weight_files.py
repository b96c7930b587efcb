"""Small safetensors files, written byte by byte."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from support.published_configs import CONFIGS

CONFIG = CONFIGS["SmolLM2-135M"][1]


def safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """Write a file with a header of tensors (type, shape, bytes), and holes for their data."""
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
    """Make a folder with ``CONFIG`` and one file of these tensors."""
    (path / "config.json").write_text(json.dumps(CONFIG))
    named = {name.replace("__", "."): value for name, value in tensors.items()}
    safetensors(path / "model.safetensors", named)
    return path
