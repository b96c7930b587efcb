"""How a plan is made: needs at a level, packed by search, and what is left shared out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistants.errors import UsageError, nearest
from assistants.servers.gpus import Gpu, gib
from assistants.servers.planning import bin_packing
from assistants.servers.planning.bin_packing import Answer
from assistants.servers.planning.bins import Bin, Items, Option, Packing
from assistants.servers.planning.cache_allocation import asked, level_of, share_out, top
from assistants.servers.planning.calibration import StartMeasurement, correction
from assistants.servers.planning.memory import (
    BLOCK,
    HEADROOM,
    SEQUENCES,
    MemoryCorrection,
    MemoryRequirement,
    cache_of,
    need,
    tensor_parallel_error,
)
from assistants.servers.planning.plan import (
    AIMS,
    Aim,
    ModelRequest,
    PlacedServer,
    Plan,
    utilization,
)
from assistants.utils.text import pluralize

MOST_MODELS = 200

TRIES = 300
"""Quick packings at a level before the search: cheap, and often enough to settle it."""


@dataclass(frozen=True)
class Problem:
    """Models, GPUs and what is known of both; everything that a search asks again and again."""

    models: tuple[ModelRequest, ...]
    gpus: tuple[Gpu, ...]
    free: int
    measured: tuple[StartMeasurement, ...] = ()

    def bins(self) -> list[Bin]:
        """The room on each GPU; only GPUs of one size and name form a group."""
        kinds: dict[tuple[int, str], int] = {}
        made: list[Bin] = []
        for gpu in self.gpus:
            kind = kinds.setdefault((gpu.total, gpu.name), len(kinds))
            room = usable(gpu)
            made.append(Bin(kind, room, room - self.free))
        return made

    def room(self) -> dict[int, int]:
        """Bytes of each GPU that may be promised, by its index."""
        return {gpu.index: usable(gpu) for gpu in self.gpus}

    def items(self, aim: Aim = "fit all", level: int = 0) -> list[list[Option]]:
        """The ways to place each model, at a level of an aim or as it was asked for."""
        return [
            [
                Option(gpus, made.total, made.fixed)
                for gpus, made in self.needs(model, *asked(model, aim, level)).items()
            ]
            for model in self.models
        ]

    def needs(
        self, model: ModelRequest, context: int, conversations: int
    ) -> dict[int, MemoryRequirement]:
        """What a model takes of each GPU, by the number of GPUs it can be split over."""
        facts = model.planned
        return {
            gpus: need(facts, context, conversations, gpus, model.cache, self.known(model, gpus))
            for gpus in sorted(set(model.tensor_parallel))
            if gpus <= len(self.gpus) and not tensor_parallel_error(facts, gpus)
        }

    def known(self, model: ModelRequest, gpus: int) -> MemoryCorrection:
        """What earlier starts say, if they were on GPUs such as these."""
        names = {gpu.name for gpu in self.gpus}
        kind = model.planned.weights.kind
        for each in reversed(self.measured):
            same = (each.model, each.tensor_parallel, each.weights, each.cache)
            if each.gpu in names and same == (model.name, gpus, kind, model.cache):
                return correction(each, model.planned)
        return MemoryCorrection()


def usable(gpu: Gpu) -> int:
    """Bytes of a GPU that may be promised."""
    return max(0, gpu.free - round(HEADROOM * gpu.total))


def make_plan(
    models: tuple[ModelRequest, ...],
    gpus: tuple[Gpu, ...],
    aim: Aim,
    free: int,
    measured: tuple[StartMeasurement, ...],
    seconds: float,
) -> Plan:
    """The work behind ``plan``."""
    from assistants.servers.planning.suggestions import left_out

    _check(models, gpus, aim, free)
    problem = Problem(models, gpus, free, measured)
    until = time.monotonic() + seconds
    least = problem.items()
    skips, first = bin_packing.fewest_skips(least, problem.bins(), _part(until, 2))
    searched = _part(until, 4 / 3) if skips else until  # the rest is for what would help
    if aim == "fit all" or skips == len(models):
        best, verdict, proven = _fewest_gpus(problem, skips, first, searched)
    else:
        best, verdict, proven = _highest(problem, aim, skips, first, searched)
    if not first.proven:
        verdict += _unsettled(least, problem.bins(), skips)
    servers = _ready(problem, share_out(_placed(problem, best), problem.room(), aim))
    missing = [model for model, at in zip(models, best, strict=True) if at is None]
    said = left_out(problem, servers, missing, until)
    notes = tuple(f"{model.name}: {note}" for model in models for note in model.facts.notes)
    return Plan(aim, gpus, servers, said, proven and first.proven, verdict, notes)


def _check(models: Sequence[ModelRequest], gpus: Sequence[Gpu], aim: str, free: int) -> None:
    if aim not in AIMS:
        raise UsageError(f"There is no aim {aim!r}.", fix=nearest(aim, AIMS))
    if not gpus:
        raise UsageError("There is no GPU to plan for.", fix="Name some: `--gpus 24GiB,24GiB`.")
    if not 1 <= len(models) <= MOST_MODELS:
        raise UsageError(f"{len(models)} models; a plan is for 1 to {MOST_MODELS}.")
    if free < 0:
        raise UsageError("What weights leave for inference cannot be less than nothing.")
    if free >= (largest := max(gpu.total for gpu in gpus)):
        raise UsageError(
            f"Weights are to leave {gib(free)} for inference, and no GPU has more than "
            f"{gib(largest)}.",
            fix="Ask for less: `--free 4GiB`.",
        )
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
    problem: Problem, skips: int, first: Answer, until: float
) -> tuple[Packing, str, bool]:
    """The same number of models on as few GPUs as possible."""
    items, bins = problem.items(), problem.bins()
    best, proven = first.packing, True
    assert best is not None
    used = _used(best)
    while used > 1:
        answer = bin_packing.pack(
            items, bins, skips=skips, most_bins=used - 1, until=_part(until, 2)
        )
        if answer.packing is None:
            proven = answer.proven
            break
        best, used = answer.packing, _used(answer.packing)
    said = f"{len(best) - _skipped(best)} of {len(best)} models fit, on {used} of {len(bins)} GPUs"
    if proven:
        more = "fits more, or as many on fewer" if skips and first.proven else "needs fewer GPUs"
        return best, f"{said}; no plan {more}.", proven
    fewest = bin_packing.least_bins(items, bins, _skipped(best))
    return best, f"{said}; best found in time, {fewest} are needed at least.", proven


def _unsettled(items: Items, bins: Sequence[Bin], skips: int) -> str:
    """How many models might still fit, where the search ran out of time."""
    return (
        f" Whether more than {len(items) - skips} models would fit was not settled in time; "
        f"more than {len(items) - bin_packing.least_skips(items, bins)} do not."
    )


def _highest(
    problem: Problem, aim: Aim, skips: int, first: Answer, until: float
) -> tuple[Packing, str, bool]:
    """The highest level at which as many models fit as at the lowest.

    Half of the time is for bisection. What is left is for the next level, which either makes the
    plan better or proves that nothing does; steps grow for as long as they succeed.
    """
    bins, room, most = problem.bins(), problem.room(), top(problem.models, aim)
    half = _part(until, 2)

    def fits(level: int, by: float) -> Answer:
        return bin_packing.pack(problem.items(aim, level), bins, skips=skips, until=by, tries=TRIES)

    _, found, refuted = bin_packing.highest(lambda level: fits(level, _part(half, 4)), 1, most)
    best = found or first.packing
    assert best is not None
    level, refuted = level_of(_placed(problem, best), room, aim, most), refuted or most + 1
    step = 1
    while level + 1 < refuted and time.monotonic() < until:
        tried = min(level + step, refuted - 1)
        answer = fits(tried, _part(until, 3 if tried > level + 1 else 1))
        if answer.packing is not None:
            best, step = answer.packing, 2 * step
            level = level_of(_placed(problem, best), room, aim, most)
            continue
        if answer.proven:
            refuted = tried
        elif tried == level + 1:
            break
        step = 1
    proven = refuted == level + 1
    said = _promised([server.wanted for server in _placed(problem, best)], aim, level)
    if aim == "longest context":
        said = f"Every server has a context of at least {said}, or all that its model allows"
    else:
        said = f"Every server holds at least {said}"
    if proven:
        return best, f"{said}; no plan gives more.", proven
    bound = _promised(problem.models, aim, refuted - 1)
    return best, f"{said}; best found in time, no plan gives more than {bound}.", proven


def _promised(models: Sequence[ModelRequest], aim: Aim, level: int) -> str:
    """What a level means for models that reach it."""
    if aim == "most conversations":
        return pluralize(level, "conversation")
    least, longest = min(m.context for m in models), max(m.facts.context for m in models)
    return pluralize(min(longest, max(least, level * BLOCK)), "token")


def _placed(problem: Problem, best: Packing) -> list[PlacedServer]:
    """Servers where they go, with the cache that was asked for."""
    made: list[PlacedServer] = []
    for model, place in zip(problem.models, best, strict=True):
        if place is None:
            continue
        needs = problem.needs(model, model.context, model.conversations)
        gpus, one = list(needs.items())[place.way]
        kept = cache_of(model.planned, gpus, model.cache)
        where = tuple(problem.gpus[index].index for index in place.bins)
        made.append(PlacedServer(model, where, model.context, one, kept, 0.0))
    return made


def _ready(problem: Problem, servers: Sequence[PlacedServer]) -> tuple[PlacedServer, ...]:
    """Servers with their flag, the largest first.

    vLLM looks at what is free when it starts and may take a little more than planned, so the one
    that needs most goes first.
    """
    totals = {gpu.index: gpu.total for gpu in problem.gpus}
    ready = [
        replace(each, utilization=utilization(each.need.budget, totals[each.gpus[0]]))
        for each in servers
    ]
    return tuple(sorted(ready, key=lambda each: (-each.need.total, each.name)))


def _skipped(best: Packing) -> int:
    return sum(place is None for place in best)


def _used(best: Packing) -> int:
    return len({index for place in best if place for index in place.bins})


def _part(until: float, parts: float) -> float:
    """The moment after a part of the time that is left."""
    now = time.monotonic()
    return now + max(0.0, until - now) / parts
