"""In which language a text is written: by script, and by the small words of Latin scripts."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from assistants.errors import UnknownNameError

_SMALL_WORDS = {
    "en": "the of and to in is that it for was on are as with be this have from you not at by or "
    "an which can but we there been has their if will would your what",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch es an "
    "werden als wie bei oder sind aus nach wird kann ich sie wir wenn einer einen",
    "fr": "le la les de des et est un une du en que qui dans pour pas sur au avec ce il sont par "
    "plus ne se vous nous cette ou mais on aux être",
    "es": "el la los las de que y en un una es por con no para del se al lo como más pero su sus "
    "está son este esta muy también ser hay o",
    "it": "il la di che e un una in per è non con del della si sono da le al dei come più anche "
    "lo gli ma alla nel questo questa o essere",
    "pt": "o a os as de que e do da em um uma para com não por se no na é mais dos das ao como mas "
    "foi ou são está este também você pela pelo",
    "nl": "de het een en van is dat in op te zijn met voor niet die er aan ook als bij maar om uit "
    "door naar worden wordt dit kan je wij hebben deze",
    "pl": "i w na z się nie do jest to że o jak ale po co dla od są przez za tym być może lub oraz "
    "który która które tego jako ten",
    "sv": "och i att det som en på är av för med den till inte om ett har de kan var från vi men "
    "eller så när också detta vara ska sig",
}
_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "HEBREW": "he",
    "THAI": "th",
}

LANGUAGES = (*_SMALL_WORDS, *dict.fromkeys(_SCRIPTS.values()))
"""ISO 639-1 codes that can be told apart."""

MIN_LETTERS = 20
"""Of an alphabet; below it a name or a loan word decides."""

MIN_IDEOGRAPHS = 6
"""Chinese, Japanese and Korean say as much in far fewer characters."""

_LISTS = {code: frozenset(words.split()) for code, words in _SMALL_WORDS.items()}
_SHARED = Counter(word for words in _LISTS.values() for word in words)
_TOKEN = re.compile(r"[^\W\d_]+")
_CAP = 20_000  # characters looked at; the language of an answer does not change after that


def guessable(code: str) -> str:
    """``code`` itself, if that language can be told from the others.

    Raises
    ------
    UnknownNameError
        With the codes that can.
    """
    if code not in LANGUAGES:
        raise UnknownNameError("language code", code, LANGUAGES)
    return code


def too_short(prose: str) -> bool:
    """Whether a text has too few letters for anybody to say."""
    scripts = _scripts(prose)
    dense = sum(scripts[s] for s in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL"))
    return dense < MIN_IDEOGRAPHS and sum(scripts.values()) < MIN_LETTERS


def guess(prose: str) -> str | None:
    """The language that most of a text is in, or ``None`` where none stands out.

    Other scripts than Latin are told by the script alone, so Ukrainian counts as ``ru``, Persian
    as ``ar`` and Marathi as ``hi``. Latin ones are told by their commonest words, each weighing
    less the more languages share it; Norwegian and Danish pass for ``sv``, Catalan for ``es``. A
    text in two languages is the one that more of it is in.
    """
    scripts = _scripts(prose)
    total = sum(scripts.values())
    if not total:
        return None
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    if kana + scripts["CJK"] > total / 2:  # Japanese mixes both, Chinese has no kana
        return "ja" if kana > 0.05 * (kana + scripts["CJK"]) else "zh"
    script, count = scripts.most_common(1)[0]
    if count <= total / 2:
        return None
    return _SCRIPTS.get(script) if script != "LATIN" else _by_small_words(prose)


def _scripts(prose: str) -> Counter[str]:
    return Counter(
        unicodedata.name(c, "?").split()[0].split("-")[0] for c in prose[:_CAP] if c.isalpha()
    )


def _by_small_words(prose: str) -> str | None:
    found = Counter(_TOKEN.findall(prose[:_CAP].casefold()))
    weights = {
        code: sum(found[word] / _SHARED[word] for word in words if word in found)
        for code, words in _LISTS.items()
    }
    (first, most), (_, next_most) = sorted(weights.items(), key=lambda item: -item[1])[:2]
    return first if most >= 1.5 and most > 1.2 * next_most else None
