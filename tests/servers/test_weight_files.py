"""Sizes of weights are read from the files themselves, and hostile files are refused."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.clients import weights_path
from assistants.errors import AssistantsError, FileError, UsageError
from assistants.servers.planning import gguf
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.memory import need, token_bytes
from support.weight_files import CONFIG, LLAMA, folder, gguf_file, packed, safetensors


def test_files_are_counted_byte_by_byte(tmp_path: Path) -> None:
    """Matrices are split over GPUs, the rest is copied, and layers that are not loaded are left."""
    folder(
        tmp_path,
        model__embed_tokens__weight=("BF16", [49152, 576], 56_623_104),
        model__layers__0__norm=("BF16", [576], 1_152),
        model__layers__30__mlp=("BF16", [576, 576], 663_552),  # the 31st of 30: guesses ahead
        mtp__fc__weight=("BF16", [576, 576], 663_552),
    )
    found = read_model(tmp_path).weights
    assert (found.split, found.copied, found.kind) == (56_623_104, 1_152, "BF16")
    assert found.on_each(2) == 56_623_104 // 2 + 1_152


def test_an_index_names_the_files(tmp_path: Path) -> None:
    """Parts that the index names are counted, other files in the folder are not."""
    folder(tmp_path, other=("BF16", [8, 8], 128))
    safetensors(tmp_path / "part-1.safetensors", {"a": ("F8_E4M3", [10, 10], 100)})
    safetensors(tmp_path / "part-2.safetensors", {"b": ("F8_E4M3", [10, 5], 50)})
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_model(tmp_path).weights.total == 150


def test_a_second_copy_in_another_layout_is_not_counted(tmp_path: Path) -> None:
    """Some publish ``consolidated.safetensors`` beside the same weights."""
    folder(tmp_path, a=("BF16", [8, 8], 128))
    safetensors(tmp_path / "consolidated.safetensors", {"a": ("BF16", [8, 8], 128)})
    assert read_model(tmp_path).weights.total == 128


def test_32_bit_files_are_loaded_in_16(tmp_path: Path) -> None:
    """As vLLM does unless told otherwise."""
    assert read_model(folder(tmp_path, a=("F32", [8, 8], 256))).weights.total == 128


def test_without_weights_the_config_is_counted(tmp_path: Path) -> None:
    """A folder with a config alone is enough to plan."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    facts = read_model(tmp_path)
    assert not facts.weights.measured
    assert facts.weights.total == 2 * 134_515_008


@pytest.mark.parametrize("raw", [
    b"", b"\x00" * 7, b"\xff" * 8, struct.pack("<Q", 1 << 40), struct.pack("<Q", 3) + b"abc",
    struct.pack("<Q", 9000) + b"[" * 9000,
    struct.pack("<Q", 66) + b'{"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 9999]}}  ',
    struct.pack("<Q", 10) + b'{"a": {}} ',
])  # fmt: skip
def test_a_damaged_file_is_refused(tmp_path: Path, raw: bytes) -> None:
    """Cut short, no JSON, or tensors beyond its end: an error that names the file."""
    folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(FileError, match=r"model\.safetensors"):
        read_model(tmp_path)


@pytest.mark.parametrize(
    "names", [{"a": "../secret.safetensors"}, {"a": 1}, {"a": "missing.safetensors"}, 7]
)
def test_an_index_stays_in_its_folder(tmp_path: Path, names: object) -> None:
    """Names that lead elsewhere, even to a good file, or nowhere, are refused."""
    safetensors(tmp_path / "secret.safetensors", {"a": ("BF16", [8, 8], 128)})
    inside = tmp_path / "model"
    inside.mkdir()
    folder(inside)
    (inside / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(FileError):
        read_model(inside)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 9000, '{"hidden_size": 1}'])
def test_a_damaged_config_is_refused(tmp_path: Path, text: str) -> None:
    """As is a folder without one."""
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(FileError, match=r"config\.json"):
        read_model(tmp_path)
    with pytest.raises(FileError, match="no such file"):
        read_model(tmp_path / "nowhere")


# GGUF


def test_the_embedded_model_is_read_from_its_own_file() -> None:
    """The real SmolLM2 file: 23,040 bytes a token, and its weights without the header."""
    path = weights_path("smollm2")
    facts = read_model(path)
    assert token_bytes(facts) == 2 * 30 * 3 * 64 * 2
    assert facts.weights.kind == "Q4_1"
    assert facts.context == 8192
    header = path.stat().st_size - facts.weights.total
    assert 0 < header < 4_000_000
    assert facts.parameters.total == pytest.approx(134_515_008, rel=0.03)


