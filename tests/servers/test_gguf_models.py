"""What a GGUF header tells of a conversation is what the config of the same model tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistants.errors import FileError
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.memory import (
    cache_of,
    kv_bytes_per_extra_token,
    state_bytes,
    token_bytes,
)
from support.published_configs import CONFIGS
from support.unusual_configs import ODD
from support.weight_files import gguf_file

PATTERN = "attention.sliding_window_pattern"

GEMMA = {
    "block_count": 26, "embedding_length": 1152, "attention.head_count": 4,
    "attention.head_count_kv": 1, "attention.key_length": 256, "attention.value_length": 256,
    "attention.sliding_window": 512, "context_length": 32768,
}  # fmt: skip

DEEPSEEK = {
    "block_count": 27, "embedding_length": 2048, "attention.head_count": 16,
    "attention.head_count_kv": 1, "attention.key_length": 576, "attention.value_length": 512,
    "attention.kv_lora_rank": 512, "rope.dimension_count": 64, "context_length": 163840,
}  # fmt: skip

QWEN = {
    "block_count": 48, "embedding_length": 2048, "attention.head_count": 16,
    "attention.head_count_kv": 2, "attention.key_length": 256, "attention.value_length": 256,
    "ssm.conv_kernel": 4, "ssm.state_size": 128, "ssm.group_count": 16, "ssm.time_step_rank": 32,
    "ssm.inner_size": 4096, "context_length": 262144,
}  # fmt: skip

GEMMA_3N = {
    "block_count": 35, "embedding_length": 2048, "attention.head_count": 8,
    "attention.head_count_kv": 2, "attention.key_length": 256, "attention.value_length": 256,
    "attention.sliding_window": 512, "attention.shared_kv_layers": 15,
    "feed_forward_length": [16384] * 35, "context_length": 32768,
}  # fmt: skip

GEMMA_4 = {
    "block_count": 60, "embedding_length": 5376, "attention.head_count": 32,
    "attention.head_count_kv": [16, 16, 16, 16, 16, 4] * 10, "attention.key_length": 512,
    "attention.value_length": 512, "attention.key_length_swa": 256,
    "attention.value_length_swa": 256, "attention.sliding_window": 1024,
    PATTERN: [True, True, True, True, True, False] * 10, "context_length": 262144,
}  # fmt: skip

SLIDING = [(layer + 1) % 6 != 0 for layer in range(26)]

SAME: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    # name: architecture, header, config of the same model
    "window, known family": ("gemma3", GEMMA, CONFIGS["gemma-3-1b"][1]),
    "window, every so many": (
        "another", {**GEMMA, PATTERN: 6}, CONFIGS["gemma-3-1b"][1]),
    "window, flags": (
        "exaone4", {**GEMMA, PATTERN: SLIDING},
        CONFIGS["gemma-3-1b"][1]),
    "window, numbers": (
        "another", {**GEMMA, PATTERN: [int(s) for s in SLIDING]},
        CONFIGS["gemma-3-1b"][1]),
    "latent": ("deepseek2", DEEPSEEK, CONFIGS["DeepSeek-V2-Lite"][1]),
    "states, interval": (
        "qwen3next", {**QWEN, "full_attention_interval": 4}, CONFIGS["Qwen3-Next-80B-A3B"][1]),
    "states, flags": (
        "qwen3next", {**QWEN, "attention.recurrent_layers": [True, True, True, False] * 12},
        CONFIGS["Qwen3-Next-80B-A3B"][1]),
    "borrowed caches": ("gemma3n", GEMMA_3N, ODD["gemma-3n-E4B"][1]),
    "other heads": ("gemma4", GEMMA_4, ODD["gemma-4-31B"][1]),
}  # fmt: skip


def written(path: Path, name: str, values: dict[str, Any]) -> Path:
    """A file whose header says this of an architecture."""
    named = {f"{name}.{key}": value for key, value in values.items()}
    return gguf_file(path / "m.gguf", {"general.architecture": name, **named})


@pytest.mark.parametrize("name", SAME)
def test_a_header_tells_the_same_as_the_config(tmp_path: Path, name: str) -> None:
    """Windows, latents, states, borrowed caches and other heads: the same bytes and blocks."""
    architecture, header, config = SAME[name]
    ours, theirs = read_model(written(tmp_path, architecture, header)), read_model(config)
    for count in (token_bytes, kv_bytes_per_extra_token, state_bytes):
        assert count(ours) == count(theirs)
    assert cache_of(ours) == cache_of(theirs)
    assert ours.notes == ()


@pytest.mark.parametrize("name", ["exaone4", "llama", "smallthinker"])
def test_a_window_that_nobody_explains_is_not_counted(tmp_path: Path, name: str) -> None:
    """Who knows which layers slide: all are counted as seeing everything, and that is said."""
    facts = read_model(written(tmp_path, name, GEMMA))
    assert kv_bytes_per_extra_token(facts) == token_bytes(facts) == 2 * 26 * 1 * 256 * 2
    assert "look at everything" in facts.notes[0]


def test_every_single_layer_sees_everything(tmp_path: Path) -> None:
    """A pattern of 1 means that none slides, as llama.cpp has it."""
    facts = read_model(written(tmp_path, "another", {**GEMMA, PATTERN: 1}))
    assert kv_bytes_per_extra_token(facts) == token_bytes(facts)
    assert facts.notes == ()


def test_a_list_of_another_length_is_refused(tmp_path: Path) -> None:
    """Flags of 25 layers in a model of 26."""
    header = {**GEMMA, PATTERN: SLIDING[1:]}
    with pytest.raises(FileError, match="25 layers"):
        read_model(written(tmp_path, "exaone4", header))
