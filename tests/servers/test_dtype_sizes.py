"""``--dtype``: how wide the numbers of a model are, in its weights and in its cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from assistants.errors import UsageError
from assistants.servers import kv_cache, memory_requirement, read_model, token_bytes
from support.published_configs import CONFIGS
from support.weight_files import folder

NAMES = ["gpt2", "Qwen3-8B", "gemma-3-1b", "DeepSeek-V2-Lite"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float", "float32"])
@pytest.mark.parametrize("gpus", [1, 2])
def test_32_bits_double_weights_and_cache(name: str, dtype: str, gpus: int) -> None:
    """Whatever keeps tokens or states, on one GPU or split over two: everything doubles."""
    plain = read_model(CONFIGS[name][1])
    wide = read_model(CONFIGS[name][1], dtype=dtype)
    assert wide.weights.total == 2 * plain.weights.total
    assert token_bytes(wide, gpus) == 2 * token_bytes(plain, gpus)
    narrow = kv_cache(plain, gpus)
    assert kv_cache(wide, gpus) == replace(narrow, block_bytes=2 * narrow.block_bytes)
    assert (
        memory_requirement(wide, 4096, 1, gpus).cache
        == 2 * memory_requirement(plain, 4096, 1, gpus).cache
    )


def test_what_flows_between_layers_doubles() -> None:
    """Mixtral's layers need more than the scores of its small vocabulary."""
    plain = read_model(CONFIGS["Mixtral-8x7B"][1])
    wide = read_model(CONFIGS["Mixtral-8x7B"][1], dtype="float32")
    assert (
        memory_requirement(wide, 4096, 1).activations
        == 2 * memory_requirement(plain, 4096, 1).activations
    )


def test_a_latent_in_32_bits_is_not_split() -> None:
    """Every GPU keeps 4 bytes of all of it."""
    wide = read_model(CONFIGS["DeepSeek-V2-Lite"][1], dtype="float32")
    assert token_bytes(wide, 4) == 27 * (512 + 64) * 4


def test_a_cache_in_fp8_stays_in_fp8() -> None:
    """Its numbers are of one byte, however wide the model is."""
    plain = read_model(CONFIGS["Qwen3-8B"][1])
    wide = read_model(CONFIGS["Qwen3-8B"][1], dtype="float32")
    assert token_bytes(wide, cache="fp8") == token_bytes(plain, cache="fp8")


@pytest.mark.parametrize("dtype", [None, "auto", "half", "float16", "bfloat16"])
@pytest.mark.parametrize("said", ["float32", "bfloat16", "float16"])
def test_all_else_is_16_bits(dtype: str | None, said: str) -> None:
    """Also for a model of 32: vLLM takes that for ``auto`` and loads 16."""
    config = {**CONFIGS["SmolLM2-135M"][1], "torch_dtype": said}
    model = read_model(config, dtype=dtype)
    assert model.weights.total == 2 * 134_515_008
    assert model.dtype_bytes == 2


@pytest.mark.parametrize("dtype", ["fp32", "float8", "", "Float32"])
def test_an_unknown_type_is_named_with_the_known_ones(dtype: str) -> None:
    """A mistyped one is no 16 bits."""
    with pytest.raises(UsageError, match="dtype") as caught:
        read_model(CONFIGS["gpt2"][1], dtype=dtype)
    for known in ("auto", "half", "float16", "bfloat16", "float", "float32"):
        assert known in caught.value.fix


def test_files_are_loaded_as_wide_as_is_asked(tmp_path: Path) -> None:
    """Numbers of 16 and 32 bits become what is asked for, in matrices and in what is copied."""
    folder(tmp_path, a=("BF16", [8, 8], 128), b=("F16", [8], 16), c=("F32", [8, 8], 256))
    plain, wide = read_model(tmp_path).weights, read_model(tmp_path, dtype="float32").weights
    assert (plain.split, plain.copied) == (128 + 128, 16)
    assert (wide.split, wide.copied) == (256 + 256, 32)


def test_files_say_how_they_are_loaded(tmp_path: Path) -> None:
    """Only where that is not how they are."""
    folder(tmp_path, a=("BF16", [8, 8], 128))
    assert read_model(tmp_path).weights.kind == "BF16"
    assert read_model(tmp_path, dtype="float32").weights.kind == "BF16, loaded in 32 bit"


def test_quantized_weights_and_their_scales_stay(tmp_path: Path) -> None:
    """Eight bits stay eight, scales of 32 stay 32; what is not quantized widens."""
    folder(tmp_path, a=("F8_E4M3", [64, 64], 4096), s=("F32", [8, 8], 256), e=("BF16", [8, 8], 128))
    assert read_model(tmp_path).weights.total == 4096 + 256 + 128
    assert read_model(tmp_path, dtype="float32").weights.total == 4096 + 256 + 2 * 128


def test_a_quantization_from_the_config_keeps_its_bytes() -> None:
    """AWQ in a model of 32 bits: its matrices stay, its embeddings double."""
    config = CONFIGS["Llama-3.1-8B"][1]
    plain = read_model(config, quantization="awq").weights.total
    wide = read_model(config, quantization="awq", dtype="float32").weights.total
    parameters = read_model(config).parameters
    assert wide - plain == 2 * (parameters.embedding + parameters.small)
    assert read_model(config, dtype="float32").quantized("awq").weights.total == wide
