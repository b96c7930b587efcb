"""The stages of an improvement: each is an ordinary run, and all share one budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assistants.design import Control, Design
from assistants.errors import BudgetExceededError, UsageError
from assistants.messages import AVERAGED
from assistants.personas import Persona, digest_of
from assistants.runs import tables
from assistants.runs.control_texts import PARAPHRASER
from assistants.runs.execution import ExecutionContext
from assistants.runs.improvement.plan import PARAPHRASES, ImprovementPlan, Stage
from assistants.runs.improvement.proposals import EDITOR, editor_case, read_proposal, shown_text
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import Store
from assistants.trial import Case
from assistants.utils import from_utf8, to_json

if TYPE_CHECKING:
    import pandas as pd

IMPROVEMENT = "improvement"
"""Key in the manifest of a stage's run; that of the held-out one says what was looked at."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposed persona, or the reason why a model's text became none."""

    round: int
    persona: Persona | None
    refusal: str = ""


@dataclass(slots=True)
class Session:
    """One go at an improvement. ``candidates`` grow with each round."""

    plan: ImprovementPlan
    context: ExecutionContext
    candidates: list[Candidate] = field(default_factory=list)

    @property
    def original(self) -> Persona:
        """The persona to be improved."""
        return self.plan.original.persona

    @property
    def personas(self) -> list[Persona]:
        """The original, and the candidates so far."""
        return [self.original, *(c.persona for c in self.candidates if c.persona is not None)]

    async def ask(
        self,
        stage: Stage,
        personas: Sequence[Persona],
        cases: Sequence[Case],
        controls: Sequence[Control] = (),
        **about: Any,
    ) -> RunStatistics:
        """Ask personas about cases, and return the statistics of the run."""
        design = self.plan.stage_design(stage, personas, cases, controls)
        return await self._execute(design, **about)

    async def scored(self, stage: Stage, persona: Persona, cases: Sequence[Case]) -> pd.DataFrame:
        """Ask one persona about cases; return its answers with their scores.

        Returns
        -------
        pandas.DataFrame
            ``case``, ``question``, ``answer``, ``reference`` and ``value``, which is NaN where an
            answer does not count; one row per trial.
        """
        statistics = await self.ask(stage, [persona], cases)
        trials = tables.trials(self.context.store, statistics.id)
        scores = statistics.scores(self.plan.score.name)
        values = scores["value"].where(scores["status"].isin(AVERAGED))
        return trials[["case", "question", "answer", "reference"]].assign(value=values.to_numpy())

    async def propose(
        self, round_number: int, persona: Persona, scored: pd.DataFrame, draws: int
    ) -> list[Persona | None]:
        """Have the editor write candidates from a persona's scored answers.

        Returns
        -------
        list of Persona or None
            One per draw; ``None`` where the text became no candidate.

        Raises
        ------
        UsageError
            If no answer has a score.
        """
        plan = self.plan
        if scored["value"].isna().all():
            raise UsageError(
                f"No answer of {persona.name} to the cases to work on has a score.",
                fix=f"Look at them: `assistants results {plan.name('work')}`.",
            )
        case = editor_case(
            f"round-{round_number}", persona, scored, score=plan.score.name, unit=plan.score.unit,
            sign=plan.sign,
        )  # fmt: skip
        # Equal questions share their answers, so that a later one has draws of its own.
        design = plan.text_design("editor", EDITOR, [case], draws, len(self.candidates))
        return [self._add(round_number, *text) for text in await self._texts(design)]

    async def paraphrase(self) -> Persona:
        """Have the writer say the same in other words.

        Raises
        ------
        UsageError
            If none of its draws is a paraphrase.
        """
        case = Case("paraphrase", (shown_text(self.original),))
        refusals = []
        for draw in range(PARAPHRASES):
            design = self.plan.text_design("paraphraser", PARAPHRASER, [case], 1, draw)
            ((text, refusal),) = await self._texts(design)
            name = f"{self.original.name[:48]}.p1"
            read = read_proposal(text, self.plan.original, name, self.plan.design.cases)
            if read.persona is not None and read.persona.text != self.original.text:
                return read.persona
            refusals.append(refusal or read.refusal or "the same text")
        raise UsageError(
            f"{self.plan.writer[0].model} gave no paraphrase of {self.original.name!r} to compare "
            f"with ({', '.join(refusals)}).",
            fix="Name another `--model` (`model=`).",
        )

    def earlier_looks(self, winner: Persona) -> int:
        """Count other looks at cases of the held-out set, as the store has them.

        A look is a winner, a model and a score; the same one again is no other look.
        """
        asked = {to_json(case.questions) for case in self.plan.split.held_out}
        looks = set()
        for record in self.context.store.runs():
            about = record.manifest.get(IMPROVEMENT)
            if not isinstance(about, Mapping) or "winner" not in about:
                continue
            query = "SELECT turns FROM cases WHERE run = ?"
            if any(turns in asked for (turns,) in self.context.store.read(query, [record.run])):
                looks.add(to_json(about))
        return len(looks - {to_json(self.look(winner))})

    def look(self, winner: Persona) -> dict[str, str]:
        """Return what a look at the held-out set is, as its run's manifest keeps it."""
        return {
            "winner": digest_of(winner.text),
            "original": digest_of(self.original.text),
            "model": self.plan.original.model,
            "score": self.plan.score.name,
        }

    def _add(self, round_number: int, text: str, refusal: str) -> Persona | None:
        """Keep a proposal as a candidate, or why it is none."""
        number = len(self.candidates) + 1
        name = f"{self.original.name[:48]}-c{number}"
        read = read_proposal(text, self.plan.original, name, self.plan.design.cases)
        refusal = refusal or read.refusal
        known = {persona.text for persona in self.personas}
        if not refusal and read.persona is not None and read.persona.text in known:
            refusal = "said before"
        persona = None if refusal else read.persona
        self.candidates.append(Candidate(round_number, persona, refusal))
        return persona

    async def _texts(self, design: Design) -> list[tuple[str, str]]:
        """Ask the writer; return each text, and why it cannot be used, if so."""
        statistics = await self._execute(design)
        rows = tables.trials(self.context.store, statistics.id)
        # A text that was cut at the token limit is half an instruction.
        return [
            (from_utf8(row.answer), "")
            if row.status == "ok"
            else ("", f"no whole text: {row.status}")
            for row in rows.itertuples()
        ]

    async def _execute(self, design: Design, **about: Any) -> RunStatistics:
        store = self.context.store
        run, outcome = await self.context.execute(design, **{IMPROVEMENT: about})
        if outcome == "limit":
            raise BudgetExceededError(
                f"A limit stopped the improvement in {design.name}. Every answer is kept.",
                fix="Raise it and say the same again: only what is missing is asked.",
            )
        return run_statistics(store, run)


def run_statistics(store: Store, run: str) -> RunStatistics:
    """Return the statistics of a stored run."""
    record = next(record for record in store.runs() if record.run == run)
    return RunStatistics(store.folder, record)
