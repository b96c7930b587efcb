"""Bytes of published models, worked out by hand, and what follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.clients import Metrics
from assistants.errors import FileError, UsageError
from assistants.servers import (
    GIB,
    ServerStatus,
    kv_bytes_per_extra_token,
    kv_cache,
    memory_requirement,
    read_model,
    token_bytes,
)
from assistants.servers.planning.memory import CPU_BLOCK, tensor_parallel_error
from support.published_configs import CONFIGS

BY_HAND: dict[str, tuple[int, int]] = {
    # name: bytes of a token, bytes of one more token in a long conversation
    #
    # keys and values x layers x heads x numbers x 2 bytes
    "gpt2": (2 * 12 * 12 * 64 * 2, 36_864),
    "Llama-2-7b": (2 * 32 * 32 * 128 * 2, 524_288),
    "SmolLM2-135M": (2 * 30 * 3 * 64 * 2, 23_040),
    "Llama-3.1-8B": (2 * 32 * 8 * 128 * 2, 131_072),
    "Qwen3-8B": (2 * 36 * 8 * 128 * 2, 147_456),
    "Qwen2.5-7B": (2 * 28 * 4 * 128 * 2, 57_344),
    "falcon-7b": (2 * 32 * 1 * 64 * 2, 8_192),
    "Mixtral-8x7B": (2 * 32 * 8 * 128 * 2, 131_072),
    "Qwen3-30B-A3B": (2 * 48 * 4 * 128 * 2, 98_304),
    # all 32 layers look back 4,096 tokens, so a long conversation takes nothing more
    "Mistral-7B-v0.1": (2 * 32 * 8 * 128 * 2, 0),
    # 21 of 42 layers slide
    "gemma-2-9b": (2 * 42 * 8 * 256 * 2, 2 * 21 * 8 * 256 * 2),
    # every sixth of 26 layers sees all: 4 do
    "gemma-3-1b": (2 * 26 * 1 * 256 * 2, 2 * 4 * 1 * 256 * 2),
    # every second of 24 layers
    "gpt-oss-20b": (2 * 24 * 8 * 64 * 2, 2 * 12 * 8 * 64 * 2),
    # one latent of 512 and 64 numbers of position a layer, for all heads
    "DeepSeek-V2-Lite": (27 * (512 + 64) * 2, 31_104),
    "DeepSeek-V3": (61 * (512 + 64) * 2, 70_272),
    # 2 groups of 128 for 32 heads
    "glm-4-9b-chat": (2 * 40 * 2 * 128 * 2, 40_960),
}  # fmt: skip


KEYS = sorted({*CONFIGS["gemma-3-1b"][1], *CONFIGS["DeepSeek-V3"][1], "layer_types"})


def test_every_published_config_is_worked_out() -> None:
    """The table has at least twelve models, and none without its arithmetic."""
    assert set(BY_HAND) == set(CONFIGS)
    assert len(BY_HAND) >= 12


@pytest.mark.parametrize("name", BY_HAND)
def test_cache_bytes_are_those_worked_out_by_hand(name: str) -> None:
    """Dense, grouped, one head, latent and sliding: every byte of the cache."""
    model = read_model(CONFIGS[name][1])
    assert (token_bytes(model), kv_bytes_per_extra_token(model)) == BY_HAND[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_published(name: str) -> None:
    """Within 3% of what the makers say; most are met exactly."""
    published, config = CONFIGS[name]
    assert read_model(config).parameters.total == pytest.approx(published, rel=0.03)


def test_a_window_that_is_not_used_is_none() -> None:
    """Qwen2.5 names a window and says that it does not use it."""
    config = {**CONFIGS["Qwen2.5-7B"][1], "max_window_layers": 0}
    assert kv_bytes_per_extra_token(read_model(config)) == 57_344
    assert kv_bytes_per_extra_token(read_model({**config, "use_sliding_window": True})) == 0


def test_weights_take_two_bytes_a_parameter() -> None:
    """16 bit is what a server loads, also where the config says 32."""
    published, config = CONFIGS["Llama-3.1-8B"]
    assert read_model(config).weights.total == pytest.approx(2 * published, rel=0.001)
    wide = read_model({**config, "torch_dtype": "float32"})
    assert wide.weights.total == read_model(config).weights.total


@pytest.mark.parametrize(
    ("name", "published_gib"),
    # The sizes of the files on the hub: 688.6 GB with 14 GB of layers that are not loaded, 13.8 GB.
    [("DeepSeek-V3", 674.6e9 / GIB), ("gpt-oss-20b", 13.76e9 / GIB)],
)
def test_published_quantizations_have_their_published_size(name: str, published_gib: float) -> None:
    """Eight bits with scales, and four bits of the experts alone, with theirs."""
    assert read_model(CONFIGS[name][1]).weights.total / GIB == pytest.approx(
        published_gib, rel=0.03
    )


def test_groups_of_four_bits_carry_scales_and_zeros() -> None:
    """AWQ and GPTQ: matrices of layers in 4 bits, a scale and a zero for 128; the rest in 16."""
    config = {**CONFIGS["Llama-3.1-8B"][1]}
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 128}
    embeddings, matrices = (
        2 * 128256 * 4096,
        32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336),
    )
    by_hand = 2 * embeddings + matrices // 2 + matrices * (2 + 0.5) / 128
    assert read_model(config).weights.total == pytest.approx(by_hand, rel=0.001)
    asked = read_model(CONFIGS["Llama-3.1-8B"][1], quantization="awq")
    assert asked.weights.total == pytest.approx(by_hand, rel=0.001)


def test_a_cpu_server_reports_what_was_seen() -> None:
    """SmolLM2 on vLLM for CPUs: 2 GiB of cache were 93,184 tokens, in blocks of 128."""
    model = read_model(CONFIGS["SmolLM2-135M"][1])
    assert kv_cache(model, block=CPU_BLOCK).capacity(2 * GIB, 8192) == 93_184


def test_fp8_halves_the_cache() -> None:
    """One byte a number instead of two; anything else is refused."""
    model = read_model(CONFIGS["Qwen3-8B"][1])
    assert token_bytes(model, cache="fp8") * 2 == token_bytes(model)
    with pytest.raises(UsageError, match="fp4"):
        kv_cache(model, cache="fp4")


def test_heads_are_split_and_copied_when_they_run_out() -> None:
    """Four heads over two GPUs are halved; over eight, each GPU keeps a whole one."""
    model = read_model(CONFIGS["Qwen3-30B-A3B"][1])
    assert token_bytes(model, 2) == token_bytes(model) // 2
    assert token_bytes(model, 8) == token_bytes(model) // 4


def test_a_latent_is_not_split() -> None:
    """Every GPU of a group keeps the whole latent."""
    model = read_model(CONFIGS["DeepSeek-V3"][1])
    assert token_bytes(model, 8) == token_bytes(model)


def test_heads_that_do_not_divide_are_named() -> None:
    """9 heads go over 3 GPUs and not over 2."""
    model = read_model(CONFIGS["SmolLM2-135M"][1])
    assert tensor_parallel_error(model, 3) == ""
    assert "9 heads" in tensor_parallel_error(model, 2)


def test_a_window_stops_the_growth() -> None:
    """Beyond window and two steps of reading, a longer conversation takes no more.

    vLLM 0.32 reserves that much: it plans a step while the one before still runs.
    """
    cache = kv_cache(read_model(CONFIGS["Mistral-7B-v0.1"][1]))
    limit = 4096 - 1 + 2 * 8192
    assert cache.blocks(limit) == cache.blocks(32_768) == 1280 + 1
    assert cache.blocks(4096) == 4096 // 16 + 1  # it may start in the middle of a block


@pytest.mark.parametrize("name", CONFIGS)
def test_a_card_promises_no_more_than_fits(name: str) -> None:
    """From what a server of that model tells: exactly as many as fit, or nothing."""
    cache, context, blocks = kv_cache(read_model(CONFIGS[name][1])), 9_000, 40_000
    told = Metrics(
        cache_tokens=cache.capacity(blocks * cache.block_bytes, context),
        cache_blocks=blocks,
        block_size=cache.block_tokens,
    )
    said = ServerStatus(context, told)
    assert said.holds(context) == cache.conversations(blocks * cache.block_bytes, context)
    one_block = not cache.sliding_groups
    for length in (1_024, 4_096):
        fits = cache.conversations(blocks * cache.block_bytes, length)
        assert said.holds(length) == (fits if one_block else None)


def test_few_layers_of_a_kind_are_padded() -> None:
    """Gemma 3: 22 layers that slide go into groups of 4, the last of them padded."""
    cache = kv_cache(read_model(CONFIGS["gemma-3-1b"][1]))
    assert (cache.full_groups, cache.sliding_groups, cache.window) == (1, 6, 512)
    assert cache.block_bytes == 4 * 16 * 1 * 512 * 2


@given(
    name=st.sampled_from(sorted(CONFIGS)),
    room=st.integers(0, 80 * GIB),
    length=st.integers(1, 100_000),
)
def test_what_is_promised_fits(name: str, room: int, length: int) -> None:
    """So many conversations as are promised take no more than the room, and one more would."""
    cache = kv_cache(read_model(CONFIGS[name][1]))
    count = cache.conversations(room, length)
    assert cache.bytes_for(length, count) <= room
    assert cache.bytes_for(length, count + 1) > room
    assert cache.capacity(room, length) >= count * length


@given(name=st.sampled_from(sorted(CONFIGS)), length=st.integers(1, 50_000))
def test_longer_never_takes_less(name: str, length: int) -> None:
    """Context, conversations and weights only add."""
    model = read_model(CONFIGS[name][1])
    one = memory_requirement(model, length, 1)
    assert memory_requirement(model, length + 1, 1).total >= one.total
    assert memory_requirement(model, length, 2).total >= one.total
    assert one.fixed == one.weights + one.process
    assert one.total == one.weights + one.overhead + one.cache + one.process


def test_a_group_of_gpus_needs_buffers_to_talk() -> None:
    """Weights and cache are halved over two GPUs; what NCCL takes is added on each."""
    model = read_model(CONFIGS["Mixtral-8x7B"][1])
    one, two = memory_requirement(model, 4096, 1), memory_requirement(model, 4096, 1, 2)
    assert one.communication == 0
    assert two.communication > 0
    assert two.cache * 2 == one.cache
    assert two.weights * 2 == pytest.approx(one.weights, rel=0.001)


def test_a_nested_config_is_read() -> None:
    """A model that also sees pictures keeps the config of its text part inside."""
    config = {"model_type": "x", "dtype": "bfloat16", "text_config": CONFIGS["Qwen3-8B"][1]}
    model = read_model(config)
    assert token_bytes(model) == BY_HAND["Qwen3-8B"][0]
    assert "Only the part that reads text" in model.notes[0]


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": None}, {"num_hidden_layers": "32"}, {"num_hidden_layers": 10**9},
        {"num_attention_heads": 0}, {"hidden_size": -1}, {"hidden_size": 1 << 60},
        {"num_key_value_heads": True}, {"num_key_value_heads": [8]}, {"head_dim": 0},
        {"layer_types": ["full_attention"]}, {"layer_types": ["quantum"] * 32},
        {"layer_types": [{}] * 32},
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_meant_is_refused(change: dict[str, object]) -> None:
    """A missing or absurd value is an error that names it, not a wrong plan."""
    with pytest.raises(FileError):
        read_model({**CONFIGS["Llama-3.1-8B"][1], **change})


@given(
    st.dictionaries(
        st.sampled_from(KEYS),
        st.one_of(st.none(), st.integers(-5, 1 << 70), st.text(max_size=3), st.booleans(),
                  st.lists(st.integers(), max_size=3), st.dictionaries(st.text(), st.text())),
        max_size=4,
    ),
    st.sampled_from(sorted(CONFIGS)),
)  # fmt: skip
def test_a_hostile_config_is_refused_or_read(change: dict[str, object], name: str) -> None:
    """Whatever stands in a config: an error of ours or a plan, never a traceback."""
    config = {**CONFIGS[name][1], **change}
    if isinstance(config["num_hidden_layers" if name != "gpt2" else "n_layer"], int):
        config["num_hidden_layers" if name != "gpt2" else "n_layer"] %= 200  # type: ignore[operator]
    try:
        model = read_model(config)
    except (FileError, UsageError):
        return
    assert memory_requirement(model, 100, 1).total > 0


REFUSED = (
    "mamba mamba2 jamba bamba falcon_h1 nemotron_h minimax_m1 kimi_linear qwen3_next rwkv zamba2"
    " qwen3_5_moe_text granitemoehybrid recurrent_gemma gemma3n_text gemma4_text llama4_text dbrx"
    " deepseek_v32 t5"
).split()
"""Recurrent, hybrid, linear attention, an index, several head sizes, shared caches, an encoder."""


@pytest.mark.parametrize("model_type", [*REFUSED, "", "unheard-of"])
def test_other_architectures_are_refused_by_name(model_type: str) -> None:
    """A plan that is wrong by a multiple is no plan; the error says what to give instead."""
    with pytest.raises(FileError, match=repr(model_type)) as caught:
        read_model({**CONFIGS["Llama-3.1-8B"][1], "model_type": model_type})
    assert 'memory = "18GiB"' in caught.value.fix


@pytest.mark.parametrize("kind", ["mamba", "linear_attention", "chunked_attention"])
def test_other_layers_are_refused_by_name(kind: str) -> None:
    """Also where the model's type is a known one."""
    layers = [*["full_attention"] * 31, kind]
    with pytest.raises(FileError, match=repr(kind)) as caught:
        read_model({**CONFIGS["Llama-3.1-8B"][1], "layer_types": layers})
    assert 'memory = "18GiB"' in caught.value.fix


