"""The number or the letter that an answer decides on."""

from __future__ import annotations

import math
import re

from assistants.scoring.base import UnscorableError

_DIGITS = r"(?:\d{1,3}(?:[,\u202f\u00a0']\d{3})+(?!\d)|\d+)(?:[.,]\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"(?<![\w.])([-+–]?)[$€£¥]?({_DIGITS})(?:[eE]([-+]?\d{{1,4}}))?(?:/(\d+)(?![\d/]))?"
)
_ANSWER = re.compile(
    r"####|\\boxed\{|\b(?:answer|antwort|ergebnis|result|resultado|résultat|réponse|respuesta)\b"
    # "To answer this, ..." and "as a result, ..." announce nothing.
    r"(?:\s+(?:to|of|for|in|zu|zur|auf|à|de|a)\b[^.,:=\n]{0,80}?)?"
    r"[\s*_]*(?:\([^)\n]{0,40}\))?[*_]*"
    r"(?:\s*[:=]|[ \t]*$|\s*\b(?:is|ist|est|es|lautet|equals|was|would be|comes to)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_LATEX = (
    (re.compile(r"(?<!\d)\\[dt]?frac\s*\{\s*(-?\d+)\s*\}\s*\{\s*(\d+)\s*\}"), r"\1/\2"),
    (re.compile(r"(?<!\d)\\[dt]?frac\s*(\d)\s*(\d)"), r"\1/\2"),
    (re.compile(r"(?<=\d)(?:\{,\}|\\,)(?=\d{3})"), ","),
    (re.compile(r"(?<=\d)\s*(?:×|\*|\\times|\\cdot)\s*10\s*\^\s*\{?\s*(-?\d{1,4})\s*\}?"), r"e\1"),
)
_CAP = 20_000  # characters from the end that are searched; an answer decides at its end


def number_in(text: str) -> float | None:
    r"""Return the number that a text settles on.

    That is the one after the last "answer is" or "answer:" (also ``\boxed{``, ``####``, "result"),
    and on its line the one after the last equals sign; without such words, the last number of the
    text. Reads 1,234.5, 3,14 (a comma not followed by exactly three digits is a decimal one), -2,
    1e-5, $5, 1/2, and LaTeX's \frac{1}{2}, 1{,}234 and 3 \times 10^5. A per cent sign is ignored,
    so 12% is 12. A number too large for a float is none.
    """
    text = text[-_CAP:].replace("\\!", "").replace("**", "").replace("−", "-")
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    cues = list(_ANSWER.finditer(text))
    if cues:
        line = text[cues[-1].end() :].lstrip(" :\n").split("\n", 1)[0]
        after = line.rsplit("=", 1)[-1]
        for part in (after, line):
            if found := _NUMBER.search(part):
                return _value(found)
    every = list(_NUMBER.finditer(text))
    return _value(every[-1]) if every else None


def _value(found: re.Match[str]) -> float | None:
    sign, digits, exponent, below = found.groups()
    whole = re.sub(r"[,\u202f\u00a0'](?=\d{3}(?:\D|$))", "", digits)
    value = float(whole.replace(",", ".") + (f"e{exponent}" if exponent else ""))
    if below:
        value = value / float(below) if float(below) else math.nan
    # A dash that follows text without a space joins a range: 3-5 holds 3 and 5, not -5.
    value = -value if sign in ("-", "–") else value
    return value if math.isfinite(value) else None


_MARKS = r"[\s*_`\"'“”(\[{$]{0,12}+(?:\\(?:text|mathrm|textbf)\{)?"
_LETTER = (
    r"(?P<letter>[A-HJ]\b(?!['’]\w)|I\b(?=\s*(?:[).,:;\]}*]|$))|[a-j](?=\s*(?:[)\]}*]|\.?\s*$)))"
)
_FINAL = re.compile(
    rf"(?i:\bfinal answer|\\boxed\{{|####)(?i:\s*(?:is|:|=))?{_MARKS}{_LETTER}", re.MULTILINE
)
_CUES = (
    re.compile(
        r"(?i:\b(?:answer|choice|correct (?:option|one|letter)|antwort|réponse|respuesta)"
        r"(?:\s+(?:would be|must be|should be|has to be|is|ist|est|es)|\s*[:=])"
        r"(?:\s+(?:option|choice|letter|clearly|definitely|therefore))*|"
        r"\b(?:i(?:['’]d| would)?|i['’]ll|we) (?:choose|pick|select|go with|say)"
        rf"(?: option| choice| letter| answer)?)[:\s]*{_MARKS}{_LETTER}",
        re.MULTILINE,
    ),
    re.compile(
        rf"(?:(?i:\b(?:option|choice|answer)\s+)|^|[.!?]\s+){_MARKS}{_LETTER}[)\]*\s.]{{0,4}}"
        r"(?i:\s*is (?:the )?(?:correct|right|best)\b)",
        re.MULTILINE,
    ),
)
_LINE = re.compile(r"^[ \t>*_`(\[-]*([A-Ja-j])(?:[)\].:*_]+(?:\s|$)|[ \t*_]*$)", re.MULTILINE)
_BOLD = re.compile(r"\*\*\(?([A-J])[).:]?(?:\*\*|\s)|\(([A-J])\)")
_LONE = re.compile(r"(?<![\w'’])([B-HJ])(?![\w'’])")


def choice_in(text: str) -> str:
    """Return the letter, A to J, that an answer to a multiple-choice question picks.

    In order: a "final answer" or box; "the answer is B", "I choose B", "B is correct"; a line that
    begins with one lettered option; a bold or bracketed letter; the only capital that stands
    alone (other than A and I, which are words). The first of these that names anything decides.

    Raises
    ------
    UnscorableError
        If nothing names a letter, or that step names two.
    """
    text = text[-_CAP:]
    if len(bare := text.strip(" \n\t*_`.()[]:\"'$")) == 1 and bare.upper() in "ABCDEFGHIJ":
        return bare.upper()
    if final := [m["letter"] for m in _FINAL.finditer(text)]:
        return final[-1].upper()
    steps = (
        [m["letter"] for cue in _CUES for m in cue.finditer(text)],
        _LINE.findall(text),
        [m[1] or m[2] for m in _BOLD.finditer(text)],
        _LONE.findall(text),
    )
    for letters in steps:
        named = sorted({letter.upper() for letter in letters})
        if len(named) > 1:
            raise UnscorableError(f"the answer names {' and '.join(named)}")
        if named:
            return named[0]
    raise UnscorableError("the answer names no letter")
