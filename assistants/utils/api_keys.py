"""API keys: read when a call is made, and removed from every text that is shown or stored.

Configuration holds the name of an environment variable. Every value that was read from one is
remembered here, in memory only, so that ``redact`` can remove it from what a server echoes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from assistants.errors import MissingKeyError

MIN_SECRET_CHARS = 8
"""Number of consecutive characters of a key that are redacted."""

_PASSED_ON = frozenset({"HF_TOKEN", "HF_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
_SECRET = re.compile(
    r"(?:.*_)?(?:KEY|PAT|PASS)(?:_ID|_\d+)?|.*(?:TOKEN|APIKEY)(?:_\d+)?"
    r"|.*(?:SECRET|PASSWORD|PASSWD|PASSPHRASE).*"
)

_PLACEHOLDERS = frozenset(
    {
        "anything", "dummy-key", "fake-key", "lm-studio", "local-key", "no-key-needed",
        "no-key-required", "not-needed", "not-required", "not-used", "placeholder",
        "sk-no-key-required", "token-abc123", "your-api-key",
    }
)  # fmt: skip
"""Placeholders people set where a server wants no key. They are not redacted from answers."""

_seen: set[str] = set()


def read_key(name: str, model: str) -> str:
    """Read the API key from the environment variable ``name``.

    Raises
    ------
    MissingKeyError
        If it is unset or blank.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        raise MissingKeyError(model, name)
    remember(value)
    return value


def remember(value: str) -> None:
    """Make ``redact`` know a secret that came from somewhere other than the environment."""
    if len(value) >= MIN_SECRET_CHARS and value.lower() not in _PLACEHOLDERS:
        _seen.add(value)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child process, without variables named like secrets.

    The tokens of the Hugging Face hub stay: a server fetches weights with them.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _PASSED_ON or not _SECRET.fullmatch(name.upper())
    }


def redact(text: str) -> str:
    """Return ``text`` with long pieces of known keys replaced."""
    for key in _seen:
        if any(
            key[i : i + MIN_SECRET_CHARS] in text for i in range(len(key) - MIN_SECRET_CHARS + 1)
        ):
            text = _redact_key(key, text)
    return text


def _redact_key(key: str, text: str) -> str:
    pieces = {key[i : i + MIN_SECRET_CHARS] for i in range(len(key) - MIN_SECRET_CHARS + 1)}
    out: list[str] = []
    index = kept_from = 0
    while index <= len(text) - MIN_SECRET_CHARS:
        if text[index : index + MIN_SECRET_CHARS] not in pieces:
            index += 1
            continue
        out += [text[kept_from:index], "[redacted]"]
        index += MIN_SECRET_CHARS
        while index < len(text) and text[index - MIN_SECRET_CHARS + 1 : index + 1] in pieces:
            index += 1
        kept_from = index
    return "".join([*out, text[kept_from:]])


def _split_piece_start(text: str, cut: int) -> int | None:
    """Return the start of the first piece of a key that a cut at ``cut`` would divide."""
    for start in range(
        max(0, cut - MIN_SECRET_CHARS + 1), min(cut, len(text) - MIN_SECRET_CHARS + 1)
    ):
        if any(text[start : start + MIN_SECRET_CHARS] in key for key in _seen):
            return start
    return None


class Redactor:
    """Redaction of a text that arrives in pieces: the pieces show no more than the whole would.

    The end of a piece is held back while it may be the beginning of a key.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> str:
        """Add a piece and return the text that may be shown now, possibly ``""``."""
        if not _seen:
            return piece
        text = self._held + piece
        cut = len(text)
        # Every tail of a key's piece is a key's piece, so the longest one is found from the end.
        while cut and any(text[cut - 1 :] in key for key in _seen):
            cut -= 1
        while (start := _split_piece_start(text, cut)) is not None:
            cut = start
        self._held = text[cut:]
        return redact(text[:cut])

    def flush(self) -> str:
        """Return the text that was held back, once the last piece has been fed."""
        held, self._held = self._held, ""
        return redact(held)
