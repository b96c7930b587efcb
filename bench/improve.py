"""The discipline of `assistants improve`: find what helps, claim nothing where nothing does.

    python bench/improve.py [--runs 100] [--first 0] [--cases 200] [--optimizer edits] [--check]

A scripted model is right more often where its system prompt has one certain sentence: on average
over all cases by 30 percentage points, more on hard cases than on easy ones. A scripted editor adds
one sentence of six at a time and knows nothing of it. On the flat landscape no sentence matters.
Each run has a model, cases and a results folder of its own, and goes through all of the workbench.

With ``--check`` the exit code says whether the promise is kept: on the planted landscape, the
sentence is found and the true effect lies within the reported interval in 95 of 100 runs; on the
flat one, at most 5 of 100 claim a gain.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assistants import Experiment, Improvement, Message, Sampling, ScriptedClient, improve
from assistants.runs.improvement import Optimizer

ORIGINAL = "You judge statements. Say whether each one is true."
PARAPHRASE = "Statements are given to you. Tell of each whether it holds."
PLANTED = "Look for an exception before you answer."
IDEAS = (
    "Answer in one word.",
    "Be polite.",
    PLANTED,
    "Think of a picture of it.",
    "Mind the units.",
    "Never guess.",
)


@dataclass(frozen=True)
class Landscape:
    """A world in which ``PLANTED`` turns wrong answers to right ones: ``effect`` on average."""

    seed: int
    effect: float

    def experiment(self, cases: int) -> Experiment:
        """Return the experiment whose persona is to be improved."""
        return Experiment.define(
            "landscape",
            personas=[{"name": "judge", "system_prompt": ORIGINAL}],
            models=[ScriptedClient(self._answer, f"landscape-{self.seed}-{self.effect}")],
            cases=[
                {"id": str(i), "question": f"Is statement {i} of world {self.seed} true?",
                 "reference": "true"}
                for i in range(cases)
            ],
            scorers=["exact"],
        )  # fmt: skip

    def _answer(self, messages: Sequence[Message], sampling: Sampling) -> str:
        system, question = messages[0].content, messages[-1].content
        if system.startswith("You improve"):
            instructions = question.partition("<instructions>\n")[2].partition("\n</inst")[0]
            idea = IDEAS[(self.seed + sampling.repeat) % len(IDEAS)]
            return f"<instructions>\n{instructions} {idea}\n</instructions>"
        if system.startswith("You rewrite"):
            return PARAPHRASE
        easy = self._uniform("easy", question)
        # Over cases that are uniformly easy, the mean of this is the effect.
        gain = (1 - easy) * 2 * self.effect if PLANTED in system else 0.0
        return "True." if self._uniform("draw", system, question) < easy + gain else "False."

    def _uniform(self, *parts: str) -> float:
        digest = hashlib.sha256("\n".join([str(self.seed), *parts]).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


async def improved(landscape: Landscape, cases: int, optimizer: Optimizer) -> Improvement:
    """Return the improvement of the persona in one world."""
    with tempfile.TemporaryDirectory() as results:
        return await improve(
            "judge", landscape.experiment(cases), results=results, optimizer=optimizer,
            on_progress=lambda progress: None,
        )  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """What so many runs on one landscape said."""

    runs: int
    found: int
    within: int
    helped: int
    more: int
    gains: tuple[tuple[float, float], ...]

    def __str__(self) -> str:
        choice, held_out = np.mean(self.gains or [(np.nan, np.nan)], axis=0)
        return (
            f"{self.runs} runs, {len(self.gains)} with a winner: {self.found} chose the sentence, "
            f"{self.within} had the true effect in the interval, {self.helped} claimed a gain "
            f"({self.more} against the original alone); mean gain {choice:.1f} on choose, "
            f"{held_out:.1f} held out"
        )


def counts(effect: float, runs: range, cases: int, optimizer: Optimizer) -> Counts:
    """Improve a persona in so many worlds, and count."""
    results = [asyncio.run(improved(Landscape(seed, effect), cases, optimizer)) for seed in runs]
    looked = [r for r in results if r.improved is not None]
    chosen = [r for r in looked if r.improved is not None and PLANTED in (r.improved.text or "")]
    truth = [(r, 100 * effect if r in chosen else 0.0) for r in looked]
    within = [r for r, true in truth if r.held_out["low"][0] <= true <= r.held_out["high"][0]]
    return Counts(
        runs=len(results),
        found=len(chosen),
        within=len(within),
        helped=sum(r.has_helped for r in results),
        more=sum(r.outcome in ("helped", "rewording") for r in results),
        gains=tuple((r.gain_on_choice, r.gain) for r in looked),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--optimizer", choices=["edits", "gepa"], default="edits")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    runs = range(given.first, given.first + given.runs)
    planted = counts(0.3, runs, given.cases, given.optimizer)
    print(f"planted, 30 points: {planted}", flush=True)
    flat = counts(0.0, runs, given.cases, given.optimizer)
    print(f"flat:               {flat}")
    kept = min(planted.found, planted.within) >= 0.95 * given.runs and (
        flat.helped <= 0.05 * given.runs
    )
    return 0 if kept or not given.check else 1


if __name__ == "__main__":
    sys.exit(main())
