"""Why a model has no place in a plan, and what would give it one, with numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from assistants.servers import packing
from assistants.servers.gpus import GIB, Gpu, gib
from assistants.servers.memory import BLOCK, Need, why_not_split
from assistants.servers.packing import Answer
from assistants.servers.plan import LeftOut, Server, Wanted
from assistants.servers.planning import Problem, usable
from assistants.servers.weights_size import METHODS

TRIED = ("fp8", "awq")
"""Quantizations worth naming, the gentlest first."""

LARGEST = 1024
"""GiB: no GPU larger than this is proposed."""


def left_out(
    problem: Problem, servers: Sequence[Server], missing: Sequence[Wanted], until: float
) -> tuple[LeftOut, ...]:
    """Say of each missing model why, and what would help were the other servers as they are."""
    made: list[LeftOut] = []
    for at, model in enumerate(missing):
        share = time.monotonic() + max(0.1, (until - time.monotonic()) / (len(missing) - at))
        placed = {server.name for server in servers}
        others = tuple(each for each in problem.models if each.name in placed)
        alone = replace(problem, models=(*others, model))
        fixes = _fixes(alone, model, share)
        made.append(LeftOut(model.name, _why(problem, servers, model), fixes))
    return tuple(made)


def _why(problem: Problem, servers: Sequence[Server], model: Wanted) -> str:
    needs = problem.needs(model, model.context, model.conversations)
    if not needs:
        facts = model.planned
        reasons = [
            why_not_split(facts, gpus) or f"there are not {gpus} GPUs"
            for gpus in sorted(set(model.tensor_parallel))
        ]
        return "; ".join(dict.fromkeys(reasons))
    gpus, one = min(needs.items(), key=lambda pair: (pair[1].total, pair[0]))
    where = "one GPU" if gpus == 1 else f"each of {gpus} GPUs"
    said = f"it takes {gib(one.total)} of {where}: {_parts(model, one)}"
    return f"{said}; {_room(problem, servers, gpus, one)}"


def _parts(model: Wanted, one: Need) -> str:
    talks = f"{model.conversations:,} x {model.context:,} tokens"
    return (
        f"{gib(one.weights)} weights, {gib(one.overhead + one.process)} overhead and "
        f"{gib(one.cache)} cache for {talks}"
    )


def _room(problem: Problem, servers: Sequence[Server], gpus: int, one: Need) -> str:
    """How much the GPUs with the most room have left, if every cache were as small as asked."""
    left = {gpu.index: usable(gpu) for gpu in problem.gpus}
    fixed = {index: size - problem.free for index, size in left.items()}
    for server in servers:
        least = problem.needs(server.wanted, server.wanted.context, server.wanted.conversations)
        for index in server.gpus:
            left[index] -= least[len(server.gpus)].total
            fixed[index] -= least[len(server.gpus)].fixed
    best = sorted(left, key=lambda index: left[index], reverse=True)[:gpus]
    tight = min(left[index] for index in best)
    if tight >= one.total and min(fixed[index] for index in best) < one.fixed:
        return f"that would leave less than {gib(problem.free)} for inference there"
    names = ", ".join(str(index) for index in sorted(best))
    return f"the most that is left is {gib(max(0, tight))} on GPU {names}"


def _fixes(problem: Problem, model: Wanted, until: float) -> tuple[str, ...]:
    """What would help, each by itself; only what a search has shown to work is named."""
    found: list[str] = []
    try:
        for ask in (_quantized, _another, _shorter, _fewer):
            said = ask(problem, model, until)
            found += [said] if said else []
    except packing.OutOfTime:
        return (*found, "There was no time to look for more that would help.")
    return tuple(found) or ("Nothing that was tried alone would help: plan fewer models.",)


def _quantized(problem: Problem, model: Wanted, until: float) -> str:
    """The gentlest quantization with which it would fit, if it has not been quantized yet."""
    bits = model.planned.weights.split / max(1, model.planned.parameters.total)
    for method in TRIED:
        lighter = METHODS[method] < 0.9 * bits and model.facts.parameters.embedding
        if lighter and _fits(problem, replace(model, quantization=method), until):
            return f"With its weights as {method} it would."
    return ""


def _fits(problem: Problem, model: Wanted, until: float) -> bool:
    return _answer(problem, model, until).packing is not None


def _answer(problem: Problem, model: Wanted, until: float) -> Answer:
    changed = replace(problem, models=(*problem.models[:-1], model))
    contexts = [each.context for each in changed.models]
    counts = [each.conversations for each in changed.models]
    now = time.monotonic()
    if now > until:
        raise packing.OutOfTime
    share = now + (until - now) / 8
    return packing.pack(changed.items(contexts, counts), changed.bins(), until=share)


def _shorter(problem: Problem, model: Wanted, until: float) -> str:
    """The longest context, in whole blocks, with which it would fit."""

    def fits(level: int) -> Answer:
        return _answer(problem, replace(model, context=level * BLOCK), until)

    top = (model.context - 1) // BLOCK
    level = packing.highest(fits, 1, top)[0] if top else 0
    return f"With a context of {level * BLOCK:,} tokens it would." if level > 0 else ""


def _fewer(problem: Problem, model: Wanted, until: float) -> str:
    """The most conversations at once with which it would fit."""

    def fits(level: int) -> Answer:
        return _answer(problem, replace(model, conversations=level), until)

    top = model.conversations - 1
    count = packing.highest(fits, 1, top)[0] if top else 0
    return f"With {count:,} at once it would." if count > 0 else ""


def _another(problem: Problem, model: Wanted, until: float) -> str:
    """The smallest further GPU, in whole GiB, with which it would fit."""
    index = 1 + max(gpu.index for gpu in problem.gpus)

    def fits(size: int) -> bool:
        # Of a kind of its own, unless the same size is there already: then both may form a group.
        same = next((gpu for gpu in problem.gpus if gpu.total == size * GIB), None)
        more = Gpu(index, same.name if same else "another", size * GIB, size * GIB)
        return _fits(replace(problem, gpus=(*problem.gpus, more)), model, until)

    low, high = 0, LARGEST
    if not fits(high):
        return ""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return f"With one more GPU of {high} GiB it would."
