"""A plan as a picture: one column a GPU, one block a model, on a terminal and as a figure."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

from assistants.servers.gpus import Gpu, gib, gpu_names
from assistants.utils.text import escape_control_chars, pluralize, truncate_line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from assistants.servers.planning.plan import Plan

Part = Literal["taken", "weights", "overhead", "cache", "unused"]

COLOURS = ("#3b6ea5", "#b5651d", "#4f8a4f", "#8a4f7d", "#6b6b2f", "#2f7f86", "#a04848", "#5a5aa8")
"""One a model, in the order of the plan; told apart by their labels too."""

SHADES: dict[Part, str] = {
    "taken": "x",
    "weights": "█",
    "overhead": "▓",
    "cache": "░",
    "unused": " ",
}

_OPACITY: dict[Part, float] = {"weights": 1.0, "overhead": 0.7, "cache": 0.4}

_COLUMN = 34
_HEIGHT = 14


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of one GPU: whose it is (``None``: nobody's, or another process's) and its bytes."""

    model: str | None
    part: Part
    size: int


def blocks(plan: Plan, gpu: Gpu) -> tuple[Block, ...]:
    """What lies on a GPU from top to bottom, for any widget to draw; sizes add up to its total."""
    made = [Block(None, "taken", gpu.taken)]
    for server in plan.on(gpu):
        need = server.need
        made.append(Block(server.name, "weights", need.weights))
        made.append(Block(server.name, "overhead", need.overhead + need.process))
        made.append(Block(server.name, "cache", need.cache))
    made.append(Block(None, "unused", plan.spare(gpu)))
    return tuple(block for block in made if block.size > 0)


def text(plan: Plan, width: int = 110) -> str:
    """The plan for any terminal: columns side by side, then the servers, then what is missing."""
    per_row = max(1, width // (_COLUMN + 2))
    scale = max(gpu.total for gpu in plan.gpus) / _HEIGHT
    lines = [f"{plan.aim}: {plan.verdict}", ""]
    for start in range(0, len(plan.gpus), per_row):
        columns = [_column(plan, gpu, scale) for gpu in plan.gpus[start : start + per_row]]
        rows = zip_longest(*columns, fillvalue="")
        lines += ["  ".join(f"{cell:<{_COLUMN}}" for cell in row).rstrip() for row in rows]
        lines.append("")
    lines += list(_sentences(plan))
    return "\n".join(lines).rstrip()


def picture(plan: Plan) -> RenderableType:
    """The same in colour, for ``rich``; a terminal without colours shows the shades alone."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.text import Text

    scale = max(gpu.total for gpu in plan.gpus) / _HEIGHT
    colours = _colours(plan)
    columns = []
    for gpu in plan.gpus:
        made = Text(f"{_title(gpu)}\n", style="bold")
        for block in blocks(plan, gpu):
            style = colours.get(block.model or "", "dim")
            made.append("\n".join(_lines(block, scale)) + "\n", style=f"not bold {style}")
        columns.append(made)
    head = Text(f"{plan.aim}: {plan.verdict}\n", style="bold")
    return Group(head, Columns(columns, padding=(0, 2)), Text("\n".join(_sentences(plan))))


def svg(plan: Plan) -> str:
    """The plan as a figure without scripts, styles, ids or links, so that it may stand anywhere."""
    wide, gap, tall, top = 168, 18, 300, 44
    scale = tall / max(gpu.total for gpu in plan.gpus)
    colours = _colours(plan)
    width = max(560, gap + len(plan.gpus) * (wide + gap))
    said = [line for each in _sentences(plan) for line in textwrap.wrap(each, width // 6)]
    height = top + tall + 24 + 16 * len(said)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
        f"<title>{_safe(plan.aim)}: {_safe(plan.verdict)}</title>"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _words(gap, 16, f"{plan.aim}: {plan.verdict}", most=width // 6, bold=True),
    ]
    for at, gpu in enumerate(plan.gpus):
        left, y = gap + at * (wide + gap), float(top)
        parts.append(_words(left, top - 8, _title(gpu), most=28, bold=True))
        for block in blocks(plan, gpu):
            size = block.size * scale
            fill = colours.get(block.model or "", "#999999" if block.part == "taken" else "#f2f2f2")
            label = f"{block.model or ''} {block.part} {gib(block.size)}".strip()
            parts.append(
                f'<g><title>{_safe(label)}</title><rect x="{left}" y="{y:.1f}" width="{wide}" '
                f'height="{size:.1f}" fill="{fill}" stroke="#ffffff" '
                f'fill-opacity="{_OPACITY.get(block.part, 1.0)}"/></g>'
            )
            if size >= 13:
                dark = block.part in ("weights", "overhead", "taken")
                parts.append(_words(left + 5, y + 11, label, most=28, light=dark))
            y += size
    for row, sentence in enumerate(said):
        y = top + tall + 22 + 16 * row
        parts.append(_words(gap, y, sentence, most=width // 6))
    return "".join(parts) + "</svg>"


def _column(plan: Plan, gpu: Gpu, scale: float) -> list[str]:
    lines = [_title(gpu), "─" * _COLUMN]
    for block in blocks(plan, gpu):
        lines += _lines(block, scale)
    return lines


def _lines(block: Block, scale: float) -> list[str]:
    """As many lines as its size asks for, and at least the one that names it."""
    count = max(1, round(block.size / scale))
    shade = SHADES[block.part] * 2
    size = gib(block.size)
    whose = truncate_line(block.model or "", _COLUMN - 17 - len(size)) if block.model else ""
    label = f"{shade} {whose} {block.part} {size}" if whose else f"{shade} {block.part} {size}"
    return [label, *[shade] * (count - 1)]


def _title(gpu: Gpu) -> str:
    size = gib(gpu.total)
    return f"GPU {gpu.index}  " + (
        size if gpu.name == size else f"{truncate_line(gpu.name, 16)}, {size}"
    )


def _sentences(plan: Plan) -> Iterator[str]:
    for order, server in enumerate(plan.servers, 1):
        yield (
            f"{order}. {truncate_line(server.name, 60)} on {gpu_names(server.gpus)}: "
            f"--gpu-memory-utilization {server.utilization:.4f}, cache of "
            f"{pluralize(server.cache_tokens, 'token')}, {server.conversations:,} x "
            f"{server.context:,} tokens at once"
        )
    for each in plan.left_out:
        yield escape_control_chars(str(each)).replace("\n", " ")
    for note in plan.notes:
        yield escape_control_chars(note).replace("\n", " ")


def _colours(plan: Plan) -> dict[str, str]:
    names: Sequence[str] = [server.name for server in plan.servers]
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}


def _words(
    x: float, y: float, said: str, *, most: int, bold: bool = False, light: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    fill = "#ffffff" if light else "#222222"
    return (
        f'<text x="{x}" y="{y:.1f}" fill="{fill}"{weight}>{_safe(truncate_line(said, most))}</text>'
    )


def _safe(said: str) -> str:
    """Text for a figure: nothing in it is markup, and nothing in it moves the others."""
    return html.escape(escape_control_chars(said))
