"""``Chat``: one persona at a time on one model, with everybody else a click away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import traitlets

from assistants.assistant import Assistant, build_assistants
from assistants.clients import Client, IsolatedClient
from assistants.errors import UsageError
from assistants.messages import Sampling
from assistants.personas import Library, Persona
from assistants.personas.persona import sampling_from
from assistants.results import Run
from assistants.runs.tables import is_known
from assistants.trial import Case, Trial
from assistants.utils.text import from_utf8
from assistants.widgets import background
from assistants.widgets.chat.compare import Compare
from assistants.widgets.chat.switching import Switching
from assistants.widgets.chat.turns import Answer, Turn, history
from assistants.widgets.stored_runs import conversation, restore_persona


class Chat(Switching):
    """A conversation, with the personas at its side.

    Parameters
    ----------
    persona
        A name, a ``Persona``, or an ``Assistant`` (then ``model`` is its own).
    model
        A name or a client.
    results
        The results folder that every answer is stored in; ``None`` stores nothing.
    sampling
        Goes over each persona's own; by default that of the ``Assistant``, if one is given.
    library
        The personas to choose from.

    Raises
    ------
    UsageError
        For an unknown name.

    Examples
    --------
    >>> chat = Chat("art", "echo", results=None)
    >>> chat
    Chat(art on scripted:echo: 0 turns)
    """

    forked = traitlets.Unicode("").tag(sync=True)
    """The ``Compare`` that is shown below, by its model id; empty for none."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        **Switching.commands,
        "fork": "fork",
        "close_fork": "close_fork",
    }

    def __init__(
        self,
        persona: str | Persona | Assistant = "none",
        model: str | Client = "smollm2",
        *,
        results: str | Path | None = "results",
        sampling: Sampling | None = None,
        library: Library | None = None,
    ) -> None:
        library = library or Library.default()
        models: list[str | Client] = [model]
        if isinstance(persona, Assistant):
            models, sampling = [], sampling or persona.sampling
        sampling = sampling or Sampling()
        (first,), entries = build_assistants([persona], models, library, sampling)
        self._fork: Compare | None = None
        super().__init__(first, sampling=sampling, results=results, models=entries, library=library)

    @classmethod
    def from_trial(
        cls, run: Run, trial: str | Mapping[str, Any], *, library: Library | None = None
    ) -> Self:
        """Open a stored trial, with its history, as a chat that goes on from it.

        Parameters
        ----------
        run
            The run that the trial belongs to.
        trial
            Its key, or a row of ``run.trials``.
        library
            Where its persona is looked up.

        Raises
        ------
        UsageError
            If the run has no such trial, or it has no answer.
        """
        key = trial if isinstance(trial, str) else str(trial["key"])
        frame = run.trials
        rows = frame[frame["key"] == key].to_dict("records")
        if not rows:
            raise UsageError(f"run {run.id} has no trial {key!r}.", fix="See `run.trials`.")
        row = rows[0]
        library = library or Library.default()
        prompt = from_utf8(row["system_prompt"]) if is_known(row["system_prompt"]) else None
        settings = sampling_from(json.loads(row["sampling"]), f"trial {key}")
        persona = restore_persona(str(row["persona"]), prompt, library)
        chat = cls(persona, str(row["model"]), results=run.results, sampling=settings,
                   library=library)  # fmt: skip
        questions, completions = conversation(run, row["case"], key)
        if not completions:
            raise UsageError(f"trial {key!r} has no answer.", fix="Run it again first.")
        if row["persona_in"] == "user":
            background.call(chat._fold)
        # Where the key is another one than a batch would give it, somebody else gave the earlier
        # answers: then no batch may take what comes next for its own.
        (column,) = chat._columns
        turns = tuple(questions)
        by = column.assistant
        if Trial(Case(str(row["case"]), turns), by, int(row["repeat"])).key != key:
            by = replace(by, client=IsolatedClient(by.client, "somebody else"))
        background.call(lambda: chat._open(by, turns, completions, int(row["repeat"])))
        return chat

    # -- what a person does ----------------------------------------------------------------------

    async def fork(
        self, personas: Sequence[str | Persona], models: Iterable[str | Client] = ()
    ) -> Compare:
        """Ask everybody: the last question, with the turns before it, to each of ``personas``.

        The chat's own answer stands in the first column.

        Raises
        ------
        UsageError
            For an unknown name, or if nothing was asked yet.
        """
        return await background.run(self._fork_to(list(personas), list(models)))

    def close_fork(self) -> None:
        """Take the columns below away; what they said stays stored."""
        background.call(self._close_fork)

    # -- what is left ----------------------------------------------------------------------------

    def static_html(self) -> str:
        """The conversation, and what everybody else said below it."""
        own = super().static_html()
        return (
            f"{own}<p><b>Everybody else:</b></p>{self._fork.static_html()}" if self._fork else own
        )

    def close(self) -> None:
        """Take the widget off the page; what is on its way is stopped."""
        if (fork := getattr(self, "_fork", None)) is not None:
            fork.close()
        super().close()

    # -- the work, in the thread of `background` -------------------------------------------------

    def _fold(self) -> None:
        """Put every persona into the first question of this model, as a stored trial did."""
        (column,) = self._columns
        self._places[column.assistant.model] = "user"
        column.original = self._placed(column.original)
        column.conversation.assistant = self._placed(column.assistant)

    async def _fork_to(self, personas: list[Any], models: list[Any]) -> Compare:
        (column,) = self._columns
        turns = column.conversation.turns
        if not turns or column.conversation.is_busy:
            raise UsageError("There is no whole turn to ask everybody.", fix="Ask something first.")
        others, _ = build_assistants(map(self._known, personas), models or [column.assistant.client],
                            self.library, self.sampling, self._variables)  # fmt: skip
        own = column.assistant
        others = [each for each in map(self._placed, others) if each.digest != own.digest]
        if not others:
            raise UsageError("There is nobody else to ask.", fix="Choose more personas.")
        compare = Compare(
            assistants=[own, *others], results=self.record.results, library=self.library
        )
        self._close_fork()
        compare.models.update(self.models)
        *earlier, last = turns
        for number, each in enumerate(compare._columns):
            each.conversation.append_turns(turns if number == 0 else earlier)
        compare._note_state()
        self._fork, compare.parent = compare, self
        self.forked = compare.model_id
        await compare._doing(
            *(each.conversation.ask(last.question) for each in compare._columns[1:])
        )
        self.update_fallback()
        return compare

    def _close_fork(self) -> None:
        if self._fork is not None:
            self._fork.close()
            self._fork, self.forked = None, ""
            self.update_fallback()

    def _open(
        self, by: Assistant, questions: Sequence[str], completions: Sequence[Any], repeat: int
    ) -> None:
        (column,) = self._columns
        turns: list[Turn] = []
        for question, completion in zip(questions, completions, strict=False):
            answer = Answer(by, history(turns, question), repeat)
            answer.text, answer.completion, answer.state = completion.text, completion, "done"
            before = tuple(turn.answer for turn in turns)
            turns.append(Turn(question, [answer], before))
        column.conversation.append_turns(turns)
        self._note_state()
