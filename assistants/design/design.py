"""The design of an experiment: assistants x cases x repeats, from a file or from Python."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from assistants.assistant import Assistant
from assistants.clients import Client
from assistants.design.case_files import read_cases
from assistants.design.controls import Control, read_controls
from assistants.design.limits import Limits
from assistants.design.loader import check_variables, read_assistants, read_scorers
from assistants.design.schema import ExperimentFile
from assistants.errors import FileError, UsageError, nearest
from assistants.messages import Sampling
from assistants.models import Catalogue, Model
from assistants.personas import Library
from assistants.scoring import Judge, Scorer
from assistants.trial import Case, Trial
from assistants.utils import (
    Document,
    Place,
    Plugin,
    check_name,
    display_path,
    notebook_html,
    parse_yaml,
    pluralize,
    read_text,
    truncate_line,
    validate,
)


@dataclass(frozen=True)
class Design:
    """Assistants, cases and repeats of an experiment, and how its answers are graded.

    A value: it knows no store and asks no model. ``Experiment`` adds the methods that run it.

    Attributes
    ----------
    assistants
        Who answers; two of one name and model are refused.
    repeats
        Answers of each assistant to each case.
    baseline
        The persona that the others are compared with.
    controls
        Which of the assistants are there as controls.
    scorers, judges
        What grades the answers; judges are scorers that ask a model.
    concurrency
        Calls in flight, over all models; by default each model's number finds its level.
    batch
        Whether trials go out as batches of their provider, which cost less and may take a day.
    shuffle
        Seed of the order of the cases; ``None`` keeps the order of the file.
    models
        The catalogue's entries of the models that are asked.
    unsupported
        Whether a setting that a model refuses stops the run, or is dropped for that model.
    lines
        The line of each value in the file ``source``.
    origins
        Where settings come from that are not the file's: ``{"temperature": "--temperature"}``.
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
    batch: bool = False
    shuffle: int | None = None
    tape: Path | None = None
    models: Mapping[str, Model] = field(default_factory=dict)
    source: str = "python"
    unsupported: Literal["stop", "drop"] = "stop"
    lines: Mapping[Place, int] = field(default_factory=dict, compare=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        check_name(self.name, "experiment")
        if self.repeats < 1:
            raise UsageError(f"at least one repeat is needed, not {self.repeats!r}.")
        _refuse_duplicates("case id", (case.id for case in self.cases))
        _refuse_duplicates("assistant", map(str, self.assistants))

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
        return truncate_line(f"{type(self).__name__}({self.name!r}: {design})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @classmethod
    def load(cls, path: str | Path, *, personas: Sequence[str | Path] = (), **changes: Any) -> Self:
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
        document = parse_yaml(read_text(path), display_path(path))
        return cls._read(path.stem, document, Library.default(personas), changes)

    @classmethod
    def define(
        cls,
        name: str,
        *,
        cases: str | Sequence[str | Mapping[str, Any]],
        personas: Sequence[str | Mapping[str, Any]] = (),
        models: Sequence[str | Mapping[str, Any]] = (),
        assistants: Sequence[Mapping[str, Any]] = (),
        baseline: str | None = None,
        repeats: int = 1,
        sampling: Mapping[str, Any] | None = None,
        scorers: Sequence[str | Mapping[str, Any]] = (),
        controls: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        vars: Mapping[str, Any] | None = None,  # noqa: A002 - the word of the file
        system_prompt_in: str | Mapping[str, str] | None = None,
        unsupported: Literal["stop", "drop"] = "stop",
        description: str = "",
        concurrency: int | None = None,
        batch: bool = False,
        shuffle: int | None = None,
        tape: str | Path | None = None,
        allow_code: bool = False,
    ) -> Self:
        """Make an experiment in Python, with the words of an experiment file.

        >>> Experiment.define("tea", personas=["none", "art"], models=["echo"], cases=["Tea?"])
        Experiment('tea': 2 personas x 1 model x 1 case x 1 repeat = 2 trials)

        Parameters
        ----------
        cases
            Questions, entries with ``id``, ``question`` or ``turns`` and ``reference``, or the
            path of a csv, jsonl or parquet file.
        personas, models
            Names, patterns, paths, or entries as in a file; each persona is asked on each model.
        assistants
            Exact pairs instead: ``{"persona": ..., "model": ..., "sampling": ...}``.
        baseline
            The persona that others are compared with; ``none`` if it is among them.
        sampling
            Settings of all assistants: ``{"temperature": 0.7, "max_tokens": 160, "seed": 7}``.
        vars
            Values of the variables in personas and questions; a list is tried one by one.
        limits
            Caps on a run: ``usd``, ``tokens``, ``minutes``.
        system_prompt_in
            ``system`` message, or ``user`` for the first question; for all or by model. By default
            what the model's entry says.
        unsupported
            Whether a setting that a model refuses stops the run, or is dropped for that model.
        allow_code
            Whether scorers may run code: ``code_runs``, and functions named by ``python:``.

        Raises
        ------
        UsageError
            As ``load`` does.
        """
        words = {
            "cases": cases, "personas": personas, "models": models, "assistants": assistants,
            "baseline": baseline, "repeats": repeats, "sampling": sampling, "scorers": scorers,
            "controls": controls, "limits": limits, "vars": vars,
            "system_prompt_in": system_prompt_in, "unsupported": unsupported,
            "description": description, "concurrency": concurrency, "batch": batch,
            "shuffle": shuffle,
            "tape": None if tape is None else str(tape), "allow_code": allow_code,
        }  # fmt: skip
        content = {
            word: list(value) if isinstance(value, tuple) else value
            for word, value in words.items()
            if value is not None and value != ()
        }
        document = Document(f"experiment {name!r}", content, {})
        return cls._read(name, document, Library.default(), {})

    @classmethod
    def _read(
        cls, name: str, document: Document, library: Library, changes: Mapping[str, Any]
    ) -> Self:
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
            batch=content.batch,
            shuffle=content.shuffle,
            tape=folder / content.tape if content.tape else None,
            models=models,
            source=document.source,
            unsupported=content.unsupported,
            lines=document.lines,
        )

    def trials(self, client: Client | None = None) -> Iterator[Trial]:
        """Yield every trial, or those of one client: model by model, then persona by persona.

        In that order a server that caches prefixes still has each system prompt in its cache.
        """
        cases: Sequence[Case] = self.cases
        if self.shuffle is not None:
            cases = random.Random(self.shuffle).sample(cases, len(cases))  # noqa: S311 - an order
        for assistant in self.assistants:
            if client is None or assistant.client is client:
                duplicates = self._duplicate_counts(assistant)
                for case, repeat in itertools.product(cases, range(self.repeats)):
                    yield Trial(case, assistant, repeat, duplicates.get(case.id, 0))

    def _duplicate_counts(self, assistant: Assistant) -> dict[str, int]:
        """Count, for each case, the earlier cases that ask the assistant exactly the same."""
        seen: Counter[str] = Counter()
        counts = {}
        for case in self._duplicate_candidates:
            request = f"{case.digest} {Trial(case, assistant, 0).resolved_assistant.digest}"
            counts[case.id] = seen[request]
            seen[request] += 1
        return counts

    @cached_property
    def _duplicate_candidates(self) -> list[Case]:
        """Cases that differ in the variables of personas only, not in what they ask."""
        filled = {case.digest for case in self.cases if case.variables}
        if not filled:
            return []
        alike = Counter(case.digest for case in self.cases)
        return [c for c in self.cases if c.digest in filled and alike[c.digest] > 1]

    def with_sampling(self, sampling: Sampling, origins: Mapping[str, str] | None = None) -> Self:
        """Return the design with these settings in place of those of all its assistants.

        They win over the file, over pairs, and over personas; judges keep their own. ``origins``
        names for error messages, by setting, what gave it.
        """
        assistants = (
            replace(a, sampling=sampling.with_defaults(a.sampling)) for a in self.assistants
        )
        return replace(
            self, assistants=tuple(assistants), origins={**self.origins, **(origins or {})}
        )

    def judge_design(self, judge: Judge, cases: Sequence[Case]) -> Design:
        """Return what a judge is asked about this experiment's answers, as a design of its own."""
        return Design(
            name=f"{self.name}.{judge.name}",
            assistants=(judge.assistant,),
            cases=tuple(cases),
            description=f"What the judge {judge.name} says of {self.name}.",
            limits=self.limits,
            concurrency=self.concurrency,
            batch=self.batch,
            models=self.models,
            source=self.source,
            unsupported=self.unsupported,
            lines=self.lines,
        )

    @property
    def asked_models(self) -> list[str]:
        """Every model that a run asks: those compared, sidecars of techniques, and judges."""
        asked = [*self.assistants, *(judge.assistant for judge in self.judges)]
        sidecars = (s for a in asked for t in a.techniques for s in t.sidecars)
        models = [*(a.model for a in asked), *(s.client.model for s in sidecars)]
        return list(dict.fromkeys(models))

    @property
    def plugins(self) -> list[Plugin]:
        """The plug-ins that it uses, sorted by kind and name."""
        used = [
            *(assistant.persona.plugin for assistant in self.assistants),
            *(model.plugin for model in self.models.values()),
            *(getattr(scorer, "plugin", None) for scorer in self.scorers),
            *(judge.plugin for judge in self.judges),
        ]
        return sorted({p for p in used if isinstance(p, Plugin)}, key=lambda p: (p.kind, p.name))

    def model(self, name: str) -> Model:
        """Return the catalogue's entry of one of its models."""
        return self.models.get(name, Model(name))


def _refuse_duplicates(kind: str, names: Iterable[str]) -> None:
    """Raise ``UsageError`` for a name that is used twice."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"the {kind} {twice[0]!r} is used twice.")


def _place_of(assistants: Sequence[Assistant]) -> Callable[[Assistant], int]:
    """Return a sort key that puts the controls of a model right after its assistants."""
    models = list(dict.fromkeys(assistant.model for assistant in assistants))
    return lambda assistant: models.index(assistant.model)
