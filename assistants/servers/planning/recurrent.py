"""Layers with a memory of fixed size: how many parameters they have, and how much they keep.

The shapes are vLLM's (``mamba_utils.py``): what a convolution looks back at, and the state itself.
"""

from __future__ import annotations

from assistants.servers.planning.model_config import ModelConfig


def recurrent_parameters(fields: ModelConfig, kind: str) -> tuple[int, int]:
    """Parameters of one layer: in matrices, and small ones."""
    return {"mamba": _mamba, "delta": _delta, "kda": _kda, "lightning": _lightning}[kind](fields)


def state_bytes(fields: ModelConfig, kind: str, width: int) -> int:
    """Bytes of one conversation in one layer, where a number takes ``width`` bytes.

    The state itself is kept in 32 bits where the config asks for it, and in Nemotron-H and Kimi
    Linear unless it asks for less.
    """
    data = fields.data
    asked = data.get("mamba_ssm_dtype") or data.get("mamba_ssm_cache_dtype")
    careful = kind == "kda" or fields.family == "nemotron_h"
    exact = 4 if asked == "float32" or (careful and not asked) else width
    if kind == "lightning":
        return width * fields.heads * fields.head**2
    if kind == "delta":
        keys, values = _delta_sizes(fields)
        steps = fields.number("linear_conv_kernel_dim", default=4) - 1
        state = values * fields.number("linear_key_head_dim")
        return width * (2 * keys + values) * steps + exact * state
    if kind == "kda":
        heads, head, kernel = _kda_sizes(fields)
        return width * 3 * heads * head * (kernel - 1) + exact * heads * head**2
    inner, states, groups = fields.mamba
    steps = fields.number("mamba_d_conv", "conv_kernel", default=4) - 1
    return width * (inner + 2 * groups * states) * steps + exact * inner * states


def _mamba(fields: ModelConfig) -> tuple[int, int]:
    width = fields.width
    inner, states, groups = fields.mamba
    kernel = fields.number("mamba_d_conv", "conv_kernel", default=4)
    if groups:  # the second kind
        heads = fields.mamba_heads or 1
        mixed = inner + 2 * groups * states
        return width * (inner + mixed + heads) + inner * width, mixed * (kernel + 1) + inner
    rank = fields.number("mamba_dt_rank", default=-(-width // 16))
    matrices = width * 2 * inner + inner * (rank + 2 * states) + rank * inner + inner * width
    return matrices, inner * (kernel + states + 3)


def _delta(fields: ModelConfig) -> tuple[int, int]:
    """The gated delta rule of Qwen3-Next."""
    width, heads = fields.width, fields.number("linear_num_value_heads")
    keys, values = _delta_sizes(fields)
    kernel = fields.number("linear_conv_kernel_dim", default=4)
    matrices = width * (2 * keys + 2 * values) + width * 2 * heads + values * width
    return matrices, (2 * keys + values) * kernel + 2 * heads


def _delta_sizes(fields: ModelConfig) -> tuple[int, int]:
    keys = fields.number("linear_num_key_heads") * fields.number("linear_key_head_dim")
    return keys, fields.number("linear_num_value_heads") * fields.number("linear_value_head_dim")


def _kda(fields: ModelConfig) -> tuple[int, int]:
    """Kimi's: as many keys as values, and two gates, each through a narrow middle."""
    width = fields.width
    heads, head, kernel = _kda_sizes(fields)
    inner = heads * head
    gates = 2 * (width * head + head * inner) + width * heads
    return 4 * width * inner + gates, 3 * inner * kernel + inner + heads


def _kda_sizes(fields: ModelConfig) -> tuple[int, int, int]:
    section = fields.section("linear_attn_config") or fields
    kernel = section.positive("short_conv_kernel_size", default=4)
    return section.positive("num_heads"), section.positive("head_dim"), kernel


def _lightning(fields: ModelConfig) -> tuple[int, int]:
    """MiniMax: queries, keys, values, a gate and what they come to, all of one size."""
    inner = fields.heads * fields.head
    return 5 * fields.width * inner, inner
