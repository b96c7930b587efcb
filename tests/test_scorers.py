"""Scorers say what they claim to say, and never raise, hang or drop a row."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistants.errors import FileError, MissingPart, UnknownName, UsageError
from assistants.scoring import (
    NAMES,
    Answered,
    Graded,
    Measure,
    Score,
    Unscorable,
    apply,
    make,
    make_all,
    measure,
)
from assistants.scoring import language as languages
from assistants.scoring import matching as matching_scorers
from assistants.scoring.textual import sentences_in, syllables_in, words_in

ENTRIES: list[Any] = [
    *("words", "characters", "sentences", "reading_ease", "lexical_diversity", "refusal"),
    *("repetition", "exact", "contains", "number", "choice", "json", "similarity"),
    {"language": "en"},
    {"contains": "a"},
    {"regex": "a+"},
    {"json": {"schema": {"type": "object"}}},
    {"lexical_diversity": 5},
]
ANY = st.text(st.characters(), max_size=200)  # lone surrogates, NUL and bidi marks included
BUSY = st.text(st.sampled_from("aA b.B)(\n`*#1,-=/{}[]\"'日ё"), max_size=80)
WORDS = st.lists(st.sampled_from("the cat sat on a mat and it was red".split()), max_size=30)


def score(entry: Any, answer: str, reference: str | None = None) -> Score:
    return apply(make(entry), Answered("?", answer, reference))


def value(entry: Any, answer: str, reference: str | None = None) -> float | None:
    return score(entry, answer, reference).value


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
@given(ANY | BUSY, st.none() | ANY | BUSY)
def test_every_answer_has_a_score_or_a_reason(
    entry: Any, answer: str, reference: str | None
) -> None:
    """Whatever a model writes: a finite number in bounds or a reason, and no other surprise."""
    scorer = make(entry)
    got = apply(scorer, Answered("?", answer, reference))
    assert (got.value is None) == (got.reason is not None)
    if got.value is None:
        assert not str(got.reason).split(":")[0].endswith(("Error", "error")), got
        return
    assert math.isfinite(got.value)
    if scorer.kind == "binary":
        assert got.value in (0, 1)
    if scorer.unit in ("share", "0 to 1"):
        assert 0 <= got.value <= 1
    assert apply(scorer, Answered("?", answer, reference)) == got


@pytest.mark.parametrize(
    "text",
    [
        "a" * 300_000,
        "." * 300_000 + "a",
        "\n" * 300_000,
        "1," * 150_000,
        "``` " * 50_000,
        "# \n" * 100_000,
        "[" * 300_000,
        "I " * 150_000,
        "*" * 300_000,
        "answer " * 40_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_a_huge_answer_takes_no_time(text: str) -> None:
    """No pattern of ours goes wild on an answer that loops."""
    for entry in ENTRIES:
        began = time.monotonic()
        score(entry, text, "a")
        assert time.monotonic() - began < 3, entry


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


@pytest.mark.parametrize("code", languages.LANGUAGES)
def test_a_language_is_told(code: str) -> None:
    """Each is itself and none of the others."""
    assert {c for c in languages.LANGUAGES if value({"language": c}, SPOKEN[code])} == {code}


def test_a_language_that_cannot_be_told_is_no_zero() -> None:
    assert value({"language": "en"}, "OK!") is None
    assert value({"language": "en"}, "Lorem Ipsum Dolor Amet Consectetur") is None
    assert value({"language": "en"}, SPOKEN["en"] + "\n```\nder die das und ist nicht\n```") == 1
    with pytest.raises(UnknownName, match="language code 'eng'"):
        make({"language": "eng"})


@pytest.mark.parametrize(
    ("entry", "answer", "reference", "expected"),
    [
        ("exact", "Paris", "Paris", 1),
        ("exact", " **paris**.\n", "Paris", 1),
        ("exact", '"New  York"', "new york", 1),
        ("exact", "It is Paris", "Paris", 0),
        ("exact", "-5", "5", 0),
        ("exact", ".5", "5", 0),
        ("exact", "Paris", None, None),
        ("exact", "Paris", "  ", None),
        ({"exact": {"strict": True}}, "paris", "Paris", 0),
        ("contains", "The capital is PARIS.", "paris", 1),
        ("contains", "x", None, None),
        ({"contains": "inverse"}, "The Inverse\nfunction", None, 1),
        ({"contains": {"text": "Inverse", "ignore_case": False}}, "inverse", None, 0),
        ({"contains": "cafe\u0301"}, "the café", None, 1),
        ({"regex": r"\d{3}"}, "room 101", None, 1),
        ({"regex": r"^b$"}, "a\nb\nc", None, 1),
        ({"regex": r"A"}, "a", None, 0),
        ({"regex": {"pattern": "A", "ignore_case": True}}, "a", None, 1),
        ({"regex": r"(\w+) \1 \w+"}, "that that is", None, 1),
        ("similarity", "the cat", "the cat", 1),
        ("similarity", "Cat, the!", "the cat", 1),
        ("similarity", "a dog", "the cat", 0),
        ("similarity", "the red cat sat", "the cat", 2 / 3),
        ("similarity", "", "the cat", 0),
        ("similarity", "x", None, None),
    ],
)
def test_matching(entry: Any, answer: str, reference: str | None, expected: float | None) -> None:
    """Golden answers in the ways models write them."""
    got = value(entry, answer, reference)
    assert got == (pytest.approx(expected) if expected is not None else None)


def test_a_catastrophic_pattern_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs its time limit and fails that score, not the run."""
    monkeypatch.setattr(matching_scorers, "REGEX_SECONDS", 0.5)
    began = time.monotonic()
    got = score({"regex": "(a+)+$"}, "a" * 40 + "b")
    assert got == Score(None, "the pattern took more than 0.5 s")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("42", 42),
        ("The answer is 6 × 7 = 42.", 42),
        ("Answer: 42 (see section 3)", 42),
        ("First 10, then 20, so 42", 42),
        ("**Answer:** $1,234.50", 1234.5),
        ("#### 12\n", 12),
        ("So \\boxed{7}, as in step 3.", 7),
        ("x = -5", -5),
        ("it is −7 degrees", -7),
        ("pages 3-5", 5),
        ("3,14", 3.14),
        ("1e-5", 1e-5),
        ("The answer is 1/2", 0.5),
        ("12%", 12),
        ("10m", 10),
        ("The answer is below:\n\n 17", 17),
    ],
)
def test_the_number_of_an_answer(answer: str, expected: float) -> None:
    """Read in the ways numbers are written."""
    assert value("number", answer, repr(expected)) == 1, score("number", answer, repr(expected))
    assert value("number", answer, repr(expected + 1)) == 0


