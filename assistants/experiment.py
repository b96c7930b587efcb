"""Experiments: assistants x cases x repeats, read from a file, forecast and run."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.assistant import Assistant
from assistants.clients import Client, Tape
from assistants.design import (
    Control,
    ExperimentFile,
    check_variables,
    read_assistants,
    read_controls,
    read_scorers,
)
from assistants.design.case_files import read_cases
from assistants.design.limits import Limits
from assistants.errors import FileError, UsageError, nearest
from assistants.models import Catalogue, Model, is_cost_known
from assistants.personas import Library
from assistants.results import Results, Run
from assistants.runs import judging
from assistants.runs.budget import Budget
from assistants.runs.execution import ExecutionContext
from assistants.runs.forecast import Forecast, forecast
from assistants.runs.retry import RetryPolicy
from assistants.runs.runner import ProgressCallback
from assistants.runs.store import Store
from assistants.runs.store_schema import FILE
from assistants.scoring import Scorer
from assistants.scoring.judge import Judge
from assistants.trial import Case, Trial
from assistants.utils.config_files import Document, check_name, parse_yaml, read_text, validate
from assistants.utils.config_files import display_path as shown_path
from assistants.utils.display import notebook_html
from assistants.utils.text import pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Experiment:
    """The design: which assistants answer which cases, how often.

    ``baseline`` names the persona that the others are compared with; ``controls`` says which of
    the assistants are there as controls. ``scorers`` grade the answers once they are there;
    ``judges`` are scorers that ask a model. ``shuffle`` seeds the order of the cases;
    ``concurrency`` caps the calls in flight over all models.
    """

    name: str
    assistants: tuple[Assistant, ...]
    cases: tuple[Case, ...]
    repeats: int = 1
    baseline: str | None = None
    description: str = ""
    scorers: tuple[Scorer, ...] = ()
    judges: tuple[Judge, ...] = ()
    controls: tuple[Control, ...] = ()
    limits: Limits = field(default_factory=Limits)
    concurrency: int | None = None
    shuffle: int | None = None
    tape: Path | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    source: str = "python"

    def __post_init__(self) -> None:
        check_name(self.name, "experiment")
        if self.repeats < 1:
            raise UsageError(f"at least one repeat is needed, not {self.repeats!r}.")
        _refuse_twins("case id", (case.id for case in self.cases))
        _refuse_twins("assistant", map(str, self.assistants))

    def __len__(self) -> int:
        return len(self.assistants) * len(self.cases) * self.repeats

    def __repr__(self) -> str:
        parts = [
            pluralize(len({assistant.name for assistant in self.assistants}), "persona"),
            pluralize(len({assistant.model for assistant in self.assistants}), "model"),
            pluralize(len(self.cases), "case"),
            pluralize(self.repeats, "repeat"),
        ]
        design = f"{' x '.join(parts)} = {pluralize(len(self), 'trial')}"
        return truncate_line(f"Experiment({self.name!r}: {design})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @classmethod
    def load(
        cls, path: str | Path, *, personas: Sequence[str | Path] = (), **changes: Any
    ) -> Experiment:
        """Read an experiment file; ``changes`` replace what it says, key by key.

        Parameters
        ----------
        path
            A ``.yaml`` file. Its stem is the experiment's name; paths in it are relative to it.
        personas
            More folders of personas; they win over all others.

        Raises
        ------
        UsageError
            Naming file, line and the nearest known word.
        """
        path = Path(path)
        document = parse_yaml(read_text(path), shown_path(path))
        return cls._read(path.stem, document, Library.default(personas), changes)

    @classmethod
    def define(cls, name: str, **content: Any) -> Experiment:
        """An experiment written in Python: the same words as in a file.

        >>> Experiment.define("tea", personas=["none", "art"], models=["echo"], cases=["Tea?"])
        Experiment('tea': 2 personas x 1 model x 1 case x 1 repeat = 2 trials)

        Raises
        ------
        UsageError
            As ``load`` does.
        """
        return cls._read(name, Document(f"experiment {name!r}", content, {}), Library.default(), {})

    @classmethod
    def _read(
        cls, name: str, document: Document, library: Library, changes: Mapping[str, Any]
    ) -> Experiment:
        check_name(name, "experiment", where=document.source)
        if isinstance(document.data, Mapping):
            lines = {p: n for p, n in document.lines.items() if not p or p[0] not in changes}
            document = replace(document, data={**document.data, **changes}, lines=lines)
        content = validate(ExperimentFile, document)
        catalogue = Catalogue.default()
        cases = read_cases(document, content.cases)
        assistants, models = read_assistants(document, content, library, catalogue)
        for assistant in assistants:
            check_variables(document, assistant, cases)
        names = [assistant.name for assistant in assistants]
        if content.baseline is not None and content.baseline not in names:
            raise FileError(
                document.where(("baseline",)),
                f"the baseline {content.baseline!r} is not among the personas.",
                fix=nearest(content.baseline, names),
            )
        baseline = content.baseline or ("none" if "none" in names else None)
        beside, controls = read_controls(
            document, content.controls, name, assistants, baseline, content.repeats, library
        )
        scorers, judges = read_scorers(document, content, catalogue, models, baseline)
        for judge in judges:
            check_name(f"{name}.{judge.name}", "experiment", where=document.source)
        folder = Path(document.source).parent
        return cls(
            name=name,
            assistants=tuple(sorted([*assistants, *beside], key=_place_of(assistants))),
            cases=tuple(cases),
            repeats=content.repeats,
            baseline=baseline,
            description=content.description,
            scorers=tuple(scorers),
            judges=tuple(judges),
            controls=tuple(controls),
            limits=Limits(**content.limits.model_dump()),
            concurrency=content.concurrency,
            shuffle=content.shuffle,
            tape=folder / content.tape if content.tape else None,
            models=models,
            source=document.source,
        )

    def trials(self, client: Client | None = None) -> Iterator[Trial]:
        """Every trial, or those of one client, lazily: model by model, then persona by persona.

        So a server that caches prefixes finds each system prompt where it left it.
        """
        cases: Sequence[Case] = self.cases
        if self.shuffle is not None:
            cases = random.Random(self.shuffle).sample(cases, len(cases))  # noqa: S311 - an order
        for assistant in self.assistants:
            if client is None or assistant.client is client:
                twins = self._twins(assistant)
                for case, repeat in itertools.product(cases, range(self.repeats)):
                    yield Trial(case, assistant, repeat, twins.get(case.id, 0))

    def _twins(self, assistant: Assistant) -> dict[str, int]:
        """How many cases before it ask the assistant the same, by case, where there are any."""
        seen: Counter[str] = Counter()
        found = {}
        for case in self._alike:
            request = f"{case.digest} {Trial(case, assistant, 0).answering.digest}"
            found[case.id] = seen[request]
            seen[request] += 1
        return found

    @cached_property
    def _alike(self) -> list[Case]:
        """Cases that differ in the variables of personas, and not in what they ask."""
        filled = {case.digest for case in self.cases if case.variables}
        if not filled:
            return []
        alike = Counter(case.digest for case in self.cases)
        return [c for c in self.cases if c.digest in filled and alike[c.digest] > 1]

    def forecast(self, results: str | Path = "results") -> Forecast:
        """What a run would ask and about what it would cost. Nothing is asked or written."""
        with Store(results) if (Path(results) / FILE).exists() else nullcontext() as store:
            judged = judging.expected_judge_trials(self, store) if self.judges else []
            told = forecast(self.trials(), judged, store, self.model)
        replays = self.tape is not None and self.tape.exists()
        return replace(told, usd=0.0, seconds=0.0, replays=True) if replays else told

    def power(
        self, effect: float, *, sd: float, sd_within_case: float = 0.0, power: float = 0.8
    ) -> pd.DataFrame:
        """How many cases, at how many repeats, an effect needs, and what they would cost.

        Nothing is asked. Cases, not repeats, are what a difference is proved with: repeats only
        wear down the noise within a case.

        Parameters
        ----------
        effect
            The difference from the baseline that is to be found, in the score's unit (for a
            binary score a share: 0.1 is ten percentage points).
        sd
            Standard deviation over cases of the true difference, same unit.
        sd_within_case
            Standard deviation of one draw around its case's mean, same unit.
        power
            Wanted chance of finding it, at a family-wise 5% over the personas that are compared.

        Returns
        -------
        pandas.DataFrame
            One row a number of repeats: ``repeats``, ``cases``, ``trials``, ``tokens`` and ``usd``
            (missing if a price is unknown), and ``power_now``: the chance with the cases that
            this experiment has.

        Raises
        ------
        UsageError
            If a number is out of range, or there is nothing to compare with the baseline.
        """
        from assistants.runs.power_table import power_table

        return power_table(self, effect, sd=sd, sd_within_case=sd_within_case, power=power)

    async def run(
        self,
        results: str | Path = "results",
        *,
        report: ProgressCallback | None = None,
        attempts: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        spending: Budget | None = None,
    ) -> Run:
        """Ask for what is missing, store each answer as it arrives, and return the run.

        Parameters
        ----------
        results
            The folder of the store. Answers that are already there are not asked again.
        report
            Called with a ``Progress`` as the run goes on; by default a progress bar.
        attempts
            How often a call is tried.
        spending
            What has been spent already and may be spent in all; by default nothing, and
            ``limits``.

        Raises
        ------
        UsageError
            Before anything is asked.
        StoreError
            If an answer cannot be stored.
        """
        self._check_limits()
        tape = Tape(self.tape) if self.tape is not None else None
        with Store(results) as store:
            asking = ExecutionContext(
                store, tape, spending or Budget(self.limits), attempts, report
            )
            try:
                run = Results(results).run(await asking.run(self))
                if tape is not None and run.outcome == "complete":
                    tape.finish()
            finally:
                if tape is not None:
                    tape.close()
        return run

    def of_judge(self, judge: Judge, cases: Sequence[Case]) -> Experiment:
        """What a judge is asked about this experiment's answers, as an experiment of its own."""
        return Experiment(
            name=f"{self.name}.{judge.name}",
            assistants=(judge.assistant,),
            cases=tuple(cases),
            description=f"What the judge {judge.name} says of {self.name}.",
            limits=self.limits,
            concurrency=self.concurrency,
            models=self.models,
            source=self.source,
        )

    def model(self, name: str) -> Model:
        """The entry of one of its models."""
        return self.models.get(name, Model(name))

    def _check_limits(self) -> None:
        if self.limits.usd is None:
            return
        asked = [*self.assistants, *(judge.assistant for judge in self.judges)]
        for name in {assistant.model for assistant in asked}:
            if not is_cost_known(self.model(name)):
                raise UsageError(
                    f"The price of {name} is unknown, so the cap of ${self.limits.usd:g} could "
                    "not be kept.",
                    fix="Give `prices` in models.toml, or cap `tokens` instead of `usd`.",
                )


def _refuse_twins(kind: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"the {kind} {twice[0]!r} is there twice.")


def _place_of(assistants: Sequence[Assistant]) -> Callable[[Assistant], int]:
    """Where the assistants of a model begin, so that its controls come after them."""
    models = list(dict.fromkeys(assistant.model for assistant in assistants))
    return lambda assistant: models.index(assistant.model)
