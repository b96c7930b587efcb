"""Experiments: a design with the methods that forecast and run it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.design import Design
from assistants.errors import UsageError
from assistants.results import Results, Run
from assistants.runs import (
    Budget,
    Forecast,
    ProgressCallback,
    RetryPolicy,
    execute,
    forecast_design,
    power_table,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Experiment(Design):
    """A design of assistants, cases and repeats, with the methods that forecast and run it.

    Read one from a file with ``Experiment.load``, or write one with ``Experiment.define``.
    """

    def forecast(self, results: str | Path = "results") -> Forecast:
        """Estimate what a run would ask and cost. Nothing is asked or written."""
        return forecast_design(self, results)

    def power(
        self, effect: float, *, sd: float, sd_within_case: float = 0.0, power: float = 0.8
    ) -> pd.DataFrame:
        """Return how many cases, at how many repeats, an effect needs, and what they would cost.

        Nothing is asked. Cases, not repeats, are what a difference is proved with: repeats only
        wear down the noise within a case.

        Parameters
        ----------
        effect
            The difference from the baseline that is to be detected, in the score's unit (for a
            binary score a share: 0.1 is ten percentage points).
        sd
            Standard deviation over cases of the true difference, same unit.
        sd_within_case
            Standard deviation of one answer around its case's mean, same unit.
        power
            Wanted chance of detecting it, at a family-wise 5% over the personas compared.

        Returns
        -------
        pandas.DataFrame
            One row per number of repeats: ``repeats``, ``cases``, ``trials``, ``tokens`` and
            ``usd`` (missing if a price is unknown), and ``power_now``: the chance with the cases
            that this experiment has.

        Raises
        ------
        UsageError
            If a number is out of range, or there is nothing to compare with the baseline.
        """
        return power_table(self, effect, sd=sd, sd_within_case=sd_within_case, power=power)

    async def run(
        self,
        results: str | Path = "results",
        *,
        on_progress: ProgressCallback | None = None,
        retry: RetryPolicy | None = None,
        budget: Budget | None = None,
        batch: bool | None = None,
    ) -> Run:
        """Ask for what is missing, store each answer as it arrives, and return the run.

        Parameters
        ----------
        results
            The folder of the store. Answers that are already there are not asked again.
        on_progress
            Called with a ``Progress`` as the run goes on; a progress bar if none is given.
        retry
            How often a call is tried, and how long to wait in between.
        budget
            What has been spent already and may be spent in all; by default nothing has been,
            and ``limits`` holds.
        batch
            Whether to send trials as batches of their provider, which cost less and may take a
            day; by default what the experiment says. It may be interrupted at any time: the next
            run collects what is out.

        Raises
        ------
        UsageError
            Before anything is asked.
        CallError
            If a provider does not let a run by batch look at what was sent.
        StoreError
            If an answer cannot be stored.
        """
        design = self if batch is None else replace(self, batch=batch)
        run_id = await execute(design, results, on_progress=on_progress, retry=retry, budget=budget)
        return Results(results).get(run_id)

    def run_sync(self, results: str | Path = "results", *, batch: bool | None = None) -> Run:
        """Run from a script, where there is no event loop; in a notebook ``await run()``.

        Raises
        ------
        UsageError
            Where an event loop runs, and as ``run`` does.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.run(results, batch=batch))
        raise UsageError(
            "run_sync is for scripts, and an event loop runs here, as in a notebook.",
            fix="Write `await experiment.run()`.",
        )
