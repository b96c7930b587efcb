"""How a plan is made: needs at a level, packed by search, and what is left shared out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assistants.errors import UsageError, nearest
from assistants.servers import packing
from assistants.servers.bins import Bin, Items, Packing, Way
from assistants.servers.gpus import Gpu
from assistants.servers.measured import Measured, correction
from assistants.servers.memory import (
    BLOCK,
    HEADROOM,
    SEQUENCES,
    Correction,
    Need,
    cache_of,
    need,
    why_not_split,
)
from assistants.servers.packing import Answer
from assistants.servers.plan import AIMS, Aim, Plan, Server, Wanted, utilization

MOST_MODELS = 200


@dataclass(frozen=True)
class Problem:
    """Models, GPUs and what is known of both; everything that a search asks again and again."""

    models: tuple[Wanted, ...]
    gpus: tuple[Gpu, ...]
    free: int
    measured: tuple[Measured, ...] = ()

    def bins(self) -> list[Bin]:
        """The room on each GPU; only GPUs of one size and name form a group."""
        kinds: dict[tuple[int, str], int] = {}
        made: list[Bin] = []
        for gpu in self.gpus:
            kind = kinds.setdefault((gpu.total, gpu.name), len(kinds))
            room = usable(gpu)
            made.append(Bin(kind, room, room - self.free))
        return made

    def items(self, contexts: Sequence[int], conversations: Sequence[int]) -> list[list[Way]]:
        """The ways to place each model, if it is to hold that many conversations that long."""
        return [
            [
                Way(gpus, made.total, made.fixed)
                for gpus, made in self.needs(model, context, count).items()
            ]
            for model, context, count in zip(self.models, contexts, conversations, strict=True)
        ]

    def needs(self, model: Wanted, context: int, conversations: int) -> dict[int, Need]:
        """What a model takes of each GPU, by the number of GPUs it can be split over."""
        facts = model.planned
        return {
            gpus: need(facts, context, conversations, gpus, model.cache, self.known(model, gpus))
            for gpus in sorted(set(model.tensor_parallel))
            if gpus <= len(self.gpus) and not why_not_split(facts, gpus)
        }

    def known(self, model: Wanted, gpus: int) -> Correction:
        """What earlier starts say, if they were on GPUs such as these."""
        names = {gpu.name for gpu in self.gpus}
        kind = model.planned.weights.kind
        for each in reversed(self.measured):
            same = (each.model, each.tensor_parallel, each.weights, each.cache)
            if each.gpu in names and same == (model.name, gpus, kind, model.cache):
                return correction(each, model.planned)
        return Correction()


def usable(gpu: Gpu) -> int:
    """Bytes of a GPU that may be promised."""
    return max(0, gpu.free - round(HEADROOM * gpu.total))


def make_plan(
    models: tuple[Wanted, ...],
    gpus: tuple[Gpu, ...],
    aim: Aim,
    free: int,
    measured: tuple[Measured, ...],
    seconds: float,
) -> Plan:
    """The work behind ``plan``."""
    from assistants.servers.advice import left_out

    _check(models, gpus, aim, free)
    problem = Problem(models, gpus, free, measured)
    until = time.monotonic() + seconds
    least = [model.context for model in models], [model.conversations for model in models]
    bins = problem.bins()
    skips, first = packing.fewest_skips(problem.items(*least), bins, _part(until, 2))
    assert first.packing is not None
    if aim == "fit all" or skips == len(models):
        best, verdict, proven = _fewest_gpus(problem, least, skips, first, until)
        contexts, counts = least
    else:
        best, level, verdict, proven = _highest(problem, aim, skips, first, until)
        contexts, counts = _at(problem, aim, level)
    proven = proven and first.proven
    if not first.proven:
        verdict += _unsettled(problem.items(*least), bins, skips)
    servers = _servers(problem, best, contexts, counts)
    missing = [model for model, at in zip(models, best, strict=True) if at is None]
    said = left_out(problem, servers, missing, _part(until, 1))
    notes = tuple(f"{model.name}: {note}" for model in models for note in model.facts.notes)
    return Plan(aim, gpus, servers, said, proven, verdict, notes)


def _check(models: Sequence[Wanted], gpus: Sequence[Gpu], aim: str, free: int) -> None:
    if aim not in AIMS:
        raise UsageError(f"There is no aim {aim!r}.", fix=nearest(aim, AIMS))
    if not gpus:
        raise UsageError("There is no GPU to plan for.", fix="Name some: `--gpus 24GiB,24GiB`.")
    if not 1 <= len(models) <= MOST_MODELS:
        raise UsageError(f"{len(models)} models; a plan is for 1 to {MOST_MODELS}.")
    if free < 0:
        raise UsageError("What is left free for inference cannot be less than nothing.")
    if len({gpu.index for gpu in gpus}) != len(gpus):
        raise UsageError("Two GPUs have the same index.")
    seen: set[str] = set()
    for model in models:
        if model.name in seen:
            raise UsageError(f"{model.name!r} is there twice.", fix="Give each its own name.")
        seen.add(model.name)
        longest = model.facts.context
        if not 1 <= model.context <= longest:
            raise UsageError(
                f"{model.name}: a context of {model.context:,} tokens.",
                fix=f"Ask for 1 to {longest:,}, which is what the model allows.",
            )
        if not 1 <= model.conversations <= SEQUENCES:
            fix = f"Ask for 1 to {SEQUENCES}, which is what a server answers at the same time."
            raise UsageError(f"{model.name}: {model.conversations:,} conversations.", fix=fix)
        if not model.tensor_parallel or min(model.tensor_parallel) < 1:
            raise UsageError(f"{model.name}: it has to be on 1 GPU at least.")


def _fewest_gpus(
    problem: Problem,
    least: tuple[list[int], list[int]],
    skips: int,
    first: Answer,
    until: float,
) -> tuple[Packing, str, bool]:
    """The same number of models on as few GPUs as possible."""
    items, bins = problem.items(*least), problem.bins()
    best, proven = first.packing, True
    assert best is not None
    used = _used(best)
    while used > 1:
        answer = packing.pack(items, bins, skips=skips, most_bins=used - 1, until=_part(until, 2))
        if answer.packing is None:
            proven = answer.proven
            break
        best, used = answer.packing, _used(answer.packing)
    said = f"{len(best) - _skipped(best)} of {len(best)} models on {used} of {len(bins)} GPUs"
    if proven:
        return best, f"{said}, and no plan needs fewer GPUs.", proven
    fewest = next(
        count
        for count in range(used + 1)
        if not packing.ruled_out(items, bins, _skipped(best), count)
    )
    return best, f"{said}; best found in time, {fewest} are needed at least.", proven


def _unsettled(items: Items, bins: Sequence[Bin], skips: int) -> str:
    """How many models might still fit, where the search ran out of time."""
    few = next(k for k in range(skips + 1) if not packing.ruled_out(items, bins, k, len(bins)))
    return (
        f" Whether more than {len(items) - skips} models would fit was not settled in time; "
        f"more than {len(items) - few} do not."
    )


def _highest(
    problem: Problem, aim: Aim, skips: int, first: Answer, until: float
) -> tuple[Packing, int, str, bool]:
    """The highest level at which as many models fit as at the lowest."""
    bins = problem.bins()

    def fits(level: int) -> Answer:
        items = problem.items(*_at(problem, aim, level))
        return packing.pack(items, bins, skips=skips, until=_part(until, 4))

    longest = max(model.facts.context for model in problem.models)
    top = -(-longest // BLOCK) if aim == "longest context" else SEQUENCES
    level, found, refuted = packing.highest(fits, 1, top)
    best = found or first.packing
    assert best is not None
    level = max(0, level)
    proven = refuted is None or refuted == level + 1
    unit, what = (BLOCK, "tokens") if aim == "longest context" else (1, "conversations")
    most = SEQUENCES if aim == "most conversations" else longest
    floor = max(level * unit, min(model.context for model in problem.models)) if unit > 1 else level
    whom = "Every model has a context of" if unit > 1 else "Every model holds"
    said = f"{whom} at least {min(floor, most):,} {what}"
    said += ", or all that it allows" if unit > 1 else ""
    if proven:
        return best, level, f"{said}; no plan gives more.", proven
    bound = most if refuted is None else min(most, refuted * unit - 1)
    return best, level, f"{said}; best found in time, no plan gives more than {bound:,}.", proven


def _at(problem: Problem, aim: Aim, level: int) -> tuple[list[int], list[int]]:
    """Contexts and conversations at a level of an aim; never less than what was asked for."""
    contexts = [model.context for model in problem.models]
    counts = [model.conversations for model in problem.models]
    if aim == "longest context":
        contexts = [
            max(model.context, min(level * BLOCK, model.facts.context)) for model in problem.models
        ]
    else:
        counts = [max(model.conversations, level) for model in problem.models]
    return contexts, counts


def _servers(
    problem: Problem, best: Packing, contexts: Sequence[int], counts: Sequence[int]
) -> tuple[Server, ...]:
    """Servers with their share of what is left, the largest first.

    vLLM looks at what is free when it starts and may take a little more than planned, so the one
    that needs most goes first.
    """
    made: list[Server] = []
    for model, place, context, count in zip(problem.models, best, contexts, counts, strict=True):
        if place is None:
            continue
        gpus, one = list(problem.needs(model, context, count).items())[place.way]
        kept = cache_of(model.planned, gpus, model.cache)
        where = tuple(problem.gpus[index].index for index in place.bins)
        made.append(Server(model, where, context, one, kept, 0.0))
    shared = _share_out(made, {gpu.index: usable(gpu) for gpu in problem.gpus})
    totals = {gpu.index: gpu.total for gpu in problem.gpus}
    ready = [
        replace(each, utilization=utilization(each.need.budget, totals[each.gpus[0]]))
        for each in shared
    ]
    return tuple(sorted(ready, key=lambda each: (-each.need.total, each.name)))


def _share_out(servers: Sequence[Server], room: Mapping[int, int]) -> list[Server]:
    """Give what is left on each GPU to the caches there, in equal shares.

    A server takes the same on each of its GPUs, and no more than 256 conversations could use.
    """
    servers = list(servers)
    for _ in range(8):  # what one cannot use, the others get in the next round
        left = dict(room)
        hungry: dict[int, int] = {}
        for each in servers:
            for gpu in each.gpus:
                left[gpu] -= each.need.total
                hungry[gpu] = hungry.get(gpu, 0) + (_wish(each) > 0)
        for at, each in enumerate(servers):
            share = min(max(0, left[gpu]) // max(1, hungry[gpu]) for gpu in each.gpus)
            more = min(_wish(each), share)
            if more > 0:
                servers[at] = replace(each, need=replace(each.need, cache=each.need.cache + more))
    return servers


def _wish(server: Server) -> int:
    return server.kept.bytes_for(server.context, SEQUENCES) - server.need.cache


def _skipped(best: Packing) -> int:
    return sum(place is None for place in best)


def _used(best: Packing) -> int:
    return len({index for place in best if place for index in place.bins})


def _part(until: float, parts: int) -> float:
    """The moment after a part of the time that is left."""
    now = time.monotonic()
    return now + max(0.0, until - now) / parts
