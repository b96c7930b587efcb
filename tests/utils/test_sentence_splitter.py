"""A persona in sentences: nothing is lost, and leaving one out leaves the others as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.personas import Library
from assistants.utils.sentence_splitter import split_sentences

MARKDOWN = """# Rules

You are a historian, e.g. one of Dr. Mommsen's school. You write "short." Then you
stop, at 3.5 pages!

- Be kind. Be brief.
- Never lie:
  1. not in dates
  2. not in names
> Quoted words
---
```python
# no heading. Not two sentences.

print("Hi. There.")
```
Done \u2014 r\u00e9sum\u00e9? *Yes.* Good"""

PROSE = st.lists(
    st.sampled_from(
        ["Be brief.", "Never lie!", "Who asks?", "Say so", "It is 3.5 m.", "Go on: now."]
    ),
    min_size=1,
    max_size=8,
)
MARKS = st.sampled_from(["\n- ", "\n\n", "\n1. ", "\n", "\n  - ", "\n\n## ", "\n> "])
PIECES = st.sampled_from(
    ["a", "B", ".", "!", " ", "\n", "- ", "# ", "1. ", "```", "\n```\n", "e.g.", "\t", "\r\n",
     "\u3002", "\u4f60", ":", "*", '"', "---", "\u2028", "\ud800"]
)  # fmt: skip


def test_markdown_as_people_write_it() -> None:
    """Headings, items, wrapped lines, abbreviations, quotations, code: each as a reader would."""
    assert split_sentences(MARKDOWN).texts == (
        "Rules",
        "You are a historian, e.g. one of Dr. Mommsen's school.",
        'You write "short."',
        "Then you\nstop, at 3.5 pages!",
        "Be kind.",
        "Be brief.",
        "Never lie:",
        "not in dates",
        "not in names",
        "Quoted words",
        '```python\n# no heading. Not two sentences.\n\nprint("Hi. There.")\n```',
        "Done \u2014 r\u00e9sum\u00e9?",
        "*Yes.*",
        "Good",
    )


@pytest.mark.parametrize(
    ("text", "at", "rest"),
    [
        ("Be brief. Be kind. Stop.", 0, "Be kind. Stop."),
        ("Be brief. Be kind. Stop.", 1, "Be brief. Stop."),
        ("Be brief. Be kind. Stop.", 2, "Be brief. Be kind."),
        ("- Now.\n- Be. See.\n- Do.", 0, "- Be. See.\n- Do."),
        ("- Now.\n- Be. See.\n- Do.", 1, "- Now.\n- See.\n- Do."),
        ("- Now.\n- Be. See.\n- Do.", 2, "- Now.\n- Be.\n- Do."),
        ("- Now.\n- Be. See.\n- Do.", 3, "- Now.\n- Be. See."),
        ("# Rules\n- A.\n- B.", 0, "- A.\n- B."),
        ("One.\n\n- A.\n- B.", 1, "One.\n\n- B."),
        ("One.\n- A:\n  - B.\n- C.", 2, "One.\n- A:\n- C."),
        ("Only this.", 0, ""),
        ("\u4f60\u597d\u3002\u518d\u89c1\u3002", 0, "\u518d\u89c1\u3002"),
    ],
)
def test_a_sentence_left_out(text: str, at: int, rest: str) -> None:
    """Lines keep their marks, paragraphs their distance; of one sentence nothing is left."""
    assert split_sentences(text).without(at) == rest


@given(st.one_of(st.text(), st.lists(PIECES, max_size=40).map("".join)))
def test_joined_again_it_is_the_text(text: str) -> None:
    """Byte for byte, whatever the text; and there is a word in each sentence."""
    found = split_sentences(text)
    assert str(found) == text
    assert len(found.gaps) == len(found) + 1
    assert all(any(map(str.isalnum, sentence)) for sentence in found.texts)


@given(st.lists(PIECES, max_size=40).map("".join), st.data())
def test_the_others_stay_as_they_were(text: str, data: st.DataObject) -> None:
    """Every other sentence is there, in order, and only white space and marks beside them."""
    found = split_sentences(text)
    if not found:
        return
    at = data.draw(st.integers(0, len(found) - 1))
    rest = found.without(at)
    where = 0
    for sentence in found.texts[:at] + found.texts[at + 1 :]:
        where = rest.index(sentence, where) + len(sentence)
    words = "".join(found.texts[:at] + found.texts[at + 1 :])
    gaps = sum(map(len, found.gaps))
    assert len(words) <= len(rest) <= len(words) + gaps


@given(PROSE, st.data())
def test_the_rest_has_the_sentences_it_had(sentences: list[str], data: st.DataObject) -> None:
    """Of prose and lists: splitting what is left finds the others, and no new one."""
    gaps = [data.draw(st.one_of(MARKS, st.just("\n"))) for _ in sentences[1:]]
    joined = [g if s != "Say so" else "\n\n" for g, s in zip(gaps, sentences, strict=False)]
    text = sentences[0] + "".join(g + s for g, s in zip(joined, sentences[1:], strict=True))
    found = split_sentences(text)
    assert found.texts == tuple(sentences)
    at = data.draw(st.integers(0, len(sentences) - 1))
    assert split_sentences(found.without(at)).texts == tuple(sentences[:at] + sentences[at + 1 :])


def test_our_own_personas() -> None:
    """Each of the package's personas has sentences that end where a sentence ends."""
    library = Library.default()
    for name in library.names():
        text = library.find(name).text
        if text is not None:
            assert str(split_sentences(text)) == text
            assert all(sentence[-1] in ".?!\"'" for sentence in split_sentences(text).texts), name


def test_a_long_text_is_split_at_once() -> None:
    """No text makes it slow: a hostile one of 200,000 characters takes three seconds at most."""
    import time

    for piece in ("a", " ", "\n", ". ", "- ", "```\n", "1. ", "(a.", "*"):
        start = time.process_time()
        split_sentences(piece * (200_000 // len(piece)))
        assert time.process_time() - start < 3, repr(piece)
