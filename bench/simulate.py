"""Do the figures keep their promise? Experiments whose truth is known, through ``effects``.

    python bench/simulate.py [--experiments 1000] [--through 1000] [--processes 2]

Every experiment has a baseline and 10 personas, or one; cases differ in difficulty, and the repeats
of a case are alike (a persona answers a case well or badly, and then draws around that). The table
gives what ``effects`` says beside what two habits would have said of the same scores: an unpaired
t-test over all trials, and a paired test that takes repeats for independent.

``--experiments`` are drawn as arrays. ``--through`` are asked of a scripted model, stored, scored
and read back (``pipeline.py``).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pipeline import BASELINE, sd_of, simulated, table_of
from scipy import stats

from assistants.analysis import cases_needed, holm, sd_of_difference
from assistants.analysis import effects as effect_table

Floats = NDArray[np.float64]
Simulated = Iterator[tuple[pd.DataFrame, Floats]]
"""Effect tables, and the scores they are of: ``(1 + personas, cases, repeats)``."""

PERSONAS = 10
METHODS = ("effects", "unpaired t", "independent")


class World(Protocol):
    """A source of scores."""

    @property
    def name(self) -> str: ...

    @property
    def scale(self) -> float:
        """Factor of the effect table: 100 for percentage points."""
        ...

    def experiments(self, effects: Floats, cases: int, number: int) -> Simulated:
        """Yield ``number`` experiments; ``effects`` are the true ones, one a persona."""
        ...


@dataclass(frozen=True)
class Normal:
    """Scores around a case's difficulty; ``between`` is the spread of a persona's true effects."""

    between: float
    within: float
    repeats: int
    scale: float = 1.0

    @property
    def name(self) -> str:
        return f"normal, {self.repeats} repeat(s), between {self.between}"

    def experiments(self, effects: Floats, cases: int, number: int) -> Simulated:
        generator = np.random.default_rng(1)
        rows = 1 + len(effects)
        for _ in range(number):
            truth = generator.normal(scale=2.0, size=(1, cases, 1)) + np.zeros((rows, 1, 1))
            own = generator.normal(scale=self.between, size=(len(effects), cases, 1))
            truth[1:] += effects[:, None, None] + own
            noise = generator.normal(scale=self.within, size=(rows, cases, self.repeats))
            scores = truth + noise
            yield effect_table(table_of(scores), "truth", baseline=BASELINE), scores


@dataclass(frozen=True)
class RightOrWrong:
    """Right or wrong; the chance of it depends on the case, and on persona and case together."""

    repeats: int
    mean: float
    scale: float = 100.0

    @property
    def name(self) -> str:
        return f"right or wrong, {self.repeats} repeat(s), {self.mean:.0%} right"

    def experiments(self, effects: Floats, cases: int, number: int) -> Simulated:
        generator = np.random.default_rng(1)
        shape = (len(effects), cases, 1)
        a, b = 2 * self.mean, 2 * (1 - self.mean)
        for _ in range(number):
            chance = np.repeat(generator.beta(a, b, size=(1, cases, 1)), 1 + len(effects), axis=0)
            # A persona wins or loses some cases at random, and of the rest turns a share to right.
            turned, again = generator.random(shape) < 0.3, generator.beta(a, b, size=shape)
            chance[1:] = np.where(turned, again, chance[1:])
            chance[1:] += (1 - chance[1:]) * effects[:, None, None] / (1 - self.mean)
            drawn = generator.random((1 + len(effects), cases, self.repeats))
            scores = (drawn < chance).astype(float)
            yield effect_table(table_of(scores), "truth", baseline=BASELINE, binary=True), scores


@dataclass(frozen=True)
class Through:
    """A scripted model that is right or wrong, asked, stored, scored and read back."""

    repeats: int
    scale: float = 100.0

    @property
    def name(self) -> str:
        return f"through the pipeline, {self.repeats} repeat(s)"

    def experiments(self, effects: Floats, cases: int, number: int) -> Simulated:
        return simulated(effects.tolist(), cases, self.repeats, number)


@dataclass(frozen=True)
class Row:
    """Experiments to simulate."""

    world: World
    effects: tuple[float, ...]
    cases: int
    number: int

    def figures(self) -> Floats:
        """Shape ``(4, 3)``: covered, single, family and first (see ``LEGEND``) by ``METHODS``."""
        true = np.array(self.effects)
        found = []
        for table, scores in self.world.experiments(true, self.cases, self.number):
            low, high, p, adjusted = _by_all(table, scores, self.world.scale)
            target = true * self.world.scale
            alarms = adjusted <= 0.05
            found.append(
                [
                    ((low <= target) & (target <= high)).mean(axis=1),
                    (p <= 0.05).mean(axis=1),
                    # A find is no alarm: those without an effect count, if there are any.
                    (alarms[:, true == 0] if (true == 0).any() else alarms).any(axis=1),
                    alarms[:, 0],
                ]
            )
        return np.asarray(np.array(found, dtype=float).mean(axis=0))

    def lines(self) -> str:
        figures = self.figures()
        said = [f"{self.world.name}, {self.cases} cases"] + [""] * (len(METHODS) - 1)
        return "\n".join(
            f"{name:53s} {method:12s}" + "".join(f"{share:8.1%}" for share in figures[:, i])
            for i, (name, method) in enumerate(zip(said, METHODS, strict=True))
        )


def _by_all(table: pd.DataFrame, scores: Floats, scale: float) -> tuple[Floats, ...]:
    """Low, high, p and p after Holm, each ``(3, personas)``: by ``METHODS``."""
    table = table.sort_values("persona")
    trials = scores.reshape(len(scores), -1) * scale
    with warnings.catch_warnings(action="ignore"):  # all scores equal: no alarm
        by_hand = [
            stats.ttest_ind(trials[1:], trials[0], axis=1),
            stats.ttest_1samp(trials[1:] - trials[0], 0, axis=1),
        ]
        intervals = [test.confidence_interval() for test in by_hand]
    p = np.array([table["p"], *(test.pvalue for test in by_hand)])
    return (
        np.array([table["low"], *(interval.low for interval in intervals)]),
        np.array([table["high"], *(interval.high for interval in intervals)]),
        p,
        np.array([table["p_adjusted"], *(holm(row) for row in p[1:])]),
    )


LEGEND = """\
covered: intervals that hold the truth, wanted 95%. single: personas with p <= 0.05 before Holm.
family: experiments with any p <= 0.05 after Holm, among the personas without an effect if there
are such: wanted 5% at most. first: experiments that find the first persona after Holm.
unpaired t, independent: the same, of a t-test over all trials, unpaired or paired."""

HEAD = f"{'scores':53s} {'method':12s}" + "".join(
    f"{name:>8s}" for name in ("covered", "single", "family", "first")
)


def every_one(effect: float) -> tuple[float, ...]:
    """All personas have it."""
    return (effect,) * PERSONAS


def alone(effect: float) -> tuple[float, ...]:
    """Return effects: the first persona has one, the others have none."""
    return (effect, *[0.0] * (PERSONAS - 1))


def sections(arrays: int, through: int) -> dict[str, list[Row]]:
    """Return the simulated worlds, by heading."""
    worlds: list[tuple[World, int, float]] = [
        (Normal(0.0, 1.0, 1), 30, 0.5),
        (Normal(0.5, 1.0, 3), 30, 0.5),
        (Normal(0.5, 1.0, 3), 10, 0.5),
        (Normal(1.0, 0.5, 10), 30, 0.5),
        (RightOrWrong(1, 0.5), 50, 0.1),
        (RightOrWrong(3, 0.5), 30, 0.1),
        (RightOrWrong(5, 0.7), 100, 0.1),
        (RightOrWrong(3, 0.9), 30, 0.05),
    ]
    one: list[Row] = []
    first: list[Row] = []
    every: list[Row] = []
    for effect, between, repeats in ((0.5, 0.5, 1), (0.5, 0.5, 3), (0.3, 0.2, 10), (1.0, 0.5, 3)):
        world, sd = Normal(between, 1.0, repeats), sd_of_difference(between, 1.0, repeats)
        cases = cases_needed(effect, sd)
        one.append(Row(world, (effect,), cases, arrays))
        cases = cases_needed(effect, sd, personas=PERSONAS)
        first.append(Row(world, alone(effect), cases, arrays))
        every.append(Row(world, every_one(effect), cases, arrays))
    asked = Through(2)
    cases = cases_needed(0.4, sd_of(0.4, 2), personas=PERSONAS)
    found = {
        "No effect": [Row(world, every_one(0.0), cases, arrays) for world, cases, _ in worlds],
        "An effect of every persona: 0.5, 10 percentage points, or 5 where 90% are right": [
            Row(world, every_one(effect), cases, arrays) for world, cases, effect in worlds
        ],
        "Cases as `cases_needed` says, one persona; first is its power, wanted 80%": one,
        "As it says for 10 personas, of which the first has an effect; wanted 80%": first,
        "The same, and all 10 have it: Holm is less strict after its first step": every,
        "No effect, pipeline": [Row(asked, every_one(0.0), 20, through)],
        "Effects of 0 to 45 percentage points, pipeline": [
            Row(asked, tuple(i / 20 for i in range(PERSONAS)), 20, through)
        ],
        "Cases as it says for 10 personas, the first has 40 points, pipeline; wanted 80%": [
            Row(asked, alone(0.4), cases, through)
        ],
    }
    return {heading: [row for row in rows if row.number] for heading, rows in found.items()}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--experiments", type=int, default=1_000, help="a row, as arrays")
    options.add_argument("--through", type=int, default=1_000, help="a row, through the pipeline")
    options.add_argument("--processes", type=int, default=2)
    chosen = options.parse_args()
    print(f"{chosen.experiments:,} experiments a row, {chosen.through:,} through the pipeline.")
    print(LEGEND)
    with ProcessPoolExecutor(chosen.processes) as pool:
        rows = sections(chosen.experiments, chosen.through)
        lines = {heading: pool.map(Row.lines, some) for heading, some in rows.items()}
        for heading, some in lines.items():
            if rows[heading]:
                print(f"\n{heading}.\n{HEAD}")
            for line in some:
                print(line, flush=True)


if __name__ == "__main__":
    main()
