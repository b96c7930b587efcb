"""Configs that say what they keep in words of their own: counted, noted, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, UsageError
from assistants.servers.gpus import GIB
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.memory import (
    cache_of,
    kv_bytes_per_extra_token,
    need,
    state_bytes,
    tensor_parallel_error,
    token_bytes,
)
from assistants.servers.planning.uncounted import CACHE, SIZE, SMALL
from support.published_configs import CONFIGS
from support.unusual_configs import BY_HAND, ODD
from support.weight_files import safetensors

LLAMA = CONFIGS["Llama-3.1-8B"][1]


def bytes_of(config: dict[str, Any]) -> tuple[int, int, int]:
    """Of a token, of one more in a long conversation, and of a conversation."""
    facts = read_model(config)
    return token_bytes(facts), kv_bytes_per_extra_token(facts), state_bytes(facts)


def test_every_odd_config_is_worked_out() -> None:
    """None without its arithmetic."""
    assert set(BY_HAND) == set(ODD)


@pytest.mark.parametrize("name", BY_HAND)
def test_cache_bytes_are_those_worked_out_by_hand(name: str) -> None:
    """Layers named by number or by flag, borrowed caches, other heads, an index, sections."""
    assert bytes_of(ODD[name][1]) == BY_HAND[name]


@pytest.mark.parametrize("name", ODD)
def test_parameters_are_those_published(name: str) -> None:
    """Within 3% of what the makers say."""
    published, config = ODD[name]
    assert read_model(config).parameters.total == pytest.approx(published, rel=0.03)


MATRICES = {
    # 70 of MiniMax's layers have five of one size, 10 attend
    "MiniMax-M1": 70 * 5 * 6144 * 8192 + 10 * 2 * 6144 * (8192 + 1024),
    # 20 of Kimi's have four, two gates through a middle of 128, and one number a head; 7 a latent;
    # one layer is dense, 26 have a shared expert
    "Kimi-Linear-48B-A3B": 20 * (4 * 2304 * 4096 + 2 * 128 * (2304 + 4096) + 2304 * 32)
    + 7 * (2304 * (32 * 192 + 576 + 32 * 128) + 512 * 32 * (128 + 128))
    + 3 * 2304 * (9216 + 26 * 1024),
    # every layer attends; 24 are dense, and twice as wide as the shared expert of the other 24
    "Llama-4-Maverick": 48 * 2 * 5120 * (5120 + 1024) + 24 * 3 * 5120 * (16384 + 8192),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_are_those_worked_out_by_hand(name: str) -> None:
    """Where experts are nearly all there is, 3% of the whole hide the rest."""
    assert read_model(ODD[name][1]).parameters.linear == MATRICES[name]


def test_layers_are_counted_from_one_where_the_maker_does() -> None:
    """Kimi's first three layers keep states and its fourth tokens, so states come first."""
    first, second = read_model(ODD["Kimi-Linear-48B-A3B"][1]).layers
    assert (first.count, first.values, second.count, second.state) == (20, 0, 7, 0)


@pytest.mark.parametrize(
    ("name", "said", "gone"),
    [
        # transformers 5 writes out what each layer is
        ("Bamba-9B", {"layers_block_type": ["full_attention" if layer in (9, 18, 27)
                      else "linear_attention" for layer in range(32)]}, "attn_layer_indices"),
        ("Nemotron-H-8B", {"layers_block_type": [
            {"M": "linear_attention", "-": "mlp", "*": "full_attention"}[letter]
            for letter in ODD["Nemotron-H-8B"][1]["hybrid_override_pattern"]]},
            "hybrid_override_pattern"),
        ("MiniMax-M1", {"layer_types": (["linear_attention"] * 7 + ["full_attention"]) * 10},
         "attn_type_list"),
        ("Llama-4-Scout", {"layer_types": (["chunked_attention"] * 3 + ["full_attention"]) * 12},
         "no_rope_layers"),
        ("Falcon-H1-7B", {"mamba_d_head": "auto"}, "mamba_d_head"),
        ("gemma-3n-E4B", {}, "layer_types"),
        ("gemma-4-31B", {"sliding_window_pattern": 6}, "layer_types"),
        ("gemma-4-31B", {"sliding_window_pattern": "LLLLLG"}, "layer_types"),
    ],
)  # fmt: skip
def test_the_same_in_other_words_is_the_same(name: str, said: dict[str, Any], gone: str) -> None:
    """Layers that are named, numbered, flagged or patterned come to the same bytes."""
    config = {key: value for key, value in ODD[name][1].items() if key != gone} | said
    assert bytes_of(config) == BY_HAND[name]
    same = read_model(ODD[name][1]).parameters
    assert read_model(config).parameters == same


