"""The one way of foreign text onto a screen: nothing on it runs, fetches, or takes seconds."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.widgets.html.markdown import LANGUAGES, MAX_CODE, clean, escape, to_html
from support.hostile_texts import MONSTERS, PAYLOADS

TEXT_TAGS = set(
    "p br hr em strong s del code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr "
    "th td a".split()
)
LAYOUT_TAGS = TEXT_TAGS | set(
    "div section article header footer details summary span small caption dl dt dd i b figure "
    "figcaption".split()
)
LAYOUT_ATTRIBUTES = set("class aria-label role href rel start colspan rowspan scope open".split())

BITS = st.sampled_from(
    [*"<>\"'`=/&;:!-[]()*_#|\\ \n\t\x00\u202e", "script", "img", "onerror=", "href=", "style",
     "javascript:", "data:", "https://e", "</", "<a ", "<!--", "]]>", "&lt;", "```", "table", "svg",
     "<p>", "<td ", "class=x", "math"]
)  # fmt: skip
SOUP = st.one_of(st.text(), st.lists(BITS, max_size=40).map("".join), st.sampled_from(PAYLOADS))


class Parts(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words += data


def assert_harmless(page: str, tags: set[str], attributes: set[str]) -> None:
    parts = Parts(page)
    assert parts.tags <= tags
    for tag, name, value in parts.attributes:
        assert name in attributes, (tag, name, value)
        if name == "href":
            assert re.match(r"(https?|mailto):", value, re.IGNORECASE), value


@given(SOUP)
def test_nothing_but_text_comes_out_of_a_text(text: str) -> None:
    """No tag outside the list, no attribute but links, languages and the start of a list."""
    assert_harmless(to_html(text), TEXT_TAGS, {"href", "rel", "start", "class"})


@given(SOUP)
def test_nothing_but_layout_comes_out_of_a_page(page: str) -> None:
    """What a notebook left behind keeps its tables and our own layout, and nothing else."""
    assert_harmless(clean(page), LAYOUT_TAGS, LAYOUT_ATTRIBUTES)


@given(SOUP)
def test_cleaning_again_changes_nothing(page: str) -> None:
    """A page that was cleaned is clean: no second meaning appears when it is read once more."""
    once = clean(page)
    assert clean(once) == once


@given(SOUP)
def test_a_name_is_never_markup(text: str) -> None:
    """What is no Markdown comes out letter by letter."""
    parts = Parts(f"<b>{escape(text)}</b>")
    assert parts.tags == {"b"}
    assert "\u202e" not in parts.words


@pytest.mark.parametrize("text", PAYLOADS)
def test_a_known_attack_is_shown_as_text(text: str) -> None:
    """Each known attack comes out as words."""
    assert_harmless(to_html(text), TEXT_TAGS, {"href", "rel", "start", "class"})
    assert_harmless(clean(to_html(text)), LAYOUT_TAGS, LAYOUT_ATTRIBUTES)


@pytest.mark.parametrize("text", MONSTERS, ids=lambda text: f"{text[:6]!r}x{len(text)}")
def test_no_text_takes_long(text: str) -> None:
    """Whatever a model repeats, showing it costs less than two seconds."""
    began = time.process_time()
    page = clean(to_html(text))
    assert time.process_time() - began < 2
    assert_harmless(page, LAYOUT_TAGS, LAYOUT_ATTRIBUTES)


@given(st.text(st.sampled_from("[]()<>*_`~#|!-> \n\\&ab1.:")).map(lambda t: (t or "a") * 400))
def test_no_repeated_text_takes_long(text: str) -> None:
    """Nor does what hypothesis comes up with."""
    began = time.process_time()
    to_html(text[:20_000])
    assert time.process_time() - began < 5


def test_code_and_tables_survive() -> None:
    """What an answer is made of stays: code with its language, tables, lists, emphasis, links."""
    page = to_html(
        "# Title\n\n**bold** and *soft*\n\n```python\nif a < b & c:\n    pass\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | `x` |\n\n3. three\n\n> said\n\n[link](https://example.org/a?b=c)"
    )
    for piece in (
        "<h1>Title</h1>",
        "<strong>bold</strong>",
        "<em>soft</em>",
        '<pre><code class="language-python">if a &lt; b &amp; c:\n    pass\n</code></pre>',
        "<table>",
        "<td><code>x</code></td>",
        '<ol start="3">',
        "<blockquote>",
        '<a href="https://example.org/a?b=c" rel="noopener noreferrer nofollow">link</a>',
    ):
        assert piece in page, piece


def test_a_language_is_the_only_class() -> None:
    """The name of a code block's language cannot take on the look of the page around it."""
    assert "&lt;p class=" in to_html("<p class='card'>x</p>")
    page = to_html('```card" onclick="x\n1\n```')
    assert "onclick" not in page
    assert 'class="card' not in page


def test_hidden_characters_are_written_out() -> None:
    """Nothing turns the reading direction around, and a lone surrogate breaks no page."""
    page = to_html("a\u202eb\x00c\ud800")
    assert page == "<p>a\\u202eb\\x00c\\ud800</p>\n"


def test_links_lead_away_or_nowhere() -> None:
    """A link that is relative would lead into the notebook server, or to files of the reader's."""
    for link in ("../api/kernels", "//e.example/x", "#x", "?x", "/etc/passwd", "file:///etc"):
        assert "href" not in to_html(f"[x]({link})")
        assert "href" not in clean(f'<a href="{link}">x</a>')


def test_long_text_is_all_there() -> None:
    """What is too long to be rendered is shown as it was written, not cut."""
    text = "**word** " * 20_000
    page = to_html(text)
    assert page.startswith("<pre>")
    assert Parts(page).words == text


@given(SOUP)
def test_colours_add_nothing_but_spans(text: str) -> None:
    """With the words of code marked, the same tags as before, and spans of known classes."""
    code = f"```python\n{text}\n```"
    for source in (text, code):
        page = to_html(source, colours=True)
        assert_harmless(page, TEXT_TAGS | {"span"}, {"href", "rel", "start", "class"})
        assert re.sub(r"</?span[^>]*>", "", page) == to_html(source)
        for tag, name, value in Parts(page).attributes:
            assert tag != "span" or name != "class" or re.fullmatch(r"[a-z0-9]{1,3}", value)


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_code_takes_long(language: str) -> None:
    """Whatever is said to be code, in any language that is coloured."""
    began = time.process_time()
    for text in MONSTERS:
        to_html(f"~~~{language}\n{text[:MAX_CODE]}\n~~~", colours=True)
    assert time.process_time() - began < 5


def test_code_has_colours() -> None:
    """A keyword is marked as one, and a language that nobody knows is left as it is."""
    assert '<span class="k">return</span>' in to_html("```py\nreturn 1\n```", colours=True)
    for language in ("nonsense", "", "python\x00", "brainfuck"):
        assert "<span" not in to_html(f"```{language}\nreturn 1\n```", colours=True)
