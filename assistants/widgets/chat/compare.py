"""``Compare``: one question to several assistants, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import traitlets
from markupsafe import Markup

from assistants.assistant import Assistant, build_assistants
from assistants.clients import Client, default_model
from assistants.errors import UsageError
from assistants.messages import Sampling
from assistants.personas import Library, Persona
from assistants.widgets import background
from assistants.widgets.base import Item
from assistants.widgets.chat.columns import ConversationColumns
from assistants.widgets.chat.static_html import answer_differences, differences_html


class Compare(ConversationColumns):
    """Every persona on every model, in columns that answer at the same time.

    Parameters
    ----------
    personas
        Names, or ``Persona`` or ``Assistant`` objects.
    models
        Names (``qwen``, ``openai:gpt-6-luna``) or clients. By default the better embedded model
        that was fetched: ``qwen``, or else ``smollm2``.
    assistants
        Instead of both: exactly these.
    results
        The results folder in which every answer is stored; ``None`` stores nothing.
    sampling
        Wins over each persona's own.
    library
        Where names of personas are looked up.

    Raises
    ------
    UsageError
        For an unknown name, if there is nobody to ask, or if two assistants have one name and one
        model, but another prompt or settings: no table could tell them apart.

    Examples
    --------
    >>> compare = Compare(["none", "art"], ["echo"], results=None)
    >>> compare
    Compare(none on scripted:echo, art on scripted:echo: 0 turns)
    """

    diff_base = traitlets.Unicode("").tag(sync=True)
    """The id of the column whose words the others are compared with; empty for none."""

    commands = {  # noqa: RUF012 - declared a ClassVar in LiveWidget
        **ConversationColumns.commands,
        "collapse": "collapse",
        "pin": "pin",
        "move": "move",
        "show_diff": "show_diff",
    }

    def __init__(
        self,
        personas: Iterable[str | Persona | Assistant] = (),
        models: Iterable[str | Client] | None = None,
        *,
        assistants: Iterable[Assistant] = (),
        results: str | Path | None = "results",
        sampling: Sampling | None = None,
        library: Library | None = None,
    ) -> None:
        library = library or Library.default()
        personas = [personas] if isinstance(personas, (str, Persona, Assistant)) else list(personas)
        models = [models] if isinstance(models, str) else models
        if models is None:
            is_model_needed = any(not isinstance(each, Assistant) for each in personas)
            models = [default_model()] if is_model_needed else []
        columns, entries = build_assistants(
            [*personas, *assistants], models, library, sampling or Sampling()
        )
        if not columns:
            raise UsageError(
                "There is nobody to ask.",
                fix='Name personas and models: Compare(["none", "art"], ["qwen"]).',
            )
        _refuse_namesakes(columns)
        super().__init__("compare", columns, results=results, models=entries, library=library)

    # -- for people ------------------------------------------------------------------------------

    def collapse(self, column: int | str, collapsed: bool | None = None) -> None:
        """Collapse or expand a column; by default, whichever it is not."""

        def work() -> None:
            one = self._find(column)
            one.is_collapsed = not one.is_collapsed if collapsed is None else collapsed
            self._update_heads()

        background.call(work)

    def pin(self, column: int | str, pinned: bool | None = None) -> None:
        """Pin a column at the left, or unpin it; by default, whichever it is not."""

        def work() -> None:
            one = self._find(column)
            one.is_pinned = not one.is_pinned if pinned is None else pinned
            self._sort_columns()

        background.call(work)

    def move(self, column: int | str, by: int) -> None:
        """Move a column ``by`` places to the right, or to the left if negative."""

        def work() -> None:
            one = self._find(column)
            index = self._columns.index(one)
            self._columns.remove(one)
            self._columns.insert(max(0, index + by), one)
            self._sort_columns()

        background.call(work)

    def show_diff(self, column: int | str | None = None) -> None:
        """Show which words other columns add to this one's answers; ``None`` shows the answers."""

        def work() -> None:
            self.diff_base = "" if column in (None, "") else self._find(column).id
            self.send_update(self._diff_update)
            self.update_fallback()

        background.call(work)

    def to_experiment(
        self, path: str | Path | None = None, *, name: str | None = None, repeats: int = 1
    ) -> Path:
        """Write an experiment file of these columns and their questions.

        Parameters
        ----------
        path
            The ``.yaml`` file, or a folder if ``name`` is given; by default the folder
            ``experiments``. An edited system prompt is written into the file.
        name
            The experiment's name; by default the stem of ``path``, or a new one with the id of
            this session's run.
        repeats
            Number of draws of each answer that it asks for.

        Returns
        -------
        Path
            The file, for ``Experiment.load``.

        Raises
        ------
        UsageError
            If the file exists, nothing was asked, or a model has no name.
        """
        from assistants.design import write_experiment

        if path is None:
            path, name = "experiments", name or self._free_name(Path("experiments"))
        file = Path(path) / f"{name}.yaml" if name is not None else Path(path)
        asked = [
            (
                column.conversation.assistant,
                [
                    [message.content for message in turn.answer.history if message.role == "user"]
                    for turn in column.conversation.turns
                ],
            )
            for column in self._columns
        ]
        return write_experiment(file, asked, repeats)

    # -- for the page ----------------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Return every entry of every column, and the differences if they are shown."""
        return {**super().snapshot(), "differences": self._diff_update()["answers"]}

    def static_html(self) -> Markup:
        """Return the conversations, and the differences if they are shown."""
        page = super().static_html()
        if self.diff_base:
            page += differences_html(self._columns, self._find(self.diff_base))
        return page

    # -- in the thread of `background` -----------------------------------------------------------

    def _sort_columns(self) -> None:
        """Put the pinned columns first."""
        self._columns.sort(key=lambda column: not column.is_pinned)
        self._update_heads()

    async def _gather(self, *work: Any) -> None:
        await super()._gather(*work)
        if self.diff_base:
            self.send_update(self._diff_update)

    def _diff_update(self) -> Item:
        answers: Item = {}
        if self.diff_base:
            answers = answer_differences(self._columns, self._find(self.diff_base))
        return {"op": "differences", "answers": answers}

    def _free_name(self, folder: Path) -> str:
        first = f"compare-{self.session.run}"
        names = itertools.chain([first], (f"{first}-{n}" for n in itertools.count(2)))
        return next(name for name in names if not (folder / f"{name}.yaml").exists())


def _refuse_namesakes(assistants: Sequence[Assistant]) -> None:
    """Check that one name and model stand for one assistant, since answers are stored by them."""
    first: dict[str, Assistant] = {}
    for assistant in assistants:
        other = first.setdefault(str(assistant), assistant)
        if other.prompt_digest != assistant.prompt_digest:
            difference = "another system prompt"
        elif (other.effective_sampling, other.persona_in) != (
            assistant.effective_sampling,
            assistant.persona_in,
        ):
            difference = "other settings"
        else:
            continue
        raise UsageError(
            f"{assistant} is there twice, the second time with {difference}.",
            fix="Name one of them otherwise: "
            f'Assistant(replace(persona, name="{assistant.persona.name}-2"), ...), with '
            "`from dataclasses import replace`.",
        )
