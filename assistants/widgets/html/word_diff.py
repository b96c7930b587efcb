"""The words in which one answer differs from another."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markupsafe import Markup

from assistants.utils.text import pluralize
from assistants.widgets.html.markdown import escape
from assistants.widgets.html.render import ui

MAX_WORDS = 5_000
"""Longer answers are not compared: it would take seconds, and nobody reads the result."""


@dataclass(frozen=True, slots=True)
class WordDiff:
    """The difference of two texts: safe HTML, and how many words were added and left out."""

    html: Markup
    summary: str


def compare_words(old: str, new: str) -> WordDiff:
    """Return ``new`` with the words that it adds to ``old``, and those that it leaves out.

    What is added stands in ``ins``, what is left out in ``del``; the page gives both a sign of
    their own, so that nobody has to tell them apart by colour.
    """
    return WordDiff(_diff_html(old, new), _summary(old, new))


def _diff_html(old: str, new: str) -> Markup:
    from rapidfuzz.distance import Levenshtein

    before, after = _words(old), _words(new)
    if max(len(before), len(after)) > MAX_WORDS:
        return ui.aside("Too long to compare word by word.")
    parts: list[Markup] = []
    for step in Levenshtein.opcodes([w.strip() for w in before], [w.strip() for w in after]):
        removed = "".join(before[step.src_start : step.src_end])
        added = "".join(after[step.dest_start : step.dest_end])
        if step.tag == "equal":
            parts.append(escape(added))
        else:
            parts += [_marked("del", removed), _marked("ins", added)]
    return Markup('<p class="differences">{}</p>').format(Markup().join(parts))


def _summary(old: str, new: str) -> str:
    """Count changed words; of long texts only the beginning."""
    from rapidfuzz.distance import Levenshtein

    steps = Levenshtein.opcodes(old.split()[:MAX_WORDS], new.split()[:MAX_WORDS])
    changed = [step for step in steps if step.tag != "equal"]
    added = sum(step.dest_end - step.dest_start for step in changed)
    removed = sum(step.src_end - step.src_start for step in changed)
    return f"{pluralize(added, 'word')} added, {removed:,} left out"


def _words(text: str) -> list[str]:
    """Split a text into words, each with the white space before it, in linear time."""
    if not text.strip():
        return [text] if text else []
    return re.split(r"(?<=\S)(?=\s)", text.rstrip())


def _marked(tag: str, text: str) -> Markup:
    """Put a text into an element, without the white space before it."""
    if not text:
        return Markup()
    lead = len(text) - len(text.lstrip())
    return escape(text[:lead]) + Markup(f"<{tag}>") + escape(text[lead:]) + Markup(f"</{tag}>")  # noqa: S704 - our own tags
