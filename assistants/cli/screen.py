"""The two streams a command writes to, and how text of others gets onto them.

Results go to ``out`` (stdout), everything else to ``err`` (stderr). ``NO_COLOR`` is honoured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assistants.text import visible

out = Console(highlight=False, markup=False, soft_wrap=False)
err = Console(stderr=True, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> Table:
    """A table whose cells are shown as they are, never as markup."""
    made = Table(title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: Any) -> Text:
    """Anything as text; what is missing as nothing."""
    if value is None or value != value:
        return Text("")
    if isinstance(value, float):
        return Text(f"{value:.4g}", justify="right")
    return Text(visible(str(value)), justify="right" if isinstance(value, int) else "left")
