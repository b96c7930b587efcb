"""What the answers of a run say: scores, effects, controls, change, votes and rankings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.design import Control
from assistants.errors import UnknownNameError, UsageError
from assistants.messages import AVERAGED, FINISHED
from assistants.runs import scores, tables, votes
from assistants.runs.store import Store
from assistants.scoring.base import FunctionScorer, ScorePendingError, Scorer
from assistants.scoring.registry import SCORER_NAMES, make_scorer

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

VOTES = "votes"
"""The score that people's votes come to: which share of its comparisons an answer won."""

Named = str | Mapping[str, Any] | Scorer
"""A scorer, or what an experiment file writes for one."""


class RunStatistics:
    """The questions that a run answers. None of them asks a model.

    A run is scored with the ``scorers`` of its experiment when it ends. Others can be applied at
    any time, by name (``words``), with settings (``{"contains": "light"}``) or as an object; what
    they find is stored beside the answers.
    """

    results: Path

    @property
    def id(self) -> str:
        """Of the run."""
        raise NotImplementedError

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        raise NotImplementedError

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What ran."""
        raise NotImplementedError

    @property
    def scorers(self) -> list[FunctionScorer]:
        """What it was scored with, judges included; reading runs none of it."""
        return scores.scorers_from_manifest(self.manifest.get("scorers", []))

    @property
    def main_score(self) -> str:
        """The first scorer of the experiment; ``words`` if it has none."""
        return self.scorers[0].name if self.scorers else "words"

    @property
    def controls(self) -> list[Control]:
        """Which of the personas are there as controls."""
        listed = self.manifest.get("controls", [])
        try:
            return [Control(**each) for each in listed]
        except TypeError:
            raise UsageError(f"The manifest of run {self.id} lists no controls of ours.") from None

    def scores(self, *scorers: Named) -> pd.DataFrame:
        """One row a trial and scorer; no model is asked again.

        Parameters
        ----------
        scorers
            Those of the experiment if none is named. ``votes`` is what people's votes come to,
            and the name of a judge that compares what its verdicts do: which share of its
            comparisons an answer won.

        Raises
        ------
        UsageError
            For an unknown name or a wrong setting.
        """
        import pandas as pd

        named: Sequence[Named] = scorers or self.scorers
        with Store(self.results) as store:
            parts = [
                votes.as_scores(store, self.id, each, self._rater(each))
                if isinstance(each, str) and self._rater(each) is not None
                else scores.scores(store, self.id, [self._scorer(each)])
                for each in named
            ]
        return pd.concat(parts, ignore_index=True) if parts else scores.empty()

    def delivery(self) -> pd.DataFrame:
        """Whether each persona reached its model as it was written, and how that is known.

        Nothing is asked: it is what was found before the run's first question, or when the
        answers that it shares were made. For models that do not show what they read, the input
        tokens of the stored answers say something, which is no proof.

        Returns
        -------
        pandas.DataFrame
            One row a persona and model: ``persona``, ``model``, ``verdict``, ``ok`` (missing where
            it is proven neither way), ``known_by`` (``tokens`` or ``template`` that the server
            showed, ``token counts``, ``unknown``), ``persona_in`` (``system``, or ``user`` for the
            first question), ``tokens`` that the persona adds to a question, and ``note``.
        """
        from assistants.runs.audit.records import table

        with Store(self.results) as store:
            return table(store, self.id, self.manifest)

    def effects(
        self,
        score: Named | None = None,
        *,
        baseline: str | None = None,
        statuses: Collection[str] = AVERAGED,
        smallest_effect: float | None = None,
    ) -> pd.DataFrame:
        """What each persona changed against the baseline, and whether the change is real.

        Control personas have no row here, so that they make nobody else's effect harder to see:
        ``contrasts`` is about them.

        Parameters
        ----------
        score
            What to measure; as a default the first scorer of the experiment, or ``words``. Of
            votes, the effect is the share of wins against the baseline, less a half.
        baseline
            A persona; the experiment's own if none is named.
        statuses
            The statuses of trials that count.
        smallest_effect
            The smallest effect that would matter, in the scorer's unit; lets "no difference" be
            said of smaller ones.

        Raises
        ------
        UsageError
            If there is no baseline, or as ``scores`` does.
        """
        from assistants.analysis import effects, note_truncation

        against = self._baseline(baseline)
        made, frame = self._counted(score, statuses, against)
        frame = frame[self._compared(frame, against)]
        table = effects(
            frame,
            made.name,
            baseline=against,
            unit=made.unit,
            binary=made.kind == "binary",
            smallest_effect=smallest_effect,
        )
        return note_truncation(table, frame, against)

    def contrasts(
        self, score: Named | None = None, *, statuses: Collection[str] = AVERAGED
    ) -> pd.DataFrame:
        """What of each persona's effect is having a prompt, its meaning, and its wording.

        Needs ``controls:`` in the experiment; parameters and errors are those of ``effects``.

        Raises
        ------
        UsageError
            If the experiment had no controls.
        """
        from assistants.analysis import control_contrasts

        if not self.controls:
            raise UsageError(
                f"{self.experiment} has no control personas.",
                fix="Add `controls: {neutral: true, same: true}` to it and run it again.",
            )
        against = self._baseline(None)
        made, frame = self._counted(score, statuses, against)
        return control_contrasts(
            frame,
            made.name,
            baseline=against,
            controls=self.controls,
            unit=made.unit,
            binary=made.kind == "binary",
        )

    def mixed(
        self,
        score: Named | None = None,
        *,
        baseline: str | None = None,
        statuses: Collection[str] = AVERAGED,
    ) -> pd.DataFrame:
        """A second opinion on ``effects``: a mixed model, with case and model as random effects.

        Raises
        ------
        UsageError
            As ``effects`` does.
        """
        from assistants.analysis import mixed_model

        against = self._baseline(baseline)
        made, frame = self._counted(score, statuses, against)
        return mixed_model(
            frame[self._compared(frame, against)],
            baseline=against,
            binary=made.kind == "binary",
        )

    def change(
        self,
        *,
        baseline: str | None = None,
        vectors: NDArray[Any] | None = None,
        statuses: Collection[str] = AVERAGED,
    ) -> pd.DataFrame:
        """How far each persona moved the wording itself, beside how far repeats differ anyway.

        Parameters
        ----------
        baseline
            A persona; the experiment's own if none is named.
        vectors
            One row a trial, as ``await run.embed("openai:text-embedding-3-small")`` gives them;
            answers are compared by their words (TF-IDF) without.
        statuses
            The statuses of trials that count.

        Raises
        ------
        UsageError
            If there is no baseline.
        """
        from assistants.analysis import text_distance

        against = self._baseline(baseline)
        frame, vectors = self._answers(statuses, vectors, against)
        return text_distance(frame, baseline=against, vectors=vectors)

    async def embed(self, model: str) -> NDArray[Any]:
        """Embeddings of the answers, one row a trial, asked for once and then stored.

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

        with Store(self.results) as store:
            frame = tables.trials(store, self.id)
            answers = frame["answer"].where(frame["status"].isin(FINISHED))
            return await embed(store, list(answers), model)

    def votes(self) -> pd.DataFrame:
        """One row a vote, of people and of judges that compare; columns as ``votes.COLUMNS``."""
        with Store(self.results) as store:
            return votes.votes(store, self.id)

    def ranking(self, *raters: str) -> pd.DataFrame:
        """Which persona wins its comparisons (Bradley-Terry), by all raters or those named."""
        from assistants.analysis import ranking

        return ranking(self._votes_of(raters))

    def agreement(self) -> pd.DataFrame:
        """How far raters agree: people, judges, and people with judges (Krippendorff's alpha)."""
        from assistants.analysis import agreement

        return agreement(self.votes())

    def position_bias(self) -> pd.DataFrame:
        """How often each rater preferred the answer on the left."""
        from assistants.analysis import position_bias

        return position_bias(self.votes())

    def _counted(
        self, score: Named | None, statuses: Collection[str], against: str
    ) -> tuple[Scorer, pd.DataFrame]:
        """Scores with a value only where the trial counts."""
        score = self.main_score if score is None else score
        made = self._scorer(score)
        if isinstance(score, str) and self._rater(score) is not None:
            with Store(self.results) as store:
                frame = votes.as_scores(store, self.id, score, self._rater(score), against)
        else:
            frame = self.scores(score)
        return made, frame.assign(value=frame["value"].where(frame["status"].isin(statuses)))

    def _answers(
        self, statuses: Collection[str], vectors: NDArray[Any] | None, against: str | None = None
    ) -> tuple[pd.DataFrame, NDArray[Any] | None]:
        """Trials, with an answer only where it counts, and their vectors; without controls."""
        with Store(self.results) as store:
            frame = tables.trials(store, self.id)
        kept = self._compared(frame, against)
        frame = frame.assign(answer=frame["answer"].where(frame["status"].isin(statuses)))
        return frame[kept], None if vectors is None else vectors[kept.to_numpy()]

    def _compared(self, frame: pd.DataFrame, against: str | None) -> pd.Series[bool]:
        """Rows that are not there as controls, unless one of those is what is compared with."""
        beside = {control.persona for control in self.controls} - {against}
        return ~frame["persona"].isin(beside)

    def _baseline(self, named: str | None) -> str:
        against = named or self.manifest["baseline"]
        if against is None:
            raise UsageError(
                f"{self.experiment} has no baseline.", fix="Name one: `baseline=` or --baseline."
            )
        return str(against)

    def _scorer(self, entry: Named) -> Scorer:
        if not isinstance(entry, (str, Mapping)):
            return entry
        if isinstance(entry, str):
            known = {scorer.name: scorer for scorer in self.scorers}
            if entry in known:
                return known[entry]
            if self._rater(entry) is not None:
                return FunctionScorer(entry, "share of wins", "higher", "number", "", _not_scored)
            if entry not in SCORER_NAMES:
                names = [*known, VOTES, *self.comparing, *SCORER_NAMES]
                raise UnknownNameError("scorer", entry, names, where=f"run {self.id}")
        return make_scorer(entry)

    @property
    def comparing(self) -> dict[str, str]:
        """The judges of this run that compare answers, and what their votes are signed with."""
        judges = self.manifest.get("judges", [])
        return {j["name"]: j["rater"] for j in judges if isinstance(j, dict) and j.get("rater")}

    def _rater(self, name: str) -> str | None:
        """Whose votes a score of this name is made of; ``None`` if it is made of no votes."""
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
    raise ScorePendingError("made of votes")
