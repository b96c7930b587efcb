"""The language of a text, told by py3langid: a naive Bayes model that comes with the package."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from assistants.errors import UnknownNameError

MIN_LETTERS = 20
"""Letters of an alphabet; below that a name or a loan word decides."""

MIN_IDEOGRAPHS = 6
"""Chinese, Japanese and Korean say as much in far fewer characters."""

MIN_PROBABILITY = 0.5
"""A language stands out where it is more likely than all others together."""

_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_CAP = 20_000  # characters looked at; the language of an answer does not change after that
_NO_LANGUAGE = "zxx"


def check_code(code: str) -> str:
    """Return an ISO 639-1 code, if its language can be told from the others.

    Raises
    ------
    UnknownNameError
        With the nearest codes.
    """
    codes = [label for label in _identifier().labels if label != _NO_LANGUAGE]
    if code not in codes:
        raise UnknownNameError("language code", code, codes)
    return code


def is_too_short(prose: str) -> bool:
    """Return whether a text has too few letters to tell its language."""
    prose = prose[:_CAP]
    return (
        len(_IDEOGRAPH.findall(prose)) < MIN_IDEOGRAPHS
        and sum(map(str.isalpha, prose)) < MIN_LETTERS
    )


def guess_language(prose: str) -> str | None:
    """Return the code of the language that a text is in, or ``None`` where none stands out.

    A text in two languages is the one that more of it is in.

    Notes
    -----
    Lui & Baldwin (2012), "langid.py: an off-the-shelf language identification tool", ACL; the
    model is py3langid's.
    """
    code, probability = _identifier().classify(prose[:_CAP])
    return str(code) if probability >= MIN_PROBABILITY and code != _NO_LANGUAGE else None


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Load the model, once and when first needed: it takes most of a second.

    Only languages with an ISO 639-1 code are told apart. The others are mostly close to one of
    these (Nigerian Pidgin, Moroccan Arabic, Cantonese), and would make casual English or formal
    Arabic doubtful. No further restriction: with few languages to choose from, Danish would pass
    for Swedish.
    """
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    codes = [label for label in identifier.labels if len(label) == 2]
    identifier.set_languages([*codes, _NO_LANGUAGE])
    return identifier
