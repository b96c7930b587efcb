"""What the figures share: a white card, its colours, and marks that take plain rows.

A row is a dict whose keys are ours (``x``, ``x2``, ``y``, ``y2``, ``t`` for text, ``c`` for a
colour), so that no name that a person chose is ever read as a field, a format or an expression.
Widths of text are guessed and never measured: a figure is the same whatever fonts there are.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from assistants.analysis.plots.figure import altair
from assistants.utils.text import truncate_line

WIDTH = 720
"""Pixels of every figure."""

# Okabe and Ito (2008), "Color Universal Design": told apart with any colour vision.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = (
    "#0072b2", "#d55e00", "#009e73", "#b4588f", "#3a94cc", "#8f7a00",
)  # fmt: skip
INK, GREY, LINE, BAND = "#1b1f24", "#59636e", "#e4e8ec", "#d6dce3"
FONT = "sans-serif"
EDGE = 16
CHARACTER = 6.6
"""Pixels of a character of 11 pixels, about, in a wide font."""

Rows = Sequence[Mapping[str, Any]]


def label(text: str, pixels: float) -> str:
    """The beginning of a text on one line, in about so many pixels."""
    return truncate_line(text, max(4, int(pixels / CHARACTER)))


def number(value: float) -> str:
    """Three digits, and no exponent where a person would write none."""
    text = f"{value:.3g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e9 else text


def signed(value: float) -> str:
    """As ``number``, with + or a minus sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}".replace("-", "\u2212")


def texts(rows: Rows, *, at: float | None = None, limit: float, **mark: Any) -> Any:
    """Text at ``x`` and ``y``; ``at`` puts it at that pixel from the left of the plot instead."""
    style = {"align": "left", "baseline": "middle", "fontSize": 11, "color": INK, **mark}
    chart = _chart(rows).mark_text(font=FONT, limit=limit, aria=False, **style)
    x = _channels("x")["x"] if at is None else altair().value(at)
    return chart.encode(**_channels("y"), x=x, text="t:N")


def points(rows: Rows, **mark: Any) -> Any:
    """Symbols at ``x`` and ``y`` in the colour ``c``."""
    style = {"filled": True, "opacity": 1, **mark}
    return _chart(rows).mark_point(aria=False, **style).encode(**_channels("x", "y", "color"))


def rules(rows: Rows, **mark: Any) -> Any:
    """Lines from ``x``, ``y`` to ``x2``, ``y2`` in the colour ``c``."""
    chart = _chart(rows).mark_rule(aria=False, **mark)
    return chart.encode(**_channels("x", "y", "color"), x2="x2", y2="y2")


def rectangles(rows: Rows, **mark: Any) -> Any:
    """Filled from ``x``, ``y`` to ``x2``, ``y2`` in the colour ``c``."""
    chart = _chart(rows).mark_rect(aria=False, **mark)
    return chart.encode(**_channels("x", "y", "color"), x2="x2", y2="y2")


def card(
    layers: Sequence[Any],
    *,
    x: Any,
    y: Any,
    height: float,
    left: float,
    right: float,
    top: float = 0,
    bottom: float,
    title: str,
    subtitle: str,
    alt: str,
) -> Any:
    """Layers on a white card ``WIDTH`` wide, under a title and what one has to know to read it.

    ``x`` and ``y`` are altair's channels of the first layer, which all share; ``height`` is of the
    plot, ``left``, ``right``, ``top`` and ``bottom`` are what labels need beside it.
    """
    package = altair()
    lines = textwrap.wrap(truncate_line(subtitle, 600), 112)
    above = 30 + 15 * len(lines) + 10 + top
    first, *others = layers
    heading = package.TitleParams(
        truncate_line(title, 78), subtitle=lines, anchor="start", frame="group", dx=-left,
        offset=12, fontSize=15, fontWeight=600, color=INK, font=FONT, subtitleFont=FONT,
        subtitleFontSize=11.5, subtitleColor=GREY, subtitleLineHeight=15, subtitlePadding=5,
    )  # fmt: skip
    axis = package.AxisConfig(
        labelFont=FONT, titleFont=FONT, labelFontSize=11, titleFontSize=12, labelColor=GREY,
        titleColor=INK, titleFontWeight="normal", gridColor=LINE, domain=False, ticks=False,
        labelPadding=6, titlePadding=8,
    )  # fmt: skip
    return (
        package.layer(first.encode(x=x, y=y), *others)
        .resolve_axis(x="independent", y="independent")
        .properties(
            width=WIDTH - 2 * EDGE - left - right,
            height=height,
            autosize=package.AutoSizeParams(type="none"),
            padding={"left": EDGE + left, "right": EDGE + right, "top": above + EDGE,
                     "bottom": EDGE + bottom},
            background="white",
            title=heading,
            description=truncate_line(alt, 600),
        )
        .configure_axis(**axis.to_dict())
        .configure_view(stroke=None)
    )  # fmt: skip


def plot_width(left: float, right: float) -> float:
    """Pixels that labels leave to the plot of a card."""
    return WIDTH - 2 * EDGE - left - right


def positions(domain: Sequence[float], *, reverse: bool = False) -> Any:
    """A scale over exactly ``domain``, which no mark changes."""
    return altair().Scale(domain=list(domain), nice=False, zero=False, reverse=reverse)


def _chart(rows: Rows) -> Any:
    alt = altair()
    return alt.Chart(alt.InlineData(values=list(rows)))


def _channels(*names: str) -> dict[str, Any]:
    """Without axes: the first layer of a card brings those of all."""
    alt = altair()
    known = {
        "x": alt.X("x", type="quantitative", axis=None),
        "y": alt.Y("y", type="quantitative", axis=None),
        "color": alt.Color("c", type="nominal", scale=None),
    }
    return {name: known[name] for name in names}
