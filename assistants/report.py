"""The report of a run: the batch notebook executed by papermill, and a page made from it."""

from __future__ import annotations

import ast
import base64
import logging
import secrets
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from assistants.errors import MissingDependencyError, ReportError, UsageError, nearest
from assistants.results import Run
from assistants.utils.imports import quick_imports
from assistants.utils.text import to_utf8
from assistants.widgets.html import clean, escape, stylesheet

NOTEBOOK = "02-run-experiment.ipynb"

IOPUB_S = 60
"""Seconds to wait for the words of a cell that has ended: large pages take long."""


def batch_notebook() -> Path:
    """The notebook that runs and shows an experiment, of the package or of the repository."""
    package = Path(__file__).parent
    for place in (package / NOTEBOOK, package.parent / "notebooks" / NOTEBOOK):
        if place.is_file():
            return place
    raise MissingDependencyError(
        f"{NOTEBOOK} is not part of this installation.", fix="Install it anew."
    )


def write_report(run: Run, experiment: str | Path) -> Path:
    """Write ``report.ipynb`` and ``report.html`` into the run's folder; returns the page.

    Nothing is asked: the notebook shows a run that is there.

    Raises
    ------
    MissingDependencyError
        If papermill is not installed.
    ReportError
        If the notebook breaks off; ``report.ipynb`` then shows where.
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


def execute(notebook: Path, out: Path, parameters: Mapping[str, Any]) -> None:
    """Run a notebook through papermill, saving after every cell.

    Raises
    ------
    MissingDependencyError
        If papermill, or something else that it takes, is not installed.
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

            from assistants.kernel import kernel_manager

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


def to_page(notebook: Path, title: str) -> str:
    """A self-contained page of a notebook's text and outputs, sanitised, without its code.

    Cells tagged ``notebook-only`` are left out.
    """
    import nbformat
    from nbconvert import HTMLExporter

    content = nbformat.read(str(notebook), as_version=4)  # type: ignore[no-untyped-call]
    content.cells = [cell for cell in content.cells if not _is_notebook_only(cell)]
    pictures: dict[str, str] = {}
    for cell in content.cells:
        cell["outputs"] = [_shown(output, pictures) for output in cell.get("outputs", [])]
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
    body = clean(body)
    for place, picture in pictures.items():
        body = body.replace(place, picture)
    css = (
        files("assistants.widgets").joinpath("static/page.css").read_text(encoding="utf-8")
        + stylesheet()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Even if something slipped through, nothing may run and nothing may be fetched.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def refuse_unknown_parameters(cells: Sequence[str]) -> None:
    """For a notebook's first lines: ``refuse_unknown_parameters(In)``.

    papermill only warns of a parameter that a notebook does not have. It puts what it was given
    into a cell of its own, right after the notebook's parameters.

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
    found: list[str] = []
    for statement in ast.parse(source).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        found += [target.id for target in targets if isinstance(target, ast.Name)]
    return found


def _is_notebook_only(cell: Any) -> bool:
    return "notebook-only" in cell["metadata"].get("tags", [])


def _shown(output: Any, pictures: dict[str, str]) -> Any:
    """An output with nothing in it but text, tables, layout, and where its picture goes."""
    data = output.get("data")
    if data is not None:
        kept = {kind: data[kind] for kind in ("text/html", "text/plain") if kind in data}
        if "text/html" in kept:
            kept = {"text/html": clean("".join(kept["text/html"]))}
        elif "image/svg+xml" in data:
            # Nobody who wrote the notebook knows the name, so nobody can put a picture elsewhere.
            place = f"picture-{secrets.token_hex(16)}"
            plain = "".join(data.get("text/plain", "")) or "A figure."
            pictures[place] = _picture("".join(data["image/svg+xml"]), plain)
            kept = {"text/html": f"<figure>{place}</figure>"}
        output["data"] = kept
    return output


def _picture(svg: str, alt: str) -> str:
    """An image element: SVG in one runs nothing, and fetches nothing, whatever it holds."""
    if "<!DOCTYPE" in svg.upper() or "<!ENTITY" in svg.upper():
        # Entities that name entities grow without end. No figure needs one.
        return f"<p>A figure that declares entities is left out. {escape(alt)}</p>"
    data = base64.b64encode(svg.encode("utf-8", "backslashreplace")).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'
