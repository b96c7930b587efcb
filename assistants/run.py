"""A run: what was asked and answered."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.assistant import inline_system_prompt
from assistants.errors import AssistantsError
from assistants.messages import AVERAGED, FINISHED, Message, Transcript
from assistants.runs import tables, transcripts
from assistants.runs.statistics import RunStatistics
from assistants.runs.store import RunRecord, Store
from assistants.utils.config_files import check_name, display_path
from assistants.utils.display import notebook_html
from assistants.utils.text import from_utf8, truncate_line

if TYPE_CHECKING:
    import pandas as pd

    from assistants.clients import Client
    from assistants.runs.attribution.attribution import Attribution
    from assistants.runs.runner import ProgressCallback


class Run(RunStatistics):
    """One execution of an experiment, read from the store each time it is asked."""

    def __init__(self, results: Path, record: RunRecord) -> None:
        self.results = results
        self.record = record

    def __repr__(self) -> str:
        try:
            said = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        except AssistantsError:  # a repr is for looking into what is wrong, so it never fails
            said = "cannot be read"
        return truncate_line(f"Run({self.id!r} of {self.experiment}: {said or 'no trials'})", 120)

    def _repr_html_(self) -> str:
        return notebook_html(self)

    @property
    def id(self) -> str:
        """Names the run and its folder."""
        return self.record.run

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        return self.record.experiment

    @property
    def outcome(self) -> str:
        """How it ended: ``complete``, ``failures``, ``limit`` or ``interrupted``.

        ``unfinished`` while it goes on, and for good if it was killed.
        """
        return self.record.outcome or "unfinished"

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What ran: persona texts and digests, models, sampling, versions, order, counts."""
        return self.record.manifest

    @property
    def folder(self) -> Path:
        """Where its manifest, table, transcripts and report are written."""
        # A store may come from somebody else, and its names are parts of a path here.
        experiment = check_name(self.experiment, "experiment")
        return Path(display_path(self.results)) / experiment / check_name(self.id, "run")

    @property
    def trials(self) -> pd.DataFrame:
        """One row a trial; columns as in ``tables.COLUMNS``."""
        with Store(self.results) as store:
            return tables.trials(store, self.id)

    @property
    def statuses(self) -> dict[str, int]:
        """How many trials ended how, most frequent first; ``open`` ones were never asked."""
        with Store(self.results) as store:
            return store.statuses(self.id)

    def compare(self, values: str = "answer") -> pd.DataFrame:
        """Cases as rows, personas as columns."""
        return tables.compare(self.trials, values)

    def summary(self) -> pd.DataFrame:
        """One row a persona and model: how many trials count, mean words, tokens and seconds."""
        return tables.summary(self.trials)

    async def attribution(
        self,
        persona: str,
        case: str | None = None,
        *,
        model: str | None = None,
        client: Client | None = None,
        statuses: Collection[str] = AVERAGED,
        regenerate: bool = False,
        max_usd: float | None = None,
        report: ProgressCallback | None = None,
    ) -> Attribution:
        """Which sentence of a persona matters: each is left out in turn.

        Of a server that tells log-probabilities of what it is sent (vLLM), nothing is generated:
        an effect is how much likelier, in nats, the answers that were given are under the whole
        persona than without the sentence. An answer counts with the token that ended it, where the
        model ended it itself and the server's template shows that token; one of several turns is
        the sum over its turns, each after the answers that were given before it. Of a persona of
        one sentence, an empty system message is left; that is also what ``logprob_empty`` is under.

        A hosted model is not sent its answers for this, unless ``client`` is given.
        Other models are asked again, without each sentence, and the wording is compared with how
        far repeats of the whole persona differ. That costs calls, so it wants a yes.

        Parameters
        ----------
        persona
            As in the table of trials, with its variables.
        case
            One case only; all of them by default.
        model
            One model only; all of them by default.
        client
            What reaches the model, where its name alone does not (an SDK object of your own).
        statuses
            The statuses of trials that count.
        regenerate
            Ask again, where no log-probabilities are told.
        max_usd
            The same, and a cap on what it may cost.
        report
            As in ``Experiment.run``; for asking again.

        Raises
        ------
        UnknownNameError
            For a persona, case or model that the run does not have.
        UsageError
            If no answer counts, the persona sends no text, or it would have to be asked again and
            nobody has said so: the message tells how many calls that is, and what they would cost.
        CallError
            If there is no whole reply.
        """
        from assistants.runs.attribution.attribution import attribute

        return await attribute(
            self,
            persona,
            case,
            model=model,
            client=client,
            statuses=statuses,
            regenerate=regenerate,
            max_usd=max_usd,
            report=report,
        )

    def transcripts(self) -> Iterator[tuple[str, Transcript, dict[str, Any]]]:
        """Name, transcript and facts of every answered trial."""
        with Store(self.results) as store:
            frame = tables.trials(store, self.id)
            columns = ["persona", "model", "case", "repeat", "key", "system_prompt", "persona_in",
                       "status"]  # fmt: skip
            for position, row in enumerate(frame[columns].itertuples(index=False)):
                if row.status not in FINISHED:
                    continue
                completions = store.completions(row.key)
                questions = self._questions(store, row.case)
                prompt = row.system_prompt
                system = from_utf8(prompt) if tables.is_known(prompt) else None
                about = {name: getattr(row, name) for name in columns[:-3]}
                name = transcripts.file_name(position, row.persona, row.case, row.repeat)
                yield name, _transcript(system, row.persona_in, questions, completions), about

    def write(self) -> Path:
        """Write manifest, table and transcripts into ``folder``, and return it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = json.dumps(self.manifest, indent=2, sort_keys=True)
        (self.folder / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
        tables.export(self.trials, "parquet", self.folder / "trials.parquet")
        for name, transcript, about in self.transcripts():
            transcripts.write(self.folder / "transcripts" / name, transcript, about)
        return self.folder

    def _questions(self, store: Store, case: str) -> list[str]:
        query = "SELECT turns FROM cases WHERE run = ? AND case_id = ?"
        ((turns,),) = store.read(query, [self.id, case])
        return list(json.loads(turns))


def _transcript(
    system: str | None, persona_in: str, questions: list[str], completions: list[Any]
) -> Transcript:
    messages: list[Message] = []
    for question, completion in zip(questions, completions, strict=False):
        messages += [Message("user", question), Message("assistant", completion.text)]
    sent = tuple(messages[:-1])
    if system is not None:
        as_system = (Message("system", system), *sent)
        sent = as_system if persona_in == "system" else inline_system_prompt(system, sent)
    return Transcript(sent, completions[-1])
