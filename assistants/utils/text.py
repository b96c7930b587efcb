"""Foreign text: stored without loss, shown without harm."""

from __future__ import annotations

import json
import re
from typing import Any

# A model may return a lone surrogate (JSON "\ud800"). Python keeps it; UTF-8, SQLite and Arrow
# cannot. Written out as \udXXX it survives, and doubling the backslashes before it keeps a text
# that already contained those six characters apart from one that contained the surrogate.
_SURROGATE = re.compile(r"(\\*)([\ud800-\udfff])")
_LONE = re.compile(r"[\ud800-\udfff]")
_PAIR = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")
_LITERAL = re.compile(r"(\\+)(u[dD][89a-fA-F][0-9a-fA-F]{2})")

# Characters that move a cursor, ring a bell, or reorder what a person reads. Newline and tab stay.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


def to_utf8(text: str) -> str:
    r"""Return the same text with lone surrogates written as ``\udXXX``, so that UTF-8 can hold it.

    ``from_utf8(to_utf8(text)) == text`` for every Python string.
    """
    if text.isascii() and "\\u" not in text:
        return text
    text = _LITERAL.sub(lambda m: m[1] * 2 + m[2], text)
    return _SURROGATE.sub(lambda m: m[1] * 2 + f"\\u{ord(m[2]):04x}", text)


def from_utf8(text: str) -> str:
    """Undo ``to_utf8``."""

    def restore(match: re.Match[str]) -> str:
        slashes, code = match[1], match[2]
        half = "\\" * (len(slashes) // 2)
        return half + (chr(int(code[1:], 16)) if len(slashes) % 2 else code)

    return _LITERAL.sub(restore, text) if "\\u" in text else text


def to_json(value: Any) -> str:
    """Return one line of JSON that a person can read and UTF-8 can hold, whatever text is in it.

    JSON has no way to write the two halves of a pair of surrogates other than as the character
    they stand for, so that is what becomes of them.
    """
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    if line.isascii():
        return line
    line = _PAIR.sub(_joined, line)
    return _LONE.sub(lambda m: f"\\u{ord(m[0]):04x}", line)


def escape_control_chars(text: str) -> str:
    """Return text for a terminal: control and bidi characters are written out, without effect."""
    return _UNSAFE.sub(_written_out, to_utf8(text.replace("\r\n", "\n")))


def _joined(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def truncate_line(text: str, width: int = 80) -> str:
    """Return the beginning of a text, on one line of at most ``width`` characters."""
    flat = " ".join(escape_control_chars(text).split())
    return flat if len(flat) <= width else flat[: width - 1].rstrip() + "…"


def pluralize(number: int, what: str) -> str:
    """Return a number with its noun: ``1 trial``, ``2 trials``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
