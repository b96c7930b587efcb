"""How many parameters a config describes."""

from __future__ import annotations

from dataclasses import dataclass

from assistants.servers.planning.layers import RECURRENT, layer_kinds
from assistants.servers.planning.model_config import ModelConfig
from assistants.servers.planning.recurrent import recurrent_parameters

_PLAIN = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "falcon", "opt", "bloom", "phi", "starcoder2",
          "mpt", "codegen", "nemotron", "nemotron_h"}  # fmt: skip
"""Families whose feed-forward has two matrices; all newer ones have a third, the gate."""

_TIED = {"gpt2", "gpt_bigcode", "falcon", "bloom", "mpt", "opt", "gemma", "gemma2", "gemma3",
         "gemma3_text", "gemma3n_text", "gemma4_text", "starcoder2"}  # fmt: skip
"""Families whose embeddings serve as output too where the config does not say so."""

_BIASED = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "opt", "bloom", "phi", "starcoder2"}


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


def count_parameters(fields: ModelConfig) -> Parameters:
    """Count what the config describes; published counts are met to within 3%."""
    width, vocabulary = fields.width, fields.vocabulary
    tied = fields.flag("tie_word_embeddings", default=fields.family in _TIED)
    embedding = vocabulary * width * (1 if tied else 2)
    if fields.family in ("gpt2", "gpt_bigcode", "opt"):
        embedding += fields.context * width  # positions are learned there
    linear = experts = small = 0
    kinds, heads = layer_kinds(fields), fields.each_head_count()
    for kind, key_heads, fed in zip(kinds, heads, _feeding(fields, kinds), strict=True):
        mixing, few = _mixing(fields, kind, key_heads)
        dense, many, router = fed
        linear += mixing + dense
        experts += many
        small += few + router + 2 * width
    if narrow := fields.number("hidden_size_per_layer_input", default=0):  # Gemma 3n
        words = fields.number("vocab_size_per_layer_input", default=vocabulary)
        embedding += words * fields.depth * narrow
        linear += 3 * width * fields.depth * narrow
    return Parameters(embedding, linear, experts, small + width)


def _mixing(fields: ModelConfig, kind: str, key_heads: int) -> tuple[int, int]:
    """Parameters with which a layer looks at other tokens: in matrices, and small ones."""
    if kind in ("dense", "experts"):
        return 0, 0
    if kind in RECURRENT:
        return recurrent_parameters(fields, kind)
    if kind == "both":
        attending, biases = _mixing(fields, "full", key_heads)
        matrices, small = recurrent_parameters(fields, "mamba")
        return attending + matrices, biases + small
    if fields.number("kv_lora_rank", default=0):
        return _latent(fields), 0
    width = fields.width
    key_heads, head, value_head = fields.kept(kind, key_heads)
    asked, kept = fields.heads * head, key_heads * (head + value_head)
    gated = 2 if fields.family in ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text") else 1
    biases = asked + kept + width if fields.family in _BIASED or _has_bias(fields) else 0
    return width * (gated * asked + kept) + fields.heads * value_head * width, biases


def _has_bias(fields: ModelConfig) -> bool:
    return fields.flag("attention_bias") or fields.family == "qwen2"


def _latent(fields: ModelConfig) -> int:
    """Multi-head latent attention: everything goes through a narrow middle (DeepSeek-V2)."""
    width, heads = fields.width, fields.heads
    rank, rope = fields.number("kv_lora_rank"), fields.number("qk_rope_head_dim", default=64)
    plain = fields.number("qk_nope_head_dim", default=128)
    value = fields.number("v_head_dim", default=128)
    asked = heads * (plain + rope)
    middle = fields.number("q_lora_rank", default=0)
    asking = width * middle + middle * asked if middle else width * asked
    keeping = width * (rank + rope) + rank * heads * (plain + value)
    # DeepSeek-V3.2 chooses what it looks at.
    askers = fields.number("index_n_heads", default=0)
    index = fields.number("index_head_dim", default=0)
    choosing = middle * askers * index + width * (askers + index)
    return asking + keeping + choosing + heads * value * width


def _feeding(fields: ModelConfig, kinds: list[str]) -> list[tuple[int, int, int]]:
    """Parameters of each layer's feed-forward: for every token, of experts, of the router."""
    width, count = fields.width, fields.experts
    matrix = (2 if fields.family in _PLAIN else 3) * width
    # Granite's hybrids have one feed-forward for all and call it the shared one.
    common = fields.number("shared_intermediate_size", default=0)
    sizes = [common or size for size in fields.inner]
    shared, each = matrix * _shared(fields), count * matrix * fields.expert
    beside = fields.flag("enable_moe_block")  # Gemma 4 has both in a layer
    apart = "dense" in kinds or "experts" in kinds  # each layer does one thing
    fed = []
    for kind, size, chosen in zip(kinds, sizes, _with_experts(fields), strict=True):
        if apart and kind not in ("dense", "experts"):
            fed.append((0, 0, 0))
        elif kind == "experts" or (kind != "dense" and chosen):
            fed.append((shared + (matrix * size if beside else 0), each, count * width))
        else:
            fed.append((matrix * size, 0, 0))
    return fed


def _shared(fields: ModelConfig) -> int:
    """How wide the expert is that every token goes through besides the chosen ones."""
    size = fields.number("shared_expert_intermediate_size", "shared_intermediate_size",
                         "moe_shared_expert_intermediate_size", default=0)  # fmt: skip
    one = 1 if fields.family.startswith("llama4") else 0
    names = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    return size or fields.number(*names, default=one) * fields.expert


def _with_experts(fields: ModelConfig) -> list[bool]:
    """Which layers have experts, as far as nobody says what each layer does."""
    layers = range(fields.depth)
    if fields.experts <= 1:
        return [False for _ in layers]
    if "expert_layer_period" in fields.data:  # Jamba
        period = fields.positive("expert_layer_period")
        offset = fields.number("expert_layer_offset", default=0)
        return [each % period == offset for each in layers]
    if chosen := set(fields.numbers("moe_layers") or ()):  # Llama 4
        return [each in chosen for each in layers]
    first = fields.number("first_k_dense_replace", "moe_layer_start_index", default=0)
    step = fields.positive("decoder_sparse_step", "moe_layer_freq", "moe_layer_interval",
                           "interleave_moe_layer_step", default=1)  # fmt: skip
    skipped = set(fields.numbers("mlp_only_layers") or ())
    return [each >= first and each not in skipped and (each + 1) % step == 0 for each in layers]
