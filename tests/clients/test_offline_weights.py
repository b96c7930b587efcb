"""An offline model's answers are shared by its weights and options, wherever they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.clients.vllm import engine_options
from assistants.clients.vllm.offline_client import offline_client
from assistants.clients.vllm.weights import find_weights, weights_digest
from assistants.errors import FileError, MissingDependencyError, UsageError
from assistants.models import Catalogue

SIZE = 8 * 1024 * 1024


@pytest.fixture
def smol(here: Path) -> Path:
    return put(here / "smol")


def put(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(SIZE))
    return folder


def identity(name: str | Path) -> str:
    return offline_client(str(name)).identity


def test_a_copy_shares_answers(smol: Path, here: Path) -> None:
    """The same weights in another place are the same model."""
    shutil.copytree(smol, here / "elsewhere" / "copy")
    assert identity("smol") == identity(smol) == identity("elsewhere/copy")
    assert str(here) not in identity("smol")


def test_a_server_shares_none(smol: Path) -> None:
    """An offline model's identity is none that a server's model could have."""
    assert identity("smol").startswith("vllm-offline@")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_whatever_changes_answers_changes_identity(smol: Path, name: str) -> None:
    """Template, tokeniser and defaults count as much as weights do."""
    before = identity("smol")
    (smol / name).write_text('{"changed": 1}')
    assert identity("smol") != before


def test_a_readme_changes_nothing(smol: Path) -> None:
    """What vLLM does not read does not part answers."""
    before = identity("smol")
    (smol / "README.md").write_text("New words.")
    assert identity("smol") == before


@settings(max_examples=25)
@given(at=st.floats(0, 1), seed=st.binary(min_size=8, max_size=8))
def test_changed_weights_are_noticed(smol: Path, at: float, seed: bytes) -> None:
    """A stretch of weights as long as a small tensor cannot change unnoticed."""
    before = weights_digest(smol)
    length = SIZE // 512 + 4096
    start = int(at * (SIZE - length))
    with (smol / "model.safetensors").open("r+b") as file:
        file.seek(start)
        old = file.read(length)
        file.seek(start)
        new = bytes(b ^ (seed[i % 8] | 1) for i, b in enumerate(old))
        file.write(new)
    assert weights_digest(smol) != before


def test_options(smol: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that may change an answer part answers; room and its sharing do not."""

    def with_options(words: str) -> str:
        monkeypatch.setenv("VLLM_OFFLINE_ARGS", words)
        return identity("smol")

    plain = with_options("")
    assert with_options("--gpu-memory-utilization 0.5 --enforce-eager -tp 2") == plain
    assert with_options("--gpu_memory_utilization=0.5") == plain
    assert with_options("--dtype bfloat16") != plain
    assert with_options("--dtype bfloat16") == with_options("--dtype=bfloat16")
    one, other = "--dtype bfloat16 --quantization fp8", "--quantization fp8 --dtype=bfloat16"
    assert with_options(one) == with_options(other)
    assert with_options("--not-known-yet 1") != plain
    assert with_options("--load-format dummy") != plain  # weights that are no weights


@pytest.mark.parametrize("option", ["--chat-template {}", "--chat-template={}"])
def test_a_file_counts_by_what_is_in_it(
    smol: Path, here: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    """A chat template that was changed gives other answers; one that was moved does not."""

    def with_template(name: str, text: str) -> str:
        (here / name).write_text(text)
        monkeypatch.setenv("VLLM_OFFLINE_ARGS", option.format(here / name))
        return identity("smol")

    first = with_template("a.jinja", "{{ a }}")
    assert with_template("b.jinja", "{{ a }}") == first
    assert with_template("a.jinja", "{{ b }}") != first
    monkeypatch.setenv("VLLM_OFFLINE_ARGS", f"--chat-template '{'{{ x }}' * 2000}'")
    assert identity("smol") != first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--port 8000", "--port"),
        ("--api-key=x", "--api-key"),
        ("--served_model_name x", "--served-model-name"),
        ("'--dtype", "quot"),
        ("bfloat16", "no option"),
    ],
)
def test_options_that_are_refused(
    smol: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    """Options that have no meaning here are refused before anything starts."""
    monkeypatch.setenv(engine_options.VARIABLE, words)
    with pytest.raises(UsageError, match=said):
        offline_client("smol")


def test_where_weights_are_looked_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, relative to where the file that names it is, or a name in the local cache."""
    put(here / "models" / "smol")
    assert find_weights("smol", here / "models") == (here / "models" / "smol").resolve()

    monkeypatch.setenv("HF_HOME", str(here / "hf"))
    with pytest.raises(MissingDependencyError, match="nothing is fetched") as caught:
        find_weights("org/Model-1B")
    assert "hf download org/Model-1B" in caught.value.fix

    repository = here / "hf" / "hub" / "models--org--Model-1B"
    snapshot = put(repository / "snapshots" / "0123abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    assert find_weights("org/Model-1B") == snapshot
    assert offline_client("org/Model-1B")._served == "org/Model-1B"

    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HUGGINGFACE_HUB_CACHE", str(here / "hf" / "hub"))
    assert find_weights("org/Model-1B") == snapshot
    (repository / "refs" / "main").write_text("../../../../models/smol")  # weights, elsewhere
    with pytest.raises(MissingDependencyError):
        find_weights("org/Model-1B")


@pytest.mark.parametrize("name", ["nowhere", "./nowhere", "../a/b", "/nowhere/at/all", "~/a/b/c"])
def test_no_such_folder(here: Path, name: str) -> None:
    """A folder that is not there is told at once."""
    with pytest.raises(FileError, match="no such folder"):
        offline_client(name)


def test_a_folder_without_weights(here: Path) -> None:
    """A folder that holds something else is told at once."""
    (here / "empty").mkdir()
    with pytest.raises(FileError, match="no weights"):
        offline_client("empty")


def test_the_catalogue_knows_the_provider(here: Path) -> None:
    """`vllm-offline:` needs no server and costs nothing."""
    model = Catalogue.default().find("vllm-offline:org/Model-1B")
    assert model.server is None
    assert model.is_free
