"""What a config of a family leaves out because its makers' code has it.

Published configs of Gemma 3 (4B, 12B, 27B) say neither vocabulary nor context nor heads.

Notes
-----
The defaults of the classes in ``transformers`` 5, ``configuration_*.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def with_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """A config on top of what its family takes where it says nothing."""
    family = data.get("model_type")
    return {**_DEFAULTS.get(family if isinstance(family, str) else "", {}), **data}
