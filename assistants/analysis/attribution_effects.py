"""Effect of each sentence of a persona on the answers: totals over cases, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assistants.analysis.effects import effects
from assistants.analysis.text_distance import text_distance
from assistants.analysis.verdict import LESS, MORE

if TYPE_CHECKING:
    import pandas as pd

ATTRIBUTION_TRIALS = tuple(
    "model case repeat sentence text effect per_token share tokens logprob logprob_without "
    "logprob_empty".split()
)
"""Columns of the trials table, one row per trial and sentence; log-probabilities in nats."""

ATTRIBUTION_TOTALS = tuple(
    "model sentence text n_cases n_trials effect low high p p_adjusted per_token share "
    "verdict note".split()
)
"""Columns of the totals table, one row per model and sentence; sentences are numbered from 1."""

WHOLE = "whole"
"""Stands for the persona with all its sentences, where the others lack one."""

_NOISE = "One draw a case: the noise floor is unknown."
"""Note that says nothing here: the answers are the same, and their difference is exact."""

RAISES_LIKELIHOOD, LOWERS_LIKELIHOOD = "makes the answers likelier", "makes the answers less likely"
_VERDICTS = {MORE: RAISES_LIKELIHOOD, LESS: LOWERS_LIKELIHOOD}


def log_likelihood_effects(trials: pd.DataFrame) -> pd.DataFrame:
    """Return totals over cases, from log-probabilities.

    Parameters
    ----------
    trials
        With ``TRIALS``.

    Returns
    -------
    pandas.DataFrame
        With ``TOTALS``. ``effect`` is how much likelier (in nats) the answers are with the sentence
        than without: repeats averaged within a case, then cases. ``low`` and ``high`` are of its
        95% interval over cases, ``p_adjusted`` is after Holm over all rows of the table, and
        ``verdict`` is as in the effect table. One case is an exact figure about its answers, which
        says nothing about others: there is no interval, and the verdict says so. ``per_token`` is
        the effect over the mean length of the answers; ``share`` that over what all sentences
        together do, NaN unless they make the answers likelier. Shares do not add up to 1 where
        sentences repeat or need each other.
    """
    import pandas as pd

    cases = trials.assign(whole=trials["logprob"] - trials["logprob_empty"])
    groups = cases.groupby(["model", "sentence", "case"], sort=False)
    # Repeats are averaged first: answers that differ are no noise in what each of them is worth.
    cases = groups.mean(numeric_only=True).reset_index().assign(repeat=0)
    # How surprising the answers are: then what leaving out adds is an effect like any other.
    without = cases.assign(persona=cases["sentence"].astype("str"), value=-cases["logprob_without"])
    whole = cases.drop_duplicates(["model", "case"]).assign(
        persona=WHOLE, value=lambda frame: -frame["logprob"]
    )
    table_of_effects = effects(pd.concat([whole, without]), "surprise", baseline=WHOLE, unit="nats")
    table_of_effects = table_of_effects.assign(
        sentence=table_of_effects.pop("persona").astype("int64")
    )
    place = ["model", "sentence"]
    means = cases.groupby(place)[["effect", "tokens", "whole"]].mean().reset_index()
    counts = trials.groupby(place).size().rename("n_trials").reset_index()
    table_of_effects = table_of_effects.drop(columns=["effect", "n_trials"])
    table = table_of_effects.merge(means, on=place).merge(counts, on=place)
    table["per_token"] = table["effect"] / table["tokens"]
    table["share"] = (table["effect"] / table["whole"]).where(table["whole"] > 0)
    table["verdict"] = table["verdict"].replace(_VERDICTS)
    table["note"] = table["note"].str.replace(_NOISE, "", regex=False).str.strip()
    return _finished(table, trials)


def ablation_effects(frame: pd.DataFrame, texts: pd.DataFrame, whole: str) -> pd.DataFrame:
    """Return totals over cases, from answers made anew without a sentence.

    Parameters
    ----------
    frame
        One row a trial, as ``text_distance`` takes it; ``persona`` is ``whole``, or a key
        of ``texts``.
    texts
        With ``persona``, ``sentence`` and ``text``.
    whole
        The persona with all its sentences.

    Returns
    -------
    pandas.DataFrame
        With ``TOTALS``. ``effect`` is how far the wording moves beyond what repeats differ (the
        ``excess`` of ``text_distance``, a cosine distance); it has no direction, so ``per_token``
        and ``share`` are not known (NaN).
    """
    distances = text_distance(frame, baseline=whole).rename(columns={"excess": "effect"})
    table = distances.merge(texts, on="persona").assign(per_token=np.nan, share=np.nan)
    return _finished(table, texts)


def _finished(table: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
    """Add the sentences' texts, and sort by model and sentence."""
    if "text" not in table.columns:
        first = texts.drop_duplicates(["model", "sentence"])[["model", "sentence", "text"]]
        table = table.merge(first, on=["model", "sentence"])
    models = {model: model_order for model_order, model in enumerate(table["model"].unique())}
    order = (
        table.assign(model_order=table["model"].map(models))
        .sort_values(["model_order", "sentence"])
        .index
    )
    return table.loc[order, list(ATTRIBUTION_TOTALS)].reset_index(drop=True)