def test_number_tolerances() -> None:
    """Absolute or relative, whichever is larger; nothing to read is no 0."""
    assert value({"number": 0.01}, "3.145", "3.14") == 1
    assert value({"number": 0.01}, "3.16", "3.14") == 0
    assert value({"number": {"relative": 0.1}}, "95", "100") == 1
    assert value("number", "0.1", "1/10") == 1
    assert value("number", "none", "3") is None
    assert value("number", "9" * 400, "3") is None
    assert value("number", "3", "none") is None
    assert value("number", "3") is None
    assert score("number", "so 42", "41").detail == "read 42"


@pytest.mark.parametrize(
    "answer",
    [
        "B", "b", "(B)", "b)", "**B**", "B.", "B) Paris", "B. Paris", "B: Paris", "`B`",
        "The answer is (B).", "The answer is B", "the answer is b.", "The correct answer is **B**.",
        "Answer: B because A is wrong", "**Answer:** B", "**Answer: B**", "### Answer\nB",
        "Final answer: B", "A? No. C? No.\nFinal answer: B", "\\boxed{B}", "$\\boxed{\\text{B}}$",
        "I choose B.", "I would go with option B, not A.", "Option B is correct; A is not.",
        "B is the right answer.", "I think it's B", "The answer is **B) Paris**.",
        "Let me think about A and C.\n\nThe correct choice is: B", "A is too small. (B)",
        "The correct option is **B**, since C is false.",
    ],
)  # fmt: skip
def test_a_choice_is_read(answer: str) -> None:
    """However a model says that it picks B."""
    assert value("choice", answer, "B") == 1, score("choice", answer, "B")
    assert value("choice", answer, "C") == 0


@pytest.mark.parametrize(
    "answer",
    [
        "", "I do not know.", "Both B and C", "A) one\nB) two", "The answer is a good one.",
        "The answer is A. No, the answer is B.", "A cat.", "I think so.", "Maybe **B** or **C**.",
    ],
)  # fmt: skip
def test_an_ambiguous_choice_is_no_zero(answer: str) -> None:
    """An answer that picks nothing, or two, says nothing about the letter."""
    got = score("choice", answer, "B")
    assert got.value is None
    assert "names" in str(got.reason)


@given(st.sampled_from("ABCDEFGHIJ"), st.sampled_from(["{}", "({})", "**{}**", "Answer: {}"]))
def test_every_letter_is_read(letter: str, style: str) -> None:
    """A and I are letters too, not only words."""
    assert value("choice", style.format(letter), letter) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"a": 1}', 1),
        ('Here:\n```json\n{"a": 1}\n```\nDone.', 1),
        ("```\n[1, 2]\n```", 1),
        ("{'a': 1}", 0),
        ('{"a": NaN}', 0),
        ("Here: {}", 0),
        ("", 0),
        ("[" * 100_000, 0),
        ("9" * 5_000, 1),
        ("```python\n1\n```", 0),
    ],
)
def test_json_is_valid_or_not(answer: str, expected: float) -> None:
    """The standard's JSON, bare or in its block; being wrong is a 0, not a failure."""
    assert value("json", answer) == expected


