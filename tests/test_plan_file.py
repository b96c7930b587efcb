"""Servers written in a file are planned, refused with the line, and started as planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import call
from published_configs import CONFIGS

from assistants.clients import hub
from assistants.errors import FileError, UsageError
from assistants.servers.gpus import GIB, parse_gpus
from assistants.servers.launch import Launch
from assistants.servers.plan_file import read_plan
from assistants.servers.predicting import DEFAULT, as_planned


@pytest.fixture
def models(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with configs of published models, and nothing in the hub's cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(here / "hub"))
    for name, (_, config) in CONFIGS.items():
        (here / name).mkdir()
        (here / name / "config.json").write_text(json.dumps(config))
    return here


def written(text: str) -> Path:
    file = Path("servers.toml")
    file.write_text(text)
    return file


def test_a_file_becomes_a_plan_and_its_starts(models: Path) -> None:
    """GPUs, context, memory and vLLM's options of each server, in the order of the plan."""
    file = written(
        'gpus = "2x24GiB"\naim = "most conversations"\n'
        '[servers.small]\nmodel = "gemma-3-1b"\ncontext = 2048\noptions = ["--seed", "1"]\n'
        '[servers.large]\nmodel = "Qwen3-8B"\ncontext = 8192\ncache = "fp8"\n'
    )
    planned = read_plan(file)
    assert planned.plan is not None
    assert planned.plan.aim == "most conversations"
    starts = {launch.served: launch for launch in planned.starts}
    large = " ".join(starts["large"].argv("python", 8000))
    assert "--kv-cache-dtype fp8" in large
    assert "--max-model-len 8192" in large
    assert starts["small"].options[-2:] == ("--seed", "1")
    assert all(launch.utilization for launch in planned.starts)


def test_a_model_without_a_place_is_left_out_of_the_starts(models: Path) -> None:
    """And the plan says why."""
    file = written('[servers.a]\nmodel = "gemma-3-1b"\n[servers.b]\nmodel = "DeepSeek-V3"\n')
    planned = read_plan(file, on="24GiB")
    assert [launch.served for launch in planned.starts] == ["a"]
    assert planned.plan is not None
    assert "b does not fit" in str(planned.plan.left_out[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "servers"),
        ('[servers.a]\nmodle = "x"\n', "servers.toml: unknown key 'modle'"),
        (
            '[servers.a]\nmodel = "x/y"\n',
            "servers.toml: server a: the config of x/y is not on this machine",
        ),
        ('gpus = "three"\n[servers.a]\nmodel = "x"\n', "servers.toml: "),
        ('aim = "win"\n[servers.a]\nmodel = "x"\n', "servers.toml: "),
        ('[servers.a]\nmodel = "gpt2"\ncontext = 4096\n', "1 to 1,024"),
    ],
)
def test_a_mistake_names_its_place(models: Path, text: str, said: str) -> None:
    """Before anything is started."""
    with pytest.raises((FileError, UsageError)) as caught:
        read_plan(written(text), on=None if "gpus" in text else "24GiB")
    assert said in str(caught.value)


def test_models_of_the_hub_are_found_where_its_tools_keep_them(models: Path) -> None:
    """By name, at the revision that was fetched last; a name is never a way out of that folder."""
    kept = models / "hub" / "models--Qwen--Qwen3-8B"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc123")
    (kept / "snapshots" / "abc123").mkdir(parents=True)
    (kept / "snapshots" / "abc123" / "config.json").write_text("{}")
    assert hub.folder_of("Qwen/Qwen3-8B") == kept / "snapshots" / "abc123"
    (kept / "refs" / "main").write_text("../../../../gpt2")
    assert hub.folder_of("Qwen/Qwen3-8B") is None
    for name in ("a/../../gpt2/x", "https://x/y", "x" * 5000, "a\x00b"):
        assert hub.folder_of(name) is None


def test_a_plan_is_drawn_and_listed(models: Path) -> None:
    """The command shows the blocks, exits with 1 if something has no place, and speaks JSON."""
    written('[servers.a]\nmodel = "gemma-3-1b"\n[servers.b]\nmodel = "DeepSeek-V3"\n')
    done = call("plan", "servers.toml", "--gpus", "24GiB")
    assert done.code == 1
    assert "a weights" in done.out
    assert "b does not fit" in " ".join(done.out.split())
    said = json.loads(call("plan", "servers.toml", "--gpus", "24GiB", "--json").out)
    assert [row["model"] for row in said["servers"]] == ["a"]
    assert said["left_out"][0]["model"] == "b"
    assert call("plan", "servers.toml", "--gpus", "8x96GiB,8x141GiB").code == 0


def test_without_a_gpu_there_is_nothing_to_plan(models: Path) -> None:
    """The error says how to name some."""
    written('[servers.a]\nmodel = "gemma-3-1b"\n')
    done = call("plan", "servers.toml")
    assert done.code == 2
    assert "--gpus 24GiB,24GiB" in done.err


def test_one_server_is_predicted_too(models: Path) -> None:
    """What it should report, from its options: what vLLM takes, less weights and overhead."""
    gpus = parse_gpus("24GiB")
    plan = as_planned(Launch("gemma-3-1b", max_model_len=4096, utilization=0.5), gpus)
    assert plan is not None
    (server,) = plan.servers
    assert server.need.budget == pytest.approx(12 * GIB, abs=1)
    assert server.cache_tokens > 100_000
    default = as_planned(Launch("gemma-3-1b"), gpus)
    assert default is not None
    assert default.servers[0].need.budget == pytest.approx(DEFAULT * 24 * GIB, abs=1)
    assert as_planned(Launch("nobody/knows"), gpus) is None
    assert as_planned(Launch("gemma-3-1b"), []) is None
    assert as_planned(Launch("gemma-3-1b", gpus=(3,)), gpus) is None
