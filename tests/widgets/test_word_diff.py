"""Which words of an answer are not those of another one."""

from __future__ import annotations

import html
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from assistants.widgets.html import compare_words


def test_no_text_makes_a_comparison_slow() -> None:
    """It holds the kernel up: 60,000 line ends took it a minute."""
    began = time.process_time()
    for each in ("\n" * 200_000, "\t" * 200_000 + "x", "x\n\n" * 50_000, "[" * 200_000):
        compare_words(each, "One word.")
        compare_words("One word.", each)
    assert time.process_time() - began < 5


@given(st.text(alphabet="ab \n<&+-"), st.text(alphabet="ab \n<&+-"))
def test_differences_hold_both_texts(old: str, new: str) -> None:
    """Without what was added it is the old text, without what is gone the new one: word by word."""
    page = compare_words(old, new).html
    bare = lambda part: html.unescape(re.sub(r"<[^>]*>", "", part)).split()  # noqa: E731
    assert bare(re.sub(r"<del>.*?</del>", " ", page, flags=re.S)) == new.split()
    assert "".join(bare(re.sub(r"<ins>.*?</ins>", " ", page, flags=re.S))) == "".join(old.split())
