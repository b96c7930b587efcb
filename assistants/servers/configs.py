"""What a model is made of, read from its ``config.json`` or its GGUF header. Nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistants.errors import FileError, UsageError
from assistants.files import read_text, shown
from assistants.servers import gguf
from assistants.servers.fields import Fields
from assistants.servers.parameters import Parameters, count_parameters, is_recurrent, layer_kinds
from assistants.servers.weights_size import Weights, from_config, from_files

GGUF_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "v_head_dim": "attention.value_length",
    "max_position_embeddings": "context_length",
    "sliding_window": "attention.sliding_window",
    "kv_lora_rank": "attention.kv_lora_rank",
    "full_attention_interval": "full_attention_interval",
    "vocab_size": "vocab_size",
}
"""Our name of a fact and GGUF's, which stands behind the name of the architecture."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers that keep the same things of a conversation.

    ``heads`` of keys and values, ``values`` numbers a head and token (keys and values together),
    ``window`` tokens looked back at most (``None``: all), ``shared`` whether every GPU of a tensor
    parallel group keeps all of it (a latent is not split), ``state`` bytes a conversation
    whatever its length.
    """

    count: int
    heads: int = 0
    values: int = 0
    window: int | None = None
    shared: bool = False
    state: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What planning needs to know of a model.

    ``context`` is the longest its makers allow, ``width`` and ``inner`` are the sizes of what
    flows through a layer, ``cache_bytes`` the bytes of a number in its cache unless one asks for
    fp8, and ``notes`` say what was assumed.
    """

    source: str
    layers: tuple[Layers, ...]
    heads: int
    width: int
    inner: int
    vocabulary: int
    context: int
    parameters: Parameters
    weights: Weights
    cache_bytes: int = 2
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return sum(group.count for group in self.layers)


