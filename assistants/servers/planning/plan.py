"""A plan, and its picture: one column per GPU, one block per model, as text and as a figure."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

from assistants.servers.gpus import GIB, Gpu, gib, gpu_names
from assistants.servers.planning.placement import Aim, PlacedServer, StartMeasurement, Unplaced
from assistants.utils.text import escape_control_chars, pluralize, truncate_line

Part = Literal["taken", "weights", "overhead", "cache", "memory", "unused"]

COLOURS = ("#3b6ea5", "#b5651d", "#4f8a4f", "#8a4f7d", "#6b6b2f", "#2f7f86", "#a04848", "#5a5aa8")
"""One per model, in the order of the plan; labels tell them apart too."""

_SHADES: dict[Part, str] = {"taken": "x", "weights": "█", "overhead": "▓", "cache": "░",
                            "memory": "▓", "unused": " "}  # fmt: skip
_OPACITY: dict[Part, float] = {"overhead": 0.7, "cache": 0.4, "memory": 0.7}

_COLUMN = 34
_HEIGHT = 14


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of one GPU: whose it is (``None``: nobody's, or another process's) and its bytes."""

    model: str | None
    part: Part
    size: int

    @property
    def label(self) -> str:
        """Model, part and size."""
        return f"{self.model or ''} {self.part} {gib(self.size)}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Servers in the order in which they are to be started, one after the other."""

    aim: Aim
    gpus: tuple[Gpu, ...]
    servers: tuple[PlacedServer, ...]
    unplaced: tuple[Unplaced, ...]
    verdict: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return self.svg()

    def servers_on(self, gpu: Gpu) -> list[PlacedServer]:
        """Return the servers that use a GPU."""
        return [server for server in self.servers if gpu.index in server.gpus]

    def free_bytes(self, gpu: Gpu) -> int:
        """Return the bytes of a GPU that nobody was given."""
        return gpu.free - sum(server.memory.total for server in self.servers_on(gpu))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per server, in start order: ``pandas.DataFrame(plan.rows())``."""
        return [{"start": order, **server.row()} for order, server in enumerate(self.servers, 1)]

    def compare_with_measured(self, measured: Iterable[StartMeasurement]) -> list[dict[str, Any]]:
        """Return the rows with what was measured of the same model beside what was predicted."""
        by_model = {measurement.model: measurement for measurement in measured}
        rows = self.rows()
        for row in rows:
            seen = by_model.get(row["model"])
            row["measured_cache_tokens"] = seen.cache_tokens if seen else None
            row["measured_memory_gib"] = round(seen.memory / GIB, 2) if seen else None
            row["cache_off_percent"] = None
            if seen and row["cache_tokens"]:
                off = seen.cache_tokens / row["cache_tokens"] - 1
                row["cache_off_percent"] = round(100 * off, 1)
        return rows

    def blocks(self, gpu: Gpu) -> tuple[Block, ...]:
        """Return what lies on a GPU from top to bottom; sizes add up to its total."""
        blocks = [Block(None, "taken", gpu.taken)]
        for server in self.servers_on(gpu):
            memory = server.memory
            if server.request.memory is not None:
                blocks.append(Block(server.name, "memory", memory.total))
                continue
            blocks.append(Block(server.name, "weights", memory.weights))
            blocks.append(Block(server.name, "overhead", memory.overhead + memory.process))
            blocks.append(Block(server.name, "cache", memory.cache))
        blocks.append(Block(None, "unused", self.free_bytes(gpu)))
        return tuple(block for block in blocks if block.size > 0)

    def text(self, width: int = 110) -> str:
        """Return the plan for a terminal: columns side by side, then servers and what fits not."""
        per_row = max(1, width // (_COLUMN + 2))
        lines = [f"{self.aim}: {self.verdict}", ""]
        for start in range(0, len(self.gpus), per_row):
            columns = [self._column(gpu) for gpu in self.gpus[start : start + per_row]]
            rows = zip_longest(*columns, fillvalue="")
            lines += ["  ".join(f"{cell:<{_COLUMN}}" for cell in row).rstrip() for row in rows]
            lines.append("")
        return "\n".join([*lines, *self._sentences()]).rstrip()

    def svg(self) -> str:
        """Return a figure without scripts, styles, ids or links, so that it may stand anywhere."""
        wide, gap, tall, top = 168, 18, 300, 44
        scale = tall / max(gpu.total for gpu in self.gpus)
        width = max(560, gap + len(self.gpus) * (wide + gap))
        sentences = [part for line in self._sentences() for part in textwrap.wrap(line, width // 6)]
        height = top + tall + 24 + 16 * len(sentences)
        title = f"{self.aim}: {self.verdict}"
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif" font-size="11">'
            f"<title>{_safe(title)}</title>"
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            _svg_text(gap, 16, title, most=width // 6, bold=True),
        ]
        names = [server.name for server in self.servers]
        for column, gpu in enumerate(self.gpus):
            left, y = gap + column * (wide + gap), float(top)
            parts.append(_svg_text(left, top - 8, _title(gpu), most=28, bold=True))
            for block in self.blocks(gpu):
                size = block.size * scale
                fill = "#999999" if block.part == "taken" else "#f2f2f2"
                if block.model is not None:
                    fill = COLOURS[names.index(block.model) % len(COLOURS)]
                parts.append(
                    f'<g><title>{_safe(block.label)}</title><rect x="{left}" y="{y:.1f}" '
                    f'width="{wide}" height="{size:.1f}" fill="{fill}" stroke="#ffffff" '
                    f'fill-opacity="{_OPACITY.get(block.part, 1.0)}"/></g>'
                )
                if size >= 13:
                    is_dark = block.part not in ("cache", "unused")
                    parts.append(_svg_text(left + 5, y + 11, block.label, most=28, light=is_dark))
                y += size
        for row, sentence in enumerate(sentences):
            parts.append(_svg_text(gap, top + tall + 22 + 16 * row, sentence, most=width // 6))
        return "".join(parts) + "</svg>"

    def _column(self, gpu: Gpu) -> list[str]:
        """Return a GPU as lines: as many for a block as its size asks for, the first its label."""
        scale = max(other.total for other in self.gpus) / _HEIGHT
        lines = [_title(gpu), "─" * _COLUMN]
        for block in self.blocks(gpu):
            shade, size = _SHADES[block.part] * 2, f"{block.part} {gib(block.size)}"
            name = truncate_line(block.model, _COLUMN - 4 - len(size)) + " " if block.model else ""
            lines.append(f"{shade} {name}{size}")
            lines += [shade] * (max(1, round(block.size / scale)) - 1)
        return lines

    def _sentences(self) -> Iterator[str]:
        """Yield what stands below the picture: flags, models without a place, notes."""
        for order, server in enumerate(self.servers, 1):
            line = (
                f"{order}. {truncate_line(server.name, 60)} on {gpu_names(server.gpus)}: "
                f"--gpu-memory-utilization {server.utilization:.4f}"
            )
            if server.cache_tokens is not None:
                line += (
                    f", cache of {pluralize(server.cache_tokens, 'token')}, "
                    f"{server.conversations:,} x {server.context:,} tokens at once"
                )
            yield line
        for line in (*map(str, self.unplaced), *self.notes):
            yield escape_control_chars(line).replace("\n", " ")


def _title(gpu: Gpu) -> str:
    size = gib(gpu.total)
    kind = size if gpu.name == size else f"{truncate_line(gpu.name, 16)}, {size}"
    return f"GPU {gpu.index}  {kind}"


def _svg_text(
    x: float, y: float, text: str, *, most: int, bold: bool = False, light: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    fill = "#ffffff" if light else "#222222"
    return (
        f'<text x="{x}" y="{y:.1f}" fill="{fill}"{weight}>{_safe(truncate_line(text, most))}</text>'
    )


def _safe(text: str) -> str:
    """Return text for a figure: nothing in it is markup, and nothing in it moves the others."""
    return html.escape(escape_control_chars(text))
