"""Experiments: assistants x cases x repeats, read from a file, forecast and run."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assistants import prices
from assistants.assistant import Assistant
from assistants.attempts import Attempts
from assistants.case_files import read_cases
from assistants.clients import Client
from assistants.clients.tape import Tape, TapedClient
from assistants.errors import FileError, UsageError, nearest
from assistants.experiment_file import ExperimentFile, check_variables, read_assistants
from assistants.files import Document, check_name, parse_yaml, read_text, validate
from assistants.files import shown as shown_path
from assistants.forecast import Forecast, forecast
from assistants.limits import Limits
from assistants.manifest import begun, finished
from assistants.models import Catalogue, Model
from assistants.personas import Library
from assistants.progress import progress_bar
from assistants.results import Results, Run
from assistants.runner import BATCH, Report, Runner, batches
from assistants.store import FILE, Store
from assistants.text import many
from assistants.trial import Case, Trial


@dataclass(frozen=True)
class Experiment:
    """The design: which assistants answer which cases, how often.

    ``baseline`` names the persona that the others are compared with. ``shuffle`` seeds the order
    of the cases; ``concurrency`` caps the calls in flight over all models.
    """

    name: str
    assistants: tuple[Assistant, ...]
    cases: tuple[Case, ...]
    repeats: int = 1
    baseline: str | None = None
    description: str = ""
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
            many(len({assistant.name for assistant in self.assistants}), "persona"),
            many(len({assistant.model for assistant in self.assistants}), "model"),
            many(len(self.cases), "case"),
            many(self.repeats, "repeat"),
        ]
        return f"Experiment({self.name!r}: {' x '.join(parts)} = {many(len(self), 'trial')})"

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
        folder = Path(document.source).parent
        return cls(
            name=name,
            assistants=tuple(assistants),
            cases=tuple(cases),
            repeats=content.repeats,
            baseline=content.baseline or ("none" if "none" in names else None),
            description=content.description,
            limits=Limits(**content.limits.model_dump()),
            concurrency=content.concurrency,
            shuffle=content.shuffle,
            tape=folder / content.tape if content.tape else None,
            models=models,
            source=document.source,
        )

    def trials(self) -> Iterator[Trial]:
        """Every trial, lazily: model by model, and within a model persona by persona.

        So a server that caches prefixes finds each system prompt where it left it.
        """
        for assistant in self.assistants:
            yield from self._trials_of(assistant)

    def forecast(self, results: str | Path = "results") -> Forecast:
        """What a run would ask and about what it would cost. Nothing is asked or written."""
        if (Path(results) / FILE).exists():
            with Store(results) as store:
                told = forecast(self.trials(), store, self.model)
        else:
            told = forecast(self.trials(), None, self.model)
        replays = self.tape is not None and self.tape.exists()
        return replace(told, usd=0.0, seconds=0.0) if replays else told

    async def run(
        self,
        results: str | Path = "results",
        *,
        report: Report | None = None,
        attempts: Attempts = Attempts(),  # noqa: B008 - frozen
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

        Raises
        ------
        UsageError
            Before anything is asked.
        StoreError
            If an answer cannot be stored.
        """
        self._check_limits()
        tape = Tape(self.tape) if self.tape is not None else None
        taped = self._on(tape) if tape is not None else self
        identifier = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with Store(results) as store:
            manifest = begun(self)
            store.add_run(identifier, self.name, manifest)
            outcome = "interrupted"
            try:
                reused = await _add_trials(store, identifier, taped)
                with progress_bar(reused) if report is None else nullcontext(report) as shown:
                    runner = Runner(
                        store,
                        identifier,
                        price=lambda client, usage: prices.cost(self.model(client.model), usage),
                        limits=self.limits,
                        attempts=attempts,
                        concurrency=self.concurrency,
                        report=shown,
                    )
                    outcome = await runner.ask(taped._by_client(), len(self))
                if tape is not None and outcome == "complete":
                    tape.finish()
            finally:
                if tape is not None:
                    tape.close()
                store.end_run(identifier, outcome, finished(manifest, store, identifier))
        return Results(results).run(identifier)

    def model(self, name: str) -> Model:
        """The entry of one of its models."""
        return self.models.get(name, Model(name))

    def _trials_of(self, assistant: Assistant) -> Iterator[Trial]:
        cases: Sequence[Case] = self.cases
        if self.shuffle is not None:
            cases = random.Random(self.shuffle).sample(cases, len(cases))  # noqa: S311 - an order
        for case, repeat in itertools.product(cases, range(self.repeats)):
            yield Trial(case, assistant, repeat)

    def _by_client(self) -> dict[Client, Iterator[Trial]]:
        clients = dict.fromkeys(assistant.client for assistant in self.assistants)
        return {client: self._trials_on(client) for client in clients}

    def _trials_on(self, client: Client) -> Iterator[Trial]:
        for assistant in self.assistants:
            if assistant.client is client:
                yield from self._trials_of(assistant)

    def _on(self, tape: Tape) -> Experiment:
        """This experiment with every client recorded, or replayed."""
        taped = {a.client: TapedClient(a.client, tape) for a in self.assistants}
        return replace(
            self, assistants=tuple(replace(a, client=taped[a.client]) for a in self.assistants)
        )

    def _check_limits(self) -> None:
        if self.limits.usd is None:
            return
        for name in {assistant.model for assistant in self.assistants}:
            if not prices.is_known(self.model(name)):
                raise UsageError(
                    f"The price of {name} is unknown, so the cap of ${self.limits.usd:g} could "
                    "not be kept.",
                    fix="Give `prices` in models.toml, or cap `tokens` instead of `usd`.",
                )


def _refuse_twins(kind: str, names: Iterable[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"the {kind} {twice[0]!r} is there twice.")


async def _add_trials(store: Store, run: str, experiment: Experiment) -> int:
    """Write down every trial of the run; returns how many are answered already."""
    reused = position = 0
    for batch in batches(experiment.trials(), BATCH):
        reused += store.add_trials(run, position, batch)
        position += len(batch)
        await asyncio.sleep(0)  # millions of trials take a while, and an interrupt must not wait
    return reused
