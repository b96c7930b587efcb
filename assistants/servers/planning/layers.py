"""What kind of thing each layer is: configs say so under many names."""

from __future__ import annotations

from collections.abc import Sequence

from assistants.errors import FileError
from assistants.servers.planning.model_config import ModelConfig

_KINDS = {
    "full_attention": "full", "attention": "full", "*": "full",
    "sliding_attention": "sliding", "local_attention": "sliding", "chunked_attention": "sliding",
    "linear_attention": "linear", "mamba": "mamba", "mamba2": "mamba", "M": "mamba",
    "recurrent": "mamba", "hybrid": "both", "-": "dense", "mlp": "dense", "E": "experts",
    "moe": "experts",
}  # fmt: skip

_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2, "gemma3n": 5,
             "gemma3n_text": 5}  # fmt: skip
"""Families in which every so many layers one looks at everything and the others slide."""

RECURRENT = ("mamba", "delta", "kda", "lightning")
"""Kinds that keep a state of fixed size instead of every token (``recurrent.py``)."""


def layer_kinds(fields: ModelConfig) -> list[str]:
    """What each layer does.

    Returns
    -------
    list of str
        For each layer ``full`` (it looks at every token), ``sliding`` (not further than a window),
        one of ``RECURRENT``, ``both`` (Mamba beside full attention), or, in models whose layers do
        one thing each, ``dense`` or ``experts``.

    Raises
    ------
    FileError
        For a kind of layer nobody described, or a list of another length than the model's.
    """
    depth = fields.depth
    listed = _listed(fields)
    if listed is not None:
        return listed
    if fields.family == "falcon_h1":
        return ["both"] * depth
    seeing = _seeing(fields)
    if seeing is not None:
        other = _recurrence(fields)
        return ["full" if each else other for each in seeing]
    return _sliding(fields)


def guessed(fields: ModelConfig) -> bool:
    """Whether a window is named and nobody says which layers slide, as some GGUF files do.

    All are then taken to look at every token, which costs too much rather than too little. Where a
    ``config.json`` leaves it open, vLLM has all of them slide.
    """
    said = _listed(fields), _seeing(fields), fields.data.get("sliding_window_pattern")
    known = any(each is not None for each in said) or _family(fields) in _PATTERNS
    return fields.flag("gguf") and fields.window is not None and not known


def _listed(fields: ModelConfig) -> list[str] | None:
    """The layers of a config that names each of them."""
    for name in ("layer_types", "layers_block_type", "hybrid_override_pattern"):
        listed = fields.data.get(name)
        if isinstance(listed, Sequence) and listed:
            break
    else:
        return None
    unknown = [each for each in listed if not isinstance(each, str) or each not in _KINDS]
    if unknown:
        raise FileError(fields.source, f"has layers of an unknown kind, {unknown[0]!r}.")
    if len(listed) != fields.depth:
        raise FileError(fields.source, f"names {len(listed)} layers and has {fields.depth}.")
    kinds = [_KINDS[each] for each in listed]
    if "linear" in kinds:
        other = _recurrence(fields)
        kinds = [other if kind == "linear" else kind for kind in kinds]
    if fields.window is None:
        kinds = ["full" if kind == "sliding" else kind for kind in kinds]
    return kinds


def _seeing(fields: ModelConfig) -> list[bool] | None:
    """Which layers look at every token where the others keep a state; ``None`` if no others do."""
    layers = range(fields.depth)
    named = fields.numbers("attn_layer_indices")  # Bamba
    if named is not None:
        chosen = set(named)
        return [each in chosen for each in layers]
    if section := fields.section("linear_attn_config"):  # Kimi Linear counts from 1
        states = set(section.numbers("kda_layers") or ())
        return [each + 1 not in states for each in layers]
    if marks := fields.each("attn_type_list"):  # MiniMax
        return [each == 1 for each in marks]
    if marks := fields.each("recurrent_layers"):  # GGUF
        return [not each for each in marks]
    if "attn_layer_period" in fields.data:  # Jamba
        period = fields.positive("attn_layer_period")
        offset = fields.number("attn_layer_offset", default=0)
        return [each % period == offset for each in layers]
    if interval := fields.number("full_attention_interval", default=0):  # Qwen3-Next
        return [(each + 1) % interval == 0 for each in layers]
    if fields.flag("gguf") and "mamba_inner" in fields.data:  # those that see have heads
        return [heads > 0 for heads in fields.each_head_count()]
    return None


def _recurrence(fields: ModelConfig) -> str:
    """How layers that do not look at every token remember; told by what they are described with."""
    data = fields.data
    if fields.section("linear_attn_config"):
        return "kda"
    if {"mamba_d_state", "ssm_state_size", "mamba_inner", "attn_layer_period"} & data.keys():
        return "mamba"
    return "lightning" if fields.family.startswith("minimax") else "delta"


def _sliding(fields: ModelConfig) -> list[str]:
    """Layers that all attend; some or all of them may slide."""
    layers = range(fields.depth)
    if fields.window is None or guessed(fields):
        return ["full" for _ in layers]
    marks = fields.each("sliding_window_pattern")
    usual = _PATTERNS.get(_family(fields), 0)
    if fields.family.startswith("llama4"):  # layers without positions see everything
        marks, usual = fields.each("no_rope_layers"), 4
    if marks:
        return ["sliding" if each else "full" for each in marks]
    letters = fields.data.get("sliding_window_pattern")
    if isinstance(letters, str) and letters and set(letters) <= {"L", "G"}:  # EXAONE
        return ["full" if letters[each % len(letters)] == "G" else "sliding" for each in layers]
    every = fields.number("sliding_window_pattern", "_sliding_window_pattern", default=usual)
    if every:
        return ["full" if (each + 1) % every == 0 else "sliding" for each in layers]
    first = fields.number("max_window_layers", default=0) if "qwen" in fields.family else 0
    return ["full" if each < first else "sliding" for each in layers]


def _family(fields: ModelConfig) -> str:
    return fields.family.replace("-", "_")  # GGUF writes gpt-oss
