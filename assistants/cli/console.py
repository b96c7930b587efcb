"""The two streams that a command writes to, safe for text from elsewhere.

Results go to ``out`` (stdout), everything else to ``err`` (stderr). ``NO_COLOR`` is honoured.
Text that came from a model, a file or a server goes through ``show``, ``say`` or ``table``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assistants.utils import escape_control_chars

# No markup and no emoji codes: "vllm:x: no server" would be shown with a red cross for ":x:".
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def show(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout, wrapped by the terminal only, so that it can be copied."""
    out.print(escape_control_chars(text), end=end, soft_wrap=True)


def say(text: str, *, style: str | None = None) -> None:
    """Print a remark about the result on stderr."""
    err.print(escape_control_chars(text), style=style, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> Table:
    """Return a table whose cells are shown unchanged, never as markup."""
    result = Table(
        title=cell(title) if title else None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*(cell(value) for value in row))
    return result


def cell(value: Any) -> Text:
    """Return any value as text; a missing one as empty text."""
    if value is None or type(value).__name__ == "NAType" or value != value:
        return Text("")
    if isinstance(value, float):
        return Text(f"{value:.4g}", justify="right")
    return Text(
        escape_control_chars(str(value)), justify="right" if isinstance(value, int) else "left"
    )
