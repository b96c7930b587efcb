"""Servers written in a file are planned, refused with the line, and started as planned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistants.clients import folder_of
from assistants.errors import FileError, UsageError
from assistants.servers import GIB, LaunchOptions, parse_gpus, plan_of_launch, read_plan
from assistants.servers.plan_file import DEFAULT_UTILIZATION
from support.commands import call
from support.published_configs import CONFIGS


@pytest.fixture
def models(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with configs of published models, and nothing in the hub's cache."""
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
    assert "b does not fit" in str(planned.plan.unplaced[0])


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
        (
            '[servers.Qwen3]\nmodel = "gpt2"\n[servers.qwen3]\nmodel = "gpt2"\n',
            "servers Qwen3 and qwen3 are both called qwen3",
        ),
        (
            '[servers.a]\nmodel = "gpt2"\nport = 8001\n[servers.b]\nmodel = "gpt2"\nport = 8001\n',
            "servers a and b ask for the same port, 8001",
        ),
    ],
)
def test_a_mistake_names_its_place(models: Path, text: str, said: str) -> None:
    """Before anything is started."""
    with pytest.raises((FileError, UsageError)) as caught:
        read_plan(written(text), on=None if "gpus" in text else "24GiB")
    assert said in str(caught.value)


AWQ = {"quantization_config": {"quant_method": "awq", "bits": 8, "group_size": 128}}


def test_a_quantization_that_the_files_have_is_planned_as_they_are(models: Path) -> None:
    """Of 16-bit weights vLLM makes fp8 while it loads; awq they have to be already."""
    (models / "awq.json").write_text(json.dumps(CONFIGS["Qwen3-8B"][1] | AWQ))
    file = written(
        '[servers.awq]\nmodel = "Qwen3-8B"\nconfig = "awq.json"\nquantization = "awq"\n'
        '[servers.fp8]\nmodel = "Qwen3-8B"\nquantization = "fp8"\n'
    )
    planned = read_plan(file, on="48GiB")
    assert planned.plan is not None
    weights = {server.name: server.memory.weights / GIB for server in planned.plan.servers}
    assert weights["awq"] == pytest.approx(8.94, abs=0.05)  # 6.95e9 of 8 bits, 1.24e9 of 16
    assert weights["fp8"] == pytest.approx(8.79, abs=0.05)  # one scale for 16,384, not for 128
    for start in planned.starts:
        assert f"--quantization {start.served}" in " ".join(start.argv("python", 8000))


@pytest.mark.parametrize(
    ("config", "method", "said"),
    [
        ({}, "awq", "they are not quantized"),
        ({}, "int8", "they are not quantized"),
        (AWQ, "gptq", "they are awq"),
        (AWQ, "fp8", "they are awq"),
        ({"text_config": CONFIGS["Qwen3-8B"][1] | AWQ}, "fp8", "they are awq"),
    ],
)
def test_a_quantization_that_nobody_makes_is_refused(
    models: Path, config: dict[str, object], method: str, said: str
) -> None:
    """Before a start that could not work, naming the server and what vLLM does make."""
    (models / "own.json").write_text(json.dumps(CONFIGS["Qwen3-8B"][1] | config))
    file = written(f'[servers.a]\nmodel = "m"\nconfig = "own.json"\nquantization = "{method}"\n')
    with pytest.raises(FileError, match=f"server a: its files would have to be {method}") as caught:
        read_plan(file, on="48GiB")
    assert said in caught.value.message
    assert "fp8 and bitsandbytes" in caught.value.fix


def test_a_file_of_weights_lies_beside_the_plan(models: Path) -> None:
    """A GGUF file is found where the plan is, wherever one calls from; it has a given memory."""
    (models / "far").mkdir()
    (models / "far" / "m.gguf").write_bytes(b"GGUF")
    file = models / "far" / "servers.toml"
    file.write_text('[servers.a]\nmodel = "m.gguf"\nmemory = "2GiB"\n')
    (start,) = read_plan(file, on="24GiB").starts
    assert Path(start.source).samefile(models / "far" / "m.gguf")
    file.write_text('[servers.a]\nmodel = "m.gguf"\n')
    with pytest.raises(FileError, match="GGUF files are not planned"):
        read_plan(file, on="24GiB")


def test_a_model_that_cannot_be_counted_is_given_memory(models: Path) -> None:
    """The refusal names its type and the way out; with it, the server gets that much."""
    (models / "jamba.json").write_text(json.dumps(CONFIGS["Qwen3-8B"][1] | {"model_type": "jamba"}))
    text = '[servers.a]\nmodel = "ai21/jamba"\nconfig = "jamba.json"\n'
    with pytest.raises(FileError, match="'jamba'") as caught:
        read_plan(written(text), on="24GiB")
    assert '`memory = "18GiB"`' in caught.value.fix
    planned = read_plan(written(f'{text}memory = "18GiB"\n'), on="24GiB")
    (start,) = planned.starts
    assert start.utilization == pytest.approx(17.5 / 24, abs=0.0001)
    with pytest.raises(FileError, match="'much' is no size"):
        read_plan(written(f'{text}memory = "much"\n'), on="24GiB")


def test_weights_and_cache_in_32_bit_are_planned_so(models: Path) -> None:
    """Twice the weights and twice the cache of a token, in a file and on the command line."""
    planned = []
    for dtype in ("bfloat16", "float32"):
        file = written(f'[servers.a]\nmodel = "gemma-3-1b"\ndtype = "{dtype}"\n')
        planned.append(read_plan(file, on="80GiB").plan)
        planned.append(
            plan_of_launch(LaunchOptions("gemma-3-1b", dtype=dtype), parse_gpus("80GiB"))
        )
    servers = [plan.servers[0] for plan in planned if plan is not None]
    for half, whole in zip(servers[:2], servers[2:], strict=True):
        assert whole.memory.weights == pytest.approx(2 * half.memory.weights)
        caches = [server.request.kv_cache(1) for server in (half, whole)]
        assert caches[1].block_bytes == 2 * caches[0].block_bytes


def test_models_of_the_hub_are_found_where_its_tools_keep_them(models: Path) -> None:
    """By name, at the revision that was fetched last; a name is never a way out of that folder."""
    kept = models / "hub" / "models--Qwen--Qwen3-8B"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc123")
    (kept / "snapshots" / "abc123").mkdir(parents=True)
    (kept / "snapshots" / "abc123" / "config.json").write_text("{}")
    assert folder_of("Qwen/Qwen3-8B") == kept / "snapshots" / "abc123"
    (kept / "refs" / "main").write_text("../../../../gpt2")
    assert folder_of("Qwen/Qwen3-8B") is None
    for name in ("a/../../gpt2/x", "https://x/y", "x" * 5000, "a\x00b"):
        assert folder_of(name) is None


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
    plan = plan_of_launch(LaunchOptions("gemma-3-1b", max_model_len=4096, utilization=0.5), gpus)
    assert plan is not None
    (server,) = plan.servers
    assert server.memory.budget == pytest.approx(12 * GIB, abs=1)
    assert server.cache_tokens > 100_000
    default = plan_of_launch(LaunchOptions("gemma-3-1b"), gpus)
    assert default is not None
    assert default.servers[0].memory.budget == pytest.approx(DEFAULT_UTILIZATION * 24 * GIB, abs=1)
    assert plan_of_launch(LaunchOptions("nobody/knows"), gpus) is None
    assert plan_of_launch(LaunchOptions("gemma-3-1b"), []) is None
    assert plan_of_launch(LaunchOptions("gemma-3-1b", gpus=(3,)), gpus) is None