def test_layers_that_do_both_are_laid_out_as_two_kinds() -> None:
    """Falcon-H1: 44 layers with tokens and 44 with states, in blocks that hold a state."""
    facts = read_model(ODD["Falcon-H1-7B"][1])
    assert facts.depth == 44
    cache = cache_of(facts)
    # A layer's state of 1,594,368 bytes needs 98 blocks of 16 x 2 x 256 x 2 = 16,384.
    assert (cache.tokens, cache.size) == (98 * 16, 44 * 98 * 16_384)
    assert cache.blocks(98 * 16) == 1 + 1
    assert cache.blocks(98 * 16 + 1) == 2 + 1


def test_blocks_of_one_size_hold_more_of_smaller_tokens() -> None:
    """Gemma 4: 32 tokens of 8 KiB where a layer sees everything, 16 of 16 KiB where it slides."""
    cache = cache_of(read_model(ODD["gemma-4-31B"][1]))
    assert cache.size == 10 * 16 * 16 * 512 * 2
    sliding = 5 * (2 + 1)  # of 32 tokens, which may start in the middle of a block
    assert cache.blocks(32) == sliding + 1
    assert cache.blocks(33) == sliding + 5 + 2


def test_an_index_is_kept_on_every_gpu_in_eight_bits() -> None:
    """DeepSeek-V3.2: neither is it split, nor does a cache in fp8 make it smaller."""
    facts = read_model(ODD["DeepSeek-V3.2"][1])
    assert token_bytes(facts, 8) == token_bytes(facts)
    assert token_bytes(facts, cache="fp8") == 61 * (512 + 64 + 128 + 4)


def test_shared_heads_are_split_as_far_as_there_are_some() -> None:
    """Gemma 4 over 8 GPUs: 2 of 16 heads where a layer slides, a whole one of 4 where not."""
    facts = read_model(ODD["gemma-4-31B"][1])
    assert tensor_parallel_error(facts, 8) == ""
    assert kv_bytes_per_extra_token(facts, 8) == 81_920 // 4
    assert token_bytes(facts, 8) == 2 * (50 * 2 * 256 + 10 * 1 * 512) * 2


def test_states_are_in_16_bits_where_the_config_says_so() -> None:
    """Nemotron-H keeps 32 unless it is told otherwise; the others keep 16."""
    config = ODD["Nemotron-H-8B"][1]
    small = 24 * 2 * (3 * (8192 + 2 * 8 * 128) + 8192 * 128)
    assert bytes_of({**config, "mamba_ssm_cache_dtype": "bfloat16"})[2] == small
    assert bytes_of({**config, "mamba_ssm_cache_dtype": "float32"})[2] > 1.9 * small


@pytest.mark.parametrize("key", SMALL)
def test_what_is_not_counted_is_noted(key: str) -> None:
    """A few percent: the plan says what it left out, and nothing of what is not there."""
    assert any(key in note for note in read_model({**LLAMA, key: 4}).notes)
    for nothing in (None, 0, False, 1):
        assert read_model({**LLAMA, key: nothing}).notes == ()


@pytest.mark.parametrize("key", CACHE)
@pytest.mark.parametrize("value", [True, 4, [{"no_op": True}]])
def test_a_cache_that_cannot_be_counted_is_refused(key: str, value: object) -> None:
    """A plan that is wrong by a multiple is no plan."""
    with pytest.raises(FileError, match=key) as caught:
        read_model({**LLAMA, key: value})
    assert "without a plan" in caught.value.fix


