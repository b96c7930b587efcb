"""How many bytes a model's weights take: from its files where they are, or else from its config."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistants.errors import FileError, UsageError, nearest
from assistants.servers.planning.parameters import Parameters
from assistants.utils.config_files import display_path

MOST_HEADER = 64_000_000
"""Bytes of one safetensors header; the largest models have about 12 MB."""

MOST_FILES = 2_000

PLAIN = 2
"""Bytes of a weight that is not quantized, unless 32 bits are asked for."""

_PLAIN_TYPES = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of plain numbers in a file; loading makes them as wide as the model is asked to be."""

_DTYPES = {"auto": 2, "half": 2, "float16": 2, "bfloat16": 2, "float": 4, "float32": 4}

METHODS: dict[str, float] = {
    "fp8": 1 + 4 / (128 * 128),  # a float32 scale for each square of 128 x 128
    "int8": 1 + 2 / 128,
    "awq": 4 / 8 + (2 + 0.5) / 128,  # a group of 128: a half-precision scale and a 4-bit zero
    "gptq": 4 / 8 + (2 + 0.5) / 128,
    "int4": 4 / 8 + 2 / 128,
    "mxfp4": 4 / 8 + 1 / 32,  # blocks of 32 share one byte
    "nvfp4": 4 / 8 + 1 / 16,
    "bitsandbytes": 4 / 8 + 1 / 64,
}
"""Bytes of one quantized weight, its share of scales and zeros included."""

