"""The number of parameters that a config describes."""

from __future__ import annotations

from dataclasses import dataclass

from assistants.servers.planning.model_config import ModelConfig

_UNGATED = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "falcon", "opt", "bloom", "phi",
            "starcoder2", "nemotron", "arcee"}  # fmt: skip
"""Families whose feed-forward has two matrices; all others have a third, the gate."""

_TIED = {"gpt2", "gpt_bigcode", "falcon", "bloom", "opt", "gemma", "gemma2", "gemma3",
         "gemma3_text", "starcoder2"}  # fmt: skip
"""Families whose embeddings serve as output too where the config does not say so."""

_BIASED = {"gpt2", "gpt_bigcode", "gpt_neox", "gptj", "opt", "bloom", "phi", "starcoder2", "qwen2"}

_LEARNED_POSITIONS = {"gpt2", "gpt_bigcode", "opt"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters by kind: ``embedding`` in and out, ``linear`` matrices, ``experts``, ``small``.

    The small ones (norms, biases, routers) are never quantized, and stand on every GPU of a tensor
    parallel group.
    """

    embedding: int
    linear: int
    experts: int
    small: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.embedding + self.linear + self.experts + self.small


def count_parameters(config: ModelConfig) -> Parameters:
    """Count what the config describes; published counts are met to within 3%."""
    width, depth = config.hidden_size, config.num_layers
    tied = config.flag("tie_word_embeddings", default=config.family in _TIED)
    embedding = config.vocab_size * width * (1 if tied else 2)
    if config.family in _LEARNED_POSITIONS:
        embedding += config.max_position_embeddings * width
    attention, biases = _attention(config)
    matrix = (2 if config.family in _UNGATED else 3) * width
    layers = _expert_layers(config)
    linear = depth * attention
    linear += (depth - layers) * matrix * config.intermediate_size
    linear += layers * matrix * _shared_expert_size(config)
    experts = layers * config.num_experts * matrix * config.expert_size
    routers = layers * config.num_experts * width
    return Parameters(embedding, linear, experts, depth * (biases + 2 * width) + routers + width)


def _attention(config: ModelConfig) -> tuple[int, int]:
    """Return the parameters of one attention layer: in matrices, and in biases."""
    width, heads = config.hidden_size, config.num_attention_heads
    if rank := config.kv_lora_rank:  # everything goes through a narrow middle (DeepSeek-V2)
        rope = config.number("qk_rope_head_dim", default=64)
        plain = config.number("qk_nope_head_dim", default=128)
        value = config.number("v_head_dim", default=128)
        queries, middle = heads * (plain + rope), config.number("q_lora_rank", default=0)
        asking = width * middle + middle * queries if middle else width * queries
        keeping = width * (rank + rope) + rank * heads * (plain + value)
        return asking + keeping + heads * value * width, 0
    queries, kept = heads * config.head_dim, 2 * config.num_kv_heads * config.head_dim
    biased = config.family in _BIASED or config.flag("attention_bias")
    return width * (2 * queries + kept), (queries + kept + width) * biased


def _expert_layers(config: ModelConfig) -> int:
    """Return how many layers have experts."""
    if config.num_experts <= 1:
        return 0
    first = config.number("first_k_dense_replace", default=0)
    step = config.positive("decoder_sparse_step", "moe_layer_freq", default=1)
    skipped = config.data.get("mlp_only_layers") or ()
    skipped = skipped if isinstance(skipped, list | tuple) else ()
    return sum(
        index >= first and index not in skipped and (index + 1) % step == 0
        for index in range(config.num_layers)
    )


def _shared_expert_size(config: ModelConfig) -> int:
    """Return the width of the experts that every token goes through besides the chosen ones."""
    size = config.number("shared_expert_intermediate_size", default=0)
    return size or config.number("n_shared_experts", default=0) * config.expert_size
