"""A case that is appended is read back as it was, and the file stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistants import Experiment
from assistants.design.case_editor import append_case
from assistants.errors import FileError, UsageError

HEAD = "# What we ask.\npersonas: [none]   # one\nmodels: [echo]\n"
TAIL = "\n# How often.\nrepeats: 2  # twice\n"
TEXTS = st.text(st.characters(), min_size=1, max_size=80).filter(str.strip)
SHAPES = [
    "cases:\n  - Tea?  # first\n",
    "cases:\n- Tea?\n# the last one\n\n",
    "cases:\n    - id: tea\n      question: Tea?\n      # no sugar\n",
    "cases:\n  - id: tea\n    question: |\n      Tea?\n\n      With milk?\n\n",
    "cases:\n  - id: tea\n    turns:\n      - Tea?\n      - Milk?\n",
    "cases:\n  - {id: tea, question: Tea?}\n",
    "cases:\n  - id: tea\n    question: Tea?\n    vars:\n      hour: 5\n",
]


@pytest.fixture
def file(here: Path) -> Callable[..., Path]:
    """An experiment file with these cases."""

    def made(cases: str, tail: str = TAIL) -> Path:
        path = here / "tea.yaml"
        path.write_bytes((HEAD + cases + tail).encode())
        return path

    return made


def cut_out(before: str, after: str) -> str:
    """What was added to a text that is otherwise the same, byte for byte."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before)
    )
    end = len(after) - (len(before) - start)
    assert after[:start] + after[end:] == before
    return after[start:end]


@settings(max_examples=40)
@given(question=TEXTS, shape=st.sampled_from(SHAPES), tail=st.sampled_from(["", TAIL]))
def test_any_question_comes_back_and_nothing_else_moves(
    file: Callable[..., Path], question: str, shape: str, tail: str
) -> None:
    """Comments, order and spaces stay byte for byte; the experiment loads and asks just that."""
    path = file(shape, tail)
    before = path.read_bytes().decode()
    asked = Experiment.load(path).cases
    name = append_case(path, question)
    after = path.read_bytes().decode()
    assert cut_out(before, after).strip()
    *earlier, last = Experiment.load(path).cases
    assert tuple(earlier) == asked
    assert (last.id, last.questions) == (name, (question,))


def test_a_text_on_several_lines_keeps_what_it_says(file: Callable[..., Path]) -> None:
    """Its lines may be joined; its words, its quotes and all comments stay."""
    path = file('cases:\n  - "Tea: a\n    drink?"  # hot\n  # the end\n')
    append_case(path, "Milk?")
    assert path.read_text() == (
        HEAD + 'cases:\n  - "Tea: a drink?" # hot\n  - Milk?\n  # the end\n' + TAIL
    )


def test_a_comment_stays_with_the_case_that_it_is_about(file: Callable[..., Path]) -> None:
    """Further in than the dash it is the case's; else it comes after the new one."""
    path = file("cases:\n  - id: tea\n    question: Tea?\n    # no sugar\n# more:\n")
    append_case(path, "Milk?", id="milk")
    assert (
        path.read_text()
        == HEAD
        + (
            "cases:\n  - id: tea\n    question: Tea?\n    # no sugar\n"
            "  - id: milk\n    question: Milk?\n# more:\n"
        )
        + TAIL
    )


