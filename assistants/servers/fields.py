"""The values of a model's config under all the names its makers gave them, each checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assistants.errors import FileError

MOST = 1 << 40
"""No size in a config is larger; a hostile one must not make a plan count for ever."""

MOST_LAYERS = 10_000


class Fields:
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
    def inner(self) -> int:
        """The widest part of a layer that every token goes through."""
        width = self.width
        usual = self.number("intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim",
                            default=4 * width)  # fmt: skip
        return usual or self.number("moe_intermediate_size", default=4 * width)

    @property
    def chosen(self) -> int:
        """How wide the experts are that one token goes through, together; 0 without any."""
        each = self.number("moe_intermediate_size", "intermediate_size", default=0)
        return self.number("num_experts_per_tok", "experts_per_token", default=0) * each

    @property
    def heads(self) -> int:
        """Heads that ask."""
        return self.positive("num_attention_heads", "n_head", "n_heads")

    @property
    def head(self) -> int:
        """Numbers of one key."""
        return self.positive("head_dim", "d_kv", default=self.width // self.heads)

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
        return self.number("num_key_value_heads", "num_kv_heads", "n_head_kv", default=self.heads)

    def each_head_count(self) -> list[int]:
        """Heads of keys and values, layer by layer."""
        value = self.data.get("num_key_value_heads")
        if not isinstance(value, Sequence) or isinstance(value, str):
            return [self.key_heads] * self.depth
        counts = [Fields({"head count": each}, self.source).number("head count") for each in value]
        if len(counts) != self.depth:
            raise FileError(self.source, f"head counts of {len(counts)} layers, not {self.depth}.")
        return counts

    @property
    def window(self) -> int | None:
        """Tokens that a sliding layer looks back; ``None`` if none slides."""
        if self.data.get("use_sliding_window") is False:
            return None
        return self.number("sliding_window", "attention_window_size", default=0) or None

    @property
    def context(self) -> int:
        """The longest conversation its makers allow, in tokens."""
        names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")
        return self.positive(*names, default=2048)

    @property
    def mamba(self) -> tuple[int, int, int]:
        """Inner width, numbers of state and groups (0: the first kind of Mamba)."""
        states = self.positive("mamba_d_state", "ssm_state_size", "state_size", default=16)
        heads = self.number("mamba_n_heads", "mamba_num_heads", default=0)
        if heads:
            each = self.data.get("mamba_d_head")
            usual = self.number("mamba_expand", "expand", default=2) * self.width // heads
            head = usual if each in ("auto", None) else self.number("mamba_d_head")
            head = self.number("mamba_head_dim", default=head)
            return heads * head, states, self.number("mamba_n_groups", "n_groups", default=1)
        inner = self.number("mamba_expand", "expand", default=2) * self.width
        inner = self.number("mamba_inner", default=inner)
        return inner, states, self.number("mamba_n_groups", default=0)
