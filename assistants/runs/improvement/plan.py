"""The plan of an improvement: what is asked of whom, checked before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self, get_args

from assistants.assistant import Assistant
from assistants.clients import Client, connect
from assistants.design import Control, Design
from assistants.errors import MissingDependencyError, UnknownNameError, UsageError
from assistants.messages import Sampling
from assistants.models import Catalogue, Model
from assistants.personas import Persona
from assistants.runs.control_texts import PARAPHRASER
from assistants.runs.execution import check_design
from assistants.runs.forecast import Forecast, forecast_design
from assistants.runs.improvement.case_split import CaseSplit, check_split, split_cases
from assistants.runs.improvement.proposals import EDITOR, END, SHOWN, longest_proposal, shown_text
from assistants.scoring import SCORER_NAMES, Judge, Scorer, make_scorer
from assistants.trial import Case
from assistants.utils import check_name

Optimizer = Literal["edits", "gepa"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)

Stage = Literal["work", "choose", "held-out", "texts"]
"""Runs of an improvement; ``texts`` are proposals and the paraphrase."""

PARAPHRASES = 3
"""Draws of a paraphrase, of which the first one that is any is taken."""

MINIBATCH = 3
"""Cases on which gepa compares an edit with what it was made from."""

_LONGEST_NAME = 64 - len(".improve-held-out")


@dataclass(frozen=True)
class ImprovementPlan:
    """An improvement of one persona on one model, checked and ready to be run.

    Attributes
    ----------
    design
        The experiment with the original as its only assistant and the score as its only scorer.
    score
        What is to go up, or down.
    sign
        1 where more of the score is better, -1 where less is.
    writer
        The client of the model that writes proposals and the paraphrase, and its entry.
    split
        The cases.
    rounds
        How often edits are proposed.
    candidates
        Proposals in each round.
    """

    design: Design
    score: Scorer
    sign: Literal[1, -1]
    writer: tuple[Client, Model]
    split: CaseSplit
    rounds: int
    candidates: int
    optimizer: Optimizer

    @classmethod
    def make(
        cls,
        persona: str,
        experiment: str | Path | Design,
        *,
        score: str | None = None,
        model: str | Client | None = None,
        rounds: int = 2,
        candidates: int = 3,
        optimizer: Optimizer = "edits",
        better: Literal["higher", "lower"] | None = None,
    ) -> Self:
        """Check what is asked for; parameters and errors are those of ``improve``."""
        if not isinstance(experiment, Design):
            experiment = Design.load(experiment, controls={})
        if optimizer not in OPTIMIZERS:
            raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
        if optimizer == "gepa":
            check_gepa()
        if rounds < 1 or candidates < 1:
            raise UsageError(
                f"{rounds} rounds of {candidates} candidates: at least one of each is needed."
            )
        original = _find_assistant(persona, experiment)
        scorer, judge = _find_score(score, experiment)
        split = split_cases(experiment.cases)
        check_split(split)
        design = replace(
            experiment,
            assistants=(original,),
            baseline=original.name,
            controls=(),
            scorers=() if judge else (scorer,),
            judges=(judge,) if judge else (),
        )
        plan = cls(
            design=design,
            score=scorer,
            sign=_sign(scorer, better),
            writer=_writer(model, original, experiment),
            split=split,
            rounds=rounds,
            candidates=candidates,
            optimizer=optimizer,
        )
        check_design(design)
        check_design(plan.text_design("check", EDITOR, [Case("check", ("?",))], 1))
        return plan

    @property
    def original(self) -> Assistant:
        """The assistant whose persona is to be improved."""
        return self.design.assistants[0]

    def assistant(self, persona: Persona) -> Assistant:
        """Return the same assistant with another persona."""
        return replace(self.original, persona=persona)

    def name(self, stage: Stage) -> str:
        """Return the name of a stage's experiment."""
        judges = max((len(judge.name) + 1 for judge in self.design.judges), default=0)
        return f"{self.design.name[: _LONGEST_NAME - judges]}.improve-{stage}"

    def stage_design(
        self,
        stage: Stage,
        personas: Sequence[Persona],
        cases: Sequence[Case],
        controls: Sequence[Control] = (),
    ) -> Design:
        """Return an ordinary experiment that asks these personas, the original as baseline."""
        return replace(
            self.design,
            name=self.name(stage),
            description=f"{self.original.name} of {self.design.name}, to be improved: {stage}.",
            assistants=tuple(map(self.assistant, personas)),
            cases=tuple(cases),
            controls=tuple(controls),
        )

    def text_design(
        self, task: str, instructions: str, cases: Sequence[Case], draws: int, first: int = 0
    ) -> Design:
        """Return the experiment in which the writer is asked for texts.

        Parameters
        ----------
        task
            Name of the persona that writes.
        instructions
            Its system prompt.
        cases
            What it is asked.
        draws
            Answers to each.
        first
            The first draw, where others were asked for before.
        """
        client, model = self.writer
        longest = longest_proposal(self.original.persona.text or "")
        # Two characters a token is more than any language needs; reasoning would count as well.
        cap = None if model.reasons else longest // 2 + 200
        writer = Assistant(
            Persona(task, instructions),
            client,
            Sampling(max_tokens=cap, seed=0, stop=() if model.reasons else (END,)),
            first_draw=first,
            persona_in="user" if model.system_role == "user" else "system",
        )
        return replace(
            self.design,
            name=self.name("texts"),
            description=f"Texts for the improvement of {self.original.name}.",
            assistants=(writer,),
            cases=tuple(cases),
            repeats=draws,
            baseline=None,
            scorers=(),
            judges=(),
            batch=False,
            unsupported="drop",
            models={**self.design.models, model.name: model},
        )

    def forecast(self, results: str | Path = "results") -> Forecast:
        """Estimate what the improvement asks at most. Nothing is asked or written.

        Texts that are not written yet are taken to have the original's length. Answers to
        candidates of an earlier try are not known here, so a second try may be cheaper than this.
        """
        persona = self.original.persona
        texts = self.rounds * self.candidates
        drafts = [self._draft(number) for number in range(1, texts + 1)]
        # gepa compares each proposal with its parent, which may be any of those before it.
        worked = drafts if self.optimizer == "gepa" else drafts[: self.rounds - 1]
        shown = SHOWN * 2 * 400 * "word "
        question = f"{shown}\n{shown_text(persona)}"
        rounds = [Case(f"round-{n}", (f"{question} {n}",)) for n in range(self.rounds)]
        paraphrase = [Case("paraphrase", (shown_text(persona),))]
        held_out = [persona, *drafts[:1], self._draft(texts + 1)]
        designs = (
            self.stage_design("work", [persona, *worked], self.split.work),
            self.text_design("editor", EDITOR, rounds, self.candidates),
            self.text_design("paraphraser", PARAPHRASER, paraphrase, 1),
            self.stage_design("choose", [persona, *drafts], self.split.choose),
            self.stage_design("held-out", held_out, self.split.held_out),
        )
        return _sum([forecast_design(design, results) for design in designs])

    def _draft(self, number: int) -> Persona:
        # The number keeps answers of the persona itself from counting as the candidate's.
        persona = self.original.persona
        return replace(persona, name=f"draft-{number}", text=f"{persona.text} ({number})")


