"""Do the figures keep their promise? Experiments whose truth is known, through ``effects``.

    python bench/simulate.py [--experiments 1000]

Every experiment has 10 personas and a baseline; cases differ in difficulty, and the repeats of a
case are alike (a persona answers a case well or badly, and then draws around that). The table gives
what ``effects`` says beside what two habits would have said of the same scores: an unpaired t-test
over all trials, and a paired test that takes repeats for independent.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from assistants.analysis.effects import effects
from assistants.analysis.permutation import holm
from assistants.analysis.power import cases_needed, sd_of_difference

Floats = NDArray[np.float64]
PERSONAS = 10


@dataclass(frozen=True)
class World:
    """Where scores come from; ``draw(generator, effect, personas, cases)`` gives them.

    Shape ``(1 + personas, cases, repeats)``, the baseline first. ``effect`` is the true one of
    every persona.
    """

    name: str
    binary: bool
    draw: Callable[[np.random.Generator, float, int, int], Floats]


def normal(between: float, within: float, repeats: int) -> World:
    """Scores around a case's difficulty; ``between`` is the spread of a persona's true effects."""

    def draw(generator: np.random.Generator, effect: float, personas: int, cases: int) -> Floats:
        truth = generator.normal(scale=2.0, size=(1, cases, 1)) + np.zeros((1 + personas, 1, 1))
        truth[1:] += effect + generator.normal(scale=between, size=(personas, cases, 1))
        return truth + generator.normal(scale=within, size=(1 + personas, cases, repeats))

    return World(f"normal, {repeats} repeat(s), between {between}, within {within}", False, draw)


def right_or_wrong(repeats: int, mean: float, spread: float = 2.0) -> World:
    """Right or wrong; the chance of it depends on the case, and on persona and case together."""

    def draw(generator: np.random.Generator, effect: float, personas: int, cases: int) -> Floats:
        easy = generator.beta(spread * mean, spread * (1 - mean), size=(1, cases, 1))
        chance = np.repeat(easy, 1 + personas, axis=0)
        # A persona wins or loses some cases at random, and of the rest turns a share to right.
        turned = generator.random((personas, cases, 1)) < 0.3
        again = generator.beta(spread * mean, spread * (1 - mean), size=(personas, cases, 1))
        chance[1:] = np.where(turned, again, chance[1:])
        chance[1:] += (1 - chance[1:]) * effect / (1 - mean)
        return (generator.random((1 + personas, cases, repeats)) < chance).astype(float)

    return World(f"right or wrong, {repeats} repeat(s), {mean:.0%} right", True, draw)


def table_of(scores: Floats) -> pd.DataFrame:
    """One row a trial, as ``effects`` takes it."""
    persona, case, repeat = (axis.ravel() for axis in np.indices(scores.shape))
    return pd.DataFrame(
        {"persona": persona.astype(str), "case": case, "repeat": repeat, "value": scores.ravel()}
    ).assign(model="scripted:truth", status="ok")


@dataclass(frozen=True)
class Figures:
    """Shares over all experiments."""

    coverage: float
    family: float  # experiments with a false alarm (or a find) after Holm
    single: float  # personas with p <= 0.05 before it
    verdicts: float  # personas called more or less
    within_floor: float  # effects below the noise floor
    unpaired: float  # experiments with an alarm of an unpaired t-test over trials, after Holm
    independent: float  # the same, of a paired t-test over trials


def simulate(
    world: World,
    effect: float,
    cases: int,
    experiments: int,
    *,
    personas: int = PERSONAS,
    seed: int = 1,
) -> Figures:
    """Run ``experiments`` of them. After Holm, each test is given the same chance of error."""
    generator = np.random.default_rng(1)
    true = effect * (100 if world.binary else 1)
    found = []
    for _ in range(experiments):
        scores = world.draw(generator, effect, personas, cases)
        table = effects(table_of(scores), "truth", baseline="0", binary=world.binary)
        # By hand, of all trials: (persona, trial).
        trials = scores.reshape(len(scores), -1)
        with warnings.catch_warnings(action="ignore"):  # all scores equal: no alarm
            unpaired = stats.ttest_ind(trials[1:], trials[0], axis=1).pvalue
            independent = stats.ttest_1samp(trials[1:] - trials[0], 0, axis=1).pvalue
        found.append(
            [
                ((table["low"] <= true) & (true <= table["high"])).mean(),
                (table["p_adjusted"] <= 0.05).any(),
                (table["p"] <= 0.05).mean(),
                table["verdict"].isin(["more", "less"]).mean(),
                (table["effect"].abs() <= table["noise_floor"]).mean(),
                np.nanmin(holm(unpaired), initial=1.0) <= 0.05,
                np.nanmin(holm(independent), initial=1.0) <= 0.05,
            ]
        )
    return Figures(*np.array(found, dtype=float).mean(axis=0))


def row(name: str, f: Figures) -> str:
    return (
        f"{name:56s} {f.coverage:8.1%} {f.single:7.1%} {f.family:7.1%} "
        f"{f.unpaired:9.1%} {f.independent:12.1%}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--experiments", type=int, default=1_000)
    number = options.parse_args().experiments
    worlds = [
        (normal(0.0, 1.0, 1), 30),
        (normal(0.5, 1.0, 3), 30),
        (normal(0.5, 1.0, 3), 10),
        (normal(1.0, 0.5, 10), 30),
        (right_or_wrong(1, 0.5), 50),
        (right_or_wrong(3, 0.5), 30),
        (right_or_wrong(5, 0.7), 100),
        (right_or_wrong(3, 0.9), 30),
    ]
    head = f"{'scores':56s} {'covered':>8s} {'single':>7s} {'family':>7s} {'unpaired':>9s}"
    head += f" {'independent':>12s}"
    print(f"{number:,} experiments a row, of {PERSONAS} personas and a baseline each.")
    print("covered: intervals that hold the truth, wanted 95%. single: p <= 0.05 before Holm.")
    print(
        "family: experiments with any p <= 0.05 after Holm. unpaired, independent: the same, of a"
    )
    print("t-test over all trials, unpaired or paired.")
    print("\nNo effect; single and family are false alarms, wanted 5% at most.")
    print(head)
    for world, cases in worlds:
        figures = simulate(world, 0.0, cases, number)
        print(row(f"{world.name}, {cases} cases", figures), flush=True)
    print("\nA true effect (0.5, or 10 percentage points); single and family are finds.")
    print(head)
    for world, cases in worlds[2:7:2] + worlds[5:6]:
        figures = simulate(world, 0.1 if world.binary else 0.5, cases, number)
        print(row(f"{world.name}, {cases} cases", figures), flush=True)
    print("\nPower with the number of cases that `cases_needed` names; one wants 80%.")
    for effect, between, within, repeats in (
        (0.5, 0.5, 1.0, 1), (0.5, 0.5, 1.0, 3), (0.3, 0.2, 1.0, 10), (1.0, 0.5, 1.0, 3),
    ):  # fmt: skip
        cases = cases_needed(effect, sd_of_difference(between, within, repeats))
        world = normal(between, within, repeats)
        found = simulate(world, effect, cases, number, personas=1)
        print(f"{world.name}, effect {effect}: {cases} cases, found {found.single:.1%}", flush=True)


if __name__ == "__main__":
    main()