def read_model(source: Path | str | Mapping[str, Any], *, quantization: str | None = None) -> Facts:
    """The facts of a model.

    Parameters
    ----------
    source
        A folder with ``config.json`` (and perhaps weights), that file itself, a ``.gguf`` file, or
        what ``json.load`` made of a config.
    quantization
        Plan as if its weights were kept so (``fp8``, ``int8``, ``awq``, ``gptq``); otherwise the
        files tell, or else the config.

    Raises
    ------
    FileError
        If a file is missing, damaged, or does not say what a plan needs.
    UsageError
        If ``quantization`` is no known one.
    """
    if isinstance(source, Mapping):
        return _facts(source, "config", None, quantization)
    path = Path(source)
    if path.suffix == ".gguf":
        return _of_gguf(path, quantization)
    file = path / "config.json" if path.is_dir() or path.suffix != ".json" else path
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise FileError(shown(file), f"is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise FileError(shown(file), "expected a JSON object.")
    return _facts(data, shown(file), file.parent, quantization)


def quantized(facts: Facts, method: str) -> Facts:
    """The same model with its weights kept as ``method``, counted from its parameters."""
    weights = from_config({"quantization": method}, facts.parameters)
    return replace(facts, weights=weights)


def _facts(
    data: Mapping[str, Any], source: str, folder: Path | None, quantization: str | None
) -> Facts:
    outer = data
    text = data.get("text_config") or data.get("llm_config") or data.get("language_config")
    notes: list[str] = []
    if isinstance(text, Mapping):
        data = {**{key: outer[key] for key in _INHERITED if key in outer}, **text}
        notes.append("Only the part that reads text was counted from its config.")
    fields = Fields(data, source)
    parameters = count_parameters(fields)
    asked = {"quantization": quantization} if quantization else data
    weights = None if quantization or folder is None else from_files(folder, fields.depth)
    if weights is None:
        weights = from_config(asked, parameters)
        notes += weights.notes
    elif isinstance(text, Mapping):
        notes.clear()
    return Facts(
        source=source,
        layers=_layers(fields),
        heads=fields.heads,
        width=fields.width,
        inner=max(fields.inner, fields.chosen),
        vocabulary=fields.number("vocab_size", default=32_000),
        context=fields.context,
        parameters=parameters,
        weights=weights,
        notes=tuple(notes),
    )


_INHERITED = ("torch_dtype", "dtype", "quantization_config", "tie_word_embeddings", "vocab_size")
"""What a config with a nested text part may say outside of it."""


def _layers(fields: Fields) -> tuple[Layers, ...]:
    """The layers in groups that keep the same things, in order of first appearance."""
    kinds = layer_kinds(fields)
    heads = fields.each_head_count()
    found: dict[Layers, int] = {}
    for kind, key_heads in zip(kinds, heads, strict=True):
        group = _group(fields, kind, key_heads)
        found[group] = found.get(group, 0) + 1
    return tuple(replace(group, count=count) for group, count in found.items())


def _group(fields: Fields, kind: str, key_heads: int) -> Layers:
    if is_recurrent(kind):
        return Layers(1, state=_state(fields, kind))
    if kind == "none" or not key_heads:
        return Layers(1)
    window = fields.window if kind == "sliding" else None
    rank = fields.number("kv_lora_rank", default=0)
    if rank:
        values = rank + fields.number("qk_rope_head_dim", default=64)
        return Layers(1, heads=1, values=values, window=window, shared=True)
    return Layers(1, heads=key_heads, values=fields.head + fields.value_head, window=window)


def _state(fields: Fields, kind: str) -> int:
    """Bytes that a layer with a memory of fixed size keeps of a conversation.

    vLLM's shapes (``mamba_utils.py``): what the convolution looks back at, and the state itself,
    in 16 bits unless the config asks for more.
    """
    each = 4 if fields.data.get("mamba_ssm_dtype") == "float32" else 2
    if kind == "delta":
        keys = fields.number("linear_num_key_heads") * fields.number("linear_key_head_dim")
        values = fields.number("linear_num_value_heads") * fields.number("linear_value_head_dim")
        steps = fields.number("linear_conv_kernel_dim", default=4) - 1
        state = values * fields.number("linear_key_head_dim")
        return 2 * (2 * keys + values) * steps + each * state
    inner, states, groups = fields.mamba
    steps = fields.number("mamba_d_conv", "conv_kernel", default=4) - 1
    return 2 * (inner + 2 * groups * states) * steps + each * inner * states


def _of_gguf(path: Path, quantization: str | None) -> Facts:
    header = gguf.read(path)
    source, values = shown(path), header.values
    name = values.get("general.architecture")
    if not isinstance(name, str):
        raise FileError(source, "does not say which architecture it is of.")
    data = {ours: values.get(f"{name}.{theirs}") for ours, theirs in GGUF_KEYS.items()}
    data = {key: value for key, value in data.items() if value is not None}
    data |= {"model_type": name, "gguf": True}
    if "kv_lora_rank" in data:
        data["qk_rope_head_dim"] = values.get(f"{name}.rope.dimension_count", 64)
    data |= _gguf_state(name, values)
    heads = data.get("num_attention_heads")
    if isinstance(heads, Sequence) and heads:  # of each layer; those without attention have none
        data["num_attention_heads"] = max(heads)
    fields = Fields(data, source)
    weights = Weights(header.size, 0, header.kind, measured=True)
    facts = Facts(
        source=source,
        layers=_layers(fields),
        heads=fields.heads,
        width=fields.width,
        inner=fields.inner,
        vocabulary=fields.number("vocab_size", default=32_000),
        context=fields.context,
        parameters=Parameters(0, header.parameters, 0, 0),
        weights=weights,
    )
    if quantization:
        raise UsageError(
            f"{source} already has its weights as {header.kind}.",
            fix="Name another file, or leave the quantization out.",
        )
    return facts


def _gguf_state(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of layers with a state: GGUF marks them by having no key and value heads."""
    inner = values.get(f"{name}.ssm.inner_size")
    if inner is None:
        return {}
    return {
        "mamba_inner": inner,
        "mamba_d_state": values.get(f"{name}.ssm.state_size", 16),
        "mamba_n_groups": values.get(f"{name}.ssm.group_count", 0),
        "mamba_d_conv": values.get(f"{name}.ssm.conv_kernel", 4),
    }
