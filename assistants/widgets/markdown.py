"""The only way for text of a model, a file or a person onto a screen.

Markdown is rendered without raw HTML, and the result goes through an allow list that has no
images, no styles and no attribute that could fetch or run anything.
"""

from __future__ import annotations

import html
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt

from assistants.text import visible

MAX_CHARACTERS = 64_000
"""Longer text is shown as it was written: rendering it could take seconds."""

MAX_NESTING = 500
"""More brackets or quotes than this make a parser slow, and no answer better."""

_TAGS = {
    "p", "br", "hr", "em", "strong", "s", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip
_LAYOUT = {"div", "section", "article", "header", "footer", "details", "summary", "span", "small",
           "caption", "dl", "dt", "dd", "i", "b", "figure", "figcaption"}  # fmt: skip
_ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href"}, "ol": {"start"}, "code": {"class"}, "*": set(),
}  # fmt: skip


def to_html(text: str) -> str:
    """Safe HTML for a Markdown text, whatever is in it."""
    text = visible(text)
    if len(text) > MAX_CHARACTERS or _is_tangled(text):
        return f"<pre>{html.escape(text)}</pre>"
    return nh3.clean(
        _markdown().render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",  # relative to what? on a notebook server, to the server
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_only_languages,
    )


def clean(page: str) -> str:
    """HTML that a notebook left behind, with only what text, tables and our own layout need."""
    shared = {"class", "aria-label", "role"}
    return nh3.clean(
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


def escape(text: str) -> str:
    """Safe HTML for a text that is no Markdown: a name, a label, an error."""
    return html.escape(visible(text))


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    return MarkdownIt("js-default", {"html": False, "linkify": False})


def _only_languages(tag: str, attribute: str, value: str) -> str | None:
    """The only class a text may have is the language of its code."""
    if attribute == "class":
        return value if value.startswith("language-") and value.isprintable() else None
    return value


def _is_tangled(text: str) -> bool:
    return any(text.count(mark) > MAX_NESTING for mark in "[<>`") or "*" * 200 in text
