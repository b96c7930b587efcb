"""What a model is made of, read from its ``config.json`` or its GGUF header. Nothing is fetched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistants.errors import FileError, UsageError
from assistants.servers.planning import gguf
from assistants.servers.planning.family_defaults import with_defaults
from assistants.servers.planning.gguf_config import as_config
from assistants.servers.planning.layers import RECURRENT, guessed, layer_kinds
from assistants.servers.planning.model_config import UNSAID_CONTEXT, ModelConfig
from assistants.servers.planning.parameters import Parameters, count_parameters
from assistants.servers.planning.recurrent import state_bytes
from assistants.servers.planning.uncounted import uncounted
from assistants.servers.planning.weight_memory import Weights, from_config, from_files, width_of
from assistants.utils.config_files import display_path, read_text


@dataclass(frozen=True, slots=True)
class Layers:
    """Layers that keep the same things of a conversation.

    ``heads`` of keys and values, ``values`` numbers a head and token (keys and values together),
    ``window`` tokens looked back at most (``None``: all), ``shared`` whether every GPU of a tensor
    parallel group keeps all of it (a latent is not split), ``state`` bytes a conversation
    whatever its length, ``index`` bytes a token that every GPU keeps besides (DeepSeek-V3.2
    chooses by them what it looks at).
    """

    count: int
    heads: int = 0
    values: int = 0
    window: int | None = None
    shared: bool = False
    state: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """What planning needs to know of a model.

    ``context`` is the longest its makers allow, ``width`` and ``inner`` are the sizes of what
    flows through a layer, ``cache_bytes`` the bytes of a number there, and in its cache unless one
    asks for fp8, and ``notes`` say what was assumed.
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


def read_model(
    source: Path | str | Mapping[str, Any],
    *,
    quantization: str | None = None,
    dtype: str | None = None,
) -> Architecture:
    """The facts of a model.

    Parameters
    ----------
    source
        A folder with ``config.json`` (and perhaps weights), that file itself, a ``.gguf`` file, or
        what ``json.load`` made of a config.
    quantization
        Plan as if its weights were kept so (``fp8``, ``int8``, ``awq``, ``gptq``); otherwise the
        files tell, or else the config.
    dtype
        As ``--dtype`` of vLLM: ``auto``, ``half``, ``float16``, ``bfloat16``, ``float`` or
        ``float32``. The last two mean 4 bytes for each weight that is not quantized, whatever type
        the files have, and for each number in the cache; all others mean 2. So does none, also
        where the config says ``float32``: vLLM takes that for ``auto`` and loads such a model in 16
        bits. Weights of a GGUF file stay as they are.

    Raises
    ------
    FileError
        If a file is missing, damaged, does not say what a plan needs, or describes what cannot be
        counted here.
    UsageError
        If ``quantization`` or ``dtype`` is no known one.
    """
    width = width_of(dtype)
    if isinstance(source, Mapping):
        return _facts(source, "config", None, quantization, width)
    path = Path(source)
    if path.suffix == ".gguf":
        return _of_gguf(path, quantization, width)
    file = path / "config.json" if path.is_dir() or path.suffix != ".json" else path
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise FileError(display_path(file), f"is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise FileError(display_path(file), "expected a JSON object.")
    return _facts(data, display_path(file), file.parent, quantization, width)


def quantized(facts: Architecture, method: str) -> Architecture:
    """The same model with its weights kept as ``method``, counted from its parameters."""
    weights = from_config({"quantization": method}, facts.parameters, facts.cache_bytes)
    return replace(facts, weights=weights)


def _facts(
    data: Mapping[str, Any], source: str, folder: Path | None, quantization: str | None, width: int
) -> Architecture:
    outer = data
    text = data.get("text_config") or data.get("llm_config") or data.get("language_config")
    if isinstance(text, Mapping):
        data = {**{key: outer[key] for key in _INHERITED if key in outer}, **text}
    for name in _SECTIONS:
        section = data.get(name)
        data = {**section, **data} if isinstance(section, Mapping) else data
    fields = ModelConfig(with_defaults(data), source)
    parameters = count_parameters(fields)
    asked = {"quantization": quantization} if quantization else data
    weights = None if quantization or folder is None else from_files(folder, fields.depth, width)
    notes = list(uncounted(fields, weights is not None))
    if weights is None:
        weights = from_config(asked, parameters, width)
        if isinstance(text, Mapping):
            notes.append("Only the part that reads text was counted from its config.")
    return _of(fields, parameters, weights, width, notes)


def _of(
    fields: ModelConfig, parameters: Parameters, weights: Weights, width: int, notes: list[str]
) -> Architecture:
    if not fields.says_context:
        notes.append("It does not say how long a conversation may be, so it was taken to be "
                     f"{UNSAID_CONTEXT:,} tokens, as vLLM does.")  # fmt: skip
    return Architecture(
        source=fields.source,
        layers=_layers(fields, width),
        heads=fields.heads,
        width=fields.width,
        inner=max(*fields.inner, fields.chosen),
        vocabulary=fields.vocabulary,
        context=fields.context,
        parameters=parameters,
        weights=weights,
        cache_bytes=width,
        notes=(*notes, *weights.notes),
    )


_INHERITED = ("torch_dtype", "dtype", "quantization_config", "tie_word_embeddings", "vocab_size")
"""What a config with a nested text part may say outside of it."""

_SECTIONS = ("attn_config", "ffn_config")
"""Parts in which a config may say what others say outside of any (DBRX)."""


def _layers(fields: ModelConfig, width: int) -> tuple[Layers, ...]:
    """The layers in groups that keep the same things, in order of first appearance."""
    kinds, heads = layer_kinds(fields), fields.each_head_count()
    own = fields.depth - fields.borrowing
    found: dict[Layers, int] = {}
    for index, alike in enumerate(zip(kinds, heads, strict=True)):
        group = _group(fields, *alike, width) if index < own else Layers(1)
        found[group] = found.get(group, 0) + 1
    return tuple(replace(group, count=count) for group, count in found.items())


def _group(fields: ModelConfig, kind: str, key_heads: int, width: int) -> Layers:
    if kind in RECURRENT:
        return Layers(1, state=state_bytes(fields, kind, width))
    if kind in ("dense", "experts") or not key_heads:
        return Layers(1)
    state = state_bytes(fields, "mamba", width) if kind == "both" else 0
    window = fields.window if kind == "sliding" else None
    rank = fields.number("kv_lora_rank", default=0)
    if rank:
        values = rank + fields.number("qk_rope_head_dim", default=64)
        index = fields.number("index_head_dim", default=0)
        index += index // _INDEXED * 4  # eight bits each, and the scales
        return Layers(1, 1, values, window, shared=True, state=state, index=index)
    key_heads, head, value_head = fields.kept(kind, key_heads)
    return Layers(1, key_heads, head + value_head, window, state=state)


_INDEXED = 128
"""Numbers of DeepSeek-V3.2's index that share a scale of 32 bits."""


def _of_gguf(path: Path, quantization: str | None, width: int) -> Architecture:
    header = gguf.read(path)
    fields = ModelConfig(as_config(header.values, display_path(path)), display_path(path))
    if quantization:
        raise UsageError(
            f"{fields.source} already has its weights as {header.kind}.",
            fix="Name another file, or leave the quantization out.",
        )
    notes = []
    if guessed(fields):
        notes.append("It does not say which layers look no further than its window, so all were "
                     "taken to look at everything.")  # fmt: skip
    weights = Weights(header.size, 0, header.kind, measured=True)
    return _of(fields, Parameters(0, header.parameters, 0, 0), weights, width, notes)
