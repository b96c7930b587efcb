"""The header of a GGUF file in the words of a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistants.errors import FileError

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
    "sliding_window_pattern": "attention.sliding_window_pattern",
    "num_kv_shared_layers": "attention.shared_kv_layers",
    "kv_lora_rank": "attention.kv_lora_rank",
    "full_attention_interval": "full_attention_interval",
    "recurrent_layers": "attention.recurrent_layers",
    "vocab_size": "vocab_size",
    "mamba_inner": "ssm.inner_size",
    "mamba_d_state": "ssm.state_size",
    "mamba_n_groups": "ssm.group_count",
    "mamba_d_conv": "ssm.conv_kernel",
}
"""Our name of a fact and GGUF's, which stands behind the name of the architecture."""


def as_config(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What a plan reads of a header, named as a ``config.json`` names it.

    Raises
    ------
    FileError
        If the header does not name its architecture.
    """
    name = values.get("general.architecture")
    if not isinstance(name, str):
        raise FileError(source, "does not say which architecture it is of.")
    data = {ours: values.get(f"{name}.{theirs}") for ours, theirs in GGUF_KEYS.items()}
    data = {key: value for key, value in data.items() if value is not None}
    data |= {"model_type": name, "gguf": True}
    if "kv_lora_rank" in data:
        data["qk_rope_head_dim"] = values.get(f"{name}.rope.dimension_count", 64)
    if narrow := values.get(f"{name}.attention.key_length_swa"):  # Gemma 4: where a layer slides
        data["global_head_dim"] = data.get("head_dim")
        data["head_dim"] = data["v_head_dim"] = narrow
    heads = data.get("num_attention_heads")
    if isinstance(heads, Sequence) and heads:  # of each layer; those without attention have none
        data["num_attention_heads"] = max(heads)
    return data
