"""Which words of an answer are not those of another one."""

from __future__ import annotations

import re

from assistants.widgets.html.markdown import escape

MAX_WORDS = 5_000
"""Longer answers are not compared: it would take seconds, and nobody reads the result."""


def differences(old: str, new: str) -> str:
    """Safe HTML: ``new`` with the words that it adds to ``old``, and those that it leaves out.

    What is added stands in ``ins``, what is left out in ``del``; both carry a sign of their own,
    so that nobody has to tell them apart by colour.
    """
    from rapidfuzz.distance import Levenshtein

    before, after = _words(old), _words(new)
    if max(len(before), len(after)) > MAX_WORDS:
        return "<p><i>Too long to compare word by word.</i></p>"
    parts: list[str] = []
    steps = Levenshtein.opcodes([w.strip() for w in before], [w.strip() for w in after])
    for step in steps:
        gone = "".join(before[step.src_start : step.src_end])
        came = "".join(after[step.dest_start : step.dest_end])
        if step.tag == "equal":
            parts.append(escape(came))
        else:
            parts += [_marked("del", gone), _marked("ins", came)]
    return f'<p class="differences">{"".join(parts)}</p>'


def counts(old: str, new: str) -> tuple[int, int]:
    """How many words ``new`` adds to ``old``, and how many it leaves out."""
    from rapidfuzz.distance import Levenshtein

    steps = Levenshtein.opcodes(old.split()[:MAX_WORDS], new.split()[:MAX_WORDS])
    changed = [step for step in steps if step.tag != "equal"]
    return (
        sum(step.dest_end - step.dest_start for step in changed),
        sum(step.src_end - step.src_start for step in changed),
    )


def _words(text: str) -> list[str]:
    """Each with the white space before it; in linear time, whatever the text is."""
    if not text.strip():
        return [text] if text else []
    return re.split(r"(?<=\S)(?=\s)", text.rstrip())


def _marked(tag: str, text: str) -> str:
    if not text:
        return ""
    lead = len(text) - len(text.lstrip())
    return f"{escape(text[:lead])}<{tag}>{escape(text[lead:])}</{tag}>"
