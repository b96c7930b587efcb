"""A plan holds what it promises, says why something has no place, and learns from what was seen."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.errors import FileError, UsageError
from assistants.servers.gpus import GIB, Gpu, parse_gpus
from assistants.servers.launch_options import LaunchOptions
from assistants.servers.planning import calibration
from assistants.servers.planning.architecture import Architecture, read_model
from assistants.servers.planning.calibration import StartMeasurement
from assistants.servers.planning.plan import AIMS, Aim, ModelRequest, PlacedServer, Plan, plan
from support.published_configs import CONFIGS

FACTS = {name: read_model(config) for name, (_, config) in CONFIGS.items()}
SMALL = ("SmolLM2-135M", "gemma-3-1b", "Llama-3.1-8B", "Qwen3-8B", "Qwen3-30B-A3B", "gpt-oss-20b")


def wanted(name: str, /, **options: object) -> ModelRequest:
    return ModelRequest(str(options.pop("name", name)), FACTS[name], **options)  # type: ignore[arg-type]


def start_all(made: Plan) -> None:
    """What vLLM does at a start: it asks for its part of a whole GPU, and that must be free."""
    held = {gpu.index: gpu.taken for gpu in made.gpus}
    sizes = {gpu.index: gpu.total for gpu in made.gpus}
    for server in made.servers:
        for index in server.gpus:
            asked = math.ceil(sizes[index] * server.utilization)
            held[index] += server.need.process
            assert asked <= sizes[index] - held[index], f"{server.name} would refuse to start"
            held[index] += asked
            cache = asked - server.need.weights - server.need.overhead
            talks = server.wanted.conversations
            assert server.kept.conversations(cache, server.context) >= min(talks, 256)
            assert server.kept.capacity(cache, server.context) >= server.cache_tokens


@settings(max_examples=40, deadline=None)
@given(
    models=st.lists(
        st.tuples(st.sampled_from(SMALL), st.integers(1, 8192), st.integers(1, 8)),
        min_size=1, max_size=5,
    ),
    sizes=st.lists(st.sampled_from([16, 24, 48, 80]), min_size=1, max_size=4),
    taken=st.integers(0, 12),
    aim=st.sampled_from(AIMS),
)  # fmt: skip
def test_every_server_of_a_plan_would_start(
    models: list[tuple[str, int, int]], sizes: list[int], taken: int, aim: Aim
) -> None:
    """One after the other, each with its flag, beside what others hold, and 4 GiB stay free."""
    asked = [
        wanted(name, name=f"{name}/{at}", context=context, conversations=count)
        for at, (name, context, count) in enumerate(models)
    ]
    gpus = [Gpu(at, f"{size}", size * GIB, (size - taken) * GIB) for at, size in enumerate(sizes)]
    made = plan(asked, gpus, aim, seconds=0.5)
    start_all(made)
    assert len(made.servers) + len(made.left_out) == len(asked)
    for server in made.servers:
        assert server.context >= server.wanted.context
    for gpu in gpus:
        kept = sum(each.need.weights + each.need.process for each in made.on(gpu))
        assert not kept or gpu.free - kept >= 4 * GIB
        assert made.spare(gpu) >= 0


def test_fit_all_uses_few_gpus() -> None:
    """Three small models go onto one of two GPUs, and that is proven."""
    models = [wanted("gemma-3-1b", name=f"g{at}") for at in range(3)]
    made = plan(models, parse_gpus("2x24GiB"))
    assert {index for server in made.servers for index in server.gpus} == {0}
    assert made.proven
    assert "3 of 3 models fit, on 1 of 2 GPUs" in made.verdict


def test_the_longest_context_is_the_longest() -> None:
    """One model alone on a GPU: exactly as many blocks as its memory holds."""
    made = plan([wanted("Llama-3.1-8B", conversations=2)], parse_gpus("24GiB"), "longest context")
    (server,) = made.servers
    room = 24 * GIB - round(0.03 * 24 * GIB) - (server.need.total - server.need.cache)
    by_hand = room // (2 * 16 * 131_072) * 16  # two conversations, blocks of 16 tokens
    assert server.context == by_hand
    assert made.proven


def test_the_most_conversations_are_the_most() -> None:
    """Two small models on two GPUs: one each, and as many as fit, though both fit onto one."""
    models = [wanted("gemma-3-1b", name=name, context=32_768) for name in "ab"]
    made = plan(models, parse_gpus("2x16GiB"), "most conversations")
    first, second = made.servers
    assert first.gpus != second.gpus
    room = 16 * GIB - round(0.03 * 16 * GIB) - (first.need.total - first.need.cache)
    # Blocks of 16 tokens and 4 layers: 2,048 of those that see all, and for each of 6 groups that
    # slide 512 - 1 + 2 x 8,192 tokens and one more.
    each = (32_768 // 16 + 6 * (-(-16_895 // 16) + 1)) * 4 * 16 * 1_024
    assert first.conversations == second.conversations == room // each
    assert made.proven


def test_a_model_that_is_too_large_is_split() -> None:
    """Mixtral needs 87 GiB: two GPUs of 80, and the flags say so."""
    made = plan([wanted("Mixtral-8x7B")], parse_gpus("80GiB,80GiB"))
    (server,) = made.servers
    assert server.gpus == (0, 1)
    launch = LaunchOptions("mistralai/Mixtral-8x7B").planned(server)
    said = " ".join(launch.argv("python", 8000))
    assert "--tensor-parallel-size 2" in said
    assert "--max-model-len 4096" in said
    assert f"--gpu-memory-utilization {server.utilization}" in said
    assert launch.environment("k" * 32)["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_gpus_of_different_size_form_no_group() -> None:
    """Half of a model does not go onto a smaller GPU."""
    made = plan([wanted("Mixtral-8x7B")], parse_gpus("80GiB,64GiB"))
    assert not made.servers


def numbers(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    assert found, text
    return float(found[1].replace(",", ""))


def test_a_shorter_context_that_would_fit_is_the_longest_that_does() -> None:
    """The length that is named fits, and one block more does not."""
    asked = wanted("Llama-3.1-8B", context=131_072)
    (missing,) = plan([asked], parse_gpus("24GiB")).left_out
    assert "16.0 GiB cache for 1 x 131,072 tokens" in missing.why
    length = int(numbers(str(missing), r"context of ([\d,]+) tokens"))
    again = plan([wanted("Llama-3.1-8B", context=length)], parse_gpus("24GiB"))
    assert len(again.servers) == 1
    more = plan([wanted("Llama-3.1-8B", context=length + 16)], parse_gpus("24GiB"))
    assert not more.servers


def test_heads_that_cannot_be_split_are_the_reason() -> None:
    """9 heads over 2 GPUs: that is said, not that memory is short."""
    asked = wanted("SmolLM2-135M", tensor_parallel=(2,))
    (missing,) = plan([asked], parse_gpus("2x24GiB")).left_out
    assert "9 heads cannot be split over 2 GPUs" in str(missing)


def test_memory_kept_for_inference_is_the_reason() -> None:
    """The reserve can be set; where it is what stands in the way, that is said."""
    asked = wanted("Llama-3.1-8B", context=512)
    assert plan([asked], parse_gpus("19GiB"), free=0).servers
    (missing,) = plan([asked], parse_gpus("19GiB")).left_out
    assert "less than 4.0 GiB for inference" in missing.why


def measured_as(server: PlacedServer, gpu: Gpu, *, extra: int) -> StartMeasurement:
    """What a start would have shown had everything taken ``extra`` bytes more than estimated."""
    cache = math.ceil(gpu.total * server.utilization) - server.need.weights - server.need.overhead
    tokens = server.kept.capacity(cache - extra, server.context)
    memory = math.ceil(gpu.total * server.utilization) + server.need.process + extra // 2
    return calibration.record(server, gpu, tokens, memory)


def test_what_was_measured_corrects_the_next_plan(tmp_path: Path) -> None:
    """A server that had a GiB less for its cache: the next plan predicts what was seen."""
    gpus = parse_gpus("24GiB")
    (first,) = plan([wanted("Llama-3.1-8B")], gpus).servers
    seen = measured_as(first, gpus[0], extra=GIB)
    calibration.save([seen], tmp_path / "kept" / "measured.json")
    kept = calibration.load(tmp_path / "kept" / "measured.json")
    assert kept == (seen,)
    (second,) = plan([wanted("Llama-3.1-8B")], gpus, measured=kept).servers
    assert second.need.overhead - first.need.overhead == pytest.approx(GIB, abs=16 * 131_072)
    assert second.need.process - first.need.process == GIB // 2
    other = plan([wanted("Llama-3.1-8B", name="another")], gpus, measured=kept).servers[0]
    assert other.need.overhead == first.need.overhead


def test_predicted_and_measured_stand_side_by_side() -> None:
    """Rows are a table; a model that was not measured has nothing beside it."""
    gpus = parse_gpus("2x24GiB")
    made = plan([wanted("Llama-3.1-8B"), wanted("Qwen3-8B")], gpus)
    first = next(server for server in made.servers if server.name == "Llama-3.1-8B")
    frame = pd.DataFrame(made.beside([measured_as(first, gpus[0], extra=0)])).set_index("model")
    assert abs(frame.loc["Llama-3.1-8B", "cache_off_percent"]) <= 0.1
    seen = frame.loc["Llama-3.1-8B", "measured_cache_tokens"]
    assert first.cache_tokens <= seen <= first.cache_tokens + 32
    assert pd.isna(frame.loc["Qwen3-8B", "measured_cache_tokens"])


def test_a_newer_measurement_replaces_the_older(tmp_path: Path) -> None:
    """One record for one kind of start, and the file does not grow for ever."""
    path = tmp_path / "measured.json"
    old = StartMeasurement("m", "L4", 1, "16 bit", "auto", 4096, GIB, 1, 1)
    calibration.save([old, StartMeasurement("n", "L4", 1, "16 bit", "auto", 4096, GIB, 1, 1)], path)
    new = StartMeasurement("m", "L4", 1, "16 bit", "auto", 4096, GIB, 2, 1)
    calibration.save([new], path)
    assert [(each.model, each.cache_tokens) for each in calibration.load(path)] == [
        ("n", 1),
        ("m", 2),
    ]
    assert calibration.load(tmp_path / "none.json") == ()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"measured": [1]}', '{"measured": [{}]}', '{"measured": 3}', "[" * 9000,
     '{"measured": [{"model": "m", "gpu": "g", "tensor_parallel": 0, "weights": "", "cache": "",'
     ' "context": 0, "budget": 1, "cache_tokens": 1, "memory": 1}]}'],
)  # fmt: skip
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file and says that it may go."""
    path = tmp_path / "measured.json"
    path.write_text(text)
    with pytest.raises(FileError, match="Delete it"):
        calibration.load(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"context": 0}, "context"), ({"context": 10**9}, "131,072"), ({"conversations": 0}, "256"),
     ({"tensor_parallel": ()}, "GPU"), ({"quantization": "gguf9"}, "gguf9")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(change: dict[str, object], said: str) -> None:
    """A wrong wish is an error that says what may be asked for."""
    with pytest.raises(UsageError, match=said):
        plan([wanted("Llama-3.1-8B", **change)], parse_gpus("24GiB"))


