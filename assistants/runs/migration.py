"""Migration from one model to another: verdicts, and the answers that differ most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED
from assistants.runs import tables
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import Store
from assistants.utils import notebook_html, pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

DIFFERING = tuple(
    "persona case question distance noise old_repeat old_answer new_repeat new_answer".split()
)
"""Columns of ``Migration.differing``, in order."""


@dataclass(frozen=True, eq=False, repr=False)
class Migration:
    """A comparison of two models, one of which is to take the other's place.

    Attributes
    ----------
    experiment
        Its name.
    old, new
        The models, as ``provider:id``.
    verdicts
        One row per scorer and persona: ``scorer``, then the columns of ``run.effects``. ``effect``
        is the new model less the old one, paired by case; ``baseline_mean`` is the old one's.
        ``p_adjusted`` and ``verdict`` count all rows of the table (Holm). The verdict also says
        where a real difference lies within the margin, and about how many cases are needed where
        there is too little data.
    differing
        The cases whose answers differ most, with ``DIFFERING``: ``distance`` is the mean cosine
        distance between the two models' answers to a case, ``noise`` that among repeats of one
        model (NaN where a model answered once). The largest distance beyond the noise is first;
        cases with equal answers are left out.
    not_compared
        Scorers that compare answers of one model, and so say nothing of two.
    """

    experiment: str
    old: str
    new: str
    verdicts: pd.DataFrame
    differing: pd.DataFrame
    not_compared: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The number of comparisons with each verdict, in one sentence."""
        from assistants.analysis import LESS, MORE, NO_DIFFERENCE, TOO_LITTLE

        kinds = (MORE, LESS, NO_DIFFERENCE, TOO_LITTLE)
        said = list(self.verdicts["verdict"])
        counts = Counter(kind for verdict in said for kind in kinds if verdict.startswith(kind))
        words = {NO_DIFFERENCE: "no difference of note", TOO_LITTLE: "too little data to tell"}
        listed = ", ".join(f"{counts[k]} {words.get(k, k)}" for k in kinds if counts[k])
        return f"{self.new} in place of {self.old}: {listed or 'nothing to compare'}."

    @property
    def notes(self) -> list[str]:
        """Sentences to read before believing the verdicts, each with the rows that it is about."""
        rows: dict[str, list[str]] = {}
        for row in self.verdicts.itertuples():
            if row.note:
                rows.setdefault(row.note, []).append(f"{row.scorer} of {row.persona}")
        notes = [f"{', '.join(of)}: {note}" for note, of in rows.items()]
        return notes + [
            f"{name} compares answers of one model: no verdict." for name in self.not_compared
        ]

    def __repr__(self) -> str:
        return truncate_line(f"Migration({self.experiment}: {self.summary})", 200)

    def _repr_html_(self) -> str:
        return notebook_html(self)


def migration(
    statistics: RunStatistics,
    old: str,
    new: str,
    *,
    margin: float | Mapping[str, float] | None = None,
    statuses: Collection[str] = AVERAGED,
    most: int = 5,
) -> Migration:
    """Return what a run says of replacing one model by another; see ``Run.migration``."""
    from assistants.analysis import PERCENTAGE_POINTS, effects_of_scores

    old_name, new_name = statistics.baseline_model(old), statistics.baseline_model(new)
    if old_name == new_name:
        raise UsageError(f"{old!r} and {new!r} are one model.", fix="Name two.")
    names = [scorer.name for scorer in statistics.scorers] or [statistics.main_score]
    margins = _margins(margin, names)
    scores = [
        statistics.score_by_model(
            name, statuses, smallest_effect=margins[name], models=(old_name, new_name)
        )
        for name in names
    ]
    verdicts = effects_of_scores(scores, baseline=old_name, by="model")
    units = {score.name: PERCENTAGE_POINTS if score.binary else score.unit for score in scores}
    return Migration(
        experiment=statistics.experiment,
        old=old_name,
        new=new_name,
        verdicts=verdicts.assign(verdict=_in_words(verdicts, margins, units)),
        differing=_differing(statistics, old_name, new_name, statuses, most),
        not_compared=tuple(statistics.comparing),
    )


def _margins(
    margin: float | Mapping[str, float] | None, names: Collection[str]
) -> dict[str, float | None]:
    if not isinstance(margin, Mapping):
        return dict.fromkeys(names, margin)
    for name in margin:
        if name not in names:
            raise UnknownNameError("scorer", name, names, where="margin")
    return {name: margin.get(name) for name in names}


def _in_words(
    verdicts: pd.DataFrame, margins: Mapping[str, float | None], units: Mapping[str, str]
) -> list[str]:
    """Return the verdicts, with what somebody who decides on a model has to know beside them."""
    from assistants.analysis import LESS, MORE, TOO_LITTLE

    texts = []
    for row in verdicts.itertuples():
        text, margin = str(row.verdict), margins[row.scorer]
        is_real = text in (MORE, LESS) and margin is not None
        is_open = text == TOO_LITTLE and tables.is_known(row.cases_needed)
        if is_real and max(abs(row.low), abs(row.high)) <= margin:
            text += f", within the margin of {margin:.4g} {units[row.scorer]}".rstrip()
        elif is_open and row.cases_needed > row.n_cases:
            text += f", about {pluralize(int(row.cases_needed), 'case')} needed"
        texts.append(text)
    return texts


def _differing(
    statistics: RunStatistics, old: str, new: str, statuses: Collection[str], most: int
) -> pd.DataFrame:
    from assistants.analysis import answer_differences

    with Store(statistics.folder) as store:
        trials = tables.trials(store, statistics.id)
    controls = {control.persona for control in statistics.controls}
    trials = trials[trials["model"].isin([old, new]) & ~trials["persona"].isin(controls)]
    trials = trials.assign(answer=trials["answer"].where(trials["status"].isin(statuses)))
    ranked = answer_differences(trials, old=old, new=new)
    ranked = ranked[ranked["distance"] > 0].head(most)
    for side in ("old", "new"):
        rows = trials.iloc[ranked[f"{side}_row"].to_numpy(dtype=int)]
        for column in ("answer", "repeat", "question"):
            ranked[f"{side}_{column}"] = rows[column].to_numpy()
    return ranked.rename(columns={"old_question": "question"})[list(DIFFERING)]
