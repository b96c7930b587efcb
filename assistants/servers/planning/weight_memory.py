"""The bytes of a model's weights: from its files where they are, or else from its config."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistants.errors import FileError, MissingDependencyError, UsageError, nearest
from assistants.servers.planning.parameters import Parameters
from assistants.utils.config_files import display_path, read_text

MAX_INDEX = 64_000_000
"""Bytes of an index of weight files; the largest models have about 12 MB."""

MAX_FILES = 2_000

_DTYPES = {"auto": 2, "half": 2, "float16": 2, "bfloat16": 2, "float": 4, "float32": 4}

_PLAIN_TYPES = {"F32": 4, "F16": 2, "BF16": 2}
"""Bytes of plain numbers in a file; loading makes them as wide as the model is asked to be."""

_OTHER_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "I16": 16,
               "U16": 16, "I32": 32, "U32": 32, "I64": 64, "U64": 64, "F64": 64}  # fmt: skip
"""Bits of other types; those whose name begins with F8 have 8."""

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

_NOT_LOADED = re.compile(r"(^|\.)(mtp|eagle)\.|rotary_emb\.inv_freq$")
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
        """Bytes on one GPU."""
        return self.split + self.copied

    def on_each(self, gpus: int) -> int:
        """Return the bytes on each of ``gpus``."""
        return -(-self.split // gpus) + self.copied


def bytes_of_dtype(dtype: str | None) -> int:
    """Return the bytes of a number that is not quantized, as ``--dtype`` of vLLM has it.

    Raises
    ------
    UsageError
        For a type that vLLM does not know.
    """
    if dtype is not None and dtype not in _DTYPES:
        raise UsageError(f"vLLM has no dtype {dtype!r}.", fix=f"Known: {', '.join(_DTYPES)}.")
    return _DTYPES[dtype or "auto"]


def weights_from_config(data: Mapping[str, Any], parameters: Parameters, width: int = 2) -> Weights:
    """Count bytes from parameters and what the config says of quantization.

    Numbers that are not quantized take ``width`` bytes.

    Raises
    ------
    UsageError
        For an unknown quantization.
    """
    method, quantized, notes = _quantization(data)
    size = quantized or width
    linear = width if method == "mxfp4" else size  # which quantizes experts only
    split = width * parameters.embedding + linear * parameters.linear + size * parameters.experts
    kind = method or f"{8 * width} bit"
    return Weights(round(split), width * parameters.small, kind, notes=notes)


def weights_from_files(folder: Path, num_layers: int, width: int = 2) -> Weights | None:
    """Return what the safetensors files in ``folder`` hold and a server loads.

    Plain numbers are loaded as ``width`` bytes each, however wide the files have them. Layers
    beyond ``num_layers`` guess several tokens at once, and are not loaded. Only headers are read.

    Returns
    -------
    Weights or None
        ``None`` if there are no such files.

    Raises
    ------
    FileError
        If a file is damaged, cut short, or missing although the index names it.
    MissingDependencyError
        If safetensors is not installed.
    """
    files = _files(folder)
    split: dict[str, int] = {}  # by type
    copied: dict[str, int] = {}
    for file in files:
        for name, kind, rank, size in _tensors(file):
            layer = re.search(r"(?:^|\.)layers\.([0-9]{1,6})\.", name)
            if _NOT_LOADED.search(name) or (layer and int(layer[1]) >= num_layers):
                continue
            part = copied if rank < 2 else split
            part[kind] = part.get(kind, 0) + size
    if not files:
        return None
    kinds = {kind: split.get(kind, 0) + copied.get(kind, 0) for kind in {**split, **copied}}
    main = max(kinds, key=lambda kind: kinds[kind]) if kinds else "nothing"
    loaded = _loaded(split, main, width), _loaded(copied, main, width)
    if _PLAIN_TYPES.get(main, width) != width:
        main = f"{main}, loaded in {8 * width} bit"
    return Weights(*loaded, main, measured=True)


def quantization_method(data: Mapping[str, Any]) -> str:
    """Return how a config says that its weights are quantized; empty if they are not."""
    text = data.get("text_config")
    for part in (data, text if isinstance(text, Mapping) else {}):
        config = part.get("quantization_config")
        if isinstance(config, Mapping):
            return str(config.get("quant_method", "")).lower()
    return ""


def _loaded(sizes: Mapping[str, int], main: str, width: int) -> int:
    """Return bytes after loading; 32-bit numbers beside quantized ones are scales, and stay."""
    total = 0
    for kind, size in sizes.items():
        is_scale = kind == "F32" and main not in _PLAIN_TYPES
        total += size * width // (width if is_scale else _PLAIN_TYPES.get(kind, width))
    return total


def _quantization(data: Mapping[str, Any]) -> tuple[str, float, tuple[str, ...]]:
    """Return name, bytes of a weight (0: not quantized), and what was assumed."""
    asked = data.get("quantization")
    if isinstance(asked, str):
        if asked not in METHODS:
            fix = nearest(asked, METHODS)
            raise UsageError(f"There is no quantization {asked!r}.", fix=fix)
        return asked, METHODS[asked], ()
    config = data.get("quantization_config")
    if not isinstance(config, Mapping):
        return "", 0, ()
    name = quantization_method(data)
    if name in ("awq", "gptq", "auto-round", "awq_marlin", "gptq_marlin"):
        bits, group = _whole(config.get("bits", config.get("w_bit")), 4), config.get("group_size")
        size = _whole(group, 128) if group != -1 else 1 << 20
        return name, bits / 8 + (2 + bits / 8) / size, ()
    if name == "compressed-tensors":
        weights = _nested(next(iter(_nested(config.get("config_groups")).values()), None))
        weights = _nested(weights.get("weights"))
        bits, size = _whole(weights.get("num_bits"), 8), _whole(weights.get("group_size"), 128)
        return f"{name}, {bits} bit", bits / 8 + 2 / size, ()
    if name == "bitsandbytes" and not config.get("load_in_4bit"):
        return name, METHODS["int8"], ()
    if name in METHODS:
        return name, METHODS[name], ()
    return "", 0, (f"Its quantization {name!r} is not known here, so none was assumed.",)


def _nested(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _whole(value: Any, default: int) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1 << 20
    return value if good else default


def _files(folder: Path) -> list[Path]:
    """Return the safetensors files that the index names, or those that lie there."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        # Some publish the weights twice, the second time under this name and in another layout.
        found = [p for p in folder.glob("*.safetensors") if not p.name.startswith("consolidated")]
        return sorted(found)[:MAX_FILES]
    try:
        data = json.loads(read_text(index, limit=MAX_INDEX))
    except (ValueError, RecursionError) as error:
        raise FileError(display_path(index), f"is not valid JSON: {error}.") from None
    names = data.get("weight_map") if isinstance(data, dict) else None
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise FileError(display_path(index), "has no weight_map that names files.")
    files = sorted(set(names.values()))
    if len(files) > MAX_FILES or any(Path(name).name != name for name in files):
        raise FileError(display_path(index), "names files outside of its folder, or too many.")
    return [folder / name for name in files]


def _tensors(path: Path) -> Iterator[tuple[str, str, int, int]]:
    """Yield name, type, number of dimensions and bytes of every tensor in a safetensors file."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise MissingDependencyError(
            "The headers of weight files are read with safetensors, which is not installed.",
            fix="Install it: `pip install 'assistants[serve]'`.",
        ) from None
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                tensor = file.get_slice(name)
                kind, shape = str(tensor.get_dtype()), tensor.get_shape()
                bits = 8 if kind.startswith("F8") else _OTHER_BITS.get(kind, 0)
                bits = 8 * _PLAIN_TYPES.get(kind, 0) or bits
                if not bits:
                    raise FileError(display_path(path), f"has weights of unknown type {kind!r}.")
                yield name, kind, len(shape), math.prod(shape) * bits // 8
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}."
        raise FileError(display_path(path), message, fix="Fetch it.") from None
    except SafetensorError as error:
        message = f"is no whole safetensors file: {error}."
        raise FileError(display_path(path), message, fix="Fetch it again.") from None
