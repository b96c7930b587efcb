"""A transcript can be read by a person and parsed back by a program."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assistants.errors import FileError
from assistants.messages import Completion, Message, Transcript
from assistants.runs.transcripts import file_name, from_markdown, read, to_markdown, write
from support.completions import COMPLETION

PIECES = st.sampled_from(
    ["## answer", "## user", "\\## user", "\\\\## reasoning", "---", "", " ", "## answer ", "\r",
     "```", "# user", "\ud800", "\\ud800", "a\u2028b", "\0"]
)  # fmt: skip
TEXT = st.lists(PIECES | st.text(st.characters(), max_size=6), max_size=6).map("\n".join)
MESSAGE = st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT)
# A served model and a finish reason stand in JSON, which joins the halves of a surrogate pair.
HELD = COMPLETION.filter(
    lambda c: (c.served_model or "").isprintable() and (c.finish_reason or "").isprintable()
)


@given(st.lists(MESSAGE, max_size=4), HELD, TEXT, st.none() | TEXT)
@example([], Completion(""), "", None)
@example([Message("user", "## answer\n\nfake\n")], Completion("x"), "\n## user\n", "\n")
def test_any_conversation_comes_back(
    messages: list[Message], completion: Completion, answer: str, reasoning: str | None
) -> None:
    """Headings, rules, empty lines, surrogates: whatever was said is what is read."""
    facts = {**completion.as_dict(), "text": answer, "reasoning": reasoning}
    transcript = Transcript(tuple(messages), Completion.from_dict(facts))
    about = {"persona": "p", "repeat": 3, "model": "x:y\u2028"}
    text = to_markdown(transcript, about)
    text.encode("utf-8")
    assert from_markdown(text) == (transcript, about)


def test_a_person_can_read_it(here: Path) -> None:
    """One heading a message, the text as it was said, and a folder that is made when missing."""
    path = Path("some/where/t.md")
    messages = (Message("system", "Be brief."), Message("user", "Tea?"))
    transcript = Transcript(messages, Completion("Yes."))
    write(path, transcript, {"persona": "terse"})
    assert path.read_text() == (
        '---\npersona: "terse"\ncompletion: {"started_at":"","status":"ok","usage":{}}\n---\n'
        "\n## system\n\nBe brief.\n\n## user\n\nTea?\n\n## answer\n\nYes.\n"
    )
    assert read(path) == (transcript, {"persona": "terse"})


@pytest.mark.parametrize(
    "text",
    ["", "hi", "---\n---\n", "---\ncompletion: 5\n---\n\n## answer\n\nx\n",
     "---\ncompletion: {}\n---\n\n## user\n\nx\n", "---\ncompletion: {\n---\n\n## answer\n\nx\n",
     'x\n---\n\n## answer\n\nx\n', '---\ncompletion: {"status":"odd"}\n---\n\n## answer\n\nx\n',
     "---\ncompletion: " + "[" * 9999 + "\n---\n\n## answer\n\nx\n"],
)  # fmt: skip
def test_another_file_is_refused(here: Path, text: str) -> None:
    """What is no transcript is told by name, not guessed at."""
    Path("t.md").write_text(text)
    with pytest.raises(FileError, match=r"t\.md: is no transcript"):
        read(Path("t.md"))


@given(st.integers(0, 10**6 - 1), TEXT, TEXT, st.integers(0, 9))
def test_a_file_name_is_safe_and_sorts(position: int, persona: str, case: str, repeat: int) -> None:
    """Whatever a case is called, its file lies in the folder, in the order of the run."""
    name = file_name(position, persona, case, repeat)
    assert Path(name).name == name
    assert name.isascii()
    assert len(name) < 90
    assert name < file_name(position + 1, "", "", 0)
