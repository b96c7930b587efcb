"""The report of a run: the batch notebook executed by papermill, and a page made from it."""

from __future__ import annotations

import ast
import base64
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from assistants.errors import MissingDependencyError, ReportError, UsageError, nearest
from assistants.results import Run
from assistants.runs import Migration
from assistants.utils import packaged_path, quick_imports, to_utf8
from assistants.widgets.html import clean, migration, render_template, stylesheet, ui

NOTEBOOK = "02-run-experiment.ipynb"

IOPUB_S = 60
"""Seconds to wait for the outputs of a cell that has ended: large pages take long."""


def batch_notebook() -> Path:
    """Return the notebook that runs and shows an experiment."""
    return packaged_path(f"notebooks/{NOTEBOOK}")


def write_report(run: Run, experiment: str | Path) -> Path:
    """Write ``report.ipynb`` and ``report.html`` into the run's folder, and return the page.

    No model is asked: the notebook shows a run that is stored.

    Raises
    ------
    MissingDependencyError
        If papermill is not installed.
    ReportError
        If a cell of the notebook fails; ``report.ipynb`` then shows where.
    """
    notebook = run.folder / "report.ipynb"
    parameters = {
        "experiment": str(Path(experiment).resolve()),
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
    page.write_text(_page(title, migration(value).body), encoding="utf-8")
    return page


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


def to_page(notebook: Path, title: str) -> str:
    """Return a self-contained page of a notebook's text and outputs, sanitised, without code.

    Cells tagged ``notebook-only`` are left out.
    """
    import nbformat
    from nbconvert import HTMLExporter

    content = nbformat.read(str(notebook), as_version=4)  # type: ignore[no-untyped-call]
    content.cells = [cell for cell in content.cells if not _is_notebook_only(cell)]
    pictures: dict[str, Markup] = {}
    for cell in content.cells:
        cell["outputs"] = [_sanitised(output, pictures) for output in cell.get("outputs", [])]
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    for cell in content.cells:
        cell["source"] = to_utf8(cell["source"])
    body, _ = exporter.from_notebook_node(content)
    body = str(clean(body))
    for placeholder, picture in pictures.items():
        body = body.replace(placeholder, picture)
    return _page(title, Markup(body))  # noqa: S704 - cleaned above


def _page(title: str, body: Markup) -> str:
    css = files("assistants.widgets").joinpath("static/page.css").read_text(encoding="utf-8")
    return render_template(
        "report.html",
        title=title,
        css=Markup(css + stylesheet()),  # noqa: S704 - our own files
        body=body,
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


def _sanitised(output: Any, pictures: dict[str, Markup]) -> Any:
    """Return an output with only text, tables and layout, and a placeholder for its picture."""
    data = output.get("data")
    if data is not None:
        kept = {kind: data[kind] for kind in ("text/html", "text/plain") if kind in data}
        if "text/html" in kept:
            kept = {"text/html": str(clean("".join(kept["text/html"])))}
        elif "image/svg+xml" in data:
            # Nobody who wrote the notebook knows the name, so nobody can put a picture elsewhere.
            placeholder = f"picture-{secrets.token_hex(16)}"
            plain = "".join(data.get("text/plain", "")) or "A figure."
            pictures[placeholder] = _picture("".join(data["image/svg+xml"]), plain)
            kept = {"text/html": f"<figure>{placeholder}</figure>"}
        output["data"] = kept
    return output


def _picture(svg: str, alt: str) -> Markup:
    """Return an image element: SVG in one runs nothing, and fetches nothing, whatever it holds."""
    if "<!DOCTYPE" in svg.upper() or "<!ENTITY" in svg.upper():
        # Entities that name entities grow without end. No figure needs one.
        return ui.sentence(f"A figure that declares entities is left out. {alt}")
    data = base64.b64encode(svg.encode("utf-8", "backslashreplace")).decode()
    return ui.image(f"data:image/svg+xml;base64,{data}", alt)
