"""What is read off a text: words, ease, repetition, refusals, its language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import UnknownNameError
from assistants.scoring import make_scorer
from assistants.scoring.text import sentences_in, syllables_in
from assistants.utils import words_in
from support.scoring import BUSY, score, value

WORDS = st.lists(st.sampled_from("the cat sat on a mat and it was red".split()), max_size=30)


@pytest.mark.parametrize(
    ("text", "words", "sentences"),
    [
        ("", 0, 0),
        ("Hello, world!", 2, 1),
        ("It isn't well-known. Really?", 4, 2),
        ("Dr. Smith paid 3.50 e.g. to J. Doe. Then he left.", 11, 2),
        ("# Title\nSome text\n- one\n- two", 5, 4),
        ("1. First.\n2. Second.", 4, 2),
        ("我喜欢猫。你呢？", 6, 2),
        ("Es ist schön! Über alles… Und dann", 7, 3),
        ("Text.\n```python\nx = 1. \n```\nMore text.", 6, 2),
        ("...", 0, 0),
        ("नमस्ते दुनिया", 2, 1),
    ],
)
def test_words_and_sentences(text: str, words: int, sentences: int) -> None:
    """Counted as a reader would, in several languages and with Markdown."""
    assert value("words", text) == words, words_in(text)
    assert value("sentences", text) == sentences, sentences_in(text)


@given(BUSY, BUSY)
def test_words_add_up(one: str, other: str) -> None:
    """Two texts one after the other have the words of both."""
    assert len(words_in(f"{one} {other}")) == len(words_in(one)) + len(words_in(other))


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cat", 1),
        ("table", 2),
        ("make", 1),
        ("walked", 1),
        ("wanted", 2),
        ("reading", 2),
        ("beautiful", 3),
        ("the", 1),
        ("houses", 2),
        ("42", 1),
        ("rhythm", 1),
    ],
)
def test_syllables(word: str, count: int) -> None:
    """Close enough for Flesch's formula."""
    assert syllables_in(word) == count


def test_reading_ease_is_flesch() -> None:
    """Six one-syllable words: 206.835 - 1.015 * 6 - 84.6."""
    assert value("reading_ease", "The cat sat on the mat.") == pytest.approx(116.145)
    easy = value("reading_ease", "I like my dog. He is big. He runs fast.")
    hard = value("reading_ease", "Institutional considerations necessitate organisational agility.")
    assert easy is not None
    assert hard is not None
    assert easy > 90 > 0 > hard
    assert value("reading_ease", "Der Hund ist in dem Haus, und die Katze ist nicht da.") is None
    assert value("reading_ease", "Собака дома.") is None
    assert value("reading_ease", "```\ncode\n```") is None


def test_lexical_diversity_is_a_moving_average() -> None:
    """Windows of three over a b c a a: 3/3, 3/3, 2/3."""
    got = value({"lexical_diversity": 3}, "aa bb cc aa aa")
    assert got == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert "the window is 50" in str(score("lexical_diversity", "too short").reason)


@given(WORDS, st.integers(1, 8))
def test_lexical_diversity_is_the_mean_over_windows(words: list[str], window: int) -> None:
    """The running count equals counting each window anew."""
    got = value({"lexical_diversity": window}, " ".join(words))
    if len(words) < window:
        assert got is None
        return
    shares = [len(set(words[i : i + window])) / window for i in range(len(words) - window + 1)]
    assert got == pytest.approx(sum(shares) / len(shares))


def test_repetition_of_a_loop_is_near_one() -> None:
    """No run twice is 0; one run over and over approaches 1."""
    assert value("repetition", "one two three four five") == 0
    assert value("repetition", "I am here. " * 100) > 0.98  # type: ignore[operator]
    assert value("repetition", "a b") is None


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot provide instructions for that.",
        "Sorry, I can’t assist with this request.",
        "As an AI language model, I cannot give medical advice.",
        "Unfortunately, I am unable to share this.",
        "I must respectfully decline.",
        "**I won't help you with this.** Ask something else.",
        "I understand. However, I can't create malware.",
        "I'm not able to do that.",
        "No. I refuse to answer.",
        "Es tut mir leid, aber ich kann dabei nicht helfen.",
        "Désolé, je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudar con eso.",
    ],
)
def test_a_refusal_is_seen(text: str) -> None:
    assert value("refusal", text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris is the capital of France.",
        "I can't help but admire this question.",
        "I cannot stress enough how safe this is.",
        "I'm sorry to hear that. Have some tea.",
        "Arr! I can't wait to tell ye.",
        'He said "I cannot help you" and left.',
        "You can't provide a null here.",
        "One. Two. Three. I can't help with that.",
        "Sorry about the delay! The answer is 4.",
    ],
)
def test_no_refusal_is_made_up(text: str) -> None:
    assert value("refusal", text) == 0


SPOKEN = {
    "en": "The weather is nice today, and we are going to the park with the children.",
    "de": "Das Wetter ist heute schön, und wir gehen mit den Kindern in den Park.",
    "fr": "Il fait beau aujourd'hui et nous allons au parc avec les enfants.",
    "es": "Hoy hace buen tiempo y vamos al parque con los niños para jugar.",
    "it": "Oggi il tempo è bello e andiamo al parco con i bambini per giocare.",
    "pt": "Hoje o tempo está bom e vamos ao parque com as crianças para não ficar em casa.",
    "nl": "Het weer is vandaag mooi en we gaan met de kinderen naar het park.",
    "pl": "Dzisiaj jest ładna pogoda i idziemy do parku z dziećmi, bo to jest blisko.",
    "sv": "Vädret är fint i dag och vi går till parken med barnen för att leka.",
    "ru": "Сегодня хорошая погода, и мы идём в парк.",
    "zh": "今天天气很好，我们去公园。",
    "ja": "今日は天気がいいので、公園に行きます。",
    "ko": "오늘은 날씨가 좋아서 공원에 갑니다.",
    "ar": "الطقس جميل اليوم ونحن ذاهبون إلى الحديقة",
    "el": "Ο καιρός είναι καλός σήμερα και πάμε στο πάρκο.",
    "hi": "आज मौसम अच्छा है और हम पार्क जा रहे हैं।",
    "he": "מזג האוויר יפה היום ואנחנו הולכים לפארק",
    "th": "วันนี้อากาศดีเราไปสวนสาธารณะกัน",
}


@pytest.mark.parametrize("code", SPOKEN)
def test_a_language_is_told(code: str) -> None:
    """Each is itself and none of the others."""
    assert {c for c in SPOKEN if value({"language": c}, SPOKEN[code])} == {code}


def test_a_language_that_cannot_be_told_is_no_zero() -> None:
    assert value({"language": "en"}, "OK!") is None
    assert value({"language": "en"}, "Albert Einstein, Marie Curie, Niels Bohr") is None
    assert value({"language": "en"}, SPOKEN["en"] + "\n```\nder die das und ist nicht\n```") == 1
    with pytest.raises(UnknownNameError, match="language code 'eng'"):
        make_scorer({"language": "eng"})
