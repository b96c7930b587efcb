"""Hooks of the documentation's build: notebooks, commands and formulas become part of its pages.

Nothing is executed but ``assistants --help``, and nothing is fetched: notebooks are shown with the
outputs they were committed with, and formulas become MathML, which browsers draw themselves.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_ROOT_PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the repository's root, and their places in the documentation."""

_SHOWN = ("text/html", "image/svg+xml", "image/png", "text/plain")
"""Kinds of output that a page shows; of one output, the first that it has."""

_REMOTE = re.compile(
    r"<(?:script|img|link|iframe|source|video|audio|object|embed)\b[^>]*"
    r"\s(?:src|href|srcset|data)=[\"']?(?:https?:)?//[^>]*>"
    r"|@import[^;]*//[^;]*;|url\([\"']?(?:https?:)?//[^)]*\)"
    r"|<\w+ class=\"mermaid\""  # the theme would fetch what draws it
)
"""What makes a browser fetch from elsewhere when a page is opened."""

_outputs: dict[str, list[str]] = {}
"""HTML of each notebook's outputs, by the page's path, until the page's Markdown is HTML."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, and the pages of the repository's root."""
    root = Path(config.config_file_path).parent
    for name, place in _ROOT_PAGES.items():
        files.append(File.generated(config, place, content=_relinked((root / name).read_text())))
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        place = f"notebooks/{path.stem}.md"
        cells = json.loads(path.read_text())["cells"]
        _outputs[place] = []
        text = "\n\n".join(_cell(cell, _outputs[place]) for cell in cells)
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to notebooks and root pages to their pages here; fill in the commands' help."""
    markdown = re.sub(r"\]\(\.\./notebooks/([\w-]+)\.ipynb\)", r"](notebooks/\1.md)", markdown)
    for name, place in _ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name})", f"]({place})")
    if page.file.src_uri == "commands.md":
        markdown += "\n" + "\n".join(_help())
    return markdown


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put in the notebook's outputs, and turn formulas into MathML."""
    outputs = _outputs.get(page.file.src_uri, [])
    content = re.sub(r"<p>OUTPUT(\d+)</p>", lambda m: outputs[int(m[1])], content)
    return re.sub(
        r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', _formula, content, flags=re.S
    )


def on_post_build(*, config: MkDocsConfig) -> None:
    """Refuse a page or a style that fetches from elsewhere, and a reference that lacks a name.

    Raises
    ------
    PluginError
        With the file and what it would fetch, or with the names that are missing.
    """
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css") and (found := _REMOTE.search(path.read_text())):
            raise PluginError(f"{path}: fetches from elsewhere: {found[0][:200]}")
    if missing := list(_missing_names(Path(config.site_dir), Path(config.docs_dir))):
        raise PluginError(
            f"docs/reference/ does not show {', '.join(missing)}: where the module is called "
            "alike, add an entry `::: folder.module.name`."
        )


def _missing_names(site: Path, docs: Path) -> Iterator[str]:
    """Yield the public functions and classes of a folder that no page of the reference shows.

    A function that is called like its module is one that a folder's own entry leaves out.
    """
    pages = "".join(path.read_text() for path in (site / "reference").glob("*.html"))
    shown = set(re.findall(r'id="(assistants[\w.]+)"', pages))
    sources = "".join(path.read_text() for path in (docs / "reference").glob("*.md"))
    for folder in re.findall(r"^::: (assistants\.[a-z]+)$", sources, flags=re.M):
        module = import_module(folder)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if (isclass(value) or isfunction(value)) and not shown & {
                f"{folder}.{name}",
                f"{value.__module__}.{value.__name__}",
            }:
                yield f"{folder}.{name}"


def _relinked(text: str) -> str:
    """Return a page of the root with its links as the documentation's folder sees them."""
    return text.replace("](docs/", "](")


def _cell(cell: Mapping[str, Any], outputs: list[str]) -> str:
    """Return a notebook's cell as Markdown, and keep its outputs for ``on_page_content``."""
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return re.sub(r"`([\w-]+)\.ipynb`", r"[\1](\1.md)", source)
    parts = [f"```python\n{source}\n```"] if source.strip() else []
    for output in cell["outputs"]:
        if shown := _output(output):
            parts.append(f"OUTPUT{len(outputs)}")
            outputs.append(f'<div class="notebook-output">{shown}</div>')
    return "\n\n".join(parts)


def _output(output: Mapping[str, Any]) -> str:
    """Return an output as HTML; empty if it has no form that a page can show."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "application/vnd.jupyter.widget-view+json" in data:
        return ""  # the live widget, whose static HTML is the next output
    kind = next((kind for kind in _SHOWN if kind in data), None)
    if kind is None:
        return ""
    content = "".join(data[kind])
    if kind == "image/png":
        return f'<img alt="" src="data:image/png;base64,{content.strip()}">'
    return f"<pre>{html.escape(content)}</pre>" if kind == "text/plain" else content


def _formula(match: re.Match[str]) -> str:
    formula = html.unescape(match[2])
    if match[1] == "span":
        return str(convert(formula))
    return f'<div class="formula">{convert(formula, display="block")}</div>'


def _help() -> Iterator[str]:
    """Yield the help of each command, as the terminal shows it."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from assistants.cli import app

    for name in get_command(app).commands:  # type: ignore[attr-defined]
        shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "90"}).stdout
        yield f"## assistants {name}\n\n```text\n{shown.strip()}\n```\n"