def test_a_plan_needs_a_gpu_an_aim_and_names() -> None:
    """No GPU, an unknown aim, and a name twice are errors."""
    model = wanted("Llama-3.1-8B")
    with pytest.raises(UsageError, match="--gpus"):
        plan([model], [])
    with pytest.raises(UsageError, match="longest context"):
        plan([model], parse_gpus("24GiB"), "longest contxt")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="twice"):
        plan([model, model], parse_gpus("24GiB"))


@pytest.mark.parametrize("aim", AIMS)
def test_twenty_models_on_sixteen_gpus_are_planned_in_time(aim: Aim) -> None:
    """Under 5 seconds, with the best that the review of this instance found: 12 conversations."""
    names = [name for name in FACTS if name != "DeepSeek-V3"]
    models = [
        wanted(name, name=f"{name}/{at}", context=min(4096, facts_of(name).context))
        for at, name in enumerate((names * 2)[:20])
    ]
    start = time.perf_counter()
    made = plan(models, parse_gpus("8x24GiB,8x80GiB"), aim)
    assert time.perf_counter() - start < 5
    assert len(made.servers) == 20
    start_all(made)
    if aim == "most conversations":
        assert min(server.conversations for server in made.servers) >= 12


def facts_of(name: str) -> Architecture:
    return FACTS[name]