def check_gepa() -> None:
    """Refuse gepa where it is not installed.

    Raises
    ------
    MissingDependencyError
        With the command that installs it.
    """
    try:
        import gepa  # noqa: F401
    except ImportError:
        raise MissingDependencyError(
            "The optimizer gepa is not installed.", fix="pip install 'assistants[improve]'"
        ) from None


def _find_assistant(persona: str, design: Design) -> Assistant:
    controls = {control.persona for control in design.controls}
    known = [a for a in design.assistants if a.name not in controls]
    found = [a for a in known if persona in (a.name, a.persona.name)]
    if not found:
        names = [name for a in known for name in (a.name, a.persona.name)]
        raise UnknownNameError("persona", persona, names, where=design.source)
    if len(found) > 1:
        raise UsageError(
            f"{persona} is asked {len(found)} times over: {', '.join(map(str, found))}.",
            fix="Choose one: `models=[MODEL]` to `Experiment.load`, `--on MODEL`, or the name with "
            "its variables.",
        )
    if not found[0].persona.text:
        raise UsageError(f"{persona} sends no text, so there is nothing to edit.")
    check_name(found[0].persona.name, "persona")
    return found[0]


def _find_score(name: str | None, design: Design) -> tuple[Scorer, Judge | None]:
    """Return the scorer of that name, and the judge that it belongs to, if any."""
    scorers: dict[str, tuple[Scorer, Judge | None]] = {s.name: (s, None) for s in design.scorers}
    for judge in design.judges:
        if judge.rater is None:
            scorers |= {scorer.name: (scorer, judge) for scorer in judge.scorers({})}
        elif name == judge.name:
            raise UsageError(
                f"{name!r} compares answers, so it scores none of them by itself.",
                fix="Improve by one that grades each answer, such as a judge with `criteria:`.",
            )
    if name is None:
        if not scorers:
            raise UsageError(
                f"{design.name} has no scorers to improve by.", fix="Name one: `score=` or --score."
            )
        return next(iter(scorers.values()))
    if name in scorers:
        return scorers[name]
    if name not in SCORER_NAMES:
        raise UnknownNameError("scorer", name, [*scorers, *SCORER_NAMES], where=design.source)
    return make_scorer(name), None


def _sign(scorer: Scorer, better: str | None) -> Literal[1, -1]:
    direction = better or scorer.direction
    if direction not in ("higher", "lower"):
        raise UsageError(
            f"{scorer.name!r} is better neither higher nor lower.",
            fix="Say which: `better='higher'`, or --better higher.",
        )
    return 1 if direction == "higher" else -1


def _writer(
    model: str | Client | None, original: Assistant, design: Design
) -> tuple[Client, Model]:
    if model is None:
        return original.client, design.model(original.model)
    if not isinstance(model, str):
        return model, design.model(model.model)
    entry = Catalogue.default().find(model)
    if entry.name == original.model:  # one embedded model in memory, not two
        return original.client, entry
    return connect(entry, folder=Path(design.source).parent), entry


def _sum(forecasts: Sequence[Forecast]) -> Forecast:
    """Return the forecast of several runs, one after the other."""
    usd = [forecast.usd for forecast in forecasts]
    seconds = [forecast.seconds for forecast in forecasts]
    return replace(
        forecasts[0],
        trials=sum(forecast.trials for forecast in forecasts),
        answered=sum(forecast.answered for forecast in forecasts),
        input_tokens=sum(forecast.input_tokens for forecast in forecasts),
        output_tokens=sum(forecast.output_tokens for forecast in forecasts),
        usd=None if None in usd else sum(filter(None, usd)),
        seconds=None if None in seconds else sum(filter(None, seconds)),
        judging=sum(forecast.judging for forecast in forecasts),
        sent=sum(forecast.sent for forecast in forecasts),
        warnings=tuple(dict.fromkeys(w for forecast in forecasts for w in forecast.warnings)),
    )
