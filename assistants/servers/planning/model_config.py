"""The values of a model's config under all the names its makers gave them, each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistants.errors import FileError

MOST = 1 << 40
"""No size in a config is larger; a hostile one must not make a plan count for ever."""

MOST_LAYERS = 10_000

UNSAID_CONTEXT = 2048
"""Tokens that vLLM takes where a config says nothing (``_get_and_verify_max_len``)."""

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx",
            "model_max_length")  # fmt: skip

_GGUF_VOCABULARY = 32_000


class ModelConfig:
    """A config, asked by our word for a thing; what is missing or absurd is a ``FileError``."""

    def __init__(self, data: Mapping[str, Any], source: str) -> None:
        self.data, self.source = data, source

    def number(self, *names: str, default: int | None = None) -> int:
        """The first of ``names`` that is there, as a whole number of 0 or more."""
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST:
                raise FileError(self.source, f"{name}: {value!r} is no size.")
            return value
        if default is None:
            fix = "Point at the folder of a language model's weights."
            raise FileError(self.source, f"does not say {' or '.join(names)}.", fix=fix)
        return default

    def positive(self, *names: str, default: int | None = None) -> int:
        """A number that may not be 0."""
        value = self.number(*names, default=default)
        if not value:
            raise FileError(self.source, f"{names[0]}: 0 makes no model.")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A yes or no."""
        value = self.data.get(name)
        return default if value is None else bool(value)

    def numbers(self, name: str) -> list[int] | None:
        """A list of whole numbers of 0 or more, or of yes and no; ``None`` if it is no list."""
        value = self.data.get(name)
        if not isinstance(value, Sequence) or isinstance(value, str):
            return None
        return [ModelConfig({name: int(each) if isinstance(each, bool) else each}, self.source)
                .number(name) for each in value]  # fmt: skip

    def each(self, name: str) -> list[int] | None:
        """A list that has a number for every layer; ``None`` if it is no list, or an empty one."""
        found = self.numbers(name)
        if not found:
            return None
        if len(found) != self.depth:
            raise FileError(self.source, f"{name}: of {len(found)} layers, not {self.depth}.")
        return found

    def section(self, name: str) -> ModelConfig | None:
        """A config inside of this one."""
        value = self.data.get(name)
        return ModelConfig(value, self.source) if isinstance(value, Mapping) else None

    @property
    def family(self) -> str:
        """What kind of model it says it is: ``llama``, ``qwen3_next``, ..."""
        value = self.data.get("model_type")
        return value if isinstance(value, str) else ""

    @property
    def depth(self) -> int:
        """How many layers."""
        count = self.positive("num_hidden_layers", "n_layer", "n_layers", "num_layers")
        if count > MOST_LAYERS:
            raise FileError(self.source, f"{count:,} layers; at most {MOST_LAYERS:,} are planned.")
        return count

    @property
    def width(self) -> int:
        """Numbers that stand for one token between two layers."""
        return self.positive("hidden_size", "n_embd", "d_model")

    @property
    def vocabulary(self) -> int:
        """Tokens it knows. A GGUF file has them in a list that nobody reads, and has its size."""
        guess = _GGUF_VOCABULARY if self.flag("gguf") else None
        return self.number("vocab_size", "padded_vocab_size", default=guess)

    @property
    def inner(self) -> list[int]:
        """How wide each layer is where every token goes through it."""
        if listed := self.each("intermediate_size"):
            return listed
        width = self.width
        usual = self.number("intermediate_size_mlp", "intermediate_size", "n_inner",
                            "ffn_hidden_size", "ffn_dim", default=4 * width)  # fmt: skip
        usual = usual or self.number("moe_intermediate_size", default=4 * width)
        if not self.flag("use_double_wide_mlp"):
            return [usual] * self.depth
        own = self.depth - self.borrowing  # Gemma 4: what borrows is twice as wide
        return [usual * (1 if each < own else 2) for each in range(self.depth)]

    @property
    def experts(self) -> int:
        """How many there are in a layer that has some; 0 or 1 where there are none."""
        return self.number("n_routed_experts", "num_local_experts", "num_experts",
                           "moe_num_experts", default=0)  # fmt: skip

    @property
    def expert(self) -> int:
        """How wide one is; 0 where there are none."""
        if self.experts <= 1:
            return 0
        return self.number("moe_intermediate_size", "intermediate_size", "ffn_hidden_size",
                           default=0)  # fmt: skip

    @property
    def chosen(self) -> int:
        """How wide the experts are that one token goes through, together; 0 without any."""
        names = ("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_top_k",
                 "moe_k", "top_k_experts")  # fmt: skip
        count = self.number(*names, default=0)
        return count * self.expert if count else 0

    @property
    def heads(self) -> int:
        """Heads that ask."""
        return self.positive("num_attention_heads", "n_head", "n_heads")

    @property
    def head(self) -> int:
        """Numbers of one key."""
        return self.positive("head_dim", "d_kv", "attention_head_dim", "kv_channels",
                             default=self.width // self.heads)  # fmt: skip

    @property
    def value_head(self) -> int:
        """Numbers of one value; as many as of a key, but for a few."""
        return self.positive("v_head_dim", default=self.head)

    @property
    def key_heads(self) -> int:
        """Heads of keys and values; one for all is called multi-query."""
        if self.flag("new_decoder_architecture"):  # Falcon 40B and 180B
            return self.number("num_kv_heads", "n_head_kv", default=self.heads)
        if self.data.get("multi_query") is True:
            return 1
        names = ["num_key_value_heads", "num_kv_heads", "n_head_kv", "kv_n_heads",
                 "num_attention_groups"]  # fmt: skip
        if self.flag("multi_query_attention"):  # ChatGLM names groups that it may not use
            names.append("multi_query_group_num")
        return self.number(*names, default=self.heads)

    def each_head_count(self) -> list[int]:
        """Heads of keys and values, layer by layer."""
        listed = self.each("num_key_value_heads")
        return [self.key_heads] * self.depth if listed is None else listed

    def kept(self, kind: str, key_heads: int) -> tuple[int, int, int]:
        """Heads of keys and values in a layer of ``kind``, numbers of one key, and of one value.

        Gemma 4 has fewer and larger ones where a layer sees everything.
        """
        if kind != "full" or not self.number("global_head_dim", default=0):
            return key_heads, self.head, self.value_head
        if self.flag("attention_k_eq_v"):
            key_heads = self.number("num_global_key_value_heads", default=key_heads)
        head = self.number("global_head_dim")
        return key_heads, head, head

    @property
    def borrowing(self) -> int:
        """How many of the last layers look into the cache of earlier ones and keep nothing."""
        return min(self.depth, self.number("num_kv_shared_layers", default=0))

    @property
    def window(self) -> int | None:
        """Tokens that a sliding layer looks back; ``None`` if none slides."""
        if self.data.get("use_sliding_window") is False:
            return None
        names = ["sliding_window", "attention_window_size"]
        if self.family.startswith("llama4"):  # it looks back to the start of a chunk
            names.append("attention_chunk_size")
        return self.number(*names, default=0) or None

    @property
    def context(self) -> int:
        """The longest conversation its makers allow, in tokens."""
        return self.positive(*_CONTEXT, default=UNSAID_CONTEXT)

    @property
    def says_context(self) -> bool:
        """Whether its makers say how long a conversation may be."""
        return any(self.data.get(name) is not None for name in _CONTEXT)

    @property
    def mamba(self) -> tuple[int, int, int]:
        """Inner width, numbers of state and groups (0: the first kind of Mamba)."""
        states = self.positive("mamba_d_state", "ssm_state_size", "state_size", default=16)
        inner = self.number("mamba_expand", "expand", default=2) * self.width
        inner = self.number("mamba_inner", "mamba_d_ssm", default=inner)
        if not self.mamba_heads:
            return inner, states, self.number("mamba_n_groups", default=0)
        if self.data.get("mamba_d_head") != "auto":
            each = self.number("mamba_d_head", "mamba_head_dim", "mamba_headdim", default=0)
            inner = each * self.mamba_heads or inner
        groups = self.number("mamba_n_groups", "n_groups", "mamba_ngroups", default=1)
        return inner, states, groups

    @property
    def mamba_heads(self) -> int:
        """Heads of the second kind of Mamba; the first has none."""
        return self.number("mamba_n_heads", "mamba_num_heads", "n_mamba_heads", default=0)