def test_a_gguf_header_tells_the_cache(tmp_path: Path) -> None:
    """Heads, layers and sizes under the architecture's name."""
    facts = read_model(gguf_file(tmp_path / "m.gguf", LLAMA))
    assert token_bytes(facts) == 2 * 3 * 2 * 16 * 2
    assert (facts.weights.total, facts.weights.kind) == (72, "Q4_0")
    assert need(facts, 512, 1).total > 0


def test_layers_without_heads_keep_a_state(tmp_path: Path) -> None:
    """A hybrid has a list of heads; where it is 0 the layer is recurrent."""
    ssm = {"ssm.inner_size": 128, "ssm.state_size": 16, "ssm.conv_kernel": 4}
    values = {**LLAMA, "llama.attention.head_count_kv": [0, 2, 0]}
    values |= {f"llama.{key}": value for key, value in ssm.items()}
    facts = read_model(gguf_file(tmp_path / "m.gguf", values))
    assert token_bytes(facts) == 2 * 1 * 2 * 16 * 2
    assert sum(g.count * g.state for g in facts.layers) == 2 * 2 * (3 * 128 + 128 * 16)


def test_parts_of_a_split_file_are_added(tmp_path: Path) -> None:
    """One model in several files: their weights together; a missing part is an error."""
    first = gguf_file(tmp_path / "m-00001-of-00002.gguf", LLAMA)
    with pytest.raises(FileError, match="00002-of-00002"):
        read_model(first)
    gguf_file(tmp_path / "m-00002-of-00002.gguf", {}, tensors=2, data=144)
    assert read_model(first).weights.total == 72 + 144


def test_weights_that_are_missing_are_noticed(tmp_path: Path) -> None:
    """A download that broke off is shorter than its header says."""
    with pytest.raises(FileError, match="cut short"):
        gguf.read(gguf_file(tmp_path / "m.gguf", LLAMA, data=71))


def test_a_gguf_file_is_what_it_is(tmp_path: Path) -> None:
    """It cannot be planned in another quantization: another file would be needed."""
    with pytest.raises(UsageError, match="Q4_0"):
        read_model(gguf_file(tmp_path / "m.gguf", LLAMA), quantization="fp8")


HEAD = b"GGUF" + struct.pack("<I", 3)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"GG", b"GGUF", b"GGML" + bytes(40), b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        HEAD + struct.pack("<QQ", 1 << 60, 0), HEAD + struct.pack("<QQ", 0, 1 << 60),
        HEAD + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1 << 62),
        HEAD + struct.pack("<QQ", 0, 1) + packed("k") + struct.pack("<I", 77),
        HEAD + struct.pack("<QQ", 0, 1) + packed("k") + struct.pack("<IIQ", 9, 9, 5),
        HEAD + struct.pack("<QQ", 0, 1) + packed("k") + struct.pack("<IIQ", 9, 8, 1 << 40),
        HEAD + struct.pack("<QQ", 0, 1) + packed("k") + struct.pack("<IIQ", 9, 4, 3_999_999),
        HEAD + struct.pack("<QQ", 1, 0) + packed("t") + struct.pack("<I", 1 << 30),
        HEAD + struct.pack("<QQ", 0, 1) + packed("general.alignment") + struct.pack("<II", 4, 0),
        HEAD + struct.pack("<QQ", 0, 0),
    ],
)  # fmt: skip
def test_a_hostile_header_is_refused_at_once(tmp_path: Path, raw: bytes) -> None:
    """Claims of billions, lists in lists, unknown kinds: an error, quickly, with little memory."""
    path = tmp_path / "m.gguf"
    path.write_bytes(raw)
    start = time.process_time()
    with pytest.raises(FileError, match=r"m\.gguf"):
        read_model(path)
    assert time.process_time() - start < 1


def test_lists_are_neither_endless_nor_nested(tmp_path: Path) -> None:
    """Both are refused for what they are, before anything is read of them."""
    path = tmp_path / "m.gguf"
    start = HEAD + struct.pack("<QQ", 0, 1) + packed("k") + struct.pack("<I", 9)
    path.write_bytes(start + struct.pack("<IQ", 4, 1 << 40))
    with pytest.raises(FileError, match="4,000,000 items"):
        read_model(path)
    path.write_bytes(start + struct.pack("<IQ", 9, 1) * 5000)
    with pytest.raises(FileError, match="kind 9"):
        read_model(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 400), put=st.binary(min_size=1, max_size=9))
def test_a_changed_byte_is_no_crash(
    tmp_path_factory: pytest.TempPathFactory, at: int, put: bytes
) -> None:
    """Whatever is written over a good file: an error of ours or facts, never a traceback."""
    path = gguf_file(tmp_path_factory.getbasetemp() / "fuzz.gguf", LLAMA)
    raw = bytearray(path.read_bytes())
    raw[at : at + len(put)] = put
    path.write_bytes(raw)
    try:
        read_model(path)
    except AssistantsError:
        return
