"""The figure: a chart with its table and its words, drawn without a browser or the network."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistants.analysis.plots.png import compress_png
from assistants.analysis.plots.style import missing, theme
from assistants.errors import UsageError
from assistants.utils import escape_control_chars, pluralize, truncate_line

if TYPE_CHECKING:
    import pandas as pd

SCALE = 2
"""Pixels of a PNG to one of the SVG, for screens and printers that show more than 96 an inch."""

MOST_CELLS = 3_000
"""Limit of a table below a figure; ``Figure.table`` has all."""

# XML has no way to write these, and vl-convert ends the process on them.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, eq=False, repr=False)
class Figure:
    """A chart, the table that it shows, and a sentence for those who cannot see it.

    In a notebook it shows two outputs: the picture (as SVG; as PNG where a notebook is not trusted
    with SVG) and, folded, its table. Of one output with both, JupyterLab would show only one.

    Attributes
    ----------
    title
        What it shows; one line.
    chart
        An altair chart, to change or to combine with others; ``style.THEME`` is its theme.
    table
        The numbers in the figure and those that there was no room for.
    alt
        The gist, for a screen reader.
    """

    title: str
    chart: Any
    table: pd.DataFrame
    alt: str

    def __repr__(self) -> str:
        return (
            f"Figure({truncate_line(self.title)!r}, a table of {pluralize(len(self.table), 'row')})"
        )

    def svg(self) -> str:
        """Return the picture; equal for equal input, and nothing in it runs or is fetched.

        Raises
        ------
        MissingDependencyError
            If vl-convert is not installed.
        """
        # The theme of figures, whichever one a notebook has enabled for its own charts.
        spec = _as_xml({**self.chart.to_dict(validate=False), **theme()})
        svg = str(_vl_convert().vegalite_to_svg(spec, allowed_base_urls=[]))
        label = html.escape(_as_xml(self.alt))
        return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)

    def png(self, scale: float = SCALE) -> bytes:
        """Return the picture as PNG, with ``scale`` pixels to one of the SVG.

        Raises
        ------
        MissingDependencyError
            If vl-convert is not installed.
        """
        return compress_png(_vl_convert().svg_to_png(self.svg(), scale=scale))

    def save(self, path: str | Path) -> Path:
        """Write the picture as ``.svg``, ``.pdf`` (for LaTeX) or ``.png``, and return where.

        Raises
        ------
        UsageError
            For another ending.
        MissingDependencyError
            If vl-convert is not installed.
        """
        path = Path(path)
        ending = path.suffix.lower()
        formats: dict[str, Callable[[], bytes]] = {
            ".svg": lambda: self.svg().encode(),
            ".pdf": lambda: bytes(_vl_convert().svg_to_pdf(self.svg())),
            ".png": self.png,
        }
        if ending not in formats:
            raise UsageError(
                f"A figure is not saved as {ending or 'a file without an ending'}.",
                fix="Name a .svg, .pdf or .png; `figure.table` has its own ways, like `to_csv`.",
            )
        data = formats[ending]()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def table_html(self) -> str:
        """Return the table, folded, with every text in it escaped."""
        frame = self.table
        shown = frame.head(max(1, MOST_CELLS // max(1, len(frame.columns))))
        left = len(frame) - len(shown)
        more = (
            f"<p>{pluralize(left, 'more row')}: see <code>figure.table</code>.</p>" if left else ""
        )
        return (
            '<div class="assistants"><details class="data"><summary>'
            f"Table: {_escape(self.title)}</summary>{_html(shown)}{more}</details></div>"
        )

    def _ipython_display_(self) -> None:
        import base64

        from IPython.display import display

        svg = self.svg()
        png = compress_png(_vl_convert().svg_to_png(svg, scale=SCALE))
        width = round(float(re.findall(r'width="([\d.]+)"', svg)[0]))
        picture = {
            "image/svg+xml": svg,
            "image/png": base64.b64encode(png).decode(),
            "text/plain": escape_control_chars(self.alt),
        }
        display(picture, raw=True, metadata={"image/png": {"width": width}})  # type: ignore[no-untyped-call]
        table = {"text/html": self.table_html(), "text/plain": _plain(self.table)}
        display(table, raw=True)  # type: ignore[no-untyped-call]


def _html(frame: pd.DataFrame) -> str:
    import pandas as pd

    safe = frame.map(_visible_cell).rename(columns=_visible_cell).rename(index=_visible_cell)
    is_numbered = isinstance(frame.index, pd.RangeIndex)
    with pd.option_context("display.max_colwidth", None):
        return str(
            safe.to_html(
                index=not is_numbered,
                escape=True,
                na_rep="",
                float_format="{:.4g}".format,
                border=0,
            )
        )


def _plain(frame: pd.DataFrame) -> str:
    return escape_control_chars(frame.head(60).to_string())


def _escape(text: str) -> str:
    return html.escape(escape_control_chars(text))


def _visible_cell(value: Any) -> Any:
    return escape_control_chars(value) if isinstance(value, str) else value


def _as_xml(value: Any) -> Any:
    """Return a chart's description without any character that XML cannot hold."""
    if isinstance(value, str):
        return _NOT_XML.sub(lambda m: f"\\u{ord(m[0]):04x}", escape_control_chars(value))
    if isinstance(value, dict):
        return {_as_xml(key): _as_xml(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_xml(item) for item in value]
    return value


def _vl_convert() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise missing("vl-convert") from None
    return vl_convert
