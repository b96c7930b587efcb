"""What an effect would need, and cost, before anything is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistants.errors import UsageError
from assistants.runs import judging
from assistants.runs.forecast import forecast

if TYPE_CHECKING:
    import pandas as pd

    from assistants.experiment import Experiment

REPEATS = (1, 2, 3, 5, 10)
"""Numbers of repeats to choose from, and the experiment's own."""


def power_table(
    experiment: Experiment, effect: float, *, sd: float, sd_within_case: float, power: float
) -> pd.DataFrame:
    """As ``Experiment.power``, which documents it."""
    import pandas as pd

    from assistants.analysis import cases_needed, power_of, sd_of_difference

    beside = {control.persona for control in experiment.controls}
    names = [assistant.name for assistant in experiment.assistants]
    compared = len([name for name in names if name not in beside | {experiment.baseline}])
    if experiment.baseline is None or not compared:
        raise UsageError("Power is that of a comparison: name a baseline and a persona.")
    if sd < 0 or sd_within_case < 0:
        raise UsageError(f"sd is {sd} and sd_within_case {sd_within_case}; neither can be below 0.")
    judged = judging.expected_judge_trials(experiment, None) if experiment.judges else []
    told = forecast(experiment.trials(), judged, None, experiment.model)
    known = len(experiment.cases)
    rows = []
    for repeats in sorted({*REPEATS, experiment.repeats}):
        try:
            spread = sd_of_difference(sd, sd_within_case, repeats)
            cases = cases_needed(effect, spread, power=power, personas=compared)
            now = power_of(effect, spread, known, personas=compared) if known > 1 else None
        except ValueError as error:
            raise UsageError(str(error)) from None
        trials = cases * repeats * len(experiment.assistants)
        share = trials / (told.trials - told.judging)
        rows.append(
            {
                "repeats": repeats,
                "cases": cases,
                "trials": trials,
                "tokens": round((told.input_tokens + told.output_tokens) * share),
                "usd": None if told.usd is None else told.usd * share,
                "power_now": now,
            }
        )
    return pd.DataFrame(rows).astype({"usd": "Float64", "power_now": "Float64"})
