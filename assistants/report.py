"""The report of a run: the batch notebook executed by papermill, and a page made from it."""

from __future__ import annotations

import ast
import base64
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from assistants.errors import MissingDependencyError, ReportError, UsageError, nearest
from assistants.results import Run
from assistants.runs import Migration
from assistants.runs.improvement import Improvement
from assistants.utils import packaged_path, quick_imports, to_utf8, write_atomically
from assistants.widgets.html import (
    ABSENT,
    Html,
    clean,
    improvement,
    migration,
    render_template,
    stylesheet,
    ui,
)

NOTEBOOK = "02-run-experiment.ipynb"

_NOT_PLAIN = re.compile("[^a-z0-9]+")

IOPUB_S = 60
"""Seconds to wait for the outputs of a cell that has ended: large pages take long."""


def batch_notebook() -> Path:
    """Return the notebook that runs and shows an experiment."""
    return packaged_path(f"notebooks/{NOTEBOOK}")


def write_report(run: Run, experiment: str | Path = "") -> Path:
    """Write ``report.ipynb`` and ``report.html`` into the run's folder, and return the page.

    No model is asked: the notebook shows a run that is stored.

    Parameters
    ----------
    run
        With its scores, which are computed from stored answers.
    experiment
        The file to name in the notebook; by default the one that the run was loaded from.

    Raises
    ------
    MissingDependencyError
        If papermill is not installed.
    ReportError
        If a cell of the notebook fails; ``report.ipynb`` then shows where.
    """
    notebook = run.folder / "report.ipynb"
    parameters = {
        "experiment": str(Path(experiment or run.manifest["source"]).resolve()),
        "results": str(run.results.resolve()),
        "run": run.id,
    }
    execute(batch_notebook(), notebook, parameters)
    page = run.folder / "report.html"
    page.write_text(to_page(notebook, run.experiment), encoding="utf-8")
    return page


def write_migration(run: Run, value: Migration) -> Path:
    """Write ``migration.html`` into the run's folder, and return it."""
    page = run.folder / "migration.html"
    title = f"{value.experiment}: {value.old} to {value.new}"
    page.write_text(_page(title, _styled(migration(value))), encoding="utf-8")
    return page


def write_improvement(run: Run, value: Improvement) -> Path:
    """Write ``improvement.html`` into the folder of the held-out run, and return it."""
    page = run.folder / "improvement.html"
    title = f"{value.experiment}: {value.original.name} improved"
    write_atomically(page, _page(title, _styled(improvement(value))))
    return page


def _styled(value: Html) -> Markup:
    """Return what stands on a page as it does in a notebook: the style sheet asks for the class."""
    return Markup('<div class="assistants">{}</div>').format(value.body)


def execute(notebook: Path, out: Path, parameters: Mapping[str, Any]) -> None:
    """Run a notebook through papermill, saving after every cell.

    Raises
    ------
    MissingDependencyError
        If papermill, or another package that it needs, is not installed.
    UsageError
        For a parameter that the notebook does not have.
    ReportError
        If a cell raises, or its kernel dies.
    """
    try:
        with quick_imports():
            import nbconvert  # noqa: F401 - sooner than after the notebook has run
            import papermill
            from nbclient.exceptions import DeadKernelError
            from papermill.exceptions import PapermillExecutionError

            manager = kernel_manager()
    except ImportError as error:
        raise MissingDependencyError(
            f"{error.name} is not installed, so there is no report.",
            fix="Install it: pip install 'assistants[notebooks]'",
        ) from None
    known = papermill.inspect_notebook(str(notebook))
    for name in parameters:
        if name not in known:
            raise UsageError(
                f"{notebook.name} has no parameter {name!r}.", fix=nearest(name, known)
            )
    out.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(out),
            parameters=dict(parameters),
            kernel_name="python3",
            progress_bar=False,
            cwd=str(notebook.parent),
            kernel_manager_class=manager,
            iopub_timeout=IOPUB_S,
        )
    except PapermillExecutionError as error:
        raise ReportError(
            f"The notebook broke off in cell {error.exec_count}: {error.ename}: {error.evalue}.",
            fix=f"See {out}. Every answer is stored.",
        ) from None
    except (DeadKernelError, RuntimeError) as error:  # RuntimeError: it died before it was ready
        raise ReportError(
            f"The notebook's kernel died: {error}.", fix="Every answer is stored; run it again."
        ) from None