def test_json_fits_a_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the file beside the experiment or in place; without the package it says what to do."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    filed = make({"json": "schema.json"}, folder=tmp_path)
    assert filed.version == make({"json": {"schema": schema}}).version
    assert apply(filed, Answered("?", '{"a": 1}')).value == 1
    wrong = apply(filed, Answered("?", '{"a": "x"}'))
    assert (wrong.value, wrong.detail) == (0, "$.a: 'x' is not of type 'integer'")
    with pytest.raises(UsageError, match="the schema is wrong"):
        make({"json": {"schema": {"type": "objekt"}}})
    with pytest.raises(FileError, match="no such file"):
        make({"json": "missing.json"}, folder=tmp_path)
    away = make({"json": {"schema": {"$ref": "http://127.0.0.1:9/x.json"}}})
    assert apply(away, Answered("?", "{}")).value is None, "nothing is fetched"
    monkeypatch.setitem(__import__("sys").modules, "jsonschema.validators", None)
    with pytest.raises(MissingPart, match=r"pip install 'assistants\[notebooks\]'"):
        make({"json": "schema.json"}, folder=tmp_path)


def test_versions_differ_exactly_with_what_changes_a_score() -> None:
    """Every parameter is in the version; the name of the column is not."""
    entries: list[Any] = [
        *ENTRIES,
        {"contains": "b"},
        {"contains": {"text": "a", "ignore_case": False}},
        {"regex": "b"},
        {"regex": {"pattern": "a+", "ignore_case": True}},
        {"number": 0.1},
        {"number": {"relative": 0.1}},
        {"language": "de"},
        {"repetition": 4},
        {"exact": {"strict": True}},
        {"json": {"schema": {"type": "array"}}},
    ]
    versions = [make(entry).version for entry in entries]
    assert len(set(versions)) == len(entries)
    assert versions == [make(entry).version for entry in entries]
    assert make({"contains": {"text": "a", "name": "has_a"}}).version == versions[14]
    assert make({"contains": {"text": "a", "name": "has_a"}}).name == "has_a"
    assert make({"number": 1}).version == make({"number": 1.0}).version
    assert make({"number": None}).version == make("number").version


@pytest.mark.parametrize(
    ("entry", "error", "said"),
    [
        ("wrods", UnknownName, "unknown scorer 'wrods'. Did you mean 'words'"),
        ({"number": {"tolerence": 1}}, FileError, "Did you mean 'tolerance'"),
        ({"number": -1}, FileError, "tolerance: Input should be greater"),
        ({"number": "0.1"}, FileError, "tolerance: Input should be a valid number"),
        ({"number": True}, FileError, "tolerance: Input should be a valid number"),
        ({"words": 3}, FileError, "words takes no value"),
        ({"contains": 3}, FileError, "text: Input should be a valid string"),
        ({"contains": " "}, UsageError, "the text is empty"),
        ({"regex": "("}, UsageError, "is no regular expression"),
        ("regex", FileError, "pattern: Field required"),
        ({"words": {}, "exact": {}}, FileError, "one per entry"),
        (7, FileError, "7 is no scorer"),
        ({"python": "nothing"}, UsageError, "module:function"),
        ({"json": {"shema": {}}}, FileError, "Did you mean 'schema'"),
        ("code_runs", UsageError, "allow_code: true"),
    ],
)
def test_a_wrong_entry_is_refused(entry: Any, error: type[UsageError], said: str) -> None:
    """Before anything is paid for, and with the nearest right word."""
    with pytest.raises(error) as refused:
        make(entry, where="experiments/x.yaml:7")
    assert said in str(refused.value)
    if error is not UsageError:
        assert "experiments/x.yaml:7" in str(refused.value)


def test_two_columns_of_one_name_are_refused() -> None:
    entries: list[Any] = [{"contains": "a"}, {"contains": "b"}]
    with pytest.raises(FileError, match="two scorers are called 'contains'"):
        make_all(entries)
    made = make_all([entries[0], {"contains": {"text": "b", "name": "has_b"}}, "words"])
    assert [scorer.name for scorer in made] == ["contains", "has_b", "words"]
    assert set(NAMES) >= {"words", "code_runs", "python", "similarity"}


