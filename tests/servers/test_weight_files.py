"""Sizes of weights are read from the files themselves, and hostile files are refused."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest

from assistants.errors import FileError, MissingDependencyError
from assistants.servers import read_model
from support.weight_files import CONFIG, folder, safetensors


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
    model = read_model(tmp_path)
    assert not model.weights.measured
    assert model.weights.total == 2 * 134_515_008


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


def test_weights_of_an_unknown_type_are_refused(tmp_path: Path) -> None:
    """A type that safetensors itself does not know, by name."""
    folder(tmp_path, a=("Q9_K", [8, 8], 128))
    with pytest.raises(FileError, match="Q9_K"):
        read_model(tmp_path)


def test_four_bits_are_half_a_byte(tmp_path: Path) -> None:
    """Packed or not, and with scales of eight bits that hold only an exponent."""
    folder(
        tmp_path, a=("F4", [64, 64], 2048), b=("U8", [64, 32], 2048), c=("F8_E8M0", [64, 2], 128)
    )
    assert read_model(tmp_path).weights.total == 2048 + 2048 + 128


def test_without_safetensors_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where there are files to read: a config alone needs nothing."""
    monkeypatch.setitem(sys.modules, "safetensors", None)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_model(tmp_path).weights.total == 2 * 134_515_008
    safetensors(tmp_path / "model.safetensors", {"a": ("BF16", [8, 8], 128)})
    with pytest.raises(MissingDependencyError, match="safetensors") as caught:
        read_model(tmp_path)
    assert "assistants[serve]" in caught.value.fix


def test_a_gguf_file_is_refused_with_what_to_give_instead(tmp_path: Path) -> None:
    """The config of its model, or the memory that its server takes."""
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(FileError, match="GGUF") as caught:
        read_model(tmp_path / "m.gguf")
    assert "memory = " in caught.value.fix
