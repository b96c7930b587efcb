"""The statistics of a run: scores, effects, controls, distances, votes and rankings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.design import Control
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.models import Catalogue
from assistants.runs import scores, tables, votes
from assistants.runs.store import RunRecord, Store
from assistants.runs.technique_effects import TechniqueArms
from assistants.scoring import (
    FunctionScorer,
    ScorePendingError,
    Scorer,
    make_scorer,
    scorer_names,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from assistants.analysis import Arm, ScoreTable

VOTES = "votes"
"""The score made of people's votes: the share of its comparisons that an answer won."""

Named = str | Mapping[str, Any] | Scorer
"""A scorer, or what an experiment file writes for one."""


class RunStatistics:
    """The statistics of one run: scores, effects, controls, distances, votes and rankings.

    None of them asks a model. A run is scored with the ``scorers`` of its experiment when it ends.
    Others can be applied at any time, by name (``words``), with settings
    (``{"contains": "light"}``) or as an object; their scores are stored beside the answers.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.id = record.run
        self.experiment = record.experiment
        self.manifest = record.manifest

    @property
    def scorers(self) -> list[FunctionScorer]:
        """The scorers of the experiment, judges included; reading them runs none."""
        return scores.scorers_from_manifest(self.manifest.get("scorers", []))

    @property
    def main_score(self) -> str:
        """The first scorer of the experiment; ``words`` if it has none."""
        return self.scorers[0].name if self.scorers else "words"

    @property
    def controls(self) -> list[Control]:
        """The personas that are there as controls."""
        listed = self.manifest.get("controls", [])
        try:
            return [Control(**entry) for entry in listed]
        except TypeError:
            raise UsageError(
                f"The manifest of run {self.id} lists controls that this version cannot read."
            ) from None

    @property
    def control_personas(self) -> list[Control]:
        """The controls with another persona, and not those with a technique's control."""
        return [control for control in self.controls if control.kind != "technique"]

    @property
    def techniques(self) -> list[str]:
        """The techniques that assistants of the run have: what ``effects`` may compare by."""
        with Store(self.folder) as store:
            return store.technique_names(self.id)

    def scores(self, *scorers: Named) -> pd.DataFrame:
        """Return one row per trial and scorer; no model is asked again.

        Parameters
        ----------
        scorers
            The experiment's own if none is named. ``votes`` scores an answer by people's votes,
            and the name of a judge that compares by its verdicts: the share of its
            comparisons that the answer won.

        Raises
        ------
        UsageError
            For an unknown name or a wrong setting.
        """
        import pandas as pd

        named: Sequence[Named] = scorers or self.scorers
        with Store(self.folder) as store:
            parts = [
                votes.as_scores(store, self.id, entry, self._rater(entry))
                if isinstance(entry, str) and self._rater(entry) is not None
                else scores.scores(store, self.id, [self._scorer(entry)])
                for entry in named
            ]
        return pd.concat(parts, ignore_index=True) if parts else scores.empty()

    def prompt_audit(self) -> pd.DataFrame:
        """Return, for each persona and model, whether the persona was delivered word for word.

        Nothing is asked: it was found before the run's first question, or when the
        answers that it shares were made. For models that do not show what they read, the input
        tokens of the stored answers say something, which is no proof.

        Returns
        -------
        pandas.DataFrame
            One row per persona and model: ``persona``, ``model``, ``verdict``, ``ok`` (missing
            where it is proven neither way), ``known_by`` (``tokens`` or ``template`` that the
            server showed, ``token counts``, ``unknown``), ``persona_in`` (``system``, or ``user``
            for the first question), ``tokens`` that the persona adds to a question, and ``note``.
        """
        from assistants.runs.audit.records import table

        with Store(self.folder) as store:
            return table(store, self.id, self.manifest)

    def effects(
        self,
        score: Named | None = None,
        *,
        by: str = "persona",
        baseline: str | None = None,
        statuses: Collection[str] = AVERAGED,
        smallest_effect: float | None = None,
    ) -> pd.DataFrame:
        """Return what each persona, model or technique changed, and whether the change is real.

        As a default, each persona is compared with the baseline on the same cases and model. With
        ``by="model"``, each model is compared with the model ``baseline`` on the same cases and
        persona: ``run.effects("words", by="model", baseline="openai:old")``. With the name of a
        technique, assistants with it are compared with the same ones without it, or with its
        control: ``run.effects("exact", by="knowledge", baseline="shuffled")``.

        Control personas have no row here, so that they make nobody else's effect harder to see:
        ``control_contrasts`` is about them.

        Parameters
        ----------
        score
            What to measure; as a default the first scorer of the experiment, or ``words``. Of
            votes, the effect is the share of wins against the baseline, less a half.
        by
            What is compared: ``persona``, ``model``, or the name of a technique of the run.
        baseline
            A persona; the experiment's own if none is named. By model: one of the run's, by short
            name or ``provider:id``; the experiment's first if none is named. By technique: one of
            its labels; ``none``, which is without it, if none is named.
        statuses
            The statuses of trials that count.
        smallest_effect
            The smallest effect that would matter, in the scorer's unit (percentage points for a
            binary one); lets "no difference" be said of smaller ones.

        Returns
        -------
        pandas.DataFrame
            One row per persona and model, without the baseline's; ``effect``, ``low`` and ``high``
            in the scorer's unit or percentage points. The columns are those of
            ``analysis.effects``.

        Raises
        ------
        UsageError
            If there is no baseline, only one model to compare, votes are to compare models, or as
            ``scores`` does.
        """
        from assistants.analysis import check_arm, effects, note_truncation

        if by in (techniques := self.techniques):
            arms = self.technique_arms(by)
            return self._technique_effects(arms, score, baseline, statuses, smallest_effect)
        arm = check_arm(by, techniques)
        if arm == "model":
            baseline_name = self.baseline_model(baseline)
            scored = self.score_by_model(score, statuses, smallest_effect=smallest_effect)
        else:
            baseline_name = self._baseline(baseline)
            scored = self._score_by_persona(score, statuses, baseline_name, smallest_effect)
        table = effects(
            scored.frame,
            scored.name,
            baseline=baseline_name,
            by=arm,
            unit=scored.unit,
            binary=scored.binary,
            smallest_effect=smallest_effect,
        )
        return note_truncation(table, scored.frame, baseline_name, arm)

    def technique_arms(self, technique: str) -> TechniqueArms:
        """Return the trials arranged by the labels of a technique.

        Raises
        ------
        UnknownNameError
            For a technique that the run does not have.
        """
        if technique not in (techniques := self.techniques):
            raise UnknownNameError("technique", technique, techniques, where=f"run {self.id}")
        with Store(self.folder) as store:
            return TechniqueArms(technique, tables.trials(store, self.id))

    def _technique_effects(
        self,
        arms: TechniqueArms,
        score: Named | None,
        baseline: str | None,
        statuses: Collection[str],
        smallest_effect: float | None,
    ) -> pd.DataFrame:
        from assistants.analysis import effects, note_truncation

        label = arms.baseline(baseline)
        scorer, frame = self._counted(score, statuses, "")
        scored = _score_table(scorer, arms.rearranged(frame), smallest_effect)
        table = effects(
            scored.frame,
            scored.name,
            baseline=label,
            unit=scored.unit,
            binary=scored.binary,
            smallest_effect=smallest_effect,
        )
        return arms.restored(note_truncation(table, scored.frame, label))

    def headline(self, score: Named | None = None, *, by: Arm = "persona") -> str:
        """Return in plain words what the personas changed, or that nothing can be told.

        Parameters
        ----------
        score
            What to measure; as a default the first scorer of the experiment, or ``words``.
        by
            ``model`` says what each model changed against the first one, persona by persona.

        Raises
        ------
        UsageError
            As ``scores`` does.
        """
        from assistants.analysis import PERCENTAGE_POINTS, headline

        if by == "model" and len(self.models) < 2:
            return "One model was asked, so there is none to compare it with."
        baseline = self.baseline_model() if by == "model" else self.manifest["baseline"]
        if baseline is None:
            return "No baseline is named, so there is nothing to compare with."
        name, unit, binary = self.plot_unit(score)
        unit = PERCENTAGE_POINTS if binary else unit
        rows = self.effects(score, by=by)
        return headline(rows, name, unit=unit, baseline=baseline, by=by)

    def means(self, *scorers: Named) -> pd.DataFrame:
        """Return the mean of each score, one row per persona and model.

        Parameters
        ----------
        scorers
            The experiment's own if none is named.

        Returns
        -------
        pandas.DataFrame
            ``persona``, ``model``, ``trials``, ``counted`` (those with a status that counts), and
            a column per scorer: the mean in its unit, in percent where it is binary (``name, %``).

        Raises
        ------
        UsageError
            As ``scores`` does.
        """
        with Store(self.folder) as store:
            trials = tables.trials(store, self.id)
        groups = ["persona", "model"]
        by = trials.groupby(groups, sort=False)
        table = by.size().rename("trials").to_frame()
        table["counted"] = by["status"].agg(lambda statuses: int(statuses.isin(AVERAGED).sum()))
        own = [scorer.name for scorer in self.scorers] or ["words"]
        for scorer in scorers or own:
            name, _, binary = self.plot_unit(scorer)
            frame = self.scores(scorer)
            counted = frame[frame["status"].isin(AVERAGED)]
            means = counted.groupby(groups, sort=False)["value"].mean()
            table[f"{name}, %" if binary else name] = means * 100 if binary else means
        return table.reset_index()

    def interactions(
        self,
        score: Named | None = None,
        *,
        baseline: str | None = None,
        baseline_model: str | None = None,
        statuses: Collection[str] = AVERAGED,
        smallest_effect: float | None = None,
    ) -> pd.DataFrame:
        """Return how far each persona's effect differs between models, and whether that is real.

        An effect is a difference from the baseline persona; this is the difference of two such
        differences, on a model and on the baseline model, over the same cases.

        Parameters
        ----------
        score, statuses, smallest_effect
            As in ``effects``.
        baseline
            A persona; the experiment's own if none is named.
        baseline_model
            One of the run's models, by short name or ``provider:id``; the experiment's first if
            none is named.

        Returns
        -------
        pandas.DataFrame
            One row per persona and model, without those of the baseline persona and the baseline
            model. ``mean`` is the persona's effect on the row's model, ``baseline_mean`` that on
            the baseline model, ``effect`` the first less the second, in the scorer's unit or
            percentage points. The columns are those of ``effects``.

        Raises
        ------
        UsageError
            As ``effects`` does.
        """
        from assistants.analysis import interactions

        baseline_name = self._baseline(baseline)
        model = self.baseline_model(baseline_model)
        scored = self._score_by_persona(score, statuses, baseline_name, smallest_effect)
        return interactions(scored, baseline=baseline_name, baseline_model=model)

    @property
    def models(self) -> list[str]:
        """The models that were asked, as ``provider:id``, in the order of the experiment."""
        return [str(entry["name"]) for entry in self.manifest["models"]]

    def baseline_model(self, named: str | None = None) -> str:
        """Return the model that the others are compared with; the first one if none is named.

        Raises
        ------
        UnknownNameError
            For a model that the run did not ask.
        UsageError
            If it asked only one.
        """
        models = self.models
        if named is not None and named not in models:
            short_names = Catalogue.default().models
            name = short_names[named].model if named in short_names else named
            if name not in models:
                raise UnknownNameError("model", named, models, where=f"run {self.id}")
            named = name
        if len(models) < 2:
            raise UsageError(
                f"Run {self.id} asked only {', '.join(models) or 'no model'}: there is no other "
                "model to compare.",
                fix="Name several under `models:`, or run `assistants migrate`.",
            )
        return named or models[0]

    def plot_unit(self, score: Named | None = None) -> tuple[str, str, bool]:
        """Return a score's name, its unit, and whether it is binary: what a plot is labelled by."""
        scorer = self._scorer(self.main_score if score is None else score)
        return scorer.name, scorer.unit, scorer.kind == "binary"

    def control_contrasts(
        self, score: Named | None = None, *, statuses: Collection[str] = AVERAGED
    ) -> pd.DataFrame:
        """Split each persona's effect into having a prompt at all, its meaning, and its wording.

        Needs ``controls:`` in the experiment; parameters and errors are those of ``effects``.

        Raises
        ------
        UsageError
            If the experiment had no controls.
        """
        from assistants.analysis import control_contrasts

        if not self.control_personas:
            raise UsageError(
                f"{self.experiment} has no control personas.",
                fix="Add `controls: {neutral: true, same: true}` to it and run it again.",
            )
        baseline_name = self._baseline(None)
        scorer, frame = self._counted(score, statuses, baseline_name)
        return control_contrasts(
            frame,
            scorer.name,
            baseline=baseline_name,
            controls=self.control_personas,
            unit=scorer.unit,
            binary=scorer.kind == "binary",
        )

    def mixed_model(
        self,
        score: Named | None = None,
        *,
        baseline: str | None = None,
        statuses: Collection[str] = AVERAGED,
    ) -> pd.DataFrame:
        """Fit a mixed model, case and model as random effects: a second opinion on ``effects``.

        Raises
        ------
        UsageError
            As ``effects`` does.
        """
        from assistants.analysis import mixed_model

        baseline_name = self._baseline(baseline)
        scorer, frame = self._counted(score, statuses, baseline_name)
        return mixed_model(
            frame[self._compared(frame, baseline_name)],
            baseline=baseline_name,
            binary=scorer.kind == "binary",
        )

    def text_distance(
        self,
        *,
        baseline: str | None = None,
        vectors: NDArray[Any] | None = None,
        statuses: Collection[str] = AVERAGED,
    ) -> pd.DataFrame:
        """Return how far each persona moved the wording, beside how far repeats differ anyway.

        Parameters
        ----------
        baseline
            A persona; the experiment's own if none is named.
        vectors
            One row per trial, as ``await run.embeddings("openai:text-embedding-3-small")`` returns
            them; without, answers are compared by their words (TF-IDF).
        statuses
            The statuses of trials that count.

        Raises
        ------
        UsageError
            If there is no baseline.
        """
        from assistants.analysis import text_distance

        baseline_name = self._baseline(baseline)
        frame, vectors = self._answers(statuses, vectors, baseline_name)
        return text_distance(frame, baseline=baseline_name, vectors=vectors)

    async def embeddings(self, model: str) -> NDArray[Any]:
        """Return embeddings of the answers, one row per trial, asked for once and then stored.

        Parameters
        ----------
        model
            ``provider:id`` or a short name, of a server with an embeddings endpoint.

        Raises
        ------
        CallError
            If there is no whole reply.
        """
        from assistants.runs.embeddings import embed

        with Store(self.folder) as store:
            frame = tables.trials(store, self.id)
            answers = frame["answer"].where(frame["status"].isin(FINISHED))
            return await embed(store, list(answers), model)

    def votes(self) -> pd.DataFrame:
        """Return one row per vote of people and comparing judges; columns ``votes.COLUMNS``."""
        with Store(self.folder) as store:
            return votes.votes(store, self.id)

    def ranking(self, *raters: str) -> pd.DataFrame:
        """Rank personas by the comparisons they win (Bradley-Terry), of all or the named raters."""
        from assistants.analysis import ranking

        return ranking(self._votes_of(raters))

    def agreement(self) -> pd.DataFrame:
        """Return how far raters agree: people, judges, and both (Krippendorff's alpha)."""
        from assistants.analysis import agreement

        return agreement(self.votes())

    def position_bias(self) -> pd.DataFrame:
        """Return how often each rater preferred the answer on the left."""
        from assistants.analysis import position_bias

        return position_bias(self.votes())

    def _counted(
        self, score: Named | None, statuses: Collection[str], baseline: str
    ) -> tuple[Scorer, pd.DataFrame]:
        """Return the scorer and its scores, with a value only where the trial counts."""
        score = self.main_score if score is None else score
        scorer = self._scorer(score)
        if isinstance(score, str) and self._rater(score) is not None:
            with Store(self.folder) as store:
                frame = votes.as_scores(store, self.id, score, self._rater(score), baseline)
        else:
            frame = self.scores(score)
        return scorer, frame.assign(value=frame["value"].where(frame["status"].isin(statuses)))

    def score_by_model(
        self,
        score: Named | None = None,
        statuses: Collection[str] = AVERAGED,
        *,
        smallest_effect: float | None = None,
        models: Collection[str] | None = None,
    ) -> ScoreTable:
        """Return a score of all but control personas, to compare models by.

        Parameters
        ----------
        score, statuses, smallest_effect
            As in ``effects``.
        models
            Only these; all of them if none are named.

        Raises
        ------
        UsageError
            For votes, which compare answers of one model, and as ``scores`` does.
        """
        score = self.main_score if score is None else score
        if isinstance(score, str) and self._rater(score) is not None:
            raise UsageError(
                f"{score!r} compares the answers of one model, so it says nothing of two.",
                fix="Compare models by a scorer that grades each answer.",
            )
        scorer, frame = self._counted(score, statuses, "")
        controls = {control.persona for control in self.controls}
        frame = frame[~frame["persona"].isin(controls)]
        if models is not None:
            frame = frame[frame["model"].isin(models)]
        return _score_table(scorer, frame, smallest_effect)

    def _score_by_persona(
        self,
        score: Named | None,
        statuses: Collection[str],
        baseline: str,
        smallest_effect: float | None,
    ) -> ScoreTable:
        scorer, frame = self._counted(score, statuses, baseline)
        return _score_table(scorer, frame[self._compared(frame, baseline)], smallest_effect)

    def _answers(
        self, statuses: Collection[str], vectors: NDArray[Any] | None, baseline: str
    ) -> tuple[pd.DataFrame, NDArray[Any] | None]:
        """Return trials without controls, an answer only where it counts, and their vectors."""
        with Store(self.folder) as store:
            frame = tables.trials(store, self.id)
        kept = self._compared(frame, baseline)
        frame = frame.assign(answer=frame["answer"].where(frame["status"].isin(statuses)))
        return frame[kept], None if vectors is None else vectors[kept.to_numpy()]

    def _compared(self, frame: pd.DataFrame, baseline: str) -> pd.Series[bool]:
        """Select the rows that are no controls, but for the one that is the baseline."""
        controls = {control.persona for control in self.controls} - {baseline}
        return ~frame["persona"].isin(controls)

    def _baseline(self, named: str | None) -> str:
        baseline_name = named or self.manifest["baseline"]
        if baseline_name is None:
            raise UsageError(
                f"{self.experiment} has no baseline.", fix="Name one: `baseline=` or --baseline."
            )
        return str(baseline_name)

    def _scorer(self, entry: Named) -> Scorer:
        if not isinstance(entry, (str, Mapping)):
            return entry
        if isinstance(entry, str):
            known = {scorer.name: scorer for scorer in self.scorers}
            if entry in known:
                return known[entry]
            if self._rater(entry) is not None:
                return FunctionScorer(entry, "share of wins", "higher", "number", "", _not_scored)
            if entry not in (scorers := scorer_names()):
                names = [*known, VOTES, *self.comparing, *scorers]
                raise UnknownNameError("scorer", entry, names, where=f"run {self.id}")
        return make_scorer(entry)

    @property
    def comparing(self) -> dict[str, str]:
        """The judges of this run that compare answers, each with the rater its votes name."""
        judges = self.manifest.get("judges", [])
        return {j["name"]: j["rater"] for j in judges if isinstance(j, dict) and j.get("rater")}

    def _rater(self, name: str) -> str | None:
        """Return the rater whose votes a score of this name is made of, if any."""
        return votes.PEOPLE if name == VOTES else self.comparing.get(name)

    def _votes_of(self, raters: Sequence[str]) -> pd.DataFrame:
        frame = self.votes()
        if not raters:
            return frame
        known = [*dict.fromkeys(frame["rater"])]
        wanted = [self._rater(name) or name for name in raters]
        for name in wanted:
            if name != votes.PEOPLE and name not in known:
                names = [VOTES, *self.comparing, *known]
                raise UnknownNameError("rater", name, names, where=f"run {self.id}")
        people = (frame["kind"] == votes.PEOPLE) & (votes.PEOPLE in wanted)
        return frame[people | frame["rater"].isin(wanted)]


def _not_scored(answered: Any) -> float:
    raise ScorePendingError("its value is made of votes, not computed from the answer")


def _score_table(scorer: Scorer, frame: pd.DataFrame, smallest_effect: float | None) -> ScoreTable:
    from assistants.analysis import ScoreTable

    is_binary = scorer.kind == "binary"
    return ScoreTable(scorer.name, frame, scorer.unit, is_binary, smallest_effect)
