"""Attribution of a persona's effect to its sentences: each is left out in turn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assistants.clients import Client, LogprobsUnavailableError, connect
from assistants.errors import UsageError
from assistants.models import Catalogue
from assistants.runs.attribution import ablation, log_likelihood
from assistants.runs.attribution.log_likelihood import AnsweredTrial
from assistants.runs.store import Store
from assistants.utils import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

    from assistants.analysis.plots import Figure
    from assistants.runs.runner import ProgressCallback

Method = Literal["log-probability", "regeneration"]


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """The contribution of each sentence of a persona to the answers of a run.

    Attributes
    ----------
    persona
        Its name.
    method
        ``log-probability``: how much likelier a sentence makes the answers that were given.
        ``regeneration``: how far the wording moves when they are made anew without it, beyond what
        repeats differ: weaker, and said of answers that nobody has seen.
    totals
        One row per model and sentence; columns ``analysis.ATTRIBUTION_TOTALS``.
    trials
        One row per trial and sentence; columns ``analysis.ATTRIBUTION_TRIALS``. Without a
        row after ``regeneration``, which compares sets of answers.
    note
        What has to be known beside the numbers; often nothing.
    """

    persona: str
    method: Method
    totals: pd.DataFrame
    trials: pd.DataFrame
    note: str = ""

    def __repr__(self) -> str:
        sentences = pluralize(self.totals["sentence"].nunique(), "sentence")
        cases = pluralize(int(self.totals["n_cases"].max()), "case")
        summary = f"{self.persona!r}: {sentences}, {cases}, by {self.method}"
        return truncate_line(f"Attribution({summary})", 120)

    @property
    def unit(self) -> str:
        """The unit of an effect: ``nats``, or ``cosine distance``."""
        return "nats" if self.method == "log-probability" else "cosine distance"

    def figure(self) -> Figure:
        """Draw a heat map: sentences as rows, cases as columns, totals with intervals beside.

        Raises
        ------
        MissingDependencyError
            If altair is not installed.
        """
        from assistants.analysis.plots import attribution_map

        return attribution_map(
            self.totals,
            self.trials,
            persona=self.persona,
            unit=self.unit,
            by=self.method,
            note=self.note,
        )

    def _ipython_display_(self) -> None:
        self.figure()._ipython_display_()


async def attribute(
    results: Path,
    run_id: str,
    experiment_name: str,
    persona: str,
    case: str | None,
    *,
    model: str | None,
    client: Client | None,
    statuses: Collection[str],
    regenerate: bool,
    max_usd: float | None,
    on_progress: ProgressCallback | None,
) -> Attribution:
    """Measure what ``Run.sentence_attribution`` documents."""
    with Store(results) as store:
        trials = log_likelihood.answered_trials(
            store,
            run_id,
            persona,
            case=case,
            model=model,
            statuses=statuses,
        )
    texts = log_likelihood.sentences_of(persona, trials)
    by_model: dict[str, list[AnsweredTrial]] = {}
    for trial in trials:
        by_model.setdefault(trial.model, []).append(trial)
    if client is not None and len(by_model) > 1:
        raise UsageError(
            f"one client cannot measure the answers of {' and '.join(by_model)}.",
            fix="Name one of them: `model=`.",
        )
    clients = {name: client or connect(name) for name in by_model}
    try:
        if client is None:
            _refuse_hosted(by_model)
        rows = [
            row
            for name, those in by_model.items()
            for row in await log_likelihood.log_likelihood_rows(clients[name], those, texts)
        ]
        return _by_logprob(persona, rows, log_likelihood.reasoning_note(trials))
    except LogprobsUnavailableError as error:
        why = error.message
    finally:
        for each_client in clients.values():
            await each_client.aclose()
    design, lacking = ablation.ablation_design(
        experiment_name, persona, trials, texts, clients, max_usd=max_usd
    )
    if not regenerate and max_usd is None:
        raise ablation.cost_confirmation_error(design, results, why)
    frame, note = await ablation.run_ablation(
        design, results, statuses=statuses, on_progress=on_progress
    )
    return _by_regeneration(persona, frame, lacking, design.baseline or persona, note)


def _refuse_hosted(names: Collection[str]) -> None:
    """Refuse hosted models: answers are sent to servers of one's own only.

    Raises
    ------
    LogprobsUnavailableError
        If a model is somebody else's.
    """
    catalogue = Catalogue.default()
    for name in names:
        model = catalogue.find(name)
        if model.server is not None and not model.is_self_hosted:
            raise LogprobsUnavailableError(
                f"{name} is hosted, so it is not asked how likely it finds an answer (a vLLM "
                "server of your own, behind a key, is if you name its `client=`)."
            )


def _by_logprob(persona: str, rows: list[dict[str, Any]], note: str) -> Attribution:
    import pandas as pd

    from assistants.analysis import ATTRIBUTION_TRIALS, log_likelihood_effects

    trials = pd.DataFrame(rows, columns=list(ATTRIBUTION_TRIALS))
    totals = log_likelihood_effects(trials)
    return Attribution(persona, "log-probability", totals, trials, note)


def _by_regeneration(
    persona: str, frame: pd.DataFrame, lacking: pd.DataFrame, whole: str, note: str
) -> Attribution:
    import pandas as pd

    from assistants.analysis import ATTRIBUTION_TRIALS, ablation_effects

    totals = ablation_effects(frame, lacking, whole)
    trials = pd.DataFrame(columns=list(ATTRIBUTION_TRIALS))
    return Attribution(persona, "regeneration", totals, trials, note)
