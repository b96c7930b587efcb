"""The plots of a run, each with the table behind it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from assistants.messages import AVERAGED
from assistants.runs import tables
from assistants.runs.statistics import Named, RunStatistics
from assistants.runs.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from assistants.analysis import Arm
    from assistants.analysis.plots import Figure
    from assistants.runs.attribution.attribution import Attribution


class RunPlots:
    """Plots of one run: ``run.plot.effects("words")``. None of them asks a model.

    ``score`` is a scorer's name, an entry as in an experiment file, or a scorer; the first scorer
    of the experiment if none is given. All need altair (the ``analysis`` extra) and say so.
    """

    def __init__(self, folder: Path, statistics: RunStatistics) -> None:
        self._folder = folder
        self._statistics = statistics

    def effects(
        self,
        score: Named | None = None,
        *,
        by: Arm = "persona",
        baseline: str | None = None,
        statuses: Collection[str] = AVERAGED,
        smallest_effect: float | None = None,
    ) -> Figure:
        """Draw each effect with its interval and noise floor; see ``run.effects``."""
        from assistants.analysis import PERCENTAGE_POINTS
        from assistants.analysis.plots import forest

        statistics = self._statistics
        name, unit, binary = statistics.plot_unit(score)
        table = statistics.effects(
            score, by=by, baseline=baseline, statuses=statuses, smallest_effect=smallest_effect
        )
        if by == "model":
            baseline_name = statistics.baseline_model(baseline)
        else:
            baseline_name = baseline or str(statistics.manifest["baseline"])
        return forest(
            table,
            score=name,
            unit=PERCENTAGE_POINTS if binary else unit,
            baseline=baseline_name,
            by=by,
        )

    def heat_map(self, score: Named | None = None) -> Figure:
        """Draw the mean score of each case and persona."""
        from assistants.analysis.plots import heat_map

        name, unit, _ = self._statistics.plot_unit(score)
        return heat_map(self._scores(score), score=name, unit=unit)

    def distributions(self, score: Named | None = None) -> Figure:
        """Draw how each persona's scores are distributed."""
        from assistants.analysis.plots import distributions

        name, unit, binary = self._statistics.plot_unit(score)
        return distributions(self._scores(score), score=name, unit=unit, binary=binary)

    def cost(self, score: Named | None = None) -> Figure:
        """Draw each persona's score against what its answers cost."""
        from assistants.analysis.plots import cost

        name, unit, binary = self._statistics.plot_unit(score)
        with Store(self._folder) as store:
            trials = tables.trials(store, self._statistics.id)
        return cost(self._scores(score), trials, score=name, unit=unit, binary=binary)

    def attribution(self, attribution: Attribution) -> Figure:
        """Draw what each sentence contributed: ``await run.sentence_attribution("art")``."""
        return attribution.figure()

    def _scores(self, score: Named | None) -> pd.DataFrame:
        statistics = self._statistics
        return statistics.scores(statistics.main_score if score is None else score)