def test_a_file_that_would_lose_a_comment_stays_as_it_is(
    file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused, and says that the case has to be written by hand."""
    path = file(SHAPES[0])
    before = path.read_bytes()
    monkeypatch.setattr(
        "assistants.design.case_editor._round_trip", lambda text, _: text.replace("# twice", "")
    )
    with pytest.raises(FileError, match="Write it by hand"):
        append_case(path, "Milk?")
    assert path.read_bytes() == before


def test_a_file_may_end_in_the_middle_of_a_line(file: Callable[..., Path]) -> None:
    """Its last line is ended before another one begins."""
    path = file("cases:\n- Tea?", "")
    append_case(path, "With milk?")
    assert path.read_text().endswith("cases:\n- Tea?\n- With milk?\n")


@settings(max_examples=40)
@given(turns=st.lists(TEXTS, min_size=2, max_size=3), reference=TEXTS)
def test_turns_and_a_reference_are_kept(
    file: Callable[..., Path], turns: list[str], reference: str
) -> None:
    """As they were said."""
    path = file(SHAPES[0])
    assert append_case(path, turns, id="talk", reference=reference) == "talk"
    last = Experiment.load(path).cases[-1]
    assert (last.id, last.questions, last.reference) == ("talk", tuple(turns), reference)


@pytest.mark.parametrize("cases", ["cases: [Tea?, Milk?]  # both\n", "cases: Tea?  # one\n"])
def test_a_list_on_one_line_stays_on_it(file: Callable[..., Path], cases: str) -> None:
    """Comments and order stay as well."""
    path = file(cases)
    append_case(path, "Sugar: yes or no?", id="sugar")
    text = path.read_text()
    comments = ("# What we ask.", "# one", cases[cases.index("#") :], "# How often.", "# twice")
    assert all(comment in text for comment in comments)
    assert text.index("personas") < text.index("cases") < text.index("repeats")
    (line,) = [line for line in text.splitlines() if line.startswith("cases:")]
    assert "Sugar: yes or no?" in line
    assert Experiment.load(path).cases[-1].question == "Sugar: yes or no?"


def test_lines_end_as_they_did(file: Callable[..., Path]) -> None:
    """A file from Windows stays one, and its mark of UTF-8 stays where it was."""
    path = file(SHAPES[0])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    append_case(path, "Milk?")
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf#")
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert Experiment.load(path).cases[-1].question == "Milk?"


@settings(max_examples=40)
@given(question=TEXTS)
def test_json_lines_get_one_more(file: Callable[..., Path], question: str) -> None:
    """Where the experiment names a file, the case belongs there; the experiment stays."""
    path = file("cases: tea.jsonl\n")
    lines = path.parent / "tea.jsonl"
    lines.write_text('{"id": "tea", "question": "Tea?"}')
    before = path.read_bytes()
    append_case(path, question, reference="Yes.")
    assert path.read_bytes() == before
    assert lines.read_text().startswith('{"id": "tea", "question": "Tea?"}\n')
    last = Experiment.load(path).cases[-1]
    assert (last.questions, last.reference) == ((question,), "Yes.")


@settings(max_examples=40)
@given(question=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
       .filter(lambda text: text.strip() and "\x00" not in text))  # fmt: skip
def test_csv_gets_one_more_row(file: Callable[..., Path], question: str) -> None:
    """Quotes, commas and line ends in a question stay in it."""
    path = file("cases: tea.csv\n")
    rows = path.parent / "tea.csv"
    rows.write_text("id,reference,question\ntea,,Tea?\n")
    append_case(path, question, id="more")
    last = Experiment.load(path).cases[-1]
    assert (last.id, last.questions) == ("more", (question,))


@pytest.mark.parametrize(("entry", "said"), [
    ({"question": ["Tea?", "Milk?"]}, "one question a case"),
    ({"question": "Milk?", "reference": "Yes."}, "no column 'reference'"),
])  # fmt: skip
def test_csv_that_cannot_hold_a_case_says_so(
    file: Callable[..., Path], entry: dict[str, str], said: str
) -> None:
    """And stays as it was."""
    path = file("cases: tea.csv\n")
    rows = path.parent / "tea.csv"
    rows.write_text("id,question\ntea,Tea?\n")
    with pytest.raises(FileError, match=said):
        append_case(path, **entry)
    assert rows.read_text() == "id,question\ntea,Tea?\n"


def test_the_same_question_is_not_kept_twice(file: Callable[..., Path]) -> None:
    """The error names the case that asks it already, and nothing is written."""
    path = file(SHAPES[2])
    before = path.read_bytes()
    with pytest.raises(FileError, match="already, as case 'tea'"):
        append_case(path, "Tea?")
    with pytest.raises(FileError, match="the case id 'tea' is there already"):
        append_case(path, "Milk?", id="tea")
    with pytest.raises(UsageError, match="empty question"):
        append_case(path, "  ")
    assert path.read_bytes() == before


def test_a_number_that_somebody_has_is_not_given_again(file: Callable[..., Path]) -> None:
    """A case without an id is called by its place, which may be another one's name."""
    path = file('cases:\n  - id: "2"\n    question: Tea?\n')
    assert append_case(path, "Milk?") == "case-2"
    assert append_case(path, "Sugar?") == "3"
    assert [case.id for case in Experiment.load(path).cases] == ["2", "case-2", "3"]


def test_a_question_that_looks_like_a_file_stays_a_question(file: Callable[..., Path]) -> None:
    """Not every text that ends in .csv is the name of a file."""
    path = file(SHAPES[0])
    append_case(path, "what.csv")
    assert Experiment.load(path).cases[-1].question == "what.csv"


def test_what_is_no_experiment_is_refused(here: Path) -> None:
    """With the file's name."""
    (here / "tea.yaml").write_text("personas: [none]\n")
    with pytest.raises(FileError, match=r"tea\.yaml: is not an experiment"):
        append_case(here / "tea.yaml", "Tea?")


@pytest.mark.parametrize("name", ["tea.yaml", "cases.jsonl"])
def test_cases_that_are_kept_at_once_are_all_there(file: Callable[..., Path], name: str) -> None:
    """Each under a name of its own: two widgets may be told to keep something at one time."""
    many = "".join(f"- Is {number} an even number?\n" for number in range(60))
    path = file(f"cases:\n{many}" if name == "tea.yaml" else "cases: cases.jsonl\n")
    (path.parent / "cases.jsonl").write_text('{"question": "Tea?"}\n' * (name != "tea.yaml"))
    asked = [f"Kept number {number}?" for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        names = list(threads.map(lambda question: append_case(path, question), asked))
    kept = {case.id: case.questions for case in Experiment.load(path).cases}
    assert [kept.get(name) for name in names] == [(question,) for question in asked]
