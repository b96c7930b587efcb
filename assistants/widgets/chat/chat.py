"""``Chat``: one persona at a time on one model, with every other one a click away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import traitlets
from markupsafe import Markup

from assistants.assistant import Assistant, build_assistants
from assistants.clients import Client, IsolatedClient, default_model, registry
from assistants.errors import UsageError
from assistants.messages import Completion, Sampling, sampling_from
from assistants.models import Catalogue
from assistants.personas import Library, Persona
from assistants.results import Run
from assistants.runs import is_known
from assistants.trial import Case, Trial
from assistants.utils import escape_control_chars, from_utf8
from assistants.widgets import background
from assistants.widgets.chat.columns import ConversationColumns
from assistants.widgets.chat.compare import Compare
from assistants.widgets.chat.turns import Answer, Turn, history
from assistants.widgets.html import ui
from assistants.widgets.stored_runs import conversation, restore_persona


class Chat(ConversationColumns):
    """A conversation in one column, with the personas at its side.

    Parameters
    ----------
    persona
        A name, a ``Persona``, or an ``Assistant`` (then ``model`` is its own).
    model
        A name or a client; by default the better embedded model that was fetched: ``qwen``, or else
        ``smollm2``.
    results
        The results folder in which every answer is stored; ``None`` stores nothing.
    sampling
        Wins over each persona's own; by default that of the ``Assistant``, if one is given.
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

    personas = traitlets.List(traitlets.Dict()).tag(sync=True)
    """The personas to choose from: name, label and description."""
    models_known = traitlets.List(traitlets.Unicode()).tag(sync=True)
    """The models to choose from; the page takes any other name too."""
    persona = traitlets.Unicode("").tag(sync=True)
    """The persona that answers now; setting it switches."""
    model = traitlets.Unicode("").tag(sync=True)
    """The model that answers now; setting it switches."""
    forked = traitlets.Unicode("").tag(sync=True)
    """The ``Compare`` that is shown below, by its model id; empty for none."""

    commands = {  # noqa: RUF012 - declared a ClassVar in LiveWidget
        **ConversationColumns.commands,
        "switch": "switch",
        "look": "_add_running_servers",
        "fork": "fork",
        "close_fork": "close_fork",
    }

    def __init__(
        self,
        persona: str | Persona | Assistant = "none",
        model: str | Client | None = None,
        *,
        results: str | Path | None = "results",
        sampling: Sampling | None = None,
        library: Library | None = None,
    ) -> None:
        library = library or Library.default()
        models: list[str | Client] = [default_model() if model is None else model]
        if isinstance(persona, Assistant):
            models, sampling = [], sampling or persona.sampling
        self.sampling = sampling or Sampling()
        (first,), entries = build_assistants([persona], models, library, self.sampling)
        self._fork: Compare | None = None
        self._clients: dict[str, Client] = {}  # by the names that the page has for their models
        self._persona_places = {first.model: first.persona_in}
        self._own_personas: dict[str, Persona] = {}  # that are not in the library
        self._variables = {first.persona.name: first.variables}
        self._is_setting_choice = False
        super().__init__("chat", [first], results=results, models=entries, library=library)
        self.personas = [_listed(item) for item in self.library.all()]
        self._add_models([first.model, *Catalogue.default().models])
        self._add_running_servers()
        self._update_choice()

    @classmethod
    def from_trial(
        cls, run: Run, trial: str | Mapping[str, Any], *, library: Library | None = None
    ) -> Self:
        """Open a stored trial, with its history, as a chat that continues from it.

        Parameters
        ----------
        run
            The run that the trial belongs to.
        trial
            Its key, or a row of ``run.trials()``.
        library
            Where its persona is looked up.

        Raises
        ------
        UsageError
            If the run has no such trial, or it has no answer.
        """
        key = trial if isinstance(trial, str) else str(trial["key"])
        frame = run.trials()
        rows = frame[frame["key"] == key].to_dict("records")
        if not rows:
            raise UsageError(f"run {run.id} has no trial {key!r}.", fix="See `run.trials()`.")
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
            background.call(chat._put_persona_in_user)
        # A key that a batch would not give means that another assistant gave earlier answers. Then
        # no batch may take the next answers for its own.
        (column,) = chat._columns
        turns = tuple(questions)
        author = column.assistant
        if Trial(Case(str(row["case"]), turns), author, int(row["repeat"])).key != key:
            author = replace(author, client=IsolatedClient(author.client, "somebody else"))
        background.call(lambda: chat._open(author, turns, completions, int(row["repeat"])))
        return chat

    # -- for people ------------------------------------------------------------------------------

    def switch(
        self, persona: str | Persona | None = None, model: str | Client | None = None
    ) -> None:
        """Let another persona, or another model, answer from here on; the transcript says so.

        Raises
        ------
        UsageError
            For an unknown name, or while an answer is on its way.
        """
        background.call(lambda: self._switch(persona, model))

    async def fork(
        self, personas: Sequence[str | Persona], models: Iterable[str | Client] = ()
    ) -> Compare:
        """Ask several personas the last question, with the turns before it, in columns below.

        The chat's own answer stands in the first column.

        Raises
        ------
        UsageError
            For an unknown name, or if nothing was asked yet.
        """
        return await background.run(self._fork_to(list(personas), list(models)))

    def close_fork(self) -> None:
        """Remove the columns below; their answers stay stored."""
        background.call(self._close_fork)

    def close(self) -> None:
        """Remove the widget from the page, and stop the answers on their way."""
        if (fork := getattr(self, "_fork", None)) is not None:
            fork.close()
        super().close()

    # -- for the page ----------------------------------------------------------------------------

    def static_html(self) -> Markup:
        """Return the conversation, and the columns below it."""
        page = super().static_html()
        if self._fork is not None:
            page += ui.emphasis("Everybody else:") + self._fork.static_html()
        return page

    @traitlets.observe("persona", "model")
    def _on_choice(self, change: Mapping[str, Any]) -> None:
        """Switch to a choice that somebody set, or take it back and say why."""
        if self._is_setting_choice or not self._columns:
            return
        try:
            self.switch(**{str(change["name"]): str(change["new"])})
        except UsageError:
            background.call(self._update_choice)
            raise

    # -- in the thread of `background` -----------------------------------------------------------

    def _switch(self, persona: str | Persona | None, model: str | Client | None) -> None:
        (column,) = self._columns
        now = column.assistant
        client: str | Client = now.client if model is None else model
        if isinstance(client, str) and client in self._clients:
            client = self._clients[client]
        chosen = column.original.persona if persona is None else self._find_persona(persona)
        (new,), entries = build_assistants(
            [chosen], [client], self.library, self.sampling, self._variables
        )
        if persona is None:
            new = replace(now, client=new.client)  # another model leaves everything else as it is
        new = self._placed(new)
        if str(new) == str(now) and new.digest == now.digest:
            return
        column.conversation.set_assistant(new, f"{new} answers from here on")
        column.original = (
            self._placed(replace(column.original, client=new.client))
            if new.persona == now.persona
            else new
        )
        self.models.update({k: v for k, v in entries.items() if k not in self.models})
        self.notify("")  # an earlier error does not concern this choice
        self._share_semaphore(column)
        self._update_choice()
        self._update_heads()

    def _update_choice(self) -> None:
        """Show the current persona and model as the chosen ones."""
        (column,) = self._columns
        persona = column.original.persona
        if persona.name not in self.library.names():
            self._own_personas[persona.name] = persona
            others = [item for item in self.personas if item["name"] != persona.name]
            self.personas = [_listed(persona), *others]
        model = escape_control_chars(column.assistant.model)  # a page takes no lone surrogate
        self._clients[model] = column.assistant.client
        self._is_setting_choice = True
        try:
            self._add_models([model])
            self.persona = persona.name
            self.model = model
        finally:
            self._is_setting_choice = False

    def _add_running_servers(self) -> None:
        records = [record for record in registry.records() if registry.is_alive(record)]
        self._add_models([f"{registry.PROVIDER}:{record.model}" for record in records])

    def _add_models(self, names: Sequence[str]) -> None:
        names = [*self.models_known, *map(escape_control_chars, names)]
        self.models_known = list(dict.fromkeys(names))

    def _find_persona(self, persona: str | Persona) -> str | Persona:
        """Return the persona of that name that has answered here, if the library lacks it."""
        return self._own_personas.get(persona, persona) if isinstance(persona, str) else persona

    def _placed(self, assistant: Assistant) -> Assistant:
        """Return the assistant with its persona where its model is known to take it."""
        place = self._persona_places.get(assistant.model, "system")
        return replace(assistant, persona_in=place)

    def _put_persona_in_user(self) -> None:
        """Put every persona into the first question of this model, as a stored trial did."""
        (column,) = self._columns
        self._persona_places[column.assistant.model] = "user"
        column.original = self._placed(column.original)
        column.conversation.assistant = self._placed(column.assistant)

    async def _fork_to(self, personas: list[Any], models: list[Any]) -> Compare:
        (column,) = self._columns
        turns = column.conversation.turns
        if not turns or column.conversation.is_busy:
            raise UsageError("There is no whole turn to ask everybody.", fix="Ask something first.")
        others, _ = build_assistants(
            map(self._find_persona, personas),
            models or [column.assistant.client],
            self.library,
            self.sampling,
            self._variables,
        )
        own = column.assistant
        others = [other for other in map(self._placed, others) if other.digest != own.digest]
        if not others:
            raise UsageError("There is nobody else to ask.", fix="Choose more personas.")
        compare = Compare(
            assistants=[own, *others], results=self.session.results, library=self.library
        )
        self._close_fork()
        compare.models.update(self.models)
        *earlier, last = turns
        first, *rest = compare._columns
        first.conversation.append_turns(turns)
        for one in rest:
            one.conversation.append_turns(earlier)
        compare._update_replies()
        self._fork, compare.parent = compare, self
        self.forked = compare.model_id
        await compare._gather(*(one.conversation.ask(last.question) for one in rest))
        self.update_fallback()
        return compare

    def _close_fork(self) -> None:
        if self._fork is not None:
            self._fork.close()
            self._fork, self.forked = None, ""
            self.update_fallback()

    def _open(
        self,
        author: Assistant,
        questions: Sequence[str],
        completions: Sequence[Completion],
        repeat: int,
    ) -> None:
        """Show the turns of a stored trial."""
        (column,) = self._columns
        turns: list[Turn] = []
        for question, completion in zip(questions, completions, strict=False):
            answer = Answer(author, history(turns, question), repeat)
            answer.text, answer.completion, answer.state = completion.text, completion, "done"
            before = tuple(turn.answer for turn in turns)
            turns.append(Turn(question, [answer], before))
        column.conversation.append_turns(turns)
        self._update_replies()


def _listed(persona: Persona) -> dict[str, str]:
    """Return a persona as the page lists it."""
    label = escape_control_chars(persona.label or persona.name)
    return {
        "name": persona.name,
        "label": label,
        "description": escape_control_chars(persona.description),
    }