_EXTRA = re.compile(r"(^|\.)(mtp|eagle)\.|rotary_emb\.inv_freq$")
"""Tensors that lie in the files and are not loaded for answering."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of weights: ``split`` over the GPUs of a group, ``copied`` on each of them."""

    split: int
    copied: int
    kind: str
    measured: bool = False
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """On one GPU."""
        return self.split + self.copied

    def on_each(self, gpus: int) -> int:
        """Bytes on each of ``gpus``."""
        return -(-self.split // gpus) + self.copied


def width_of(dtype: str | None) -> int:
    """Bytes of a number that is not quantized, as ``--dtype`` of vLLM has it.

    ``auto`` is what the config says, but 16 bits where that says ``float32``.

    Raises
    ------
    UsageError
        For a type that vLLM does not know.
    """
    if dtype is None:
        return PLAIN
    if dtype not in _DTYPES:
        raise UsageError(f"vLLM has no dtype {dtype!r}.", fix=f"Known: {', '.join(_DTYPES)}.")
    return _DTYPES[dtype]


def from_config(data: Mapping[str, Any], parameters: Parameters, width: int = PLAIN) -> Weights:
    """Count bytes from parameters and what the config says of quantization.

    Numbers that are not quantized take ``width`` bytes.

    Raises
    ------
    UsageError
        For a quantization nobody knows.
    """
    method, quantized, only_experts, note = _method(data)
    each = quantized or width
    linear = width if only_experts else each
    split = width * parameters.embedding + linear * parameters.linear + each * parameters.experts
    kind = method or f"{8 * width} bit"
    return Weights(round(split), width * parameters.small, kind, notes=note)


def from_files(folder: Path, depth: int, width: int = PLAIN) -> Weights | None:
    """What the safetensors files in ``folder`` hold and a server loads; ``None`` without any.

    Plain numbers are loaded as ``width`` bytes each, however wide the files have them. Further
    layers than ``depth`` are for guessing several tokens at once, and not loaded. Only the headers
    are read.

    Raises
    ------
    FileError
        If a file is damaged, cut short, or missing although the index names it.
    """
    files = _files(folder)
    if not files:
        return None
    split: dict[str, int] = {}  # by type
    copied: dict[str, int] = {}
    for file in files:
        for name, (kind, rank, size) in _tensors(file).items():
            layer = re.search(r"(?:^|\.)layers\.([0-9]{1,6})\.", name)
            if _EXTRA.search(name) or (layer and int(layer[1]) >= depth):
                continue
            part = copied if rank < 2 else split
            part[kind] = part.get(kind, 0) + size
    kinds = {kind: split.get(kind, 0) + copied.get(kind, 0) for kind in {**split, **copied}}
    main = max(kinds, key=lambda each: kinds[each]) if kinds else "nothing"
    loaded = _loaded(split, main, width), _loaded(copied, main, width)
    if _PLAIN_TYPES.get(main, width) != width:
        main = f"{main}, loaded in {8 * width} bit"
    return Weights(*loaded, main, measured=True)


def _loaded(sizes: Mapping[str, int], main: str, width: int) -> int:
    """Bytes after loading; 32-bit numbers beside quantized ones are scales, and stay."""
    total = 0
    for kind, size in sizes.items():
        scales = kind == "F32" and main not in _PLAIN_TYPES
        there = width if scales else _PLAIN_TYPES.get(kind, width)
        total += size * width // there
    return total


def _method(data: Mapping[str, Any]) -> tuple[str | None, float, bool, tuple[str, ...]]:
    """Name, bytes a weight (0: not quantized), whether only experts are, and what was assumed."""
    asked = data.get("quantization")
    if isinstance(asked, str):
        if asked not in METHODS:
            fix = nearest(asked, METHODS)
            raise UsageError(f"Nobody knows a quantization {asked!r}.", fix=fix)
        return asked, METHODS[asked], asked == "mxfp4", ()
    config = data.get("quantization_config")
    if not isinstance(config, Mapping):
        return None, 0, False, ()
    name = str(config.get("quant_method", "")).lower()
    if name in ("awq", "gptq", "auto-round", "awq_marlin", "gptq_marlin"):
        bits, group = _whole(config.get("bits", config.get("w_bit")), 4), config.get("group_size")
        size = _whole(group, 128) if group != -1 else 1 << 20
        return name, bits / 8 + (2 + bits / 8) / size, False, ()
    if name == "compressed-tensors":
        bits, size = _compressed(config)
        return f"{name}, {bits} bit", bits / 8 + 2 / size, False, ()
    if name == "bitsandbytes":
        each = METHODS["bitsandbytes"] if config.get("load_in_4bit") else METHODS["int8"]
        return name, each, False, ()
    if name in METHODS:
        return name, METHODS[name], name == "mxfp4", ()
    said = f"Its quantization {name!r} is not known here, so none was assumed."
    return None, 0, False, (said,)


def _compressed(config: Mapping[str, Any]) -> tuple[int, int]:
    groups = config.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    weights = weights if isinstance(weights, Mapping) else {}
    return _whole(weights.get("num_bits"), 8), _whole(weights.get("group_size"), 128)


def _whole(value: Any, default: int) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 20
    return value if good else default


def _files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        # Some publish the weights twice, the second time under this name and in another layout.
        found = [p for p in folder.glob("*.safetensors") if not p.name.startswith("consolidated")]
        return sorted(found)[:MOST_FILES]
    data = _json(index)
    names = data.get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise FileError(display_path(index), "has no weight_map that names files.")
    wanted = sorted(set(names.values()))
    if len(wanted) > MOST_FILES or any(Path(name).name != name for name in wanted):
        raise FileError(display_path(index), "names files outside of its folder, or too many.")
    return [folder / name for name in wanted]


def _json(path: Path) -> dict[str, Any]:
    from assistants.utils.config_files import read_text

    try:
        data = json.loads(read_text(path, limit=MOST_HEADER))
    except (ValueError, RecursionError) as error:
        raise FileError(display_path(path), f"is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise FileError(display_path(path), "expected a JSON object.")
    return data


def _tensors(path: Path) -> dict[str, tuple[str, int, int]]:
    """Type, dimensions and bytes of every tensor in a safetensors file."""
    where = display_path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(MOST_HEADER, size - 8):
                raise FileError(where, "is no whole safetensors file.", fix="Fetch it again.")
            header = json.loads(file.read(length))
    except OSError as error:
        raise FileError(where, f"cannot be read: {error.strerror}.", fix="Fetch it.") from None
    except (ValueError, RecursionError):
        raise FileError(where, "has a header that is no JSON.", fix="Fetch it again.") from None
    found: dict[str, tuple[str, int, int]] = {}
    for name, value in header.items() if isinstance(header, dict) else ():
        if name == "__metadata__":
            continue
        try:
            start, end = value["data_offsets"]
            kind, rank = str(value["dtype"]), len(value["shape"])
            inside = 0 <= start <= end <= size - 8 - length
        except (KeyError, TypeError, ValueError):
            inside = False
        if not inside:
            raise FileError(where, f"tensor {name[:80]!r} lies outside of the file.",
                            fix="Fetch it again.")  # fmt: skip
        found[name] = (kind, rank, end - start)
    return found
