"""Experiments with a scripted model whose truth is known, through all of the workbench.

Defined, run, stored, scored and read back as a user's are: ``Experiment.define``, ``run`` and
``Run.effects``. ``Script`` says how likely which answer is.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from assistants import Experiment, Message, Sampling, ScriptedClient

Floats = NDArray[np.float64]
BASELINE = "none"
AT_ONCE = 25
"""Experiments that share a results folder."""

_OWN = 0.3
"""Share of cases that a persona finds easy or hard for reasons of its own."""


def personas(number: int) -> list[str]:
    """Names, the baseline first."""
    return [BASELINE, *(f"persona-{i:02d}" for i in range(1, number + 1))]


def table_of(scores: Floats, model: str = "scripted:truth") -> pd.DataFrame:
    """One row a trial, as ``effects`` takes it, of scores ``(1 + personas, cases, repeats)``.

    Cases have the ids that ``Script.experiment`` gives them: random signs are drawn in their order.
    """
    persona, case, repeat = (axis.ravel() for axis in np.indices(scores.shape))
    names = np.array(personas(len(scores) - 1), dtype=object)
    ids = np.array([str(i) for i in range(scores.shape[1])], dtype=object)
    return pd.DataFrame(
        {"persona": names[persona], "case": ids[case], "repeat": repeat, "value": scores.ravel()}
    ).assign(model=model, status="ok")


@dataclass(frozen=True)
class Script:
    """A model that is right with a known chance, which depends on the persona and on the case.

    How easy a case is, is uniform over 0 to 1. A persona turns a share of the wrong answers to
    right, so that over all cases its effect is ``effects[i]``: from 0 to 0.5. And it finds three
    cases in ten as easy as if they were others. Repeats share the chance of their case and
    persona, and so are alike. Every draw comes from a hash of what is asked: no order matters.
    """

    seed: int
    effects: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"seed-{self.seed}"

    def system(self, persona: int) -> str:
        """The system prompt; the baseline, 0, has none."""
        return f"You are assistant {persona}." if persona else ""

    def question(self, case: int) -> str:
        return f"Is statement {case} true?"

    def chance(self, persona: int, case: int) -> float:
        """Of being right."""
        system, question = self.system(persona), self.question(case)
        easy = self._uniform("easy", question)
        if not persona:
            return easy
        if self._uniform("own", system, question) < _OWN:
            easy = self._uniform("easy", system, question)
        return easy + (1 - easy) * self.effects[persona - 1] / 0.5

    def right(self, persona: int, case: int, repeat: int) -> bool:
        draw = self._uniform("draw", self.system(persona), self.question(case), str(repeat))
        return draw < self.chance(persona, case)

    def scores(self, cases: int, repeats: int) -> Floats:
        """Shape ``(1 + personas, cases, repeats)``: 1 where the answer is right, else 0."""
        shape = (1 + len(self.effects), cases, repeats)
        return np.array([self.right(*cell) for cell in np.ndindex(shape)], float).reshape(shape)

    def experiment(self, cases: int, repeats: int) -> Experiment:
        """The experiment that asks this model."""
        who = {self.system(row): row for row in range(1 + len(self.effects))}
        which = {self.question(case): case for case in range(cases)}

        def answer(messages: Sequence[Message], sampling: Sampling) -> str:
            system = "".join(m.content for m in messages if m.role == "system")
            right = self.right(who[system], which[messages[-1].content], sampling.repeat)
            return "True." if right else "False."

        prompted = [
            {"name": name, "system_prompt": self.system(row)}
            for row, name in enumerate(personas(len(self.effects)))
            if row
        ]
        return Experiment.define(
            "simulated",
            personas=[BASELINE, *prompted],
            models=[ScriptedClient(answer, self.name)],
            cases=[
                {"id": i, "question": self.question(i), "reference": "true"} for i in range(cases)
            ],
            repeats=repeats,
            scorers=["exact"],
        )

    def _uniform(self, *parts: str) -> float:
        text = "\n".join([str(self.seed), *parts])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def sd_of(effect: float, repeats: int) -> float:
    """Standard deviation, over cases, of a persona's difference from the baseline.

    By hand from ``Script``: chances are uniform (variance 1/12), and a persona's are squeezed by
    ``keeps`` towards 1.
    """
    keeps = 1 - 2 * effect
    between = ((1 - _OWN) * (1 - keeps) ** 2 + _OWN * (1 + keeps**2)) / 12
    within = 1 / 6 + keeps / 2 - keeps**2 / 3
    return math.sqrt(between + within / repeats)


async def effects_of(script: Script, cases: int, repeats: int, folder: Path) -> pd.DataFrame:
    """The effect table that a user would get."""
    run = await script.experiment(cases, repeats).run(folder, on_progress=lambda progress: None)
    assert run.outcome == "complete"
    return run.effects("exact")


def simulated(
    effects: Sequence[float], cases: int, repeats: int, number: int, seed: int = 1
) -> Iterator[tuple[pd.DataFrame, Floats]]:
    """Of ``number`` experiments, the effect table and the scores that were drawn."""
    scripts = [Script(seed * 1_000_000 + i, tuple(effects)) for i in range(number)]

    async def tables(batch: list[Script], folder: Path) -> list[pd.DataFrame]:
        return [await effects_of(script, cases, repeats, folder) for script in batch]

    for start in range(0, number, AT_ONCE):
        batch = scripts[start : start + AT_ONCE]
        with tempfile.TemporaryDirectory() as folder:
            found = asyncio.run(tables(batch, Path(folder)))
        for script, table in zip(batch, found, strict=True):
            yield table, script.scores(cases, repeats)
