"""``assistants init``: a project of one's own in a folder, from a template."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from assistants.cli.console import say, show
from assistants.errors import UnknownNameError, UsageError
from assistants.utils import check_name, packaged_path, pluralize

FOLDER = Path(__file__).parent / "templates"

TEMPLATES = {
    "compare": ("common", "prompts", "compare"),
    "benchmark": ("common", "benchmark"),
    "classroom": ("common", "classroom"),
    "judge": ("common", "prompts", "judge"),
    "server": ("common", "prompts", "server"),
    "plugin": ("common", "plugin"),
    "tour": ("common", "tour"),
}
"""Templates, and the folders of ``templates/`` whose files make each of them."""

# A `.gitignore` among the templates would hold there, too.
_RENAMED = {"gitignore": ".gitignore"}


def _template_names(incomplete: str) -> list[str]:
    return [name for name in TEMPLATES if name.startswith(incomplete)]


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The folder, which is made if need be.")
    ] = Path(),
    template: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="compare (prompts), benchmark (multiple choice), classroom (one question, on a "
            "tape), judge, server (vLLM), plugin (a package of your own), or tour (the "
            "notebooks of the project).",
            autocompletion=_template_names,
        ),
    ] = "compare",
) -> int:
    """Start a project: personas, an experiment, its cases and a notebook, to run and to change."""
    if template not in TEMPLATES:
        raise UnknownNameError("template", template, TEMPLATES, where="--template")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", fix="Name a folder: `assistants init NAME`.")
    if not folder.exists():
        check_name(folder.name, "project")
    files = template_files(template)
    # lexists: a link that leads nowhere is somebody's file, too.
    taken = [name for name in files if os.path.lexists(folder / name)]
    if taken:
        raise UsageError(
            f"{folder.resolve().name} has {', '.join(taken[:5])} already; nothing was written.",
            fix="Name a new folder: `assistants init NAME`.",
        )
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(source.read_bytes())
    say(f"{template}: {pluralize(len(files), 'file')} in {folder.resolve()}. Next:\n")
    if folder.resolve() != Path.cwd():
        show(f"cd {shlex.quote(str(folder))}")
    show(_first_commands(folder / "README.md"))
    return 0


def template_files(template: str) -> dict[str, Path]:
    """Return the files of a template by their path in a project."""
    files: dict[str, Path] = {}
    for layer in TEMPLATES[template]:
        files |= dict(_files_below(FOLDER / layer))
    if template == "tour":
        for name in ("experiments", "notebooks"):
            files |= {f"{name}/{k}": v for k, v in _files_below(packaged_path(name))}
    return dict(sorted(files.items()))


def _files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of a folder, without what editors and interrupted runs leave there."""
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        is_hidden = any(p.startswith(".") or p == "__pycache__" for p in relative.parts)
        if path.is_file() and not is_hidden and path.suffix not in (".cfg", ".part"):
            yield _RENAMED.get(relative.as_posix(), relative.as_posix()), path


def _first_commands(readme: Path) -> str:
    """Return the commands that a project's README begins with."""
    text = readme.read_text(encoding="utf-8")
    block = re.search(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    return block[1].strip() if block else ""
