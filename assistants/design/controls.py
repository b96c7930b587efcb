"""Control personas, which tell having a prompt, its wording and its meaning apart.

Their texts stand in ``NAME.controls.yaml`` beside the experiment, where anybody can read and edit
them. ``assistants controls`` writes that file; without it a neutral text is matched in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from assistants.assistant import Assistant
from assistants.design.schema import ControlsEntry
from assistants.errors import FileError, UsageError
from assistants.personas import Library, Persona
from assistants.utils import (
    Document,
    StrictModel,
    check_name,
    display_path,
    parse_yaml,
    read_text,
    validate,
)

Kind = Literal["neutral", "paraphrase", "same", "technique"]

SUFFIX = ".controls.yaml"


@dataclass(frozen=True, slots=True)
class Control:
    """A persona that stands beside the persona ``of``: ``art.neutral`` beside ``art``.

    One of kind ``technique`` has the same persona, with a technique's control in its place.
    """

    persona: str
    kind: Kind
    of: str


class ControlText(StrictModel):
    """A text of a controls file; ``digest`` is of the text that it was made from."""

    persona: str
    kind: Literal["neutral", "paraphrase"]
    of: str
    digest: str
    about: str = ""
    system_prompt: str


class _ControlsFile(StrictModel):
    controls: list[ControlText]


def controls_path(folder: Path, name: str) -> Path:
    """Return the path of the texts of an experiment's control personas."""
    return folder / f"{name}{SUFFIX}"


def read_controls_file(path: Path) -> dict[str, ControlText]:
    """Return the texts by persona; none if there is no file.

    Raises
    ------
    FileError
        For a mistake in it.
    """
    if not path.is_file():
        return {}
    document = parse_yaml(read_text(path), display_path(path))
    texts: dict[str, ControlText] = {}
    for index, entry in enumerate(validate(_ControlsFile, document).controls):
        where = document.where(("controls", index))
        check_name(entry.persona, "persona", where=where)
        if entry.persona in texts:
            raise FileError(where, f"{entry.persona!r} is there twice.")
        texts[entry.persona] = entry
    return texts


def controlled_personas(
    assistants: Iterable[Assistant], baseline: str | None
) -> dict[str, Persona]:
    """Return the personas that neutral texts and paraphrases are made for, by name.

    Not the baseline, and none that sends nothing or is neutral already.
    """
    return {
        a.name: a.persona
        for a in assistants
        if a.persona.text and a.name != baseline and a.persona.name != "neutral"
    }


def requested_controls(entry: ControlsEntry, personas: Iterable[str]) -> list[Control]:
    """Return the control personas with texts of their own that ``entry`` asks for."""
    controls = []
    for name in personas:
        if entry.neutral:
            controls.append(Control(f"{name}.neutral", "neutral", name))
        numbers = range(1, entry.paraphrases + 1)
        controls += [Control(f"{name}.p{number}", "paraphrase", name) for number in numbers]
    return controls


def read_controls(
    document: Document,
    entry: ControlsEntry,
    name: str,
    assistants: Sequence[Assistant],
    baseline: str | None,
    repeats: int,
    library: Library,
) -> tuple[list[Assistant], list[Control]]:
    """Return the assistants that ``controls:`` adds, and the controls that they are.

    Raises
    ------
    UsageError
        If a text is missing, or was made from a text that has been changed since.
    """
    where = document.where(("controls",))
    if baseline is None and (entry.neutral or entry.paraphrases or entry.same):
        raise FileError(
            where,
            "controls are compared with the baseline, and none is named.",
            fix="Name a `baseline:`; `none` sends no system message.",
        )
    personas = controlled_personas(assistants, baseline)
    controls = requested_controls(entry, personas)
    path = controls_path(Path(document.source).parent, name)
    texts = read_controls_file(path) if controls else {}
    control_personas = {
        c.persona: _persona(c, personas[c.of], texts, library, where, path) for c in controls
    }
    if entry.same and baseline is not None:
        controls.append(Control(f"{baseline}.same", "same", baseline))
    beside = list(_assistants(assistants, controls, control_personas, repeats))
    of_techniques = _technique_controls(assistants, entry, where)
    controls += [Control(twin.name, "technique", of.name) for of, twin in of_techniques]
    return [*beside, *(twin for _, twin in of_techniques)], list(dict.fromkeys(controls))


def _technique_controls(
    assistants: Sequence[Assistant], entry: ControlsEntry, where: str
) -> list[tuple[Assistant, Assistant]]:
    """Return each assistant with a technique that is to be controlled, and its control."""
    own = {name: getattr(entry, name) for name in ("knowledge", "enrich", "memory")}
    kinds = {name: kind for name, kind in own.items() if kind is not None} | entry.techniques
    twins = []
    for name, kind in kinds.items():
        users = [a for a in assistants if name in a.factors]
        if not users:
            raise FileError(where, f"no assistant uses {name}, so it needs no control.")
        for assistant in users:
            try:
                twins.append((assistant, _with_control(assistant, name, kind)))
            except UsageError as error:
                raise FileError(where, error.message, fix=error.fix) from None
    # Two settings of a technique may have one control.
    return list({(str(twin)): (of, twin) for of, twin in twins}.values())


def _with_control(assistant: Assistant, name: str, kind: str) -> Assistant:
    techniques = (t.control(kind) if t.name == name else t for t in assistant.techniques)
    return replace(assistant, techniques=tuple(techniques))


def _persona(
    control: Control,
    of: Persona,
    texts: Mapping[str, ControlText],
    library: Library,
    where: str,
    path: Path,
) -> Persona:
    check_name(control.persona, "persona", where=where)
    if of.variables:
        raise FileError(
            where,
            f"{of.name!r} has variables, so no text can be made to match it.",
            fix="Write the text out, or make an experiment without it.",
        )
    text = texts.get(control.persona)
    again = f"`assistants controls {path.with_name(path.name.removesuffix(SUFFIX))}.yaml` makes it."
    if text is not None:
        if text.digest != of.digest():
            raise FileError(
                display_path(path),
                f"{control.persona!r} was made from an earlier text of {control.of!r}.",
                fix=again,
            )
        return replace(
            of, name=control.persona, text=text.system_prompt.strip(), source=display_path(path)
        )
    if control.kind == "neutral" and not texts:
        neutral = library.find("neutral", where=where).matched_to(of, control.persona)
        return replace(of, name=control.persona, text=neutral.text, source=neutral.source)
    raise FileError(where, f"there is no text of {control.persona!r} yet.", fix=again)


def _assistants(
    assistants: Sequence[Assistant],
    controls: Sequence[Control],
    personas: Mapping[str, Persona],
    repeats: int,
) -> Iterator[Assistant]:
    """Yield each control on every model of the persona that it stands beside."""
    for assistant in assistants:
        for control in controls:
            if control.of != assistant.name:
                continue
            if control.kind == "same":
                # Later draws of the same request: the first ones would be the same answers.
                twin = replace(assistant.persona, name=control.persona)
                yield replace(assistant, persona=twin, first_draw=repeats)
            else:
                yield replace(assistant, persona=personas[control.persona])
