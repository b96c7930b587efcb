"""The one place where the package makes HTML: Jinja2 templates that escape every text.

Only two things are HTML and not text: what ``markdown.py`` has sanitised, and what another macro
returns. Both are ``Markup``; everything else is escaped, its control characters are written out,
and a name that a template does not know is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from csv import QUOTE_NONNUMERIC
from functools import lru_cache
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from markupsafe import escape as escape_markup

from assistants.utils import escape_control_chars, to_utf8

if TYPE_CHECKING:
    import pandas as pd

_HERE = Path(__file__).parent

ABSENT = "absent"
"""Key in the metadata of an output that only says why there is nothing."""


class Html:
    """HTML that is safe to show in a notebook, with the same in plain text for a terminal.

    Parameters
    ----------
    body
        ``Markup``; any other text is escaped.
    plain
        What ``repr`` gives.
    csv
        The same as a table for other programs, kept beside the HTML in a notebook.
    """

    def __init__(self, body: str, plain: str, csv: str = "") -> None:
        self.body = escape_markup(body)
        self.plain = plain
        self.csv = csv

    def __repr__(self) -> str:
        return self.plain

    def __html__(self) -> str:
        return self.body

    def _repr_html_(self) -> str:
        return f'<style>{stylesheet()}</style><div class="assistants">{self.body}</div>'

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return what is shown beside the HTML and the plain text."""
        return {"text/csv": self.csv} if self.csv else {}


class Absent(Html):
    """A sentence that says why there is nothing to show; a report gathers these in one place."""

    def __init__(self, reason: str) -> None:
        super().__init__(ui.sentence(reason), reason)

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return {}, {ABSENT: True}


class _Macros:
    """The macros of ``templates/macros.html`` as functions that return ``Markup``."""

    def __getattr__(self, name: str) -> Callable[..., Markup]:
        macro: Callable[..., Markup] = getattr(_environment().get_template(_MACROS).module, name)
        return macro


ui = _Macros()
_MACROS = "macros.html"


def render_template(template: str, **values: Any) -> Markup:
    """Return a template of ``templates/`` filled in, every text in it escaped."""
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704 - it escapes


@lru_cache(maxsize=1)
def stylesheet() -> str:
    """Return the style sheet of everything this package shows in a notebook."""
    return (_HERE.parent / "static" / "style.css").read_text(encoding="utf-8")


def table(frame: pd.DataFrame, data: pd.DataFrame | None = None) -> Html:
    """Return a DataFrame with every cell whole, without columns in which nothing is known.

    Parameters
    ----------
    frame
        The rows to show.
    data
        What a reader downloads, where that is more.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    data = frame if data is None else data
    if len(frame):
        frame = frame.loc[:, (frame.notna() & frame.ne("")).any()]
    numeric = [is_numeric_dtype(kind) and not is_bool_dtype(kind) for kind in frame.dtypes]
    known = frame.notna().itertuples(index=False, name=None)
    rows = [
        [_cell_text(value) if is_known else "" for value, is_known in zip(*row, strict=True)]
        for row in zip(frame.itertuples(index=False, name=None), known, strict=True)
    ]
    body = ui.table([*map(str, frame.columns)], rows, numeric)
    return Html(body, frame.to_string(index=False), to_csv(data))


def to_csv(frame: pd.DataFrame) -> str:
    """Return a DataFrame as CSV in which no text is a formula to a spreadsheet.

    Every text stands in quotes: unquoted, a lone carriage return would end its row.
    """
    safe = frame.map(lambda value: _no_formula(value) if isinstance(value, str) else value)
    return to_utf8(safe.rename(columns=_no_formula).to_csv(index=False, quoting=QUOTE_NONNUMERIC))


def _no_formula(text: object) -> str:
    shown = str(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t", "\r")) else shown


def text_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, omitted: int = 0) -> Html:
    """Return texts as a table without its empty columns; in plain text columns are aligned.

    Parameters
    ----------
    columns
        The heads.
    rows
        As many texts in each row as there are columns.
    omitted
        Number of further rows that are left out; the table says so.
    """
    texts = [[escape_control_chars(value) for value in row] for row in rows]
    by_column = list(zip(columns, *texts, strict=True))
    filled = [column for column in by_column if any(column[1:])]
    columns, *texts = map(list, zip(*(filled or by_column), strict=True))
    more = f"... and {omitted:,} more" if omitted > 0 else ""
    body = ui.table(columns, texts) + (ui.sentence(more) if more else "")
    return Html(body, "\n".join([*_aligned([columns, *texts]), *([more] if more else [])]))


def heading(text: str) -> Html:
    """Return a heading."""
    return Html(ui.heading(text), text)


def sentence(text: str) -> Html:
    """Return a paragraph of plain text."""
    return Html(ui.sentence(text), text)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FileSystemLoader(_HERE / "templates"),
        auto_reload=False,
        finalize=_written_out,
    )


def _written_out(value: Any) -> Any:
    """Write out the control characters of a text; leave alone what is HTML already."""
    return value if hasattr(value, "__html__") else escape_control_chars(str(value))


def _cell_text(value: object) -> str:
    is_fraction = isinstance(value, Real) and not isinstance(value, Integral)
    return f"{value:.4g}" if is_fraction else str(value)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines whose columns stand under each other; the last column has no fixed width."""
    flat = [[" ".join(value.split()) for value in row] for row in rows]
    widths = [max(len(value) for value in column) for column in zip(*flat, strict=True)]
    return [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in flat
    ]
