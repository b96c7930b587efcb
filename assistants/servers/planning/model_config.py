"""A model's ``config.json``: its values under Hugging Face's names, each of them checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistants.errors import FileError

MAX_SIZE = 1 << 40
"""No size in a config is larger. A hostile one must not make a plan count for ever."""

MAX_LAYERS = 10_000

DEFAULT_CONTEXT = 2048
"""Tokens that vLLM takes where a config says nothing (``_get_and_verify_max_len``)."""

SUPPORTED = frozenset(
    """
    arcee baichuan bloom chatglm cohere cohere2 deepseek_v2 deepseek_v3 exaone falcon gemma gemma2
    gemma3 gemma3_text glm glm4 glm4_moe gpt2 gpt_bigcode gpt_neox gpt_oss gptj granite granitemoe
    hunyuan_v1_dense internlm2 internlm3 kimi_k2 llama minicpm minicpm3 ministral mistral mixtral
    nemotron olmo olmo2 olmo3 olmoe opt phi phi3 qwen2 qwen2_5_vl qwen2_5_vl_text qwen2_moe
    qwen2_vl qwen2_vl_text qwen3 qwen3_moe qwen3_vl_moe_text qwen3_vl_text seed_oss smollm3
    stablelm starcoder2
""".split()
)
"""Model types whose layers all keep keys and values of one size, or a latent, for every token or
for those of a sliding window. Everything else (recurrent, hybrid, several head sizes) is refused.
"""

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx",
            "model_max_length")  # fmt: skip

_FULL_ATTENTION_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "gpt_oss": 2,
                         "olmo3": 4}  # fmt: skip
"""Families in which one layer of so many sees every token, and the others slide."""

_TEXT = ("vocab_size", "max_position_embeddings")
_DEFAULTS: dict[str, dict[str, int]] = {
    "gemma": dict(zip(_TEXT, (256_000, 8_192), strict=True), head_dim=256),
    "gemma2": dict(zip(_TEXT, (256_000, 8_192), strict=True), head_dim=256),
    "gemma3_text": dict(zip(_TEXT, (262_208, 131_072), strict=True), head_dim=256,
                        num_attention_heads=8, num_key_value_heads=4, sliding_window=4096),
    "falcon": dict(zip(_TEXT, (65_024, 2_048), strict=True)),
    "llama": dict(zip(_TEXT, (32_000, 2_048), strict=True)),
    "mistral": dict(zip(_TEXT, (32_000, 131_072), strict=True)),
    "mixtral": dict(zip(_TEXT, (32_000, 131_072), strict=True)),
    "qwen2": dict(zip(_TEXT, (151_936, 32_768), strict=True)),
}  # fmt: skip
"""Defaults that published configs leave out, from the classes in ``transformers`` 5: those of
Gemma 3 (4B, 12B, 27B) say neither vocabulary nor context nor heads."""

_INHERITED = ("torch_dtype", "dtype", "quantization_config", "tie_word_embeddings", "vocab_size")
"""Keys that a config with a nested text part may have outside of that part."""


class ModelConfig:
    """The values of a config. One that is missing or absurd is a ``FileError``.

    A nested text part (of a model that also sees pictures) is read in place of the whole.
    """

    def __init__(self, data: Mapping[str, Any], source: str) -> None:
        text = data.get("text_config") or data.get("llm_config") or data.get("language_config")
        self.is_nested = isinstance(text, Mapping)
        if isinstance(text, Mapping):
            data = {**{key: data[key] for key in _INHERITED if key in data}, **text}
        family = data.get("model_type")
        self.family = family if isinstance(family, str) else ""
        self.data = {**_DEFAULTS.get(self.family, {}), **data}
        self.source = source
        if self.family not in SUPPORTED:
            raise self.unsupported(f"Models of type {self.family[:80]!r} are")

    def unsupported(self, subject: str) -> FileError:
        """Return the error for what is not counted, naming what to give instead."""
        return FileError(
            self.source,
            f"{subject} not planned: counted are dense, grouped-query, latent (MLA) and "
            "sliding-window attention, alike in all layers.",
            fix='Say in the servers file what its server takes of each GPU: `memory = "18GiB"`.',
        )

    def number(self, *names: str, default: int | None = None) -> int:
        """Return the first of ``names`` that is present, a whole number of 0 or more."""
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SIZE:
                raise FileError(self.source, f"{name}: {value!r} is no size.")
            return value
        if default is None:
            fix = "Point at the folder of a language model's weights."
            raise FileError(self.source, f"does not say {' or '.join(names)}.", fix=fix)
        return default

    def positive(self, *names: str, default: int | None = None) -> int:
        """Return a number that may not be 0."""
        value = self.number(*names, default=default)
        if not value:
            raise FileError(self.source, f"{names[0]}: 0 makes no model.")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes or no."""
        value = self.data.get(name)
        return default if value is None else bool(value)

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        count = self.positive("num_hidden_layers", "n_layer", "n_layers", "num_layers")
        if count > MAX_LAYERS:
            raise FileError(self.source, f"{count:,} layers; at most {MAX_LAYERS:,} are planned.")
        return count

    @property
    def hidden_size(self) -> int:
        """Numbers that stand for one token between two layers."""
        return self.positive("hidden_size", "n_embd", "d_model")

    @property
    def vocab_size(self) -> int:
        """Number of tokens in the vocabulary."""
        return self.number("vocab_size", "padded_vocab_size")

    @property
    def intermediate_size(self) -> int:
        """Width of a feed-forward that every token goes through."""
        names = ("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim")
        size = self.number(*names, default=4 * self.hidden_size)
        return size or self.number("moe_intermediate_size", default=4 * self.hidden_size)

    @property
    def num_experts(self) -> int:
        """Number of experts in a layer that has some; 0 or 1 where there are none."""
        return self.number("n_routed_experts", "num_local_experts", "num_experts", default=0)

    @property
    def expert_size(self) -> int:
        """Width of one expert; 0 where there are none."""
        if self.num_experts <= 1:
            return 0
        return self.number("moe_intermediate_size", "intermediate_size", default=0)

    @property
    def active_expert_size(self) -> int:
        """Width of the experts that one token goes through, together; 0 without any."""
        return self.number("num_experts_per_tok", default=0) * self.expert_size

    @property
    def num_attention_heads(self) -> int:
        """Number of attention (query) heads."""
        return self.positive("num_attention_heads", "n_head", "n_heads")

    @property
    def head_dim(self) -> int:
        """Numbers of one key, and of one value."""
        default = self.hidden_size // self.num_attention_heads
        return self.positive("head_dim", "kv_channels", default=default)

    @property
    def num_kv_heads(self) -> int:
        """Number of key and value heads; 1 where all query heads share them."""
        if self.flag("new_decoder_architecture"):  # Falcon 40B and 180B
            return self.positive("num_kv_heads", "n_head_kv", default=self.num_attention_heads)
        if self.data.get("multi_query") is True:
            return 1
        names = ["num_key_value_heads", "num_kv_heads", "n_head_kv"]
        if self.flag("multi_query_attention"):  # ChatGLM names groups that it may not use
            names.append("multi_query_group_num")
        return self.positive(*names, default=self.num_attention_heads)

    @property
    def kv_lora_rank(self) -> int:
        """Width of the latent that a layer keeps in place of keys and values; 0: it keeps them."""
        return self.number("kv_lora_rank", default=0)

    @property
    def sliding_window(self) -> int | None:
        """Tokens that a sliding layer looks back; ``None`` if none slides."""
        if self.data.get("use_sliding_window") is False:
            return None
        return self.number("sliding_window", default=0) or None

    @property
    def max_position_embeddings(self) -> int:
        """Tokens of the longest conversation that the model's makers allow."""
        return self.positive(*_CONTEXT, default=DEFAULT_CONTEXT)

    @property
    def has_context(self) -> bool:
        """True if the config says how long a conversation may be."""
        return any(self.data.get(name) is not None for name in _CONTEXT)

    def count_sliding_layers(self) -> int:
        """Return how many layers look back a window only.

        Raises
        ------
        FileError
            If ``layer_types`` names layers that are neither full nor sliding attention.
        """
        depth, listed = self.num_layers, self.data.get("layer_types")
        if isinstance(listed, Sequence) and listed:
            for kind in listed:
                if kind not in ("full_attention", "sliding_attention"):
                    raise self.unsupported(f"Layers of type {str(kind)[:80]!r} are")
            if len(listed) != depth:
                raise FileError(self.source, f"names {len(listed)} layers and has {depth}.")
            return list(listed).count("sliding_attention") if self.sliding_window else 0
        if self.sliding_window is None:
            return 0
        usual = _FULL_ATTENTION_EVERY.get(self.family, 0)
        if every := self.number("sliding_window_pattern", default=usual):
            return depth - depth // every
        full = self.number("max_window_layers", default=0) if "qwen" in self.family else 0
        return max(0, depth - full)
