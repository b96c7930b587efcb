"""What would give a model a place: every sentence is true, and says what a person can do."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants.servers.gpus import GIB, Gpu, parse_gpus
from assistants.servers.planning.architecture import read_model
from assistants.servers.planning.plan import AIMS, Aim, ModelRequest, plan
from support.published_configs import CONFIGS

FACTS = {name: read_model(config) for name, (_, config) in CONFIGS.items()}
SMALL = ("gemma-3-1b", "Llama-3.1-8B", "Qwen3-8B", "Qwen3-30B-A3B", "gpt-oss-20b", "Mixtral-8x7B")


def fixes(model: ModelRequest, gpus: list[Gpu]) -> str:
    """All that would help the one model that has no place."""
    (missing,) = plan([model], gpus).left_out
    return " ".join(missing.fixes)


def test_one_more_of_what_is_there_is_enough() -> None:
    """30B in 16 bit and a card as a driver reports it, in MiB and with some taken: a second one."""
    card = Gpu(0, "NVIDIA L40S", 46_068 << 20, 45_458 << 20)
    model = ModelRequest("qwen", FACTS["Qwen3-30B-A3B"])
    said = fixes(model, [card])
    assert "With one more NVIDIA L40S (45.0 GiB) it would." in said
    assert "added" not in said
    second = Gpu(1, card.name, card.total, card.total)
    assert len(plan([model], [card, second]).servers) == 1


def test_the_eighth_gpu_of_a_group_is_proposed() -> None:
    """DeepSeek-V3 on seven cards of 96 GiB: one more of them, not one of 651 GiB."""
    model = ModelRequest("deepseek", FACTS["DeepSeek-V3"])
    assert "With one more of 96.0 GiB it would." in fixes(model, parse_gpus("7x96GiB"))
    assert plan([model], parse_gpus("8x96GiB")).servers


def test_as_few_more_as_are_needed_and_the_smallest_card() -> None:
    """Mixtral on 24 GiB: seven more of them and not six, or one card that is large enough alone."""
    model = ModelRequest("mixtral", FACTS["Mixtral-8x7B"])
    said = fixes(model, parse_gpus("24GiB"))
    assert "With 7 more of 24.0 GiB it would. With one H200 (140.4 GiB) added it would." in said
    assert plan([model], parse_gpus("8x24GiB")).servers
    assert not plan([model], parse_gpus("7x24GiB")).servers
    assert plan([model], parse_gpus("24GiB,h200")).servers
    assert not plan([model], parse_gpus("24GiB,h100")).servers


def test_only_cards_that_are_sold_are_proposed() -> None:
    """627 GiB of weights that may not be split: no card holds them, so none is named."""
    model = ModelRequest("deepseek", FACTS["DeepSeek-V3"], tensor_parallel=(1,))
    assert fixes(model, parse_gpus("24GiB")).startswith("Nothing that was tried")


def test_several_of_a_larger_card_are_proposed() -> None:
    """Where eight more of what is there do not help: the fewest of a card that do."""
    model = ModelRequest("deepseek", FACTS["DeepSeek-V3"])
    assert "With 4 B200 (179.0 GiB) added it would." in fixes(model, parse_gpus("2x24GiB"))
    assert plan([model], parse_gpus("2x24GiB,4xb200")).servers
    assert not plan([model], parse_gpus("2x24GiB,4xh200")).servers


@pytest.mark.parametrize(("gpus", "method"), [("24GiB", "awq"), ("45GiB", "fp8")])
def test_files_that_have_to_be_so_are_another_repository(gpus: str, method: str) -> None:
    """Weights become fp8 while they load; as awq they have to be so already, and that is said."""
    model = ModelRequest("qwen", FACTS["Qwen3-30B-A3B"])
    other = " (another repository: its files have to be so)" if method == "awq" else ""
    assert f"With its weights as {method}{other} it would." in fixes(model, parse_gpus(gpus))
    assert plan([replace(model, quantization=method)], parse_gpus(gpus)).servers


def test_gpus_of_different_size_are_the_reason() -> None:
    """Each has room for half of it, and they form no group: that is said, not what is left."""
    (missing,) = plan(
        [ModelRequest("m", FACTS["Mixtral-8x7B"])], parse_gpus("80GiB,64GiB")
    ).left_out
    assert "there are not 2 GPUs of one kind" in missing.why


def tried(said: str, model: ModelRequest, gpus: list[Gpu]) -> tuple[ModelRequest, list[Gpu]]:
    """The model and the GPUs, were they as a sentence says."""
    if found := re.search(r"weights as (\w+)", said):
        return replace(model, quantization=found[1]), gpus
    if found := re.search(r"context of ([\d,]+) tokens", said):
        return replace(model, context=int(found[1].replace(",", ""))), gpus
    if found := re.search(r"With ([\d,]+) at once", said):
        return replace(model, conversations=int(found[1])), gpus
    found = re.search(r"With (\w+) (?:more of )?(.*?) ?(?:\((.*) GiB\) added )?it would", said)
    assert found, said
    count = 1 if found[1] == "one" else int(found[1])
    name, size = (found[2], found[3]) if found[3] else (found[2], found[2].split()[0])
    total = round(float(size) * GIB)
    return model, [*gpus, *(Gpu(len(gpus) + at, name, total, total) for at in range(count))]


@settings(max_examples=15, deadline=None)
@given(
    models=st.lists(
        st.tuples(st.sampled_from(SMALL), st.integers(1, 8192), st.integers(1, 64)),
        min_size=1, max_size=4,
    ),
    sizes=st.lists(st.sampled_from(["16GiB", "24GiB", "48GiB"]), min_size=1, max_size=3),
    aim=st.sampled_from(AIMS),
)  # fmt: skip
def test_whatever_is_proposed_works(
    models: list[tuple[str, int, int]], sizes: list[str], aim: Aim
) -> None:
    """Each sentence by itself gives the model a place beside those that had one."""
    asked = [
        ModelRequest(f"{name}/{at}", FACTS[name], context, count)
        for at, (name, context, count) in enumerate(models)
    ]
    gpus = parse_gpus(",".join(sizes))
    made = plan(asked, gpus, aim, seconds=0.5)
    placed = {server.name for server in made.servers}
    for missing in made.left_out:
        model = next(each for each in asked if each.name == missing.name)
        for said in missing.fixes:
            if said.startswith("With"):
                sentences = re.findall(r"With .*? it would\.", said)
                assert sentences == [said]
                changed, on = tried(said, model, gpus)
                others = [each for each in asked if each.name in placed]
                assert not plan([*others, changed], on, seconds=5).left_out, said


def test_many_models_without_a_place_take_no_longer() -> None:
    """Two hundred on one small GPU: each is told why, in the time that the plan has anyway."""
    models = [ModelRequest(f"{at}", FACTS["Llama-3.1-8B"], context=8192 + at) for at in range(200)]
    start = time.perf_counter()
    made = plan(models, parse_gpus("24GiB"), seconds=1)
    assert time.perf_counter() - start < 4
    assert len(made.left_out) == 199
    assert all("it takes" in missing.why and missing.fixes for missing in made.left_out)