GRADERS = """
from assistants.scoring import Unscorable

def polite(answered):
    return "please" in answered.answer

polite.direction = "higher"
polite.kind = "binary"
polite.unit = "share"

def raising(answered):
    raise KeyError("oops")

def leaving(answered):
    raise SystemExit(2)

def silent(answered):
    return None

def infinite(answered):
    return float("inf")

def nan(answered):
    return float("nan")

def text(answered):
    return "0.5"

def half(answered):
    return 0.5
half.kind = "binary"

def declines(answered):
    raise Unscorable("not mine")
"""


def test_a_users_own_function(tmp_path: Path) -> None:
    """Loaded from a file beside the experiment or in a folder of them, with what it says it is."""
    (tmp_path / "graders").mkdir()
    (tmp_path / "graders" / "tone.py").write_text(GRADERS)
    for spec in ("graders/tone.py:polite", "graders.tone:polite"):
        made = make({"python": spec}, folder=tmp_path)
        assert (made.name, made.direction, made.kind) == ("polite", "higher", "binary")
        assert apply(made, Answered("?", "Yes please")) == Score(1.0)
    given = {"function": spec, "direction": "lower", "name": "manners"}
    other = make({"python": given}, folder=tmp_path)
    assert (other.name, other.direction, other.version) == ("manners", "lower", made.version)
    assert apply(make({"python": "math:sqrt"}), Answered("?", "")).value is None
    (tmp_path / "graders" / "tone.py").write_text(GRADERS + "\n# changed")
    assert make({"python": spec}, folder=tmp_path).version != made.version


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("raising", "KeyError: 'oops'"),
        ("leaving", "SystemExit: 2"),
        ("silent", "TypeError"),
        ("infinite", "returned inf"),
        ("nan", "returned nan"),
        ("text", "returned the text '0.5'"),
        ("half", "a binary score is 0 or 1"),
        ("declines", "not mine"),
        ("absent", "there is no function 'absent'"),
    ],
)
def test_a_broken_function_fails_its_scores(tmp_path: Path, function: str, reason: str) -> None:
    """With the reason, for every row, and without stopping anything."""
    (tmp_path / "graders.py").write_text(GRADERS)
    made = make({"python": f"graders:{function}"}, folder=tmp_path)
    got = apply(made, Answered("?", "x"))
    assert got.value is None
    assert reason in str(got.reason)


def test_a_file_that_cannot_be_loaded_fails_its_scores(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    for spec, reason in {
        "bad:f": "ZeroDivisionError",
        "gone.py:f": "there is no file gone.py",
        "no_such_module_here:f": "ModuleNotFoundError",
        "../outside.py:f": "there is no file",
    }.items():
        got = apply(make({"python": spec}, folder=tmp_path), Answered("?", "x"))
        assert reason in str(got.reason), got


def test_an_interrupt_is_not_a_score() -> None:
    """Ctrl-C stops the program, not one row of it."""

    def interrupted(answered: Answered) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(measure(interrupted, unit="x"), Answered("?", "x"))


def test_reasons_are_safe_to_store_and_show() -> None:
    """One line, no lone surrogates, no escape sequences, and not a novel."""

    def rude(answered: Answered) -> float:
        raise ValueError("\ud800\n\x1b[2J" + "x" * 10_000)

    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def unprintable(answered: Answered) -> float:
        raise Unprintable

    reason = str(apply(measure(rude, unit="x"), Answered("?", "x")).reason)
    reason.encode()
    assert len(reason) <= 300
    assert not set(reason) & {"\n", "\x1b"}
    got = apply(measure(unprintable, unit="x"), Answered("?", "x"))
    assert got == Score(None, "Unprintable")


def test_what_is_graded_has_a_digest_of_all_that_is_seen() -> None:
    """A changed reference is another score, though the answer is the same."""
    parts: list[Answered] = [
        Answered("q", "a"),
        Answered("q", "a", "r"),
        Answered("q", "b"),
        Answered("p", "a"),
        Answered("q", "a", None, {"x": 1}),
    ]
    assert len({each.digest for each in parts}) == len(parts)
    assert Answered("q", "a").digest == parts[0].digest


def test_a_scorer_needs_no_base_class() -> None:
    """Name, unit, direction, kind, version and one method are enough."""

    class Shouting:
        name, unit, version = "shouting", "share", "1"
        direction, kind = "lower", "binary"

        def score(self, answered: Answered) -> float:
            if not answered.answer:
                raise Unscorable("nothing said")
            return Graded(answered.answer.isupper(), "all capitals")

    assert apply(Shouting(), Answered("?", "HEY")) == Score(1.0, None, "all capitals")  # type: ignore[arg-type]
    assert apply(Shouting(), Answered("?", "")) == Score(None, "nothing said")  # type: ignore[arg-type]
    assert isinstance(make("words"), Measure)
