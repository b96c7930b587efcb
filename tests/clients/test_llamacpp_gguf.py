"""Any GGUF file is a model, known by what is in it and not by where it lies."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from assistants import Experiment
from assistants.clients import OpenAIClient, connect, fetch_weights, weights_path
from assistants.clients.llamacpp import client as local
from assistants.clients.llamacpp.digests import cached_sha256, file_sha256
from assistants.clients.llamacpp.process import LlamaProcess
from assistants.errors import ServerUnreachableError, UsageError
from assistants.messages import Message, Sampling
from assistants.models import Catalogue

HELLO = Message("user", "Hello there!")
SHORT = Sampling(temperature=0, max_tokens=8)
LONG_AGO = 1_600_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def identity(model: str, folder: Path) -> str:
    client = connect(model, folder=folder)
    assert isinstance(client, OpenAIClient)
    assert client.model == model
    return client.identity


def test_a_file_is_known_by_its_content(cache: Path, tmp_path: Path) -> None:
    """Moved or renamed it is the same model, so its answers are found; changed it is another."""
    first = write(tmp_path / "a" / "one.gguf", b"GGUF one")
    write(tmp_path / "b" / "two.gguf", b"GGUF one")
    known = identity("local:one.gguf", tmp_path / "a")
    assert known == f"local:gguf@{file_sha256(first)[:16]}"
    assert identity("local:two.gguf", tmp_path / "b") == known
    assert identity(f"local:{first}", tmp_path / "elsewhere") == known
    assert identity("local:./a/../a/one.gguf", tmp_path) == known
    write(first, b"GGUF two")
    assert identity("local:one.gguf", tmp_path / "a") != known


def test_a_path_in_an_experiment_is_relative_to_its_file(cache: Path, tmp_path: Path) -> None:
    """As the paths of cases and scripts are, wherever the command is given."""
    write(tmp_path / "lab" / "weights" / "one.gguf", b"GGUF one")
    file = tmp_path / "lab" / "e.yaml"
    file.write_text("personas: [none]\nmodels: ['local:weights/one.gguf']\ncases: [Why?]\n")
    (trial,) = Experiment.load(file).trials()
    assert trial.assistant.client.identity.startswith("local:gguf@")


def test_a_digest_is_remembered_until_the_file_changes(cache: Path, tmp_path: Path) -> None:
    """A gigabyte is read once; a file that was written to is read again."""
    file = write(tmp_path / "one.gguf", b"GGUF one")
    right = cached_sha256(file)
    (record,) = (cache / "digests").iterdir()
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "sha256": "remembered"}))
    assert cached_sha256(file) == "remembered"
    os.utime(file, (LONG_AGO, LONG_AGO + 1))
    assert cached_sha256(file) == right
    record.write_text("damaged")
    assert cached_sha256(file) == right


def test_a_file_that_was_just_written_is_read_every_time(cache: Path, tmp_path: Path) -> None:
    """Where times are coarse, two writes of one second could not be told apart."""
    file = tmp_path / "one.gguf"
    file.write_bytes(b"GGUF one")
    assert cached_sha256(file) == file_sha256(file)
    assert not (cache / "digests").exists()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 a wheel"])
def test_what_is_no_gguf_file_is_refused(
    content: bytes | None, cache: Path, tmp_path: Path
) -> None:
    """A missing or another file is the user's mistake, and the error names it."""
    if content is not None:
        write(tmp_path / "x.gguf", content)
    with pytest.raises(UsageError, match=r"x\.gguf"):
        LlamaProcess(str(tmp_path / "x.gguf"), threads=1)
    with pytest.raises(UsageError, match=r"x\.gguf"):
        weights_path(str(tmp_path / "x.gguf"))


@pytest.mark.parametrize("name", ["qwen", "smollm2"])
def test_answers_stop_at_a_sensible_length(name: str) -> None:
    """An embedded model has a cap of its own; that of its entry wins."""
    assert connect(name).default_sampling.max_tokens == 400
    entry = Catalogue.read([]).find(f"local:{name}")
    assert connect(entry).default_sampling == Sampling(max_tokens=400)
    own = replace(entry, sampling=Sampling(max_tokens=900, top_k=3))
    assert connect(own).default_sampling == Sampling(max_tokens=900, top_k=3)


@pytest.mark.slow
async def test_a_file_answers_as_the_fetched_model(tmp_path: Path) -> None:
    """The same weights by path: the same words, and no path of this machine in the record."""
    fetch_weights("smollm2")
    copy = tmp_path / "my model.gguf"
    shutil.copyfile(weights_path("smollm2"), copy)
    by_path, by_name = connect("local:my model.gguf", folder=tmp_path), connect("smollm2")
    try:
        reply = await by_path.complete([HELLO], SHORT)
        assert reply.text == (await by_name.complete([HELLO], SHORT)).text
        assert reply.served_model == "my model"
    finally:
        await by_path.aclose()
        await by_name.aclose()
        local.stop_all()


@pytest.mark.slow
def test_no_key_is_beside_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads a stranger's file has no API key in its environment."""
    fetch_weights("smollm2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-0123456789")
    running = LlamaProcess("smollm2", threads=1)
    try:
        assert "OPENAI_API_KEY" not in psutil.Process(running.pid).environ()
    finally:
        running.stop()


@pytest.mark.slow
def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """A file that only begins like a model does not start, and the fix is not to fetch it."""
    file = write(tmp_path / "x.gguf", b"GGUF" + os.urandom(1000))
    with pytest.raises(ServerUnreachableError) as caught:
        LlamaProcess(str(file), threads=1)
    assert "assistants fetch" not in str(caught.value)
