"""Facts about a model that planning needs, from its ``config.json`` and its weight files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistants.errors import FileError
from assistants.servers.planning.model_config import DEFAULT_CONTEXT, ModelConfig
from assistants.servers.planning.parameters import Parameters, count_parameters
from assistants.servers.planning.weight_memory import (
    Weights,
    bytes_of_dtype,
    weights_from_config,
    weights_from_files,
)
from assistants.utils import display_path, read_text


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's sizes.

    ``kv_head_size`` is the numbers that a token takes in one KV head: its key and its value, or the
    latent, which no tensor parallel group splits (``is_latent``). ``sliding_layers`` of all layers
    look back ``sliding_window`` tokens only. ``context`` is the longest that its makers allow,
    ``dtype_bytes`` the bytes of a number that is not quantized, and in the cache unless that is
    fp8. ``notes`` say what was assumed.
    """

    source: str
    num_layers: int
    sliding_layers: int
    sliding_window: int
    num_attention_heads: int
    num_kv_heads: int
    kv_head_size: int
    is_latent: bool
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    context: int
    parameters: Parameters
    weights: Weights
    dtype_bytes: int = 2
    notes: tuple[str, ...] = ()

    @property
    def full_layers(self) -> int:
        """Number of layers that look at every token."""
        return self.num_layers - self.sliding_layers

    def quantized(self, method: str) -> Architecture:
        """Return the same model with its weights kept as ``method``, counted from parameters."""
        asked = {"quantization": method}
        weights = weights_from_config(asked, self.parameters, self.dtype_bytes)
        return replace(self, weights=weights)


def read_model(
    source: Path | str | Mapping[str, Any],
    *,
    quantization: str | None = None,
    dtype: str | None = None,
) -> Architecture:
    """Read the sizes of a model. Nothing is fetched.

    Parameters
    ----------
    source
        A folder with ``config.json`` (and perhaps weights), that file itself, or what ``json.load``
        made of a config.
    quantization
        Plan as if its weights were kept so (``fp8``, ``int8``, ``awq``, ``gptq``). Otherwise the
        files tell, or else the config.
    dtype
        As ``--dtype`` of vLLM: ``auto``, ``half``, ``float16``, ``bfloat16``, ``float`` or
        ``float32``. The last two mean 4 bytes for each weight that is not quantized, whatever type
        the files have, and for each number in the cache. All others mean 2, and so does none, also
        where the config says ``float32``: vLLM takes that for ``auto`` and loads 16 bits.

    Raises
    ------
    FileError
        If a file is missing, damaged, does not say what a plan needs, or describes an architecture
        that is not counted here.
    MissingDependencyError
        If there are weight files and safetensors is not installed.
    UsageError
        If ``quantization`` or ``dtype`` is no known one.
    """
    width = bytes_of_dtype(dtype)
    if isinstance(source, Mapping):
        return _architecture(source, "config", None, quantization, width)
    path = Path(source)
    if path.suffix == ".gguf":
        fix = 'Name its model\'s config.json with `config = `, or say `memory = "18GiB"`.'
        raise FileError(display_path(path), "GGUF files are not planned.", fix=fix)
    file = path / "config.json" if path.is_dir() or path.suffix != ".json" else path
    return _architecture(read_config(file), display_path(file), file.parent, quantization, width)


def read_config(file: Path) -> dict[str, Any]:
    """Read a ``config.json``.

    Raises
    ------
    FileError
        If it is missing or no JSON object.
    """
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise FileError(display_path(file), f"is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise FileError(display_path(file), "expected a JSON object.")
    return data


def _architecture(
    data: Mapping[str, Any], source: str, folder: Path | None, quantization: str | None, width: int
) -> Architecture:
    config = ModelConfig(data, source)
    parameters = count_parameters(config)
    weights, notes = None, []
    if folder is not None and not quantization:
        weights = weights_from_files(folder, config.num_layers, width)
    if weights is None:
        asked = {"quantization": quantization} if quantization else config.data
        weights = weights_from_config(asked, parameters, width)
        if config.is_nested:
            notes.append("Only the part that reads text was counted from its config.")
    if not config.has_context:
        notes.append("Its config does not say how long a conversation may be: taken as "
                     f"{DEFAULT_CONTEXT:,} tokens, as vLLM does.")  # fmt: skip
    latent = config.kv_lora_rank
    rope = config.number("qk_rope_head_dim", default=64) if latent else 0
    return Architecture(
        source=source,
        num_layers=config.num_layers,
        sliding_layers=config.count_sliding_layers(),
        sliding_window=config.sliding_window or 0,
        num_attention_heads=config.num_attention_heads,
        num_kv_heads=1 if latent else config.num_kv_heads,
        kv_head_size=latent + rope if latent else 2 * config.head_dim,
        is_latent=bool(latent),
        hidden_size=config.hidden_size,
        intermediate_size=max(config.intermediate_size, config.active_expert_size),
        vocab_size=config.vocab_size,
        context=config.max_position_embeddings,
        parameters=parameters,
        weights=weights,
        dtype_bytes=width,
        notes=(*notes, *weights.notes),
    )