def test_layers_that_are_named_and_layers_of_a_pattern_are_the_same() -> None:
    """Gemma 3 names its layers since transformers 5: every sixth sees everything."""
    config = CONFIGS["gemma-3-1b"][1]
    kinds = ["full_attention" if (at + 1) % 6 == 0 else "sliding_attention" for at in range(26)]
    assert read_model({**config, "layer_types": kinds}) == read_model(config)


def test_what_a_family_leaves_out_is_known() -> None:
    """Gemma 3 27B as published says neither vocabulary nor context; 4B no heads either."""
    large = {
        "model_type": "gemma3_text", "hidden_size": 5376, "intermediate_size": 21504,
        "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
        "head_dim": 128, "query_pre_attn_scalar": 168, "sliding_window": 1024,
    }  # fmt: skip
    small = {
        "model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240,
        "num_hidden_layers": 34, "sliding_window": 1024,
    }  # fmt: skip
    for config, billions in ((large, 27.01), (small, 3.88)):  # without what sees pictures
        model = read_model({"model_type": "gemma3", "text_config": config})
        assert (model.vocab_size, model.context) == (262_208, 131_072)
        assert model.parameters.total == pytest.approx(billions * 1e9, rel=0.01)
    # keys and values x layers x heads x numbers x 2 bytes; every sixth of 34 layers sees all
    model = read_model(small)
    by_hand = (2 * 34 * 4 * 256 * 2, 2 * 5 * 4 * 256 * 2)
    assert (token_bytes(model), kv_bytes_per_extra_token(model)) == by_hand


def test_no_vocabulary_is_guessed_and_a_context_that_nobody_says_is_told() -> None:
    """2,048 tokens, which is what vLLM takes, and a note; of Llama, its own defaults are meant."""
    gone = ("vocab_size", "max_position_embeddings")
    config = {key: value for key, value in CONFIGS["Llama-3.1-8B"][1].items() if key not in gone}
    llama = read_model(config)
    assert (llama.vocab_size, llama.context, llama.notes) == (32_000, 2048, ())
    with pytest.raises(FileError, match="vocab_size"):
        read_model({**config, "model_type": "olmo2"})
    other = read_model({**config, "model_type": "olmo2", "vocab_size": 100})
    assert other.context == 2048
    assert "2,048 tokens" in " ".join(other.notes)
