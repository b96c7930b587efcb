"""The one theme of all figures, their colours, and numbers and names as a figure writes them."""

from __future__ import annotations

from typing import Any

from assistants.errors import MissingDependencyError
from assistants.utils.imports import quick_imports
from assistants.utils.text import truncate_line

THEME = "assistants"
"""Name of the theme at altair; ``altair.theme.enable(THEME)`` draws other charts in it too."""

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""vl-convert brings the first, so that a figure is the same whatever fonts a machine has."""

# Okabe and Ito (2008), "Color Universal Design": told apart with any colour vision.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW = PALETTE = (
    "#0072b2", "#d55e00", "#009e73", "#b4588f", "#3a94cc", "#8f7a00",
)  # fmt: skip
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
"""A model has a colour and a shape, so that a print in grey tells them apart too."""

INK, GREY, LINE, BAND, MISSING = "#1b1f24", "#59636e", "#e4e8ec", "#d6dce3", "#eceeef"

NAME_PIXELS = 180
"""Room for the name of a row; longer ones end in an ellipsis."""

_text = {"font": FONT, "fontSize": 11, "color": INK}
_CONFIG = {
    "aria": False,  # a figure has one text alternative, and not one for each dot
    "background": "white",
    "padding": 16,
    "font": FONT,
    "view": {"stroke": None},
    "concat": {"spacing": 14},
    "axis": {
        "labelFontSize": 11, "labelColor": INK, "labelLimit": NAME_PIXELS, "labelPadding": 6,
        "titleFontSize": 12, "titleColor": INK, "titleFontWeight": "normal", "titlePadding": 10,
        "titleLimit": 380, "gridColor": LINE, "domain": False, "ticks": False, "tickCount": 6,
    },
    "axisBand": {"grid": False, "labelPadding": 10},
    "legend": {"labelFontSize": 11, "labelColor": INK, "labelLimit": 220, "titleFontSize": 11,
               "titleColor": GREY, "titleFontWeight": "normal", "orient": "top",
               "titleLimit": 300, "symbolSize": 70},
    "title": {"anchor": "start", "color": INK, "fontSize": 13, "fontWeight": 600, "limit": 700,
              "offset": 10, "subtitleColor": GREY, "subtitleFontSize": 11.5,
              "subtitleLineHeight": 15, "subtitlePadding": 6},
    "text": _text,
    "rule": {"strokeWidth": 2},
    "point": {"filled": True, "opacity": 1, "size": 70},
    "circle": {"opacity": 1, "size": 70},
}  # fmt: skip


def theme() -> Any:
    """Return the theme as altair registers it."""
    return {"config": _CONFIG}


def altair() -> Any:
    """Return the package ``altair``, with the theme registered.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        with quick_imports():
            import altair as package
    except ImportError:
        raise missing("altair") from None
    if THEME not in package.theme.names():
        package.theme.register(THEME, enable=False)(theme)
    return package


def missing(name: str) -> MissingDependencyError:
    """Return the error that says how to install a package that draws figures."""
    return MissingDependencyError(
        f"Figures are drawn with {name}, which is not installed.",
        fix="pip install 'assistants[analysis]'",
    )


def short_name(text: str) -> str:
    """Return a name as a sentence or a row can hold it."""
    return truncate_line(text, 48)


def number(value: float) -> str:
    """Return three digits, without an exponent where a person would write none."""
    text = f"{value:.3g}"
    return f"{value:,.0f}" if "e+" in text and abs(value) < 1e9 else text


def signed(value: float) -> str:
    """Return a number with a plus or a minus sign."""
    return f"{'-' if value < 0 else '+'}{number(abs(value))}".replace("-", "\u2212")
