"""A plan holds what it promises, is as good as can be in small cases, and refuses nonsense."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.errors import UsageError
from assistants.servers import (
    AIMS,
    GIB,
    Aim,
    Gpu,
    LaunchOptions,
    ModelRequest,
    Plan,
    make_plan,
    parse_gpus,
    read_model,
)
from support.published_configs import CONFIGS

MODELS = {name: read_model(config) for name, (_, config) in CONFIGS.items()}
SMALL = ("SmolLM2-135M", "gemma-3-1b", "Llama-3.1-8B", "Qwen3-8B", "Qwen3-30B-A3B", "gpt-oss-20b")

Placement = tuple[tuple[int, ...], ...]
"""Of each model the GPUs, by position; none for one that is left out."""


def request(name: str, /, **options: object) -> ModelRequest:
    return ModelRequest(str(options.pop("name", name)), MODELS[name], **options)  # type: ignore[arg-type]


def start_all(plan: Plan) -> None:
    """Do as vLLM at a start: ask for a part of a whole GPU, which must be free."""
    held = {gpu.index: gpu.taken for gpu in plan.gpus}
    sizes = {gpu.index: gpu.total for gpu in plan.gpus}
    for server in plan.servers:
        layout = server.request.kv_cache(len(server.gpus))
        for index in server.gpus:
            asked = math.ceil(sizes[index] * server.utilization)
            held[index] += server.memory.process
            assert asked <= sizes[index] - held[index], f"{server.name} would refuse to start"
            held[index] += asked
            if layout is not None:
                cache = asked - server.memory.weights - server.memory.overhead
                fitting = layout.conversations(cache, server.context)
                assert fitting >= server.request.conversations
                assert layout.capacity(cache, server.context) >= server.cache_tokens


@settings(max_examples=60, deadline=None)
@given(
    models=st.lists(
        st.tuples(st.sampled_from(SMALL), st.integers(1, 8192), st.integers(1, 8)),
        min_size=1, max_size=5,
    ),
    given_sizes=st.lists(st.integers(1, 40), max_size=2),
    sizes=st.lists(st.sampled_from([16, 24, 48, 80]), min_size=1, max_size=4),
    taken=st.integers(0, 12),
    aim=st.sampled_from(AIMS),
)  # fmt: skip
def test_every_server_of_a_plan_would_start(
    models: list[tuple[str, int, int]],
    given_sizes: list[int],
    sizes: list[int],
    taken: int,
    aim: Aim,
) -> None:
    """One after the other, each with its flag, beside what others hold, and 4 GiB stay free."""
    requests = [
        request(name, name=f"{name}/{at}", context=context, conversations=count)
        for at, (name, context, count) in enumerate(models)
    ]
    requests += [
        ModelRequest(f"given/{at}", None, memory=size * GIB) for at, size in enumerate(given_sizes)
    ]
    gpus = [Gpu(at, f"{size}", size * GIB, (size - taken) * GIB) for at, size in enumerate(sizes)]
    plan = make_plan(requests, gpus, aim)
    start_all(plan)
    assert len(plan.servers) + len(plan.unplaced) == len(requests)
    for server in plan.servers:
        assert server.context >= server.request.context
    for gpu in gpus:
        fixed = sum(server.memory.fixed for server in plan.servers_on(gpu))
        assert not fixed or gpu.free - fixed >= 4 * GIB
        assert plan.free_bytes(gpu) >= 0


def placements(models: Sequence[ModelRequest], gpus: Sequence[Gpu]) -> Iterator[Placement]:
    """Every way to put each model nowhere, on one GPU, or on two that are alike."""
    options = []
    for model in models:
        sets: list[tuple[int, ...]] = [()]
        for count in model.requirements():
            if count <= 2:
                sets += itertools.combinations(range(len(gpus)), count)
        options.append([s for s in sets if len({gpus[at].total for at in s}) <= 1])
    return itertools.product(*options)


def fits(models: Sequence[ModelRequest], gpus: Sequence[Gpu], place: Placement) -> bool:
    """Whether every GPU holds what was placed on it, and 4 GiB besides what is fixed."""
    left = [gpu.total - round(0.03 * gpu.total) for gpu in gpus]
    fixed = [size - 4 * GIB for size in left]
    for model, where in zip(models, place, strict=True):
        for at in where:
            need = model.requirements()[len(where)]
            left[at] -= need.total
            fixed[at] -= need.fixed
    used = {at for where in place for at in where}
    return all(left[at] >= 0 and fixed[at] >= 0 for at in used)


def test_small_plans_are_as_good_as_trying_everything() -> None:
    """Of 60 small problems, all place as many models as any placement does, on as few GPUs."""
    draw = random.Random(1)
    for _ in range(60):
        models = [
            request(
                name, name=f"{at}", context=draw.randint(1, 8192), conversations=draw.choice([1, 8])
            )
            for at, name in enumerate(draw.choices(SMALL, k=draw.randint(1, 4)))
        ]
        gpus = parse_gpus(
            ",".join(f"{draw.choice([12, 16, 24, 24, 40])}" for _ in range(draw.randint(1, 3)))
        )
        plan = make_plan(models, gpus)
        possible = [place for place in placements(models, gpus) if fits(models, gpus, place)]
        most = max(sum(map(bool, place)) for place in possible)
        assert len(plan.servers) == most
        used = len({index for server in plan.servers for index in server.gpus})
        assert used == min(
            len({at for where in place for at in where})
            for place in possible
            if sum(map(bool, place)) == most
        )


def test_fit_all_uses_few_gpus() -> None:
    """Three small models go onto one of two GPUs."""
    plan = make_plan(
        [request("gemma-3-1b", name=f"g{at}") for at in range(3)], parse_gpus("2x24GiB")
    )
    assert {index for server in plan.servers for index in server.gpus} == {0}
    assert plan.verdict == "3 of 3 models fit, on 1 of 2 GPUs."


def test_small_models_are_not_shut_out_by_a_large_one() -> None:
    """Two that fit together are better than one that takes their room."""
    models = [request("Llama-3.1-8B"), *(request("gemma-3-1b", name=n) for n in "ab")]
    plan = make_plan(models, parse_gpus("22GiB"))
    assert {server.name for server in plan.servers} == {"a", "b"}


def test_the_longest_context_is_the_longest() -> None:
    """One model alone on a GPU: exactly as many blocks as its memory holds."""
    llama = request("Llama-3.1-8B", conversations=2)
    (server,) = make_plan([llama], parse_gpus("24GiB"), "longest context").servers
    room = 24 * GIB - round(0.03 * 24 * GIB) - (server.memory.total - server.memory.cache)
    by_hand = room // (2 * 16 * 131_072) * 16  # two conversations, blocks of 16 tokens
    assert server.context == by_hand


def test_the_most_conversations_are_the_most() -> None:
    """Two small models on two GPUs: one each, and as many as fit, though both fit onto one."""
    models = [request("gemma-3-1b", name=name, context=32_768) for name in "ab"]
    plan = make_plan(models, parse_gpus("2x16GiB"), "most conversations")
    first, second = plan.servers
    assert first.gpus != second.gpus
    room = 16 * GIB - round(0.03 * 16 * GIB) - (first.memory.total - first.memory.cache)
    # Blocks of 16 tokens and 4 layers: 2,048 of those that see all, and for each of 6 groups that
    # slide 512 - 1 + 2 x 8,192 tokens and one more.
    one = (32_768 // 16 + 6 * (-(-16_895 // 16) + 1)) * 4 * 16 * 1_024
    assert first.conversations == second.conversations == room // one
    assert f"each holds at least {room // one} conversations at once" in plan.verdict


def test_a_model_is_not_held_back_by_one_on_another_gpu() -> None:
    """Two models on two GPUs: the context of each, by hand, down to the last block of 16 tokens."""
    models = [request(name) for name in ("Llama-3.1-8B", "Qwen2.5-7B")]
    plan = make_plan(models, parse_gpus("2x24GiB"), "longest context")
    llama, qwen = sorted(plan.servers, key=lambda server: server.name)
    assert llama.gpus != qwen.gpus
    room = 24 * GIB - round(0.03 * 24 * GIB)
    for server, token in ((llama, 2 * 32 * 8 * 128 * 2), (qwen, 2 * 28 * 4 * 128 * 2)):
        for_cache = room - (server.memory.total - server.memory.cache)
        assert server.context == min(for_cache // (16 * token) * 16, MODELS[server.name].context)
    assert llama.context < qwen.context
    assert f"at least {llama.context:,} tokens" in plan.verdict


def test_models_on_one_gpu_share_what_is_left() -> None:
    """Twins get the same; what one cannot use goes to the other."""
    twins = [request("Qwen2.5-7B", name=name, cache="fp8") for name in "ab"]
    first, second = make_plan(twins, parse_gpus("40GiB"), "longest context").servers
    assert 4096 < first.context < MODELS["Qwen2.5-7B"].context
    assert abs(first.context - second.context) <= 16
    capped = [request("Qwen2.5-7B"), request("gpt2", context=1024)]
    plan = make_plan(capped, parse_gpus("24GiB"), "longest context")
    contexts = {server.name: server.context for server in plan.servers}
    assert contexts["gpt2"] == 1024 < contexts["Qwen2.5-7B"]


def test_a_model_that_is_too_large_is_split() -> None:
    """Mixtral needs 87 GiB: two GPUs of 80, and the flags say so."""
    (server,) = make_plan([request("Mixtral-8x7B")], parse_gpus("80GiB,80GiB")).servers
    assert server.gpus == (0, 1)
    launch = LaunchOptions("mistralai/Mixtral-8x7B").planned(server)
    command = " ".join(launch.argv("python", 8000))
    assert "--tensor-parallel-size 2" in command
    assert "--max-model-len 4096" in command
    assert f"--gpu-memory-utilization {server.utilization}" in command
    assert launch.environment("k" * 32)["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_gpus_of_different_size_form_no_group() -> None:
    """Half of a model does not go onto a smaller GPU."""
    assert not make_plan([request("Mixtral-8x7B")], parse_gpus("80GiB,64GiB")).servers


def test_memory_that_is_given_is_what_a_server_gets() -> None:
    """For a model that cannot be counted: so much of one GPU, less what the process takes."""
    jamba = ModelRequest("jamba", None, memory=18 * GIB)
    plan = make_plan([jamba, request("gemma-3-1b")], parse_gpus("24GiB"), "most conversations")
    server = next(server for server in plan.servers if server.name == "jamba")
    assert server.memory.total == 18 * GIB
    assert server.utilization == pytest.approx(17.5 / 24, abs=0.0001)
    assert (server.cache_tokens, server.conversations) == (None, None)
    assert "jamba memory 18.0 GiB" in plan.text()
    assert "jamba memory 18.0 GiB" in plan.svg()
    assert plan.rows()[0]["total_gib"] == 18
    (missing,) = make_plan([jamba], parse_gpus("16GiB")).unplaced
    assert str(missing).startswith("jamba does not fit: it takes 18.0 GiB of one GPU; ")
    assert missing.fixes
    split = ModelRequest("jamba", None, memory=18 * GIB, tensor_parallel=(2,))
    assert make_plan([split], parse_gpus("2x24GiB")).servers[0].gpus == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"context": 0}, "context"), ({"context": 10**9}, "131,072"), ({"conversations": 0}, "256"),
     ({"tensor_parallel": ()}, "GPU"), ({"quantization": "gguf9"}, "gguf9"),
     ({"cache": "fp4"}, "fp4"), ({"memory": 9 * GIB}, "or the memory")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    """A wrong wish is an error that says what may be asked for."""
    with pytest.raises(UsageError, match=message):
        make_plan([request("Llama-3.1-8B", **change)], parse_gpus("24GiB"))


def test_a_plan_needs_a_gpu_an_aim_and_names() -> None:
    """No GPU, an unknown aim, too much kept free, and a name twice are errors."""
    model = request("Llama-3.1-8B")
    with pytest.raises(UsageError, match="--gpus"):
        make_plan([model], [])
    with pytest.raises(UsageError, match="longest context"):
        make_plan([model], parse_gpus("24GiB"), "longest contxt")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--free"):
        make_plan([model], parse_gpus("24GiB"), free=24 * GIB)
    with pytest.raises(UsageError, match="--free"):
        make_plan([model], parse_gpus("24GiB"), free=-1)
    with pytest.raises(UsageError, match="twice"):
        make_plan([model, model], parse_gpus("24GiB"))


@pytest.mark.parametrize("aim", AIMS)
def test_twenty_models_on_sixteen_gpus(aim: Aim) -> None:
    """All have a place, and 12 conversations each, the best that a search found."""
    names = [name for name in MODELS if name != "DeepSeek-V3"]
    models = [
        request(name, name=f"{name}/{at}", context=min(4096, MODELS[name].context))
        for at, name in enumerate((names * 2)[:20])
    ]
    plan = make_plan(models, parse_gpus("8x24GiB,8x80GiB"), aim)
    assert len(plan.servers) == 20
    start_all(plan)
    if aim == "most conversations":
        assert min(server.conversations or 0 for server in plan.servers) >= 12