def kernel_manager() -> type[Any]:
    """Return a kernel manager for nbclient that starts the interpreter that runs now.

    It ignores which kernel somebody has installed as ``python3``. Where there are Unix sockets it
    uses them: TCP ports are open to every user of the machine, and two reports at a time may pick
    the same one.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._kernel_spec = KernelSpec(**get_kernel_dict())
            self._folder = ""
            if os.name == "posix":
                # Short, because the path of a Unix socket holds about 100 characters.
                self._folder = tempfile.mkdtemp(prefix="kernel-")
                self.transport = "ipc"
                self.connection_file = f"{self._folder}/k.json"

        async def _async_cleanup_resources(self, restart: bool = False) -> None:
            await super()._async_cleanup_resources(restart=restart)
            if self._folder and not restart:
                shutil.rmtree(self._folder, ignore_errors=True)

        cleanup_resources = _async_cleanup_resources

    return Manager


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page with a heading; one that is folded opens at a click."""

    title: str
    anchor: str
    body: Markup
    is_folded: bool = False


def to_page(notebook: Path, title: str) -> str:
    """Return a self-contained page of a notebook's text and outputs, sanitised, without code.

    A cell of Markdown that begins with ``## `` begins a section. Cells tagged ``notebook-only``
    are left out, a section whose first cell is tagged ``folded`` is folded, and sections that only
    say why they are empty are gathered below the contents.
    """
    import nbformat

    content = nbformat.read(str(notebook), as_version=4)  # type: ignore[no-untyped-call]
    lead, sections, absent = Markup(), [], []
    for number, cells in enumerate(_by_section(content.cells)):
        heading, text = _heading(cells[0])
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        if heading and outputs and all(map(_is_absent, outputs)):
            absent.append((heading, " ".join(_plain(output) for output in outputs)))
            continue
        if heading:
            cells[0]["source"] = text
        anchor = _NOT_PLAIN.sub("-", f"{heading.lower()}-{number}").strip("-")
        body = _body(cells, f"{title}-{anchor}")
        if heading:
            is_folded = "folded" in cells[0]["metadata"].get("tags", [])
            sections.append(Section(heading, anchor, body, is_folded))
        else:
            lead += body
    return _page(title, lead, sections, absent)


def _by_section(cells: Sequence[Any]) -> list[list[Any]]:
    groups: list[list[Any]] = []
    for cell in cells:
        if _is_notebook_only(cell):
            continue
        if not groups or _heading(cell)[0]:
            groups.append([])
        groups[-1].append(cell)
    return groups


def _heading(cell: Any) -> tuple[str, str]:
    """Return the heading that a cell begins with, if any, and the text below it."""
    first, _, rest = to_utf8("".join(cell["source"])).partition("\n")
    is_heading = cell["cell_type"] == "markdown" and first.startswith("## ")
    return (first.removeprefix("## ").strip(), rest) if is_heading else ("", "")


def _is_absent(output: Any) -> bool:
    return bool(output.get("metadata", {}).get(ABSENT))


def _plain(output: Any) -> str:
    return to_utf8("".join(output.get("data", {}).get("text/plain", "")))


@cache  # it compiles its templates, which takes longer than to fill them
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    return HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )


def _body(cells: Sequence[Any], name: str) -> Markup:
    from nbformat import from_dict

    parts = _Parts(name)
    for cell in cells:
        cell["outputs"] = [_sanitised(output, parts) for output in cell.get("outputs", [])]
        cell["source"] = to_utf8(cell["source"])
    part = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    body, _ = _exporter().from_notebook_node(from_dict(part))  # type: ignore[no-untyped-call]
    return parts.put_into(clean(body))


class _Parts:
    """Pictures and files, which the sanitiser would not let through, kept out of its way."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: dict[str, Markup] = {}

    def keep(self, part: Markup) -> str:
        """Return a text that stands for a part."""
        # Nobody who wrote the notebook knows the name, so nobody can put a part elsewhere.
        placeholder = f"part-{secrets.token_hex(16)}"
        self._parts[placeholder] = part
        return placeholder

    def keep_csv(self, text: str) -> str:
        """Return a text that stands for a link to a table as a file, which is in the link."""
        number = sum("download" in part for part in self._parts.values()) + 1
        return self.keep(ui.csv_link(f"{self._name}-{number}.csv", _base64(text)))

    def put_into(self, page: Markup) -> Markup:
        """Return the page with each part in its place."""
        text = str(page)
        for placeholder, part in self._parts.items():
            text = text.replace(placeholder, part)
        return Markup(text)  # noqa: S704 - cleaned, and our own parts


def _page(
    title: str,
    lead: Markup,
    sections: Sequence[Section] = (),
    absent: Sequence[tuple[str, str]] = (),
) -> str:
    css = files("assistants.widgets").joinpath("static/page.css").read_text(encoding="utf-8")
    return render_template(
        "report.html",
        title=title,
        css=Markup(css + stylesheet()),  # noqa: S704 - our own files
        lead=lead,
        sections=sections,
        absent=absent,
    )


def refuse_unknown_parameters(cells: Sequence[str]) -> None:
    """Raise for a parameter that a notebook does not have; papermill only warns.

    To be called in a notebook's first lines: ``refuse_unknown_parameters(In)``. papermill puts the
    parameters that it was given into a cell of its own, right after the notebook's parameters.

    Raises
    ------
    UsageError
        If that cell sets a name that the notebook's parameters do not.
    """
    _, own, given, *_ = [*cells, "", "", ""]
    if not given.startswith("# Parameters\n"):
        return
    known = _assigned(own)
    for name in _assigned(given):
        if name not in known:
            raise UsageError(f"There is no parameter {name!r}.", fix=nearest(name, known))


def _assigned(source: str) -> list[str]:
    names: list[str] = []
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def _is_notebook_only(cell: Any) -> bool:
    return "notebook-only" in cell["metadata"].get("tags", [])


def _sanitised(output: Any, parts: _Parts) -> Any:
    """Return an output with only text, tables and layout, and placeholders for the rest."""
    data = output.get("data")
    if data is not None:
        kept = {kind: data[kind] for kind in ("text/html", "text/plain") if kind in data}
        if "text/html" in kept:
            page = str(clean("".join(kept["text/html"])))
            if "text/csv" in data:
                page += parts.keep_csv("".join(data["text/csv"]))
            kept = {"text/html": page}
        elif "image/svg+xml" in data:
            plain = "".join(data.get("text/plain", "")) or "A figure."
            picture = _picture("".join(data["image/svg+xml"]), plain)
            kept = {"text/html": f"<figure>{parts.keep(picture)}</figure>"}
        output["data"] = kept
    return output


def _picture(svg: str, alt: str) -> Markup:
    """Return an image element: SVG in one runs nothing, and fetches nothing, whatever it holds."""
    if "<!DOCTYPE" in svg.upper() or "<!ENTITY" in svg.upper():
        # Entities that name entities grow without end. No figure needs one.
        return ui.sentence(f"A figure that declares entities is left out. {alt}")
    return ui.image(f"data:image/svg+xml;base64,{_base64(svg)}", alt)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "backslashreplace")).decode()
