"""Under each aim a plan is as good as trying everything, and no server stops short."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.servers.gpus import GIB, Gpu, parse_gpus
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.memory import need, tensor_parallel_error
from assistants.servers.planning.plan import AIMS, Aim, ModelRequest, plan
from support.published_configs import CONFIGS

FACTS = {name: read_model(config) for name, (_, config) in CONFIGS.items()}
SMALL = ("SmolLM2-135M", "gemma-3-1b", "Llama-3.1-8B", "Qwen2.5-7B", "gpt-oss-20b", "Jamba-v0.1")

Placement = tuple[tuple[int, ...], ...]
"""Of each model the GPUs, by position; none for one that is left out."""

problems = st.tuples(
    st.lists(
        st.tuples(st.sampled_from(SMALL), st.integers(1, 8192), st.integers(1, 8)),
        min_size=1, max_size=4,
    ),
    st.lists(st.sampled_from([12, 16, 24, 24, 40]), min_size=1, max_size=3),
)  # fmt: skip


def posed(
    problem: tuple[list[tuple[str, int, int]], list[int]],
) -> tuple[list[ModelRequest], list[Gpu]]:
    models, sizes = problem
    asked = [
        ModelRequest(f"{name}/{at}", FACTS[name], context, count)
        for at, (name, context, count) in enumerate(models)
    ]
    gpus = [Gpu(at, f"{size}", size * GIB, size * GIB) for at, size in enumerate(sizes)]
    return asked, gpus


def at_level(model: ModelRequest, aim: Aim, level: int) -> tuple[int, int]:
    """Tokens and conversations, if each has so many blocks of context, or conversations."""
    if aim == "longest context":
        return max(model.context, min(16 * level, model.facts.context)), model.conversations
    if aim == "most conversations":
        return model.context, max(model.conversations, level)
    return model.context, model.conversations


def fits(
    models: Sequence[ModelRequest], gpus: Sequence[Gpu], place: Placement, aim: Aim, level: int
) -> bool:
    """Whether every GPU holds what was placed on it, and 4 GiB besides what is fixed."""
    left = [gpu.total - round(0.03 * gpu.total) for gpu in gpus]
    fixed = [size - 4 * GIB for size in left]
    for model, where in zip(models, place, strict=True):
        for gpu in where:
            one = need(model.facts, *at_level(model, aim, level), len(where))
            left[gpu] -= one.total
            fixed[gpu] -= one.fixed
    used = {gpu for where in place for gpu in where}
    return all(left[gpu] >= 0 and fixed[gpu] >= 0 for gpu in used)


def placements(models: Sequence[ModelRequest], gpus: Sequence[Gpu]) -> Iterator[Placement]:
    """Every way to put each model nowhere, on one GPU, or on two that are alike."""
    options = []
    for model in models:
        sets: list[tuple[int, ...]] = [()]
        for count in (1, 2):
            if not tensor_parallel_error(model.facts, count):
                sets += itertools.combinations(range(len(gpus)), count)
        options.append([s for s in sets if len({gpus[each].total for each in s}) <= 1])
    return itertools.product(*options)


def highest(fits: Callable[[int], bool], most: int) -> int:
    """The last level of 0 to ``most`` that fits; 0 does."""
    low = 0
    while low < most:
        middle = (low + most + 1) // 2
        low, most = (middle, most) if fits(middle) else (low, middle - 1)
    return low


@settings(max_examples=60, deadline=None)
@given(problem=problems, aim=st.sampled_from(AIMS))
def test_no_way_of_placing_them_is_better(
    problem: tuple[list[tuple[str, int, int]], list[int]], aim: Aim
) -> None:
    """As many models as any placement holds; of those the fewest GPUs, or the highest least."""
    models, gpus = posed(problem)
    made = plan(models, gpus, aim, seconds=2)
    possible = [place for place in placements(models, gpus) if fits(models, gpus, place, aim, 0)]
    most = max(sum(map(bool, place)) for place in possible)
    assert made.proven
    assert len(made.servers) == most
    best = [place for place in possible if sum(map(bool, place)) == most]
    if not most or aim == "fit all":
        fewest = min(len({gpu for where in place for gpu in where}) for place in best)
        assert len({gpu for server in made.servers for gpu in server.gpus}) == fewest
        return
    top = 256 if aim == "most conversations" else 8192
    level = highest(lambda each: any(fits(models, gpus, p, aim, each) for p in best), top)
    for server in made.servers:
        context, count = at_level(server.wanted, aim, level)
        assert server.context >= context
        assert server.conversations >= count


@settings(max_examples=60, deadline=None)
@given(problem=problems, aim=st.sampled_from(["longest context", "most conversations"]))
def test_no_server_could_have_more_where_it_stands(
    problem: tuple[list[tuple[str, int, int]], list[int]], aim: Aim
) -> None:
    """Not one block, or one conversation, more, even if the others kept only what they promise."""
    models, gpus = posed(problem)
    made = plan(models, gpus, aim, seconds=2)
    promised = {
        server.name: (server.context, server.wanted.conversations)
        if aim == "longest context"
        else (server.context, server.conversations)
        for server in made.servers
    }
    for server in made.servers:
        context, count = promised[server.name]
        if aim == "longest context":
            more = min(context // 16 * 16 + 16, server.wanted.facts.context), count
        else:
            more = context, min(count + 1, 256)
        if more == (context, count):
            continue
        left = {gpu.index: gpu.total - round(0.03 * gpu.total) for gpu in gpus}
        for each in made.servers:
            wanted = more if each is server else promised[each.name]
            for gpu in each.gpus:
                left[gpu] -= need(each.wanted.facts, *wanted, len(each.gpus)).total
        assert min(left[gpu] for gpu in server.gpus) < 0


def test_a_model_is_not_held_back_by_one_on_another_gpu() -> None:
    """Two models on two GPUs: the cache of each, by hand, down to the last block of 16 tokens."""
    models = [ModelRequest(name, FACTS[name]) for name in ("Llama-3.1-8B", "Qwen2.5-7B")]
    made = plan(models, parse_gpus("2x24GiB"), "longest context")
    llama, qwen = sorted(made.servers, key=lambda server: server.name)
    assert llama.gpus != qwen.gpus
    room = 24 * GIB - round(0.03 * 24 * GIB)
    for server, token in ((llama, 2 * 32 * 8 * 128 * 2), (qwen, 2 * 28 * 4 * 128 * 2)):
        for_cache = room - (server.need.total - server.need.cache)
        assert server.context == min(for_cache // (16 * token) * 16, server.wanted.facts.context)
    assert llama.context < qwen.context
    assert f"at least {llama.context:,} tokens" in made.verdict


def test_models_on_one_gpu_rise_together() -> None:
    """Neither gets ahead while both can; what one cannot use goes to the other."""
    twins = [ModelRequest(name, FACTS["Qwen2.5-7B"], cache="fp8") for name in "ab"]
    first, second = plan(twins, parse_gpus("40GiB"), "longest context").servers
    assert 4096 < first.context < FACTS["Qwen2.5-7B"].context
    assert abs(first.context - second.context) <= 16
    unequal = [ModelRequest("a", FACTS["Qwen2.5-7B"]), ModelRequest("b", FACTS["Llama-3.1-8B"])]
    counts = [s.conversations for s in plan(unequal, parse_gpus("48GiB"), AIMS[2]).servers]
    assert min(counts) > 1
    assert max(counts) - min(counts) <= 1
    capped = [
        ModelRequest("a", FACTS["Qwen2.5-7B"]),
        ModelRequest("b", FACTS["gpt2"], context=1024),
    ]
    contexts = {s.name: s.context for s in plan(capped, parse_gpus("24GiB"), AIMS[1]).servers}
    assert contexts["b"] == 1024 < contexts["a"]


def test_the_verdict_says_what_every_server_has() -> None:
    """The number in it is one that each server reaches, and one of them no more than that."""
    models = [
        ModelRequest(name, FACTS[name]) for name in ("Llama-3.1-8B", "Qwen2.5-7B", "gpt-oss-20b")
    ]
    made = plan(models, parse_gpus("2x40GiB"), "most conversations")
    said = f"Every server holds at least {min(s.conversations for s in made.servers)} conversations"
    assert made.verdict == f"{said}; no plan gives more."
