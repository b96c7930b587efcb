"""Text from somewhere else is kept without loss and shown without harm."""

from __future__ import annotations

import json
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from assistants.utils.text import escape_control_chars, from_utf8, to_json, to_utf8, truncate_line

ANY = st.text(st.characters(), max_size=40)  # lone surrogates, NUL and bidi marks included
TRICKY = st.text(st.sampled_from("\\uUdD8c0f9\ud800\udfffa\n"), max_size=24)


@given(ANY | TRICKY)
@example("\\\ud800")
@example("\\\\ud800")
@example("\\ud800\ud800")
def test_every_string_survives_utf8(text: str) -> None:
    """Whatever a model returns can be written as UTF-8 and is the same when it is read."""
    kept = to_utf8(text)
    kept.encode("utf-8")
    assert from_utf8(kept) == text


@given(ANY.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)))
def test_ordinary_text_is_stored_as_it_is(text: str) -> None:
    """Only a surrogate, or what looks like one written out, is ever changed."""
    if "\\u" not in text:
        assert to_utf8(text) == text


VALUE = st.recursive(
    ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)
)


@given(VALUE)
def test_json_is_one_line_of_utf8_and_means_the_same(value: object) -> None:
    """Any value becomes one line that UTF-8 can hold and that every JSON reader understands."""
    line = to_json(value)
    line.encode("utf-8")
    assert "\n" not in line
    assert to_json(json.loads(line)) == line


def test_halves_of_a_pair_are_the_character_they_stand_for() -> None:
    """A stream that cuts an emoji in two halves makes the same request, and the same key."""
    assert to_json("\ud83d\ude00") == to_json("\U0001f600")


@given(ANY)
def test_nothing_shown_moves_the_cursor_or_turns_the_text(text: str) -> None:
    """No control or bidi character takes effect in a terminal; newline and tab do."""
    shown = escape_control_chars(text)
    assert not {unicodedata.category(c) for c in shown if c not in "\n\t"} & {"Cc", "Cs"}
    assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)


@given(ANY, st.integers(2, 100))
def test_one_line_is_one_line(text: str, width: int) -> None:
    """The beginning of any text fits one line of the width asked for."""
    line = truncate_line(text, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
