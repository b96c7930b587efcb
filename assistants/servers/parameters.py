"""How many parameters a config describes, and what kind of thing each layer is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistants.errors import FileError
from assistants.servers.fields import Fields

_KINDS = {
    "full_attention": "full", "attention": "full", "hybrid": "full", "*": "full",
    "sliding_attention": "sliding", "local_attention": "sliding", "chunked_attention": "full",
    "linear_attention": "delta", "mamba": "mamba", "mamba2": "mamba", "M": "mamba",
    "recurrent": "mamba", "-": "none", "E": "none", "mlp": "none", "moe": "none",
}  # fmt: skip

_PLAIN = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "falcon", "opt", "bloom", "phi", "starcoder2",
          "mpt", "codegen"}  # fmt: skip
"""Families whose feed-forward has two matrices; all newer ones have a third, the gate."""

_TIED = {"gpt2", "gpt_bigcode", "falcon", "bloom", "mpt", "opt", "gemma", "gemma2", "gemma3",
         "gemma3_text", "starcoder2"}  # fmt: skip
"""Families whose embeddings serve as output too where the config does not say so."""

_BIASED = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "opt", "bloom", "phi", "starcoder2"}

_PATTERNS = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2, "gemma3n": 5}
"""Families in which every so many layers one looks at everything and the others slide."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many there are: ``embedding`` in and out, ``linear`` matrices, ``experts``, ``small``.

    The small ones (norms, biases, routers, convolutions) are never quantized and stand on every
    GPU of a tensor parallel group.
    """

    embedding: int
    linear: int
    experts: int
    small: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.linear + self.experts + self.small


def layer_kinds(fields: Fields) -> list[str]:
    """``full``, ``sliding``, ``delta``, ``mamba`` or ``none``, layer by layer.

    Raises
    ------
    FileError
        For a kind of layer nobody described, or a list of another length than the model's.
    """
    depth = fields.depth
    listed = fields.data.get("layer_types") or fields.data.get("layers_block_type")
    listed = listed or fields.data.get("hybrid_override_pattern")
    if isinstance(listed, (Sequence)) and listed:
        unknown = [each for each in listed if not isinstance(each, str) or each not in _KINDS]
        if unknown:
            raise FileError(fields.source, f"has layers of an unknown kind, {unknown[0]!r}.")
        if len(listed) != depth:
            raise FileError(fields.source, f"names {len(listed)} layers and has {depth}.")
        kinds = [_KINDS[each] for each in listed]
        return [_slides(fields, kind) for kind in kinds]
    if "attn_layer_period" in fields.data:  # Jamba
        period = fields.positive("attn_layer_period")
        offset = fields.number("attn_layer_offset", default=0)
        return ["full" if each % period == offset else "mamba" for each in range(depth)]
    if fields.data.get("gguf") and "mamba_inner" in fields.data and not _interval(fields):
        return ["full" if heads else "mamba" for heads in fields.each_head_count()]
    if interval := _interval(fields):  # Qwen3-Next, and GGUF files of it
        other = "mamba" if "mamba_inner" in fields.data else "delta"
        return ["full" if (each + 1) % interval == 0 else other for each in range(depth)]
    if fields.window is None:
        return ["full"] * depth
    pattern = fields.number("sliding_window_pattern", "_sliding_window_pattern",
                            default=_PATTERNS.get(fields.family.replace("-", "_"), 0))  # fmt: skip
    if pattern > 1:
        return ["full" if (each + 1) % pattern == 0 else "sliding" for each in range(depth)]
    first = fields.number("max_window_layers", default=0) if "qwen" in fields.family else 0
    return ["full" if each < first else "sliding" for each in range(depth)]


def is_recurrent(kind: str) -> bool:
    """Whether such a layer keeps a state of fixed size instead of every token."""
    return kind in ("mamba", "delta")


def count_parameters(fields: Fields) -> Parameters:
    """Count what the config describes; published counts are met to within 3%."""
    width, vocabulary = fields.width, fields.number("vocab_size", default=32_000)
    tied = fields.flag("tie_word_embeddings", default=fields.family in _TIED)
    embedding = vocabulary * width * (1 if tied else 2)
    if fields.family in ("gpt2", "gpt_bigcode", "opt"):
        embedding += fields.context * width  # positions are learned there
    linear = experts = small = 0
    kinds, heads = layer_kinds(fields), fields.each_head_count()
    for index, (kind, key_heads) in enumerate(zip(kinds, heads, strict=True)):
        mixing, few = _mixing(fields, kind, key_heads)
        dense, many, router = _feeding(fields, index, kind)
        linear += mixing + dense
        experts += many
        small += few + router + 2 * width
    return Parameters(embedding, linear, experts, small + width)


def _slides(fields: Fields, kind: str) -> str:
    return "full" if kind == "sliding" and fields.window is None else kind


def _interval(fields: Fields) -> int:
    return fields.number("full_attention_interval", default=0)


def _mixing(fields: Fields, kind: str, key_heads: int) -> tuple[int, int]:
    """Parameters with which a layer looks at other tokens: in matrices, and small ones."""
    width = fields.width
    if kind == "none":
        return 0, 0
    if kind == "mamba":
        return _mamba(fields)
    if kind == "delta":
        heads = fields.number("linear_num_value_heads")
        keys = fields.number("linear_num_key_heads") * fields.number("linear_key_head_dim")
        values = heads * fields.number("linear_value_head_dim")
        kernel = fields.number("linear_conv_kernel_dim", default=4)
        matrices = width * (2 * keys + 2 * values) + width * 2 * heads + values * width
        return matrices, (2 * keys + values) * kernel + 2 * heads
    if fields.number("kv_lora_rank", default=0):
        return _latent(fields), 0
    asked = fields.heads * fields.head
    gated = 2 if fields.family in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text") else 1
    kept = key_heads * (fields.head + fields.value_head)
    biases = asked + kept + width if fields.family in _BIASED or _has_bias(fields) else 0
    return width * (gated * asked + kept) + fields.heads * fields.value_head * width, biases


def _has_bias(fields: Fields) -> bool:
    return fields.flag("attention_bias") or fields.family == "qwen2"


def _latent(fields: Fields) -> int:
    """Multi-head latent attention: everything goes through a narrow middle (DeepSeek-V2)."""
    width, heads = fields.width, fields.heads
    rank, rope = fields.number("kv_lora_rank"), fields.number("qk_rope_head_dim", default=64)
    plain = fields.number("qk_nope_head_dim", default=128)
    value = fields.number("v_head_dim", default=128)
    asked = heads * (plain + rope)
    middle = fields.number("q_lora_rank", default=0)
    asking = width * middle + middle * asked if middle else width * asked
    keeping = width * (rank + rope) + rank * heads * (plain + value)
    return asking + keeping + heads * value * width


def _mamba(fields: Fields) -> tuple[int, int]:
    width = fields.width
    inner, states, groups = fields.mamba
    kernel = fields.number("mamba_d_conv", "conv_kernel", default=4)
    if groups:  # the second kind
        heads = fields.number("mamba_n_heads", "mamba_num_heads", default=1)
        mixed = inner + 2 * groups * states
        return width * (inner + mixed + heads) + inner * width, mixed * (kernel + 1) + inner
    rank = fields.number("mamba_dt_rank", default=-(-width // 16))
    matrices = width * 2 * inner + inner * (rank + 2 * states) + rank * inner + inner * width
    return matrices, inner * (kernel + states + 3)


def _feeding(fields: Fields, index: int, kind: str) -> tuple[int, int, int]:
    """Parameters of the feed-forward: for every token, of experts, of the router."""
    width = fields.width
    matrices = 2 if fields.family in _PLAIN else 3
    experts = fields.number("n_routed_experts", "num_local_experts", "num_experts", default=0)
    if not _has_experts(fields, index, experts):
        pattern = fields.data.get("hybrid_override_pattern")
        if pattern and kind != "none":  # Nemotron-H: a layer does one thing only
            return 0, 0, 0
        # Granite's hybrids have one feed-forward for all and call it the shared one.
        size = fields.number("shared_intermediate_size", default=0) or fields.inner
        return matrices * width * size, 0, 0
    each = fields.number("moe_intermediate_size", "intermediate_size")
    shared = fields.number("shared_expert_intermediate_size", "shared_intermediate_size", default=0)
    shared = shared or fields.number("n_shared_experts", default=0) * each
    return matrices * width * shared, experts * matrices * width * each, experts * width


def _has_experts(fields: Fields, index: int, experts: int) -> bool:
    if experts <= 1 or index < fields.number("first_k_dense_replace", default=0):
        return False
    if "expert_layer_period" in fields.data:  # Jamba
        period = fields.positive("expert_layer_period")
        return index % period == fields.number("expert_layer_offset", default=0)
    skipped = fields.data.get("mlp_only_layers")
    if isinstance(skipped, list) and index in skipped:
        return False
    return (index + 1) % fields.positive("decoder_sparse_step", "moe_layer_freq", default=1) == 0