@pytest.mark.parametrize("key", SIZE)
def test_parameters_that_cannot_be_counted_need_files(key: str, tmp_path: Path) -> None:
    """The headers of the files tell the size of the weights; without any it is refused."""
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, key: 1024}))
    with pytest.raises(FileError, match=key):
        read_model(tmp_path)
    safetensors(tmp_path / "model.safetensors", {"a": ("BF16", [8, 8], 128)})
    facts = read_model(tmp_path)
    assert facts.weights.total == 128
    assert any(key in note for note in facts.notes)
    with pytest.raises(FileError, match=key):
        read_model(tmp_path, quantization="fp8")  # which would be counted


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Bamba-9B", {"attn_layer_indices": ["9"]}),
        ("MiniMax-M1", {"attn_type_list": [0, 1]}),
        ("Kimi-Linear-48B-A3B", {"linear_attn_config": {"kda_layers": [1]}}),
        ("gemma-3n-E4B", {"intermediate_size": [16384]}),
        ("gemma-3n-E4B", {"num_kv_shared_layers": -1}),
        ("Llama-4-Scout", {"no_rope_layers": [1, 0]}),
        ("Llama-4-Scout", {"interleave_moe_layer_step": 0, "moe_layers": []}),
        ("MiniMax-M1", {"model_type": "another"}),  # states that nobody described
    ],
)
def test_what_cannot_be_meant_is_refused(name: str, change: dict[str, object]) -> None:
    """Lists of another length, numbers that are none, states without a shape."""
    with pytest.raises(FileError):
        read_model({**ODD[name][1], **change})


@given(
    name=st.sampled_from(sorted(ODD)),
    room=st.integers(0, 80 * GIB),
    length=st.integers(1, 100_000),
)
def test_what_is_promised_fits(name: str, room: int, length: int) -> None:
    """So many conversations as are promised take no more than the room, and longer never less."""
    facts = read_model(ODD[name][1])
    cache = cache_of(facts)
    count = cache.conversations(room, length)
    assert cache.bytes_for(length, count) <= room < cache.bytes_for(length, count + 1)
    assert need(facts, length + 1, 1).total >= need(facts, length, 1).total


@given(
    st.dictionaries(
        st.sampled_from(sorted({key for _, config in ODD.values() for key in config})),
        st.one_of(st.none(), st.integers(-5, 1 << 70), st.text(max_size=3), st.booleans(),
                  st.lists(st.integers(-1, 99), max_size=3),
                  st.dictionaries(st.sampled_from(["kda_layers", "num_heads", "kv_n_heads"]),
                                  st.lists(st.integers(), max_size=2))),
        max_size=4,
    ),
    st.sampled_from(sorted(ODD)),
)  # fmt: skip
def test_a_hostile_config_is_refused_or_read(change: dict[str, object], name: str) -> None:
    """Whatever stands in a config: an error of ours or a plan, never a traceback."""
    try:
        facts = read_model({**ODD[name][1], **change})
    except (FileError, UsageError):
        return
    assert need(facts, 100, 1).total > 0


def test_what_a_family_leaves_out_is_known() -> None:
    """Gemma 3 27B as published says neither vocabulary nor context, nor how large a head is."""
    published = {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504,
            "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
            "head_dim": 128, "query_pre_attn_scalar": 168, "sliding_window": 1024,
        },
    }  # fmt: skip
    small = {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
            "num_hidden_layers": 34, "sliding_window": 1024,
        },
    }  # fmt: skip
    for config, billions in ((published, 27.01), (small, 3.88)):  # without what sees pictures
        facts = read_model(config)
        assert (facts.vocabulary, facts.context) == (262_208, 131_072)
        assert facts.parameters.total == pytest.approx(billions * 1e9, rel=0.01)
    # keys and values x layers x heads x numbers x 2 bytes; every sixth of 34 layers sees all
    assert bytes_of(small) == (2 * 34 * 4 * 256 * 2, 2 * 5 * 4 * 256 * 2, 0)


def test_no_vocabulary_is_guessed() -> None:
    """A config that does not say its vocabulary is refused; of Llama, its own default is meant."""
    unsaid = {key: value for key, value in LLAMA.items() if key != "vocab_size"}
    assert read_model(unsaid).vocabulary == 32_000
    with pytest.raises(FileError, match="vocab_size"):
        read_model({**unsaid, "model_type": "another"})


def test_a_context_that_nobody_says_is_told() -> None:
    """2,048 tokens, which is what vLLM takes, and a note; of Llama, its own default is meant."""
    unsaid = {key: value for key, value in LLAMA.items() if key != "max_position_embeddings"}
    assert (read_model(unsaid).context, read_model(unsaid).notes) == (2048, ())
    other = read_model({**unsaid, "model_type": "another"})
    assert other.context == 2048
    assert "2,048 tokens" in " ".join(other.notes)
