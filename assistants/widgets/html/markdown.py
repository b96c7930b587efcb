"""The only way for Markdown of a model, a file or a person onto a screen.

It is rendered without raw HTML, and the result goes through an allow list that has no images, no
styles and no attribute that could fetch or run anything. What comes out is ``Markup``: templates
take it as HTML, and escape everything else.
"""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from markupsafe import escape as escape_markup

from assistants.utils.text import escape_control_chars

MAX_CHARACTERS = 64_000
"""Longer text is shown as it was written: rendering it could take seconds."""

MAX_CODE = 6_000
"""Characters of code; longer code stays without colours."""

MAX_LINE = 300
"""Characters of a line of code; code with a longer one stays without colours."""

MAX_BLANK = 10
"""Line ends in a row that code may have: hostile code takes some lexers minutes."""

LANGUAGES = frozenset(
    "bash css diff go html javascript js json julia kotlin latex lua php python py r "
    "ruby rust sh sql swift toml ts typescript xml yaml".split()
)
"""Languages whose code is coloured. A lexer is a parser that hostile text could slow down."""

MAX_NESTING = 500
"""Brackets or quotes of one kind; with more of them a parser is slow."""

MAX_ELEMENTS = 4_000
"""Elements of a rendered text; a page with more of them is slow to draw."""

_SPAN = re.compile(r"</?span[^>]*>")
_TAGS = {
    "p", "br", "hr", "em", "strong", "s", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip
_LAYOUT = {"div", "section", "article", "header", "footer", "details", "summary", "span", "small",
           "caption", "dl", "dt", "dd", "i", "b", "figure", "figcaption"}  # fmt: skip
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href"}, "ol": {"start"}, "code": {"class"}, "*": set(),
}  # fmt: skip


def to_html(text: str, *, colours: bool = False) -> Markup:
    """Return safe HTML for a Markdown text, whatever is in it.

    With ``colours`` the words of code stand in ``span`` elements with the short class names of
    pygments, for a page that has a style sheet for them.
    """
    text = escape_control_chars(text)
    if len(text) > MAX_CHARACTERS or _is_tangled(text):
        return _as_written(text)
    page = _markdown(colours).render(text)
    if page.count("<") > 2 * MAX_ELEMENTS:  # each of them begins and ends
        return to_html(text) if "<span" in page else _as_written(text)
    cleaned = nh3.clean(
        page,
        tags=_TAGS | {"span"} if colours else _TAGS,
        attributes={**_ATTRIBUTES, "span": {"class"}} if colours else _ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",  # relative to what? on a notebook server, to the server
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_only_code,
    )
    return Markup(cleaned)  # noqa: S704 - sanitised just now


def finished_html(text: str, *, colours: bool = False) -> Markup:
    """Return the same as ``to_html`` for a text that no longer changes, rendered only once."""
    page = _coloured_once(text)
    # Only code has `span` elements, around its words.
    return page if colours else Markup(_SPAN.sub("", page))  # noqa: S704 - taken out of safe HTML


@lru_cache(maxsize=1_000)
def _coloured_once(text: str) -> Markup:
    return to_html(text, colours=True)


def clean(page: str) -> Markup:
    """Return the HTML of a notebook with only what text, tables and our own layout need."""
    shared = {"class", "aria-label", "role"}
    cleaned = nh3.clean(
        page.encode("utf-8", "backslashreplace").decode(),  # a notebook may hold lone surrogates
        tags=_TAGS | _LAYOUT,
        attributes={
            **_ATTRIBUTES,
            **dict.fromkeys((_TAGS | _LAYOUT) - {"a", "ol"}, shared),
            "td": shared | {"colspan", "rowspan"},
            "th": shared | {"colspan", "rowspan", "scope"},
            "details": shared | {"open"},
        },
        clean_content_tags={"script", "style"},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",  # relative to what? on a notebook server, to the server
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(cleaned)  # noqa: S704 - sanitised just now


def escape(text: str) -> Markup:
    """Return safe HTML for a text that is no Markdown: a name, a label, an error."""
    return escape_markup(escape_control_chars(text))


def _as_written(text: str) -> Markup:
    return Markup("<pre>{}</pre>").format(text)


@lru_cache(maxsize=2)
def _markdown(colours: bool) -> MarkdownIt:
    parser = MarkdownIt("js-default", {"html": False, "linkify": False})
    if colours:
        parser.options["highlight"] = _coloured
    return parser


def _coloured(code: str, language: str, _: str) -> str:
    """Return the inside of a code block with its words marked; nothing where they cannot be."""
    if language.lower() not in LANGUAGES or len(code) > MAX_CODE:
        return ""
    if code.startswith("\ufeff"):  # which a lexer takes away
        return ""
    lines = [line.rstrip() for line in code.split("\n")]
    if any(len(line) > MAX_LINE for line in lines) or "\n" * MAX_BLANK in "\n".join(lines):
        return ""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    page = str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
    return page if code.endswith("\n") else page.removesuffix("\n")  # which it puts at the end


@lru_cache(maxsize=1)
def _words_of_code() -> frozenset[str]:
    from pygments.token import STANDARD_TYPES

    return frozenset(name for name in STANDARD_TYPES.values() if name)


def _only_code(tag: str, attribute: str, value: str) -> str | None:
    """Keep the only classes a text may have: the language of its code, the kind of a word."""
    if attribute == "class":
        if tag == "span":
            return value if value in _words_of_code() else None
        return value if value.startswith("language-") and value.isprintable() else None
    return value


def _is_tangled(text: str) -> bool:
    return any(text.count(mark) > MAX_NESTING for mark in "[<>`") or "*" * 200 in text
