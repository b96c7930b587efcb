"""``Compare``: one question to several assistants, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import traitlets

from assistants.assistant import Assistant, build_assistants
from assistants.clients import Client
from assistants.errors import UsageError
from assistants.messages import Sampling
from assistants.personas import Library, Persona
from assistants.widgets import background
from assistants.widgets.base import Item
from assistants.widgets.chat import differing
from assistants.widgets.chat.columns import ConversationColumns


class Compare(ConversationColumns):
    """Every persona on every model, in columns that answer at the same time.

    Parameters
    ----------
    personas
        Names, or ``Persona`` or ``Assistant`` objects.
    models
        Names (``smollm2``, ``openai:gpt-5-mini``) or clients.
    assistants
        Instead of both: exactly these.
    results
        The results folder that every answer is stored in; ``None`` stores nothing.
    sampling
        Goes over each persona's own.
    library
        Where names of personas are looked up.

    Raises
    ------
    UsageError
        For an unknown name, if there is nobody to ask, or if two that answer have one name, one
        model and not the same prompt and settings: no table could tell them apart.

    Examples
    --------
    >>> compare = Compare(["none", "art"], ["echo"], results=None)
    >>> compare
    Compare(none on scripted:echo, art on scripted:echo: 0 turns)
    """

    diff_base = traitlets.Unicode("").tag(sync=True)
    """The id of the column that the others are compared with, word by word; empty for none."""

    commands = {  # noqa: RUF012 - declared a ClassVar in Live
        **ConversationColumns.commands,
        "collapse": "collapse",
        "pin": "pin",
        "move": "move",
        "show_diff": "show_diff",
    }

    def __init__(
        self,
        personas: Iterable[str | Persona | Assistant] = (),
        models: Iterable[str | Client] = (),
        *,
        assistants: Iterable[Assistant] = (),
        results: str | Path | None = "results",
        sampling: Sampling | None = None,
        library: Library | None = None,
    ) -> None:
        library = library or Library.default()
        personas = [personas] if isinstance(personas, (str, Persona, Assistant)) else personas
        models = [models] if isinstance(models, str) else models
        found, entries = build_assistants(
            [*personas, *assistants], models, library, sampling or Sampling()
        )
        if not found:
            raise UsageError(
                "There is nobody to ask.",
                fix='Name personas and models: Compare(["none", "art"], ["smollm2"]).',
            )
        _refuse_namesakes(found)
        super().__init__("compare", found, results=results, models=entries, library=library)

    # -- what a person does ----------------------------------------------------------------------

    def collapse(self, column: int | str, collapsed: bool | None = None) -> None:
        """Fold a column away, or unfold it; the other of the two if nothing is said."""

        def work() -> None:
            one = self._find(column)
            one.collapsed = not one.collapsed if collapsed is None else collapsed
            self._draw_heads()

        background.call(work)

    def pin(self, column: int | str, pinned: bool | None = None) -> None:
        """Keep a column in sight at the left, or let it go."""

        def work() -> None:
            one = self._find(column)
            one.pinned = not one.pinned if pinned is None else pinned
            self._columns.sort(key=lambda each: not each.pinned)
            self._draw_heads()

        background.call(work)

    def move(self, column: int | str, by: int) -> None:
        """Move a column ``by`` places to the right, or to the left if negative."""

        def work() -> None:
            one = self._find(column)
            at = self._columns.index(one)
            self._columns.remove(one)
            self._columns.insert(max(0, at + by), one)
            self._columns.sort(key=lambda each: not each.pinned)
            self._draw_heads()

        background.call(work)

    def show_diff(self, column: int | str | None = None) -> None:
        """Show which words the others add to a column's answers; ``None`` shows the answers."""

        def work() -> None:
            self.diff_base = "" if column in (None, "") else self._find(column).id
            self.send_update(self._differences)
            self.update_fallback()

        background.call(work)

    def to_experiment(
        self, path: str | Path | None = None, *, name: str | None = None, repeats: int = 1
    ) -> Path:
        """Write an experiment file of these columns and the questions asked.

        Parameters
        ----------
        path
            Of the ``.yaml`` file, or a folder if ``name`` is given; by default the folder
            ``experiments``. An edited system prompt is written into the file.
        name
            The experiment's name; by default the stem of ``path``, or a new one with the id of
            this session's run.
        repeats
            How many draws of each answer it asks for.

        Returns
        -------
        Path
            Of the file, for ``Experiment.load``.

        Raises
        ------
        UsageError
            If there is such a file, nothing was asked, or a model has no name.
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

    # -- what the page is told -------------------------------------------------------------------

    def snapshot(self) -> Item:
        """Every entry of every column, and the differences if they are shown."""
        return {**super().snapshot(), "differences": self._differences()["answers"]}

    def static_html(self) -> str:
        """The conversations, and the differences if they are shown."""
        chosen = self._find(self.diff_base) if self.diff_base else None
        return super().static_html() + (differing.still(self._columns, chosen) if chosen else "")

    async def _doing(self, *work: Any) -> None:
        await super()._doing(*work)
        if self.diff_base:
            self.send_update(self._differences)

    def _differences(self) -> Item:
        chosen = self._find(self.diff_base) if self.diff_base else None
        found = differing.answers(self._columns, chosen) if chosen else {}
        return {"op": "differences", "answers": found}

    def _free_name(self, folder: Path) -> str:
        first = f"compare-{self.record.run}"
        names = itertools.chain([first], (f"{first}-{n}" for n in itertools.count(2)))
        return next(name for name in names if not (folder / f"{name}.yaml").exists())


def _refuse_namesakes(assistants: Sequence[Assistant]) -> None:
    """An answer is stored by who gave it: the same assistant may be there twice, two may not."""
    first: dict[str, Assistant] = {}
    for each in assistants:
        other = first.setdefault(str(each), each)
        if other.prompt_digest != each.prompt_digest:
            what = "another system prompt"
        elif (other.settings, other.persona_in) != (each.settings, each.persona_in):
            what = "other settings"
        else:
            continue
        raise UsageError(
            f"{each} is there twice, the second time with {what}.",
            fix="Name one of them otherwise: "
            f'Assistant(replace(persona, name="{each.persona.name}-2"), ...), with '
            "`from dataclasses import replace`.",
        )
